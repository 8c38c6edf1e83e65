//! Stands in for `nft`, and adds the chain of each service that it is told to add once more: one message more a
//! service, which changes nothing. scripts/verify/deterministic-kernels sees whether a gate finds that. A copy whose
//! file is called `nft_unchanged` adds nothing: what standing in costs by itself.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

/// The real one, here and in a guest.
const NFT: &str = "/usr/sbin/nft";

fn main() -> std::io::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words != ["-f", "-"] {
        let status = Command::new(NFT).args(&words).status()?;
        std::process::exit(status.code().unwrap_or(1));
    }
    let mut script = String::new();
    std::io::stdin().read_to_string(&mut script)?;
    let mut child = Command::new(NFT)
        .args(&words)
        .stdin(Stdio::piped())
        .spawn()?;
    let mut to_nft = child.stdin.take().expect("stdin is piped");
    let unchanged = std::env::current_exe()?.ends_with("nft_unchanged");
    let script = if unchanged { script } else { twice(&script) };
    to_nft.write_all(script.as_bytes())?;
    drop(to_nft);
    let status = child.wait()?;
    std::process::exit(status.code().unwrap_or(1));
}

/// The script with each line twice that adds the chain of a service.
fn twice(script: &str) -> String {
    let mut text = String::with_capacity(2 * script.len());
    for line in script.lines() {
        text.push_str(line);
        text.push('\n');
        if line.starts_with("add chain ") && line.contains(" service-") {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}
