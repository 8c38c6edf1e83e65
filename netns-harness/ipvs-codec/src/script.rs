//! The same operations as input of `ipvsadm -R`, a line each, and read back from it.

use std::fmt::Write as _;

use crate::model::{Destination, Forward, Protocol, Scheduler, Server, Service, ServiceId};
use crate::ops::Op;

/// Input of `ipvsadm -R`.
#[must_use]
pub fn script(ops: &[Op]) -> String {
    let mut text = String::with_capacity(ops.len() * 56);
    for op in ops {
        let _ = writeln!(text, "{op}"); // writing to a String cannot fail
    }
    text
}

/// Reads what [`script`] writes.
///
/// # Errors
/// The first line that is not understood.
pub fn parse_script(text: &str) -> Result<Vec<Op>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| parse_line(line).ok_or_else(|| format!("'{line}': not understood")))
        .collect()
}

fn parse_line(line: &str) -> Option<Op> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let id = |option: &str, at: &str| -> Option<ServiceId> {
        let Server { address, port } = server(at)?;
        Some(ServiceId {
            protocol: match option {
                "-t" => Protocol::Tcp,
                "-u" => Protocol::Udp,
                _ => return None,
            },
            address,
            port,
        })
    };
    match words[..] {
        ["-C"] => Some(Op::Flush),
        ["-D", option, at] => Some(Op::DeleteService(id(option, at)?)),
        [
            action @ ("-A" | "-E"),
            option,
            at,
            "-s",
            name,
            ref rest @ ..,
        ] => {
            let service = Service {
                id: id(option, at)?,
                scheduler: Scheduler::from_name(name)?,
                persistence_s: match rest {
                    [] => None,
                    ["-p", seconds] => Some(seconds.parse().ok()?),
                    _ => return None,
                },
            };
            Some(match action {
                "-A" => Op::AddService(service),
                _ => Op::SetService(service),
            })
        }
        ["-d", option, at, "-r", real] => {
            Some(Op::DeleteDestination(id(option, at)?, server(real)?))
        }
        [
            action @ ("-a" | "-e"),
            option,
            at,
            "-r",
            real,
            forward,
            "-w",
            weight,
        ] => {
            let destination = Destination {
                server: server(real)?,
                forward: match forward {
                    "-m" => Forward::Masquerade,
                    "-i" => Forward::Tunnel,
                    "-g" => Forward::Route,
                    _ => return None,
                },
                weight: weight.parse().ok()?,
            };
            let id = id(option, at)?;
            Some(match action {
                "-a" => Op::AddDestination(id, destination),
                _ => Op::SetDestination(id, destination),
            })
        }
        _ => None,
    }
}

fn server(text: &str) -> Option<Server> {
    let (address, port) = text.split_once(':')?;
    Some(Server {
        address: address.parse().ok()?,
        port: port.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_what_its_operations_say_and_nothing_else_is_understood() {
        let text = "-A -t 10.96.0.1:80 -s rr\n-E -u 10.96.0.1:53 -s mh -p 10800\n\
            -a -t 10.96.0.1:80 -r 10.128.0.1:8080 -m -w 1\n-e -t 10.96.0.1:80 -r 10.128.0.1:8080 -g -w 0\n\
            -d -t 10.96.0.1:80 -r 10.128.0.1:8080\n-D -u 10.96.0.1:53\n-C\n";
        assert_eq!(script(&parse_script(text).unwrap()), text);
        for line in [
            "-A -f 1 -s rr",
            "-A -t 10.96.0.1:80 -s fastest",
            "-a -t 10.96.0.1:80 -r 10.128.0.1:8080 -m",
            "-Z",
        ] {
            assert!(parse_script(line).is_err(), "{line}");
        }
    }
}
