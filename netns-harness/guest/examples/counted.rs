//! Carries out jobs in a guest whose time is executed instructions, and prints a JSON line for each:
//! `counted KERNEL RUNNER SEED ARGUMENT… <INPUTS`, a job for each line of INPUTS. scripts/verify/deterministic-guest
//! holds two of them against each other.

use std::path::Path;
use std::time::Duration;

use guest::counted::{Ran, carry_out, keep};
use guest::fetch::Cache;
use guest::jobs::Job;
use guest::machine::{Accelerator, Boot, Hardware};
use netns_sys::clock;

type Failure = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [spec, runner, seed, arguments @ ..] = words.as_slice() else {
        return Err(
            "arguments: KERNEL RUNNER SEED ARGUMENT…, and a job's standard input a line".into(),
        );
    };
    let kernel = Cache::of_user().resolve(spec)?;
    let folder = tempfile::tempdir()?;
    let place = |name: &str| folder.path().join(name);
    guest::image::build(Path::new(runner), &kernel, &place("initramfs"))?;
    let inputs = std::io::read_to_string(std::io::stdin())?;
    let jobs: Vec<Job> = inputs
        .lines()
        .map(|line| Job {
            arguments: arguments.to_vec(),
            input: format!("{line}\n"),
        })
        .collect();
    let boot = Boot {
        kernel: kernel.image.clone(),
        initramfs: place("initramfs"),
        hardware: Hardware {
            accelerator: Accelerator::Icount {
                seed: seed.parse()?,
            },
            cpus: 1,
            possible_cpus: None,
            memory_mib: 1536,
        },
        console: place("console.log"),
        deadline: Duration::from_secs(900),
    };
    let since = clock::now();
    let kept = keep(&boot).await?;
    let ran = carry_out(&boot, &kept, &jobs).await;
    eprintln!("host: {:.2} s", since.elapsed_ns() as f64 / 1e9);
    match ran? {
        Ran::Late => Err("it had not ended after 15 minutes".into()),
        Ran::Done(done) => {
            for job in done {
                let line = serde_json::json!({
                    "status": job.status, "stderr": job.stderr, "output": job.output,
                });
                println!("{line}");
            }
            Ok(())
        }
    }
}
