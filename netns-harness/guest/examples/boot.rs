//! Boots a guest, runs one job in it and powers it off:
//! `cargo run -p guest --example boot -- 6.1 target/debug/bench-runner list modes`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use guest::fetch::Cache;
use guest::kernel::Kernel;
use guest::machine::{Accelerator, Boot, Hardware, Machine, Next};
use guest::protocol::{Ask, Line, Said};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(spec), Some(runner)) = (words.next(), words.next()) else {
        return Err("arguments: KERNEL RUNNER ARGUMENT…".into());
    };
    let kernel = if Path::new(&spec).is_file() {
        Kernel::from_image(Path::new(&spec))?
    } else {
        Cache::of_user().resolve(&spec)?
    };
    let folder = tempfile::tempdir()?;
    let initramfs = folder.path().join("initramfs");
    let contents = guest::image::build(Path::new(&runner), &kernel, &initramfs)?;
    eprintln!(
        "{} bytes, {} modules, without {:?} and {:?}",
        contents.bytes,
        contents.modules.len(),
        contents.missing_modules,
        contents.missing_tools
    );
    let accelerator = if std::env::var_os("KVM").is_some() {
        Accelerator::Kvm
    } else {
        Accelerator::Tcg
    };
    let boot = Boot {
        kernel: kernel.image,
        initramfs,
        hardware: Hardware {
            accelerator,
            cpus: 2,
            possible_cpus: None,
            memory_mib: 2048,
        },
        console: PathBuf::from("console.log"),
        deadline: Duration::from_secs(60),
    };
    let mut machine = Machine::boot(&boot).await?;
    eprintln!("{:?}", machine.ready);
    machine
        .ask(&Ask::Run {
            arguments: words.collect(),
            input: std::io::read_to_string(std::io::stdin())?,
        })
        .await?;
    loop {
        match machine.next(Duration::from_secs(300)).await? {
            Next::Line(Line::Output(text)) => println!("{text}"),
            Next::Line(Line::Said(said @ Said::Ended { .. })) => {
                eprintln!("{said:?}");
                break;
            }
            Next::Line(Line::Said(said)) => eprintln!("{said:?}"),
            Next::Late => return Err("nothing for five minutes".into()),
        }
    }
    eprintln!("off: {}", machine.off(Duration::from_secs(10)).await);
    Ok(())
}
