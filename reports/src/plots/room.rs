//! The size of a picture, and how much text it has room for.

use crate::quantity::shortened;

/// Figures are narrow so that their text stays readable on a telephone, and two fit side by side on a screen.
pub(super) const WIDTH: i32 = 480;
pub(super) const MARGIN: i32 = 12;
pub(super) const NOTE: i32 = 12;
/// Width of a letter of the widest font in use, as a share of its size.
const LETTER: f64 = 0.57;

/// Pixels that so many letters may take.
pub(super) fn width_of(letters: usize, size: i32) -> f64 {
    letters as f64 * f64::from(size) * LETTER
}

/// The first `letters` of a text (nobody reads more in a picture, and a file may hold names of any length) in lines
/// that fit a width. A word that no line has room for is cut.
pub(super) fn wrapped(text: &str, letters: usize, size: i32, width: i32) -> Vec<String> {
    let room = ((f64::from(width) / width_of(1, size)) as usize).max(1);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in shortened(text, letters).split_whitespace() {
        let word: Vec<char> = word.chars().collect();
        for piece in word.chunks(room) {
            let used = line.chars().count();
            if used > 0 && used + 1 + piece.len() > room {
                lines.push(std::mem::take(&mut line));
            } else if used > 0 {
                line.push(' ');
            }
            line.extend(piece);
        }
    }
    lines.push(line);
    lines
}
