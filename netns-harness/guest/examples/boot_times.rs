//! Times guests from their initramfs to the first answer of a job; a JSON line each:
//! `boot_times KERNEL RUNNER TIMES ARGUMENT… <INPUT`. scripts/verify/guest-boot reads it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use guest::fetch::Cache;
use guest::machine::{Accelerator, Boot, Hardware, Machine, Next};
use guest::protocol::{Ask, Line, Said};
use netns_sys::clock;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [spec, runner, times, arguments @ ..] = words.as_slice() else {
        return Err(
            "arguments: KERNEL RUNNER TIMES ARGUMENT…, and the job's standard input".into(),
        );
    };
    let kernel = Cache::of_user().resolve(spec)?;
    let ask = Ask::Run {
        arguments: arguments.to_vec(),
        input: std::io::read_to_string(std::io::stdin())?,
    };
    let folder = tempfile::tempdir()?;
    let initramfs = folder.path().join("initramfs");
    let mut accelerator = None;
    for _ in 0..times.parse::<u32>()? {
        let start = clock::now();
        let contents = guest::image::build(Path::new(runner), &kernel, &initramfs)?;
        let built_ns = start.elapsed_ns();
        // Proving what can execute a guest is once a run, not once a boot.
        let accelerator = match accelerator {
            Some(known) => known,
            None => {
                let (proved, _) = Accelerator::prove(&kernel.image, &initramfs).await;
                *accelerator.insert(proved)
            }
        };
        let boot = Boot {
            kernel: kernel.image.clone(),
            initramfs: initramfs.clone(),
            hardware: Hardware {
                accelerator,
                cpus: 2,
                possible_cpus: None,
                memory_mib: 3072,
            },
            console: PathBuf::from("/dev/null"),
            deadline: Duration::from_secs(60),
        };
        let start = clock::now();
        let mut machine = Machine::boot(&boot).await?;
        let booted_ns = start.elapsed_ns();
        machine.ask(&ask).await?;
        let answer = first(&mut machine).await?;
        let answered_ns = start.elapsed_ns();
        let off = machine.off(Duration::from_secs(10)).await;
        let line = serde_json::json!({
            "kernel": kernel.version, "accelerator": accelerator.name(), "bytes": contents.bytes,
            "tools": contents.tools, "missing_tools": contents.missing_tools,
            "built_ns": built_ns, "booted_ns": booted_ns, "answered_ns": answered_ns,
            "answer": answer, "off": off,
        });
        println!("{line}");
    }
    Ok(())
}

/// The first line that the job says.
async fn first(machine: &mut Machine) -> Result<String, Failure> {
    match machine.next(Duration::from_secs(60)).await? {
        Next::Line(Line::Output(line)) => Ok(line),
        Next::Line(Line::Said(Said::Ended { status, stderr, .. })) => {
            Err(format!("the job ended with {status}: {stderr}").into())
        }
        other => Err(format!("{other:?}").into()),
    }
}
