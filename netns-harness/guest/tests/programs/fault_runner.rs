//! Stands in for the runner in the fault tests. In a guest it is the first process, and as a job it does what
//! it is told to, which is seldom good. On the host it boots a guest and tells its fate, so that a test can
//! kill it or take its PATH away.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use guest::machine::{Accelerator, Boot, Hardware, Machine};

fn main() {
    if std::process::id() == 1 {
        guest::pid1::run(std::path::Path::new("/init"));
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["say", ref what @ ..] => println!("{}", what.join(" ")),
        ["panic"] => std::fs::write("/proc/sysrq-trigger", "c").expect("sysrq can be written"),
        ["silent"] => stay(),
        ["eat"] => eat(),
        ["stop-init"] => stop_init(),
        ["boot", accelerator, kernel, initramfs, console] => {
            boot(accelerator, kernel, initramfs, console);
        }
        _ => panic!("what is {words:?}?"),
    }
}

fn stay() -> ! {
    loop {
        std::thread::park();
    }
}

fn eat() -> ! {
    const PIECE: usize = 4 << 20;
    let mut all = Vec::new();
    loop {
        all.push(vec![all.len() as u8 | 1; PIECE]);
    }
}

/// The first process takes no SIGSTOP, but it can be traced, and then it stands.
fn stop_init() -> ! {
    let init = nix::unistd::Pid::from_raw(1);
    nix::sys::ptrace::attach(init).expect("the first process can be traced");
    nix::sys::wait::waitpid(init, None).expect("it stops");
    println!("stopped");
    stay()
}

/// Boots a guest, says QEMU's process ID and waits for ever; or says the error and ends with 2.
fn boot(accelerator: &str, kernel: &str, initramfs: &str, console: &str) {
    let boot = Boot {
        kernel: PathBuf::from(kernel),
        initramfs: PathBuf::from(initramfs),
        hardware: Hardware {
            accelerator: match accelerator {
                "kvm" => Accelerator::Kvm,
                _ => Accelerator::Tcg,
            },
            cpus: 1,
            possible_cpus: None,
            memory_mib: 256,
        },
        console: PathBuf::from(console),
        deadline: Duration::from_secs(120),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts");
    match runtime.block_on(Machine::boot(&boot)) {
        Ok(machine) => {
            println!("{}", machine.pid().expect("it runs"));
            std::io::stdout().flush().expect("somebody listens");
            stay();
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(2);
        }
    }
}
