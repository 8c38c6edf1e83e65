//! What a guest can do to its host, done by a real one: each fault is one clear line, and nothing is left.
//! One small guest each, one after the other. Without QEMU or a kernel these tests fail; they never skip.
#![allow(missing_docs, reason = "tests are sentences")]
#![allow(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use guest::GuestError;
use guest::kernel::Kernel;
use guest::machine::{Accelerator, Boot, Machine, Next, QEMU};
use guest::modules::Modules;
use guest::protocol::{Ask, Line};

mod bench;

use bench::{ANSWER, Alone, RUNNER, ask, children, end_of_job, initramfs, kernel, run};

fn one_line(error: &GuestError) -> String {
    let line = error.to_string();
    assert!(!line.contains('\n'), "{line}");
    line
}

#[test]
fn a_kernel_panic_ends_the_guest_and_the_console_says_why() {
    let alone = Alone::new();
    run(async {
        let mut machine = alone.boot().await;
        ask(&mut machine, &["panic"]).await;
        let line = one_line(&machine.next(ANSWER).await.unwrap_err());
        assert!(line.contains("Kernel panic - not syncing: sysrq"), "{line}");
    });
}

#[test]
fn a_job_that_never_answers_is_late_and_is_killed_and_the_guest_goes_on() {
    let alone = Alone::new();
    run(async {
        let mut machine = alone.boot().await;
        ask(&mut machine, &["silent"]).await;
        let late = machine.next(Duration::from_secs(1)).await.unwrap();
        assert_eq!(late, Next::Late);
        machine.ask(&Ask::Kill).await.unwrap();
        let (_, status) = end_of_job(&mut machine).await;
        assert!(status.contains("signal: 9"), "{status}");
        ask(&mut machine, &["say", "still", "here"]).await;
        assert_eq!(
            end_of_job(&mut machine).await,
            (vec!["still here".to_owned()], "exit status: 0".to_owned())
        );
        assert!(machine.off(ANSWER).await, "it goes by itself");
    });
}

#[test]
fn a_guest_that_is_switched_off_in_the_middle_of_a_job_goes_by_itself() {
    let alone = Alone::new();
    run(async {
        let mut machine = alone.boot().await;
        ask(&mut machine, &["silent"]).await;
        assert!(machine.off(ANSWER).await, "it goes by itself");
    });
}

#[test]
fn a_guest_whose_first_process_stands_still_is_killed_by_its_host() {
    let alone = Alone::new();
    run(async {
        let mut machine = alone.boot().await;
        ask(&mut machine, &["stop-init"]).await;
        let said = machine.next(ANSWER).await.unwrap();
        assert_eq!(said, Next::Line(Line::Output("stopped".to_owned())));
        machine.ask(&Ask::Kill).await.unwrap();
        let late = machine.next(Duration::from_secs(1)).await.unwrap();
        assert_eq!(late, Next::Late, "nobody is left to obey");
        let pid = machine.pid().unwrap();
        let line = one_line(&machine.give_up("it does not answer").await);
        assert!(line.contains("it does not answer"), "{line}");
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    });
}

#[test]
fn a_job_that_eats_all_memory_is_killed_and_is_said_to_have_eaten_it() {
    let alone = Alone::new();
    run(async {
        let mut machine = alone.boot().await;
        ask(&mut machine, &["eat"]).await;
        let (_, status) = end_of_job(&mut machine).await;
        assert!(status.contains("out of memory"), "{status}");
        let console = machine.console();
        assert!(
            console.contains("Out of memory: Killed process"),
            "{console}"
        );
        ask(&mut machine, &["say", "still", "here"]).await;
        assert_eq!(end_of_job(&mut machine).await.0, ["still here"]);
        assert!(machine.off(ANSWER).await, "it goes by itself");
    });
}

/// What the fault runner says, on the host, of a boot.
fn boots(alone: &Alone, accelerator: &str, path: &Path) -> (Option<i32>, String) {
    let done = Command::new(RUNNER)
        .args(["boot", accelerator])
        .args([&kernel().image, initramfs(), &alone.path("console.log")])
        .env("PATH", path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).trim_end().to_owned();
    assert!(!said.contains('\n'), "{said}");
    (done.status.code(), said)
}

#[test]
fn without_qemu_the_package_is_named() {
    let alone = Alone::new();
    let (code, said) = boots(&alone, "tcg", alone.scratch.path());
    assert_eq!(code, Some(2));
    assert_eq!(
        said,
        "qemu-system-x86_64: not installed: sudo apt-get install -y qemu-system-x86"
    );
}

#[test]
fn a_qemu_that_aborts_is_quoted() {
    use std::os::unix::fs::PermissionsExt as _;
    let alone = Alone::new();
    let fake = alone.path(QEMU);
    // As QEMU 7.2 with a KVM that refuses a register of the processor.
    let script =
        "#!/bin/sh\necho \"kvm.c:3183: kvm_buf_set_msrs: Assertion failed.\" >&2\nkill -ABRT $$\n";
    fs::write(&fake, script).unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let (code, said) = boots(&alone, "kvm", alone.scratch.path());
    assert_eq!(code, Some(2));
    assert!(
        said.contains("signal: 6 (SIGABRT)") && said.contains("kvm_buf_set_msrs"),
        "{said}"
    );
}

#[test]
fn kvm_is_proved_by_a_boot_and_refuted_with_a_reason() {
    let _alone = Alone::new();
    run(async {
        match Accelerator::prove(&kernel().image, initramfs()).await {
            (Accelerator::Kvm, None) => {}
            (Accelerator::Tcg, Some(why)) => {
                assert!(
                    why.contains("/dev/kvm:") || why.contains("does not boot"),
                    "{why}"
                );
                assert!(!why.contains('\n'), "{why}");
            }
            odd => panic!("{odd:?}"),
        }
    });
}

/// The kernel with other modules: `change` is called for every module file, and gives what stands in its
/// place; `None` leaves it out.
fn altered(alone: &Alone, change: impl Fn(&str, &Path) -> Option<PathBuf>) -> Kernel {
    let folder = alone.path("modules");
    fs::create_dir(&folder).unwrap();
    let mut open = vec![kernel().modules.clone()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if let Some(to) = change(&name.to_string_lossy(), &path) {
                std::os::unix::fs::symlink(to, folder.join(&name)).unwrap();
            }
        }
    }
    Kernel {
        modules: folder,
        ..kernel().clone()
    }
}

#[test]
fn a_kernel_without_a_needed_module_is_refused_by_its_name_before_the_boot() {
    let alone = Alone::new();
    let without = |gone: &'static str| {
        move |name: &str, path: &Path| (!name.starts_with(gone)).then(|| path.to_owned())
    };
    let kernel = altered(&alone, without("virtio_mmio."));
    let image = alone.path("initramfs");
    let error = guest::image::build(Path::new(RUNNER), &kernel, &image).unwrap_err();
    let line = one_line(&error);
    assert!(
        line.contains("virtio_mmio") && line.contains(&kernel.version),
        "{line}"
    );
}

#[test]
fn a_module_that_only_some_modes_need_is_missed_by_its_name() {
    let alone = Alone::new();
    let kernel = altered(&alone, |name, path| {
        (!name.contains("ip_vs") && !name.contains("xt_ipvs")).then(|| path.to_owned())
    });
    let image = alone.path("initramfs");
    let contents = guest::image::build(Path::new(RUNNER), &kernel, &image).unwrap();
    assert!(
        contents.missing_modules.iter().any(|m| m == "ip_vs"),
        "{contents:?}"
    );
    run(async {
        let machine = Machine::boot(&alone.boot_of(&image)).await.unwrap();
        assert!(machine.off(ANSWER).await, "the other modes still work");
    });
}

/// The module veth as another release would have built it: another name in its `vermagic`, another checksum of
/// the structures that kernel and modules share. A kernel with CONFIG_MODVERSIONS looks at the checksum alone
/// (`same_magic` in `kernel/module/version.c`, Linux 6.1). Without its signature, which would be refused first:
/// `struct module_signature` and a mark end the file (`include/linux/module_signature.h`).
fn foreign_veth() -> Vec<u8> {
    use object::{Object as _, ObjectSection as _};
    const MARK: &[u8] = b"~Module signature appended~\n";
    const LAYOUT: &[u8] = b"module_layout\0";
    let modules = Modules::list(&kernel().version, &kernel().modules).unwrap();
    let mut object = modules.closure(&["veth"]).unwrap().pop().unwrap().object;
    let find = |data: &[u8], what: &[u8]| data.windows(what.len()).position(|w| w == what).unwrap();
    let magic = format!("vermagic={}", kernel().version);
    let magic = find(&object, magic.as_bytes()) + "vermagic=".len();
    let checksum = {
        let file = object::File::parse(&*object).unwrap();
        let versions = file.section_by_name("__versions");
        let range = versions.and_then(|s| s.file_range());
        // struct modversion_info: a checksum of 8 bytes, then the name.
        range.map(|(start, size)| {
            let (start, end) = (start as usize, (start + size) as usize);
            start + find(&object[start..end], LAYOUT) - 8
        })
    };
    object[magic] = b'9';
    if let Some(at) = checksum {
        object[at] ^= 1;
    }
    if let Some(rest) = object.strip_suffix(MARK) {
        let length = rest.last_chunk::<4>().copied().map(u32::from_be_bytes);
        let whole = rest.len() - 12 - length.unwrap() as usize;
        object.truncate(whole);
    }
    object
}

#[test]
fn modules_of_another_version_are_refused_before_the_boot() {
    let alone = Alone::new();
    let foreign = alone.path("veth.ko");
    fs::write(&foreign, foreign_veth()).unwrap();
    let kernel = altered(&alone, |name, path| {
        Some(if name.starts_with("veth.ko") {
            foreign.clone()
        } else {
            path.to_owned()
        })
    });
    // A packed module keeps its name, whose ending says how it is packed.
    let image = alone.path("initramfs");
    let packed = kernel.modules.join("veth.ko");
    if !packed.exists() {
        std::os::unix::fs::symlink(&foreign, packed).unwrap();
        for ending in ["xz", "zst", "gz"] {
            let _ = fs::remove_file(kernel.modules.join(format!("veth.ko.{ending}")));
        }
    }
    let error = guest::image::build(Path::new(RUNNER), &kernel, &image).unwrap_err();
    let line = one_line(&error);
    assert!(
        line.contains("veth.ko was built for kernel 9") && line.contains(&kernel.version),
        "{line}"
    );
}

#[test]
fn modules_of_another_version_are_refused_by_the_kernel() {
    let alone = Alone::new();
    let mut archive = guest::cpio::Archive::new(Vec::new());
    archive
        .file("/modules/veth.ko", 0o644, &foreign_veth())
        .unwrap();
    // Archives follow each other, and a later one replaces files of an earlier one.
    let image = alone.path("initramfs");
    let mut both = fs::read(initramfs()).unwrap();
    both.extend(archive.finish().unwrap());
    fs::write(&image, both).unwrap();
    run(async {
        let error = Machine::boot(&alone.boot_of(&image)).await.unwrap_err();
        let line = one_line(&error);
        assert!(line.contains("module veth: ENOEXEC"), "{line}");
        assert!(
            line.contains("disagrees about version") || line.contains("version magic"),
            "{line}"
        );
    });
}

#[test]
fn a_truncated_initramfs_ends_the_boot_and_the_console_says_why() {
    let alone = Alone::new();
    let image = alone.path("initramfs");
    let whole = fs::read(initramfs()).unwrap();
    fs::write(&image, &whole[..whole.len() / 2]).unwrap();
    run(async {
        let error = Machine::boot(&alone.boot_of(&image)).await.unwrap_err();
        let line = one_line(&error);
        assert!(line.contains("the guest did not come up"), "{line}");
        assert!(
            line.contains("Kernel panic") || line.contains("guest:"),
            "{line}"
        );
    });
}

#[test]
fn a_boot_that_takes_too_long_is_ended() {
    let alone = Alone::new();
    run(async {
        let boot = Boot {
            deadline: Duration::from_millis(200),
            ..alone.boot_of(initramfs())
        };
        let line = one_line(&Machine::boot(&boot).await.unwrap_err());
        assert!(line.contains("not up within 0.2 s"), "{line}");
    });
}

#[test]
fn a_boot_that_is_no_longer_wanted_leaves_no_qemu() {
    let alone = Alone::new();
    run(async {
        let boot = alone.boot_of(initramfs());
        let wanted = Duration::from_millis(300);
        let ended = tokio::time::timeout(wanted, Machine::boot(&boot)).await;
        assert!(ended.is_err(), "it was up at once");
        assert_eq!(children(), Vec::<String>::new());
    });
}

#[test]
fn when_the_runner_is_killed_with_signal_9_no_qemu_survives() {
    const STEP: Duration = Duration::from_millis(10);
    let alone = Alone::new();
    let mut runner = Command::new(RUNNER)
        .args(["boot", "tcg"])
        .args([&kernel().image, initramfs(), &alone.path("console.log")])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(runner.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let qemu = PathBuf::from(format!("/proc/{}", line.trim()));
    assert!(qemu.exists(), "a guest runs: {line:?}");
    runner.kill().unwrap();
    runner.wait().unwrap();
    // It is init's child now, and init collects it.
    let mut steps = 0..1_000;
    let gone = || !matches!(fs::read_to_string(qemu.join("stat")), Ok(s) if !s.contains(") Z "));
    while !gone() && steps.next().is_some() {
        std::thread::sleep(STEP);
    }
    assert!(gone(), "QEMU outlived its runner by ten seconds");
}
