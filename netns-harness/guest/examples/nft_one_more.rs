//! Stands in for `nft`, and adds the chain of each service that it is told to add once more: one message more a
//! service, which changes nothing. scripts/verify/deterministic-kernels sees whether a gate finds that.

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
    to_nft.write_all(twice(&script).as_bytes())?;
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
