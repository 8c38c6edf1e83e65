//! Runs programs in a guest, one after the other, and gives what they print:
//! `run_in KERNEL PROGRAM…`. Ends with 1 when one of them did not succeed. scripts/verify/ipvs-in-guest runs test
//! binaries so, on a kernel that has what the host's lacks.
//!
//! `run_in KERNEL --script FILE TOOL…` runs a script of sh, which finds the tools and those of every guest by PATH:
//! scripts/verify/memory-trial measures so without any code of this project but the boot.
//!
//! `run_in KERNEL --ask RUNNER PROGRAM…` asks `RUNNER cell` what stands on standard input, a question a line, where the
//! programs are at their own paths: scripts/verify/real-kube-proxy lists so what a kube-proxy installs in a kernel with IPVS.
//!
//! `run_in KERNEL --start PROGRAM WORD…` starts a program with these words; the modules that RUN_IN_MODULES names, apart by commas,
//! are loaded beside those of every guest: scripts/verify/raw-generator measures so beside the kernel's own generator.
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
        [job, words @ ..] if job == "start" => start_with(words),
        [job] if job == "script" => script(),
        [job] if job == "ask" => ask(),
        [spec, flag, runner, programs @ ..] if flag == "--ask" => {
            let text = std::io::read_to_string(std::io::stdin())?;
            let mut further = vec![(place(RUNNER), PathBuf::from(runner))];
            further.extend(programs.iter().map(|p| (p.into(), p.into())));
            let jobs: Vec<Job<'_>> = text
                .lines()
                .map(|line| (runner.as_str(), vec!["ask".to_owned()], line.to_owned()))
                .collect();
            block_on(run(spec, &further, &jobs))
        }
        [spec, flag, file, tools @ ..] if flag == "--script" => {
            let text = std::fs::read_to_string(file)?;
            let mut further = vec![(PathBuf::from("/bin/sh"), which("sh")?)];
            for tool in tools {
                further.push((Path::new("/usr/bin").join(tool), which(tool)?));
            }
            let job = (file.as_str(), vec!["script".to_owned()], text);
            block_on(run(spec, &further, &[job]))
        }
        [spec, flag, program, words @ ..] if flag == "--start" => {
            let further = [(place(RUNNER), PathBuf::from(program))];
            let mut arguments = vec!["start".to_owned()];
            arguments.extend(words.iter().cloned());
            let job = (program.as_str(), arguments, String::new());
            block_on(run(spec, &further, &[job]))
        }
        [spec, programs @ ..] if !programs.is_empty() => {
            let (mut further, mut jobs) = (Vec::new(), Vec::new());
            for (number, program) in programs.iter().enumerate() {
                let number = number.to_string();
                further.push((place(&number), PathBuf::from(program)));
                jobs.push((
                    program.as_str(),
                    vec!["job".to_owned(), number],
                    String::new(),
                ));
            }
            block_on(run(spec, &further, &jobs))
        }
        _ => Err(
            "arguments: KERNEL PROGRAM…, KERNEL --script FILE TOOL…, KERNEL --ask RUNNER PROGRAM…, or KERNEL --start PROGRAM WORD…"
                .into(),
        ),
    }
}

fn block_on(ran: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(ran)
}

/// The file of a tool, by PATH.
fn which(tool: &str) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(tool));
    let real = found.filter_map(|file| file.canonicalize().ok());
    let mut real = real.filter(|file| guest::image::is_elf(file));
    real.next()
        .ok_or_else(|| format!("{tool} is not installed").into())
}

/// What a job is called, its arguments, and its standard input.
type Job<'a> = (&'a str, Vec<String>, String);

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

/// The runner's place is called so.
const RUNNER: &str = "runner";

/// In the guest: the runner, asked what is on standard input.
fn ask() -> Result<(), Failure> {
    let status = Command::new(place(RUNNER)).arg("cell").status()?;
    std::process::exit(status.code().unwrap_or(1));
}

/// In the guest: a program with words, its two outputs as one.
fn start_with(words: &[String]) -> Result<(), Failure> {
    use std::os::fd::AsFd as _;
    let errors = std::io::stdout().as_fd().try_clone_to_owned()?;
    let status = Command::new(place(RUNNER))
        .args(words)
        .stderr(errors)
        .status()?;
    std::process::exit(status.code().unwrap_or(1));
}

/// In the guest: the script on standard input, its two outputs as one.
fn script() -> Result<(), Failure> {
    use std::os::fd::AsFd as _;
    let errors = std::io::stdout().as_fd().try_clone_to_owned()?;
    let status = Command::new("/bin/sh").arg("-s").stderr(errors).status()?;
    std::process::exit(status.code().unwrap_or(1));
}

/// Boots with programs, each at its place and from its file, and runs the jobs.
async fn run(spec: &str, programs: &[(PathBuf, PathBuf)], jobs: &[Job<'_>]) -> Result<(), Failure> {
    let kernel = Cache::of_user().resolve(spec)?;
    let folder = tempfile::tempdir()?;
    let initramfs = folder.path().join("initramfs");
    let further: Vec<(&Path, &Path)> = programs
        .iter()
        .map(|(at, from)| (at.as_path(), from.as_path()))
        .collect();
    let named = std::env::var("RUN_IN_MODULES").unwrap_or_default();
    let modules: Vec<&str> = named.split(',').filter(|name| !name.is_empty()).collect();
    guest::image::build_with(
        &std::env::current_exe()?,
        &further,
        &modules,
        &kernel,
        &initramfs,
    )?;
    let (accelerator, _) = Accelerator::prove(&kernel.image, &initramfs).await;
    let boot = Boot {
        kernel: kernel.image,
        initramfs,
        hardware: Hardware {
            accelerator,
            cpus: 2,
            possible_cpus: None,
            memory_mib: 2048,
        },
        console: folder.path().join("console.log"),
        deadline: Duration::from_secs(120),
    };
    let ran = run_all(&boot, jobs).await;
    if ran.is_err() {
        // What a kernel said before it went is nowhere else.
        eprintln!("{}", std::fs::read_to_string(&boot.console)?);
    }
    ran
}

async fn run_all(boot: &Boot, jobs: &[Job<'_>]) -> Result<(), Failure> {
    let mut machine = Machine::boot(boot).await?;
    eprintln!("{:?}", machine.ready);
    let mut failed = Vec::new();
    for (name, arguments, input) in jobs {
        let ask = Ask::Run {
            arguments: arguments.clone(),
            input: input.clone(),
        };
        machine.ask(&ask).await?;
        let well = loop {
            match machine.next(SILENCE).await? {
                Next::Line(Line::Output(text)) => println!("{text}"),
                Next::Line(Line::Said(Said::Ended {
                    success,
                    status,
                    stderr,
                })) => {
                    eprintln!("{name}: {status} {stderr}");
                    break success;
                }
                Next::Line(Line::Said(said)) => eprintln!("{said:?}"),
                Next::Late => {
                    return Err(format!("{name}: silent for {} s", SILENCE.as_secs()).into());
                }
            }
        };
        if !well {
            failed.push(*name);
        }
    }
    machine.off(Duration::from_secs(10)).await;
    match failed.as_slice() {
        [] => Ok(()),
        failed => Err(format!("did not succeed: {}", failed.join(", ")).into()),
    }
}
