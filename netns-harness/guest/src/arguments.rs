//! QEMU's command line for a guest: nothing that is not named is there. Pure, but for the rate of the host's
//! time-stamp counter.

use std::ffi::OsString;
use std::path::Path;

use crate::boot::{Accelerator, Begin, Boot};
use crate::firmware;
use crate::pid1::{HAS_JOBS, LATER};
use crate::protocol::PORT;

/// The CPU of a translated guest: all that QEMU can translate but CMPXCHG16B. After one without a lock prefix, as in
/// SLUB's allocation, QEMU 7.2 can return to the guest with a pointer in EFLAGS: Linux 6.12 then dies of a double
/// fault in `kmem_cache_alloc_noprof`, sooner the busier the host. Linux has another way without it (`this_cpu_cmpxchg16b_emu`).
const TRANSLATED_MODEL: &str = "max,-cx16";
/// The processor of a guest whose instructions are counted. Named, because `max` is whatever a version of QEMU
/// can translate; without CMPXCHG16B likewise; and without ERMS: with it the kernel copies by `rep movsb`, which counts one instruction for each
/// byte. RDRAND is what the kernel seeds its random numbers with; here it reads QEMU's seeded generator.
const COUNTED_MODEL: &str = "Nehalem,-cx16,+rdrand";
/// One instruction a nanosecond of virtual time, and no waiting: when nothing is to be executed time jumps to the
/// next timer.
const COUNTING: &str = "shift=0,sleep=off";
/// The rate of a time-stamp counter that counts those nanoseconds, kHz.
const COUNTED_KHZ: u64 = 1_000_000;
/// When a counted guest begins.
const COUNTED_BIRTH: &str = "base=2026-01-01T00:00:00,clock=vm";
/// Processes at the same addresses whatever the seed, and no watchdog that wakes up beside what is counted.
const COUNTED_WORDS: &str = "norandmaps randomize_kstack_offset=off nowatchdog";

/// What differs by what executes the guest.
struct Execution {
    accel: &'static str,
    model: &'static str,
    /// Further options.
    options: Vec<(&'static str, OsString)>,
    /// Further words for the kernel.
    words: String,
}

fn execution(accelerator: Accelerator) -> Execution {
    // Threads of virtual CPUs are told from QEMU's others by their names: "CPU 0/TCG".
    let named = || vec![("-name", "guest,debug-threads=on".into())];
    let tsc = |khz: u64| format!(" tsc_early_khz={khz} tsc=reliable");
    match accelerator {
        Accelerator::Kvm => Execution {
            accel: "kvm",
            model: "host",
            options: named(),
            words: String::new(),
        },
        // A microvm has no timer to calibrate the time-stamp counter against, but a PIT that a busy host
        // serves too late. Translated code reads the host's counter, whose rate is measured here.
        Accelerator::Tcg => Execution {
            accel: "tcg,thread=multi",
            model: TRANSLATED_MODEL,
            options: named(),
            words: tsc_khz().map_or_else(String::new, tsc),
        },
        Accelerator::Icount { seed } => Execution {
            accel: "tcg,thread=single",
            model: COUNTED_MODEL,
            options: vec![
                ("-icount", COUNTING.into()),
                ("-seed", seed.to_string().into()),
                ("-rtc", COUNTED_BIRTH.into()),
            ],
            words: format!("{} {COUNTED_WORDS}", tsc(COUNTED_KHZ)),
        },
    }
}

/// The rate of the host's time-stamp counter, measured once.
fn tsc_khz() -> Option<u64> {
    static RATE: std::sync::OnceLock<Option<u64>> = std::sync::OnceLock::new();
    *RATE.get_or_init(netns_sys::clock::tsc_khz)
}

/// QEMU's arguments.
pub(crate) fn arguments(boot: &Boot, begin: Begin<'_>) -> Vec<OsString> {
    let Execution {
        accel,
        model,
        options,
        words: further,
    } = execution(boot.hardware.accelerator);
    // trust_cpu: an unready random source makes every connection dearer. panic=-1 and a reboot by triple
    // fault end QEMU, which was told not to reboot. Unknown words go to the first process.
    let possible = boot.hardware.possible_cpus;
    let possible = possible.map_or_else(String::new, |cpus| format!(" possible_cpus={cpus}"));
    let is_asked = matches!(begin, Begin::Boot);
    let jobs = match begin {
        Begin::Boot => String::new(),
        Begin::ToBeKept { later: later @ 1.. } => format!(" {HAS_JOBS} {LATER}{later}"),
        Begin::ToBeKept { .. } | Begin::Kept { .. } => format!(" {HAS_JOBS}"),
    };
    let append = format!(
        "console=ttyS0 quiet panic=-1 oops=panic reboot=t random.trust_cpu=on \
         mitigations=off nokaslr{possible} guest-init{further}{jobs}"
    );
    let mut words: Vec<OsString> = Vec::new();
    let mut pair = |name: &str, value: OsString| words.extend([OsString::from(name), value]);
    // ACPI stays on: that is how kernels without VIRTIO_MMIO_CMDLINE_DEVICES, as Debian's cloud kernels are,
    // find virtio devices here.
    pair("-M", "microvm,acpi=on,rtc=on,dump-guest-core=off".into());
    pair("-accel", accel.into());
    for (name, value) in options {
        pair(name, value);
    }
    pair("-cpu", model.into());
    pair("-smp", boot.hardware.cpus.to_string().into());
    pair("-m", boot.hardware.memory_mib.to_string().into());
    pair("-kernel", boot.kernel.clone().into());
    pair("-initrd", boot.initramfs.clone().into());
    pair("-append", append.into());
    pair("-serial", prefixed("file:", &boot.console));
    pair("-device", "virtio-serial-device".into());
    // The other ends of our sockets are its standard input and output.
    pair("-chardev", "socket,id=port,fd=0".into());
    if !is_asked {
        pair("-device", firmware::STOPS.into());
        pair("-chardev", "socket,id=monitor,fd=1".into());
        pair("-mon", "chardev=monitor,mode=control".into());
    }
    // A panic of the kernel's ends the others.
    if let Begin::ToBeKept { .. } = begin {
        pair("-action", "panic=pause".into());
    }
    if let Begin::Kept { state, jobs } = begin {
        pair(
            "-incoming",
            format!("exec:exec cat {}", state.display()).into(),
        );
        let item = format!("name={},file=", firmware::JOBS);
        pair("-fw_cfg", prefixed(&item, jobs));
    }
    pair(
        "-device",
        format!("virtserialport,chardev=port,name={PORT}").into(),
    );
    words.extend(["-nodefaults", "-no-user-config", "-no-reboot"].map(OsString::from));
    words.extend(["-display", "none"].map(OsString::from));
    words
}

/// QEMU separates options with commas; a comma in a path is doubled.
fn prefixed(prefix: &str, path: &Path) -> OsString {
    let path = path.display().to_string().replace(',', ",,");
    format!("{prefix}{path}").into()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use super::*;
    use crate::boot::Hardware;

    fn words(accelerator: Accelerator, cpus: u32) -> Vec<String> {
        let begin = match accelerator {
            Accelerator::Icount { .. } => Begin::Kept {
                state: Path::new("/s"),
                jobs: Path::new("/j"),
            },
            _ => Begin::Boot,
        };
        begun(begin, accelerator, cpus)
    }

    fn begun(begin: Begin<'_>, accelerator: Accelerator, cpus: u32) -> Vec<String> {
        let boot = Boot {
            kernel: PathBuf::from("/k"),
            initramfs: PathBuf::from("/i"),
            hardware: Hardware {
                accelerator,
                cpus,
                possible_cpus: None,
                memory_mib: 2048,
            },
            console: PathBuf::from("/with,comma"),
            deadline: Duration::from_secs(1),
        };
        let words = arguments(&boot, begin);
        words
            .iter()
            .map(|w| w.to_string_lossy().into_owned())
            .collect()
    }

    /// The value of an option, once.
    fn of<'a>(words: &'a [String], name: &str) -> Option<&'a str> {
        let at = words.iter().position(|word| word == name)?;
        assert_eq!(words.iter().filter(|word| *word == name).count(), 1);
        Some(&words[at + 1])
    }

    #[test]
    fn a_guest_has_nothing_that_is_not_named() {
        for accelerator in [
            Accelerator::Kvm,
            Accelerator::Tcg,
            Accelerator::Icount { seed: 1 },
        ] {
            let words = words(accelerator, 2);
            for wanted in [
                "-nodefaults",
                "-no-user-config",
                "-no-reboot",
                "file:/with,,comma",
            ] {
                assert!(words.iter().any(|w| w == wanted), "{words:?}");
            }
            assert!(
                !words
                    .iter()
                    .any(|w| w.contains("net") || w.contains("virtfs"))
            );
        }
    }

    #[test]
    fn a_guest_that_begins_where_another_stopped_has_all_that_this_one_had() {
        let counted = Accelerator::Icount { seed: 42 };
        let (first, kept) = (
            begun(Begin::ToBeKept { later: 0 }, counted, 1),
            words(counted, 1),
        );
        let own = ["-action", "-incoming", "-fw_cfg"];
        let pairs = |words: &[String]| -> Vec<Vec<String>> {
            let pairs = words.chunks(2).map(<[String]>::to_vec);
            pairs
                .filter(|pair| !own.contains(&pair[0].as_str()))
                .collect()
        };
        assert_eq!(pairs(&first), pairs(&kept));
        assert_eq!(of(&kept, "-incoming"), Some("exec:exec cat /s"));
        assert_eq!(of(&kept, "-fw_cfg"), Some("name=opt/bench/jobs,file=/j"));
    }

    #[test]
    fn a_counted_guest_has_a_clock_a_seed_and_a_processor_that_are_no_hosts() {
        let counted = words(Accelerator::Icount { seed: 42 }, 1);
        assert_eq!(of(&counted, "-icount"), Some("shift=0,sleep=off"));
        assert_eq!(of(&counted, "-seed"), Some("42"));
        assert_eq!(of(&counted, "-smp"), Some("1"));
        assert_eq!(of(&counted, "-accel"), Some("tcg,thread=single"));
        assert!(
            of(&counted, "-rtc")
                .unwrap_or_default()
                .contains("clock=vm")
        );
        let model = of(&counted, "-cpu").unwrap_or_default();
        assert!(
            !["max", "host"].iter().any(|word| model.contains(word)),
            "{model}"
        );
        let append = of(&counted, "-append").unwrap_or_default().to_owned();
        for word in [
            "nokaslr",
            "norandmaps",
            "tsc_early_khz=1000000",
            "guest-init",
        ] {
            assert!(append.split(' ').any(|w| w == word), "{append}");
        }
        // Of the command line nothing may differ by host.
        assert_eq!(counted, words(Accelerator::Icount { seed: 42 }, 1));
        let timed = words(Accelerator::Tcg, 2);
        assert_eq!((of(&timed, "-icount"), of(&timed, "-seed")), (None, None));
    }
}
