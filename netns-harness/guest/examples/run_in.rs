//! Runs programs in a guest, one after the other, and gives what they print:
//! `run_in KERNEL PROGRAM…`. Ends with 1 when one of them did not succeed. scripts/verify/ipvs-in-guest runs test
//! binaries so, on a kernel that has what the host's lacks.
//!
//! This program is the guest's first process too. A job is it again, which starts the program of that number.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use guest::fetch::Cache;
use guest::machine::{Accelerator, Boot, Hardware, Machine, Next};
use guest::protocol::{Ask, Line, Said};

type Failure = Box<dyn std::error::Error>;

/// How long a program may be silent.
const SILENCE: Duration = Duration::from_secs(120);

fn main() -> Result<(), Failure> {
    if std::process::id() == 1 {
        guest::pid1::run(Path::new("/init"));
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.as_slice() {
        [job, number] if job == "job" => start(number),
        [spec, programs @ ..] if !programs.is_empty() => {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?
                .block_on(run(spec, programs))
        }
        _ => Err("arguments: KERNEL PROGRAM…".into()),
    }
}

/// Where a program is in the guest.
fn place(number: &str) -> PathBuf {
    format!("/programs/{number}").into()
}

/// In the guest: a program's two outputs as one, because only one leaves the guest whole.
fn start(number: &str) -> Result<(), Failure> {
    use std::os::fd::AsFd as _;
    let errors = std::io::stdout().as_fd().try_clone_to_owned()?;
    let status = Command::new(place(number))
        .args(["--test-threads", "2"])
        .env(
            "BENCH_REQUIRE",
            std::env::var("BENCH_REQUIRE").unwrap_or_else(|_| "netns,ipvs".to_owned()),
        )
        .stdin(Stdio::null())
        .stderr(errors)
        .status()?;
    std::process::exit(status.code().unwrap_or(1));
}

async fn run(spec: &str, programs: &[String]) -> Result<(), Failure> {
    let kernel = guest::kernel::resolve(spec, &Cache::of_user())?;
    let folder = tempfile::tempdir()?;
    let initramfs = folder.path().join("initramfs");
    let places: Vec<PathBuf> = (0..programs.len()).map(|n| place(&n.to_string())).collect();
    let further: Vec<(&Path, &Path)> = places
        .iter()
        .zip(programs)
        .map(|(at, from)| (at.as_path(), Path::new(from)))
        .collect();
    guest::image::build_with(&std::env::current_exe()?, &further, &kernel, &initramfs)?;
    let (accelerator, _) = Accelerator::prove(&kernel.image, &initramfs).await;
    let boot = Boot {
        kernel: kernel.image,
        initramfs,
        hardware: Hardware {
            accelerator,
            cpus: 2,
            memory_mib: 2048,
        },
        console: folder.path().join("console.log"),
        deadline: Duration::from_secs(120),
    };
    let ran = run_all(&boot, programs).await;
    if ran.is_err() {
        // What a kernel said before it went is nowhere else.
        eprintln!("{}", std::fs::read_to_string(&boot.console)?);
    }
    ran
}

async fn run_all(boot: &Boot, programs: &[String]) -> Result<(), Failure> {
    let mut machine = Machine::boot(boot).await?;
    eprintln!("{:?}", machine.ready);
    let mut failed = Vec::new();
    for (number, program) in programs.iter().enumerate() {
        let ask = Ask::Run {
            arguments: vec!["job".to_owned(), number.to_string()],
            input: String::new(),
        };
        machine.ask(&ask).await?;
        let status = loop {
            match machine.next(SILENCE).await? {
                Next::Line(Line::Output(text)) => println!("{text}"),
                Next::Line(Line::Said(Said::Ended { status, stderr })) => {
                    eprintln!("{program}: {status} {stderr}");
                    break status;
                }
                Next::Line(Line::Said(said)) => eprintln!("{said:?}"),
                Next::Late => {
                    return Err(format!("{program}: silent for {} s", SILENCE.as_secs()).into());
                }
            }
        };
        if status != "exit status: 0" {
            failed.push(program.as_str());
        }
    }
    machine.off(Duration::from_secs(10)).await;
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("did not succeed: {}", failed.join(", ")).into()),
    }
}
