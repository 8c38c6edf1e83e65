//! What a batch's bytes and a script ask of IPVS, by readers that share nothing with the encoder
//! (`include/uapi/linux/ip_vs.h`, `ipvsadm(8)`).

use std::net::{IpAddr, SocketAddr};

use ipvs_codec::{Destination, Forward, Op, Protocol, Scheduler, Server, Service, ServiceId};
use netlink::{Answer, Attributes, generic, messages};

/// The operations of a batch's bytes, with the sequence number of each; `None` for what is torn, or asks something
/// that is no [`Op`].
#[must_use]
pub fn requests(bytes: &[u8]) -> Option<Vec<(u32, Op)>> {
    let read = messages(bytes).map(|message| {
        let message = message.ok()?;
        match message.answer(generic::HEADER).ok()? {
            Answer::Object([command, ..], mut attributes) => {
                let op = operation(*command, attributes)?;
                attributes
                    .all(|a| a.is_ok())
                    .then_some((message.sequence, op))
            }
            _ => None,
        }
    });
    read.collect()
}

fn operation(command: u8, attributes: Attributes<'_>) -> Option<Op> {
    let key = attributes.nested(1).map(service_id);
    let service = || whole_service(attributes.nested(1)?);
    let destination = || whole_destination(attributes.nested(2)?);
    Some(match command {
        1 => Op::AddService(service()?),
        2 => Op::SetService(service()?),
        3 => Op::DeleteService(key??),
        5 => Op::AddDestination(key??, destination()?),
        6 => Op::SetDestination(key??, destination()?),
        7 => Op::DeleteDestination(key??, server(attributes.nested(2)?)?),
        17 if key.is_none() => Op::Flush,
        _ => return None,
    })
}

fn whole_service(nest: Attributes<'_>) -> Option<Service> {
    // struct ip_vs_flags: flags, and which of them are meant.
    let [persistent, ..] = nest.exact::<8>(7)?;
    Some(Service {
        id: service_id(nest)?,
        scheduler: Scheduler::from_name(nest.text(6)?)?,
        persistence_s: (persistent & 1 != 0).then_some(nest.u32(8)?),
    })
}

fn service_id(nest: Attributes<'_>) -> Option<ServiceId> {
    let family = nest.u16(1)?;
    Some(ServiceId {
        protocol: Protocol::from_number(nest.u16(2)?)?,
        address: address(nest, 3, family)?,
        port: u16::from_be_bytes(nest.exact(4)?),
    })
}

fn whole_destination(nest: Attributes<'_>) -> Option<Destination> {
    Some(Destination {
        server: server(nest)?,
        forward: Forward::from_number(nest.u32(3)?)?,
        weight: nest.u32(4)?,
    })
}

fn server(nest: Attributes<'_>) -> Option<Server> {
    Some(Server {
        address: address(nest, 1, nest.u16(11)?)?,
        port: u16::from_be_bytes(nest.exact(2)?),
    })
}

/// `union nf_inet_addr`, of which an address of IPv4 is the first four bytes.
fn address(nest: Attributes<'_>, kind: u16, family: u16) -> Option<IpAddr> {
    let union = nest.bytes(kind)?;
    match i32::from(family) {
        nix::libc::AF_INET => Some(IpAddr::from(*union.first_chunk::<4>()?)),
        nix::libc::AF_INET6 => Some(IpAddr::from(*union.first_chunk::<16>()?)),
        _ => None,
    }
}

/// Reads what [`ipvs_codec::script`] writes.
///
/// # Errors
/// The first line that is not understood.
pub fn parse_ipvsadm(text: &str) -> Result<Vec<Op>, String> {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines
        .map(|line| parse_line(line).ok_or_else(|| format!("'{line}': not understood")))
        .collect()
}

fn parse_line(line: &str) -> Option<Op> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let id = |option: &str, at: &str| -> Option<ServiceId> {
        let Server { address, port } = server_at(at)?;
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
            Some(Op::DeleteDestination(id(option, at)?, server_at(real)?))
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
                server: server_at(real)?,
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

fn server_at(text: &str) -> Option<Server> {
    let at: SocketAddr = text.parse().ok()?;
    Some(Server {
        address: at.ip(),
        port: at.port(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipvs_codec::script;

    #[test]
    fn a_script_says_what_its_operations_say_and_nothing_else_is_understood() {
        let text = "-A -t 10.96.0.1:80 -s rr\n-E -u 10.96.0.1:53 -s mh -p 10800\n\
            -a -t 10.96.0.1:80 -r 10.128.0.1:8080 -m -w 1\n-e -t 10.96.0.1:80 -r 10.128.0.1:8080 -g -w 0\n\
            -d -t 10.96.0.1:80 -r 10.128.0.1:8080\n-D -u 10.96.0.1:53\n-C\n\
            -a -t [fd00:10:96::1]:80 -r [fd00:10:128::1]:8080 -m -w 1\n";
        assert_eq!(script(&parse_ipvsadm(text).unwrap()), text);
        for line in [
            "-A -f 1 -s rr",
            "-A -t 10.96.0.1:80 -s fastest",
            "-a -t 10.96.0.1:80 -r 10.128.0.1:8080 -m",
            "-Z",
        ] {
            assert!(parse_ipvsadm(line).is_err(), "{line}");
        }
    }
}
