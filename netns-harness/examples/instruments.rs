//! The instruments beside others, and against what is known: what `scripts/verify` asks of them. Prints a line of tab-separated figures a trial.
//!
//! - `raw trafgen|pktgen PAIRS`: packets a second by the wall clock, handed over and by the other generator, both counted by one rule where they are
//!   received. trafgen pins itself to the first CPU.
//! - `connections PAIRS`: connections a second, handed over (SYN, SYN-ACK, reset) and by connect(2) and close(2), over the same path without rules.
//! - `paced RATE SECONDS [burn]`: how late flows at a rate are; `burn`: while a process burns the server's CPU.
//! - `sockperf PAIRS`: round trips, and messages a second of one socket, each by ours and by sockperf, over the same path without rules.
//! - `delays ROUNDS`: round trips with a server that waits so long before it answers.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use netns_harness::lab::{ENDPOINT_PORT, Lab, Pinning};
use netns_harness::service::Frontend;
use netns_harness::traffic::{Ask, Client, HandOver, MOST_CONNECTIONS, MOST_HANDED, Pacer};
use netns_sys::clock;
use schema::Protocol;

type Failure = Box<dyn std::error::Error>;
type Result<T = ()> = std::result::Result<T, Failure>;

fn main() -> Result {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let pinning = Pinning::choose()?;
    let lab = Lab::build(pinning)?;
    netns_sys::thread::pin(pinning.client)?;
    match words.as_slice() {
        ["raw", other, pairs] => raw(&lab, other, pairs.parse()?),
        ["connections", pairs] => connections(&lab, pairs.parse()?),
        ["paced", rate, seconds] => paced(&lab, rate.parse()?, seconds.parse()?, false),
        ["paced", rate, seconds, "burn"] => paced(&lab, rate.parse()?, seconds.parse()?, true),
        ["sockperf", pairs] => sockperf(&lab, pairs.parse()?),
        ["delays", rounds] => delays(&lab, rounds.parse()?),
        _ => Err(
            "raw trafgen|pktgen PAIRS, connections PAIRS, paced RATE SECONDS [burn], sockperf PAIRS, delays ROUNDS"
                .into(),
        ),
    }
}

/// An endpoint, which without rules is asked at its own address.
fn endpoint(number: u8, protocol: Protocol) -> Frontend {
    Frontend {
        vip: [10, 128, 0, number].into(),
        port: ENDPOINT_PORT,
        protocol,
    }
}

fn per_second(count: u64, elapsed_ns: u64) -> u64 {
    (u128::from(count) * 1_000_000_000 / u128::from(elapsed_ns.max(1))) as u64
}

/// Packets of a trial.
const PACKETS: u32 = 1_000_000;

fn raw(lab: &Lab, other: &str, pairs: u32) -> Result {
    println!("pair\thanded\tother");
    let (mut client, mut hand) = (Client::new(lab), HandOver::received(lab)?);
    let to = vec![endpoint(1, Protocol::Udp); MOST_HANDED as usize];
    hand.first_packets(&mut client, &to)?;
    for pair in 0..pairs {
        let mut rates = [0; 2];
        // In alternating order.
        for nth in [pair % 2, (pair + 1) % 2] {
            let [_, before] = hand.arrived()?;
            let start = clock::now();
            match (nth, other) {
                (0, _) => drop(hand.again(PACKETS)?),
                (_, "trafgen") => trafgen(lab)?,
                (_, "pktgen") => pktgen(lab)?,
                (_, other) => return Err(format!("no generator {other}").into()),
            }
            let elapsed_ns = start.elapsed_ns();
            let [_, after] = hand.arrived()?;
            rates[nth as usize] = per_second(after - before, elapsed_ns);
        }
        println!("{pair}\t{}\t{}", rates[0], rates[1]);
    }
    Ok(())
}

/// The same frame from the clients' interface, by netsniff-ng's generator on this CPU.
fn trafgen(lab: &Lab) -> Result {
    let frame = "{ eth(da=02:00:00:00:01:01, sa=02:00:00:00:01:02), ipv4(sa=10.192.255.192, da=10.128.0.1, ttl=64), udp(sp=1024, dp=8080), fill(0, 18) }";
    let run = || -> std::io::Result<_> {
        let mut child = Command::new("trafgen")
            .args([
                "--dev",
                "eth0",
                "--conf",
                "-",
                "--cpus",
                "1",
                "--no-cpu-stats",
            ])
            .args(["--num", &PACKETS.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        child
            .stdin
            .take()
            .expect("it is piped")
            .write_all(frame.as_bytes())?;
        child.wait_with_output()
    };
    let done = lab.client.run(run)??;
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&done.stderr).into_owned().into()),
    }
}

/// The same from the kernel's generator, in the thread that the client is pinned to.
fn pktgen(lab: &Lab) -> Result {
    let cpu = lab.pinning.client;
    let write = |file: &str, lines: &[&str]| -> std::io::Result<()> {
        lines.iter().try_for_each(|line| {
            let file = Path::new("/proc/net/pktgen").join(file);
            std::fs::write(&file, format!("{line}\n"))
                .map_err(|e| std::io::Error::other(format!("{line} to {}: {e}", file.display())))
        })
    };
    let packets = format!("count {PACKETS}");
    let run = || -> std::io::Result<()> {
        write(
            &format!("kpktgend_{cpu}"),
            &["rem_device_all", "add_device eth0"],
        )?;
        write(
            "eth0",
            &[
                &packets,
                "pkt_size 60",
                "delay 0",
                "dst 10.128.0.1",
                "dst_mac 02:00:00:00:01:01",
                "src_min 10.192.255.192",
                "src_max 10.192.255.192",
                "udp_src_min 1024",
                "udp_src_max 1024",
                "udp_dst_min 8080",
                "udp_dst_max 8080",
            ],
        )?;
        write("pgctrl", &["start"])
    };
    Ok(lab.client.run(run)??)
}

fn connections(lab: &Lab, pairs: u32) -> Result {
    /// Of a trial of either: those that are closed wait for a minute (TIME_WAIT), and too many of them make connect(2) slow.
    const HANDED: u32 = MOST_CONNECTIONS;
    const CLOSED: u32 = 1_000;
    println!("pair\thanded\tkernel");
    let (mut client, mut hand) = (Client::new(lab), HandOver::answered(lab)?);
    let to = vec![endpoint(1, Protocol::Tcp); HANDED as usize];
    let address = SocketAddr::new(to[0].vip, to[0].port);
    let connect = || -> std::io::Result<()> {
        for _ in 0..CLOSED {
            drop(TcpStream::connect(address)?);
        }
        Ok(())
    };
    for pair in 0..pairs {
        let mut rates = [0; 2];
        for nth in [pair % 2, (pair + 1) % 2] {
            rates[nth as usize] = match nth {
                0 => {
                    let handed = hand.connections(&mut client, &to)?;
                    let [made, answered] = hand.arrived()?;
                    if made != answered {
                        return Err(format!("{answered} of {made} were answered").into());
                    }
                    per_second(HANDED.into(), handed.elapsed_ns)
                }
                _ => {
                    // Answers to sockets must come through.
                    drop(hand);
                    let spinning = lab.server.spin();
                    let start = clock::now();
                    lab.client.run(connect)??;
                    let elapsed_ns = start.elapsed_ns();
                    drop(spinning);
                    hand = HandOver::answered(lab)?;
                    per_second(CLOSED.into(), elapsed_ns)
                }
            };
        }
        println!("{pair}\t{}\t{}", rates[0], rates[1]);
    }
    Ok(())
}

fn paced(lab: &Lab, rate: u32, seconds: u32, burn: bool) -> Result {
    println!("second\tflows\tlate\tlost\tlongest_gap_ns\tp50_ns\trun_delay_ns");
    let mut command = Command::new("sh");
    command.args(["-c", "while :; do :; done"]);
    command.stdin(Stdio::null());
    let burner = burn.then(|| command.spawn().map(Ended)).transpose()?;
    if let Some(Ended(process)) = &burner {
        netns_sys::thread::pin_process(process.id(), lab.pinning.server)?;
    }
    let (mut client, mut pacer) = (Client::new(lab), Pacer::of(lab)?);
    // As long as the addresses and ports of one lab last.
    let seconds = seconds.min(client.left_without_socket() / rate.max(1));
    let to = vec![endpoint(1, Protocol::Tcp); (rate * seconds) as usize];
    let paced = pacer.send(&mut client, &to, rate)?;
    let of = rate as usize;
    for second in 0..seconds as usize {
        let gap = paced.gaps_ns.get(second).copied().unwrap_or(0);
        let range = second * of..(second + 1) * of;
        let behind = &paced.behind_ns[range.clone()];
        let late = behind.iter().filter(|ns| **ns > 100_000).count();
        let answered = &paced.latency_ns[range];
        let mut latencies: Vec<u64> = answered.iter().flatten().copied().collect();
        latencies.sort_unstable();
        println!(
            "{second}\t{of}\t{late}\t{}\t{gap}\t{}\t{}",
            of - latencies.len(),
            latencies.get(latencies.len() / 2).unwrap_or(&0),
            paced.run_delay_ns.unwrap_or(0)
        );
    }
    Ok(())
}

/// How long a trial of either takes, and what a message of either carries: the least that sockperf sends.
const TRIAL: Duration = Duration::from_secs(1);
const MESSAGE: [u8; 14] = [0; 14];
/// Where sockperf's server is.
const SOCKPERF_PORT: u16 = 11_111;

fn sockperf(lab: &Lab, pairs: u32) -> Result {
    println!(
        "pair\tour_round_trip_ns\tits_round_trip_ns\tour_messages\tits_messages\tarrived_of_its"
    );
    let port = SOCKPERF_PORT.to_string();
    let command = |act: &str| {
        let mut command = Command::new("sockperf");
        command.args([act, "-i", "10.128.0.1", "-p", &port]);
        command.stdin(Stdio::null());
        command
    };
    let start_server = || -> std::io::Result<_> {
        let mut server = command("server");
        server.arg("--nonblocked").stdout(Stdio::null());
        server.stderr(Stdio::null()).spawn()
    };
    let server = Ended(lab.backends.run(start_server)??);
    netns_sys::thread::pin_process(server.0.id(), lab.pinning.server)?;
    // Until it listens.
    std::thread::sleep(Duration::from_millis(500));
    beside_sockperf(lab, pairs, &server.0, &command)
}

/// A process that ends with this.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn beside_sockperf(
    lab: &Lab,
    pairs: u32,
    server: &std::process::Child,
    command: &dyn Fn(&str) -> Command,
) -> Result {
    let mut client = Client::new(lab);
    let flows = client.open_flows(&[endpoint(1, Protocol::Udp).into()])?;
    let flow = &flows[0].0;
    let seconds = TRIAL.as_secs().to_string();
    let its = |act: &str, more: &[&str], said: &str| -> Result<f64> {
        let mut command = command(act);
        command.args(["-t", &seconds, "-m", "14"]).args(more);
        let output = lab.client.run(|| command.output())??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let found = text.lines().find_map(|line| line.split_once(said));
        let number = found.and_then(|(_, rest)| rest.split_whitespace().next());
        let number = number.and_then(|number| number.parse().ok());
        number.ok_or_else(|| format!("sockperf {act} said: {text}").into())
    };
    for pair in 0..pairs {
        let (mut round_trips, mut rates, mut arrived) = ([0; 2], [0; 2], 0);
        for nth in [pair % 2, (pair + 1) % 2] {
            match nth {
                0 => {
                    // Theirs spins too, and there is one CPU for both.
                    stop(server, true)?;
                    let _spinning = lab.server.spin();
                    let (start, mut seen) = (clock::now(), Vec::new());
                    while u128::from(start.elapsed_ns()) < TRIAL.as_nanos() {
                        seen.push(flow.round_trip(seen.len() as u64)?);
                    }
                    seen.sort_unstable();
                    round_trips[0] = seen[seen.len() / 2];
                }
                _ => {
                    stop(server, false)?;
                    let us = its(
                        "ping-pong",
                        &["--nonblocked", "--full-rtt"],
                        "percentile 50.000 =",
                    )?;
                    round_trips[1] = (us * 1e3) as u64;
                    stop(server, true)?;
                }
            }
        }
        let hand = HandOver::dropped(lab)?;
        for nth in [pair % 2, (pair + 1) % 2] {
            let [_, before] = hand.arrived()?;
            match nth {
                0 => {
                    let open = || -> std::io::Result<_> {
                        let socket = std::net::UdpSocket::bind("10.192.0.2:0")?;
                        socket.connect(("10.128.0.1", SOCKPERF_PORT))?;
                        Ok(socket)
                    };
                    let socket = lab.client.run(open)??;
                    let (start, mut sent) = (clock::now(), 0_u64);
                    while u128::from(start.elapsed_ns()) < TRIAL.as_nanos() {
                        for _ in 0..100 {
                            socket.send(&MESSAGE)?;
                        }
                        sent += 100;
                    }
                    let elapsed_ns = start.elapsed_ns();
                    let [_, after] = hand.arrived()?;
                    if after - before != sent {
                        return Err(format!("{} of {sent} arrived", after - before).into());
                    }
                    rates[0] = per_second(sent, elapsed_ns);
                }
                _ => {
                    rates[1] = its(
                        "throughput",
                        &["--client_ip", "10.192.0.2"],
                        "Message Rate is",
                    )? as u64;
                    let [_, after] = hand.arrived()?;
                    arrived = after - before;
                }
            }
        }
        println!(
            "{pair}\t{}\t{}\t{}\t{}\t{arrived}",
            round_trips[0], round_trips[1], rates[0], rates[1]
        );
    }
    Ok(())
}

/// Lets a process of ours stand still, or go on.
fn stop(process: &std::process::Child, still: bool) -> Result {
    use nix::sys::signal::{Signal, kill};
    let signal = match still {
        true => Signal::SIGSTOP,
        false => Signal::SIGCONT,
    };
    let id = nix::unistd::Pid::from_raw(process.id().cast_signed());
    Ok(kill(id, signal)?)
}

fn delays(lab: &Lab, rounds: u32) -> Result {
    /// In a round, of each delay.
    const FLOWS: usize = 50;
    println!("delay_ns\tlatency_ns\twaited_ns");
    let mut client = Client::new(lab);
    let asks: Vec<Ask> = (0..FLOWS)
        .map(|_| endpoint(1, Protocol::Udp).into())
        .collect();
    for round in 0..rounds {
        for nth in 0..4 {
            // Each in each place of a round as often as in any other.
            let delay_ns = [0, 1_000, 5_000, 20_000][((nth + round) % 4) as usize];
            lab.server.delay(Duration::from_nanos(delay_ns));
            let answered = client.probe_all(&asks)?;
            let mut waited = lab.server.take_delays();
            waited.resize(FLOWS, 0);
            if round >= 4 {
                for (reached, waited_ns) in answered.iter().zip(waited) {
                    println!("{delay_ns}\t{}\t{waited_ns}", reached.latency_ns);
                }
            }
        }
    }
    Ok(())
}
