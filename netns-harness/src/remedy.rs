//! Why something cannot be done here, and what would make it possible: chosen by what failed, and worded last, for the
//! machine that it is said on.

use std::path::Path;

use netns_sys::distribution::{Distribution, install_on};
use netns_sys::isolation::{self, Part, Refused, read_sysctl};
use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// Why something cannot be done here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lack {
    /// As a sentence.
    pub reason: String,
    /// What would make it possible, where that is known.
    #[serde(default)]
    pub remedy: Option<Remedy>,
}

/// What would make something possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remedy {
    /// A package, by its name in Debian.
    Package(String),
    /// A package that is there, whose files are not.
    Reinstall(String),
    /// Modules of the kernel, or another kernel that has them.
    Modules(Vec<String>),
    /// Another kernel.
    Kernel,
    /// A sysctl of that value.
    Sysctl(String, String),
    /// Root of the first user namespace.
    Root,
    /// Something that the container around this process withholds.
    Container(Grant),
    /// To be let by SELinux.
    Selinux,
}

/// What a container withholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grant {
    /// Namespaces, and the rights over them.
    Namespaces,
    /// The whole of /proc and /sys.
    Unmasked,
    /// To mount.
    Mounts,
}

impl<T: Into<String>> From<T> for Lack {
    fn from(reason: T) -> Self {
        Self {
            reason: reason.into(),
            remedy: None,
        }
    }
}

impl Lack {
    /// With what would help.
    #[must_use]
    pub fn with(self, remedy: impl Into<Option<Remedy>>) -> Self {
        Self {
            remedy: remedy.into(),
            ..self
        }
    }

    /// That a program is not installed, which a package brings, if any does.
    #[must_use]
    pub fn of_program(program: &str, package: &str) -> Self {
        let brings = (!package.is_empty()).then(|| Remedy::Package(package.to_owned()));
        Self::from(format!("{program} is not installed")).with(brings)
    }

    /// On one line: the reason, and behind a colon what would help on this machine.
    #[must_use]
    pub fn line(&self) -> String {
        let Self { reason, remedy } = self;
        match remedy {
            Some(remedy) => format!("{reason}: {}", remedy.line(&Machine::here())),
            None => reason.clone(),
        }
    }
}

/// What the wording of a remedy depends on.
#[derive(Debug, Clone)]
pub struct Machine<'a> {
    /// Whose packages they are.
    pub distribution: Option<Distribution>,
    /// `uname -r`.
    pub release: String,
    /// Whether this is a container, whose kernel and modules are the host's.
    pub container: bool,
    /// Whether guests run here.
    pub guests: bool,
    /// Folder of the running kernel's modules, where there is one; none in most containers.
    pub modules: Option<&'a Path>,
}

/// Files by which a container is known: Docker's, Podman's, systemd-nspawn's.
const CONTAINER: [&str; 3] = [
    "/.dockerenv",
    "/run/.containerenv",
    "/run/systemd/container",
];

impl Machine<'_> {
    /// This one.
    #[must_use]
    pub fn here() -> Self {
        Self {
            distribution: Distribution::here(),
            release: read_sysctl("kernel.osrelease").unwrap_or_default(),
            container: CONTAINER.iter().any(|file| Path::new(file).exists()),
            guests: cfg!(target_arch = "x86_64"),
            modules: None,
        }
    }

    /// Whether a module of that name lies ready for this kernel.
    #[must_use]
    pub fn has_module(&self, module: &str) -> bool {
        let name = format!("/{module}.ko");
        self.lists().iter().any(|list| list.contains(&name))
    }

    /// What lies ready for this kernel.
    fn lists(&self) -> Vec<String> {
        let of_release = || Path::new("/lib/modules").join(&self.release);
        let folder = self.modules.map_or_else(of_release, Path::to_path_buf);
        let files = ["modules.dep", "modules.builtin"].map(|file| folder.join(file));
        let lists = files
            .iter()
            .filter_map(|file| std::fs::read_to_string(file).ok());
        lists.collect()
    }

    /// A kernel that has everything.
    fn other_kernel(&self) -> &'static str {
        match self.guests {
            true => "bench-runner run --sandbox guest",
            false => "# boot a kernel that has it",
        }
    }

    /// What loads modules, or brings them.
    fn loads(&self, modules: &[String]) -> String {
        let names = modules.join(" ");
        let load = match modules {
            [one] => format!("modprobe {one}"),
            _ => format!("modprobe -a {names}"),
        };
        if self.container {
            let guest = match self.guests {
                true => format!("; or in a guest: {}", self.other_kernel()),
                false => String::new(),
            };
            return format!("# on the host, not in this container: {load}{guest}");
        }
        if modules.iter().any(|module| self.has_module(module)) {
            return format!("sudo {load}");
        }
        // Microsoft's name of its kernels.
        if self.release.contains("microsoft") {
            return format!(
                "# WSL's kernel has no {names}: wsl --update, or a kernel of your own in .wslconfig"
            );
        }
        // A kernel that did not come as the distribution's packages has no folder there.
        let packaged = self.distribution.filter(|_| !self.lists().is_empty());
        let brings = packaged.and_then(|distribution| distribution.more_modules(&self.release));
        brings.unwrap_or_else(|| self.other_kernel()).to_owned()
    }
}

impl Remedy {
    /// Modules, each once.
    #[must_use]
    pub fn modules<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut modules: Vec<String> = Vec::new();
        for name in names {
            if !modules.iter().any(|known| known == name) {
                modules.push(name.to_owned());
            }
        }
        Self::Modules(modules)
    }

    /// Whether it is of use for what a guest lacks: its programs are this machine's, its kernel and what it may do are not.
    #[must_use]
    pub const fn reaches_guests(&self) -> bool {
        matches!(self, Self::Package(_) | Self::Reinstall(_))
    }

    /// As a command, or a comment that starts with `#` where no command would do.
    #[must_use]
    pub fn line(&self, machine: &Machine<'_>) -> String {
        match self {
            Self::Package(package) => install_on(machine.distribution, package),
            Self::Reinstall(package) => machine
                .distribution
                .and_then(|distribution| distribution.reinstalls(package))
                .unwrap_or_else(|| format!("# reinstall what Debian calls {package}")),
            Self::Modules(modules) => machine.loads(modules),
            Self::Kernel => machine.other_kernel().to_owned(),
            Self::Sysctl(name, value) if machine.container => {
                format!("# on the host, not in this container: sysctl -w {name}={value}")
            }
            Self::Sysctl(name, value) => format!("sudo sysctl -w {name}={value}"),
            Self::Root => "# as root: the same command behind sudo".to_owned(),
            Self::Selinux => "# SELinux may deny it the files of this process: sudo ausearch -m avc -ts recent".to_owned(),
            Self::Container(grant) => match grant {
                Grant::Namespaces => "# start this container with --privileged, or with --cap-add SYS_ADMIN --cap-add NET_ADMIN",
                Grant::Unmasked => "# start this container with --security-opt systempaths=unconfined (Podman: --security-opt unmask=ALL), or go outside of it",
                Grant::Mounts => "# start this container with --security-opt apparmor=unconfined, or with --privileged",
            }
            .to_owned(),
        }
    }
}

/// Sysctls that keep a user from namespaces of their own: the value that does, and one that does not.
const CLOSED: [(&str, &str, &str); 3] = [
    ("user.max_user_namespaces", "0", "15000"),
    ("kernel.unprivileged_userns_clone", "0", "1"),
    APPARMOR,
];

/// Ubuntu's from 23.10 on: the user namespace is made, and has no rights, so that the first mount in it is refused
/// (`apparmor_userns_restrict` of its security/apparmor/lsm.c).
const APPARMOR: (&str, &str, &str) = ("kernel.apparmor_restrict_unprivileged_userns", "1", "0");

/// What is known around a part of the isolation that was refused.
#[derive(Debug, Clone, Copy)]
struct Around {
    /// Whether the user is root, in whatever namespace that was before.
    root: bool,
    /// Whether a user namespace was, or was to be, made for it.
    in_user_namespace: bool,
    container: bool,
    /// Whether what was to be mounted is masked.
    masked: bool,
}

impl Lack {
    /// Why a stay cannot be isolated here.
    #[must_use]
    pub fn of_isolation(refused: &Refused) -> Self {
        let target = match &refused.part {
            Part::Mount(_, at) => at.to_str().unwrap_or_default(),
            _ => "",
        };
        let around = Around {
            root: nix::unistd::geteuid().is_root(),
            in_user_namespace: isolation::needs_user_namespace() || isolation::in_user_namespace(),
            container: Machine::here().container,
            masked: !target.is_empty() && isolation::is_masked(target),
        };
        let closed = |(name, closed, _): &&(&str, &str, &str)| {
            read_sysctl(name).is_ok_and(|value| value == *closed)
        };
        Self::of_refused(refused, around, closed)
    }

    fn of_refused(
        refused: &Refused,
        around: Around,
        closed: impl Fn(&&(&str, &str, &str)) -> bool,
    ) -> Self {
        let sysctl = |(name, _, open): &(&str, &str, &str)| {
            Remedy::Sysctl((*name).to_owned(), (*open).to_owned())
        };
        let errno = refused.source.raw_os_error().map(Errno::from_raw);
        let denied = matches!(errno, Some(Errno::EPERM | Errno::EACCES));
        let remedy = match &refused.part {
            Part::User | Part::Namespaces if around.in_user_namespace => {
                let open = CLOSED.iter().find(closed).map(sysctl);
                let otherwise = match around.container && around.root {
                    true => Remedy::Container(Grant::Namespaces),
                    false => Remedy::Root,
                };
                Some(open.unwrap_or(otherwise))
            }
            Part::User | Part::Namespaces => {
                (denied && around.container).then_some(Remedy::Container(Grant::Namespaces))
            }
            _ if !denied => None,
            _ if around.in_user_namespace && closed(&&APPARMOR) => Some(sysctl(&APPARMOR)),
            Part::Mount(..) if around.masked => Some(Remedy::Container(Grant::Unmasked)),
            _ if around.container => Some(Remedy::Container(Grant::Mounts)),
            _ if around.in_user_namespace => Some(Remedy::Root),
            _ => None,
        };
        let what = match (&refused.part, around.in_user_namespace) {
            (Part::User | Part::Namespaces, true) => {
                "network namespaces need root, or a user namespace, and one cannot be had"
            }
            _ => "a stay cannot be isolated here",
        };
        Self::from(format!("{what}: {refused}")).with(remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine<'static> {
        Machine {
            distribution: Some(Distribution::Debian),
            release: "6.1.0-40-amd64".to_owned(),
            container: false,
            guests: true,
            modules: Some(Path::new("/no/modules")),
        }
    }

    fn every_remedy() -> Vec<Remedy> {
        let text = str::to_owned;
        vec![
            Remedy::Package(text("iptables")),
            Remedy::Package(text("no-such-package")),
            Remedy::Reinstall(text("iptables")),
            Remedy::modules(["xt_set"]),
            Remedy::modules(["xt_set", "ip_vs"]),
            Remedy::Kernel,
            Remedy::Sysctl(text("net.core.wmem_max"), text("1")),
            Remedy::Root,
            Remedy::Container(Grant::Namespaces),
            Remedy::Container(Grant::Unmasked),
            Remedy::Container(Grant::Mounts),
            Remedy::Selinux,
        ]
    }

    #[test]
    fn every_remedy_is_a_command_or_a_comment_on_every_machine() {
        use Distribution::{Alpine, Arch, Debian, Fedora, OpenSuse, Ubuntu};
        let all = [Debian, Ubuntu, Fedora, Arch, Alpine, OpenSuse].map(Some);
        for distribution in all.into_iter().chain([None]) {
            for (container, guests) in [(false, false), (false, true), (true, false), (true, true)]
            {
                let machine = Machine {
                    distribution,
                    container,
                    guests,
                    ..machine()
                };
                for remedy in every_remedy() {
                    let line = remedy.line(&machine);
                    let starts = ["sudo ", "bench-runner ", "# "];
                    assert!(starts.iter().any(|start| line.starts_with(start)), "{line}");
                    assert!(!line.contains('\n'), "{line}");
                }
            }
        }
    }

    #[test]
    fn modules_are_loaded_where_they_lie_and_else_are_brought_by_whatever_brings_them() {
        let folder = std::env::temp_dir().join(format!("modules-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let there = Machine {
            modules: Some(&folder),
            ..machine()
        };
        std::fs::write(
            folder.join("modules.dep"),
            "kernel/net/netfilter/xt_set.ko.xz:\n",
        )
        .unwrap();
        let remedy = Remedy::modules(["xt_set", "ip_vs", "xt_set"]);
        assert_eq!(remedy.line(&there), "sudo modprobe -a xt_set ip_vs");
        let lacks = Remedy::modules(["ip_vs"]);
        let said = |distribution, release: &str| {
            let release = release.to_owned();
            lacks.line(&Machine {
                distribution: Some(distribution),
                release,
                ..there.clone()
            })
        };
        let guest = "bench-runner run --sandbox guest";
        assert_eq!(said(Distribution::Debian, "6.1.0-40-amd64"), guest);
        assert!(said(Distribution::Debian, "6.1.0-40-cloud-amd64").contains("linux-image"));
        assert!(said(Distribution::Ubuntu, "6.8.0-1020-azure").contains("linux-modules-extra"));
        assert!(
            said(Distribution::Fedora, "6.17.4-300.fc43.x86_64").contains("kernel-modules-extra")
        );
        assert!(
            said(Distribution::Ubuntu, "6.6.87.2-microsoft-standard-WSL2").starts_with("# WSL")
        );
        let contained = Machine {
            container: true,
            ..there.clone()
        };
        assert_eq!(
            lacks.line(&contained),
            "# on the host, not in this container: modprobe ip_vs; or in a guest: bench-runner run --sandbox guest"
        );
        // Nothing of that kernel's lies here: it is no package's.
        let own = Machine {
            distribution: Some(Distribution::Ubuntu),
            ..machine()
        };
        assert_eq!(lacks.line(&own), guest);
        let arm = Machine {
            guests: false,
            ..machine()
        };
        assert_eq!(lacks.line(&arm), "# boot a kernel that has it");
        std::fs::remove_dir_all(folder).unwrap();
    }

    fn refused(part: Part, errno: i32) -> Refused {
        let source = std::io::Error::from_raw_os_error(errno);
        Refused { part, source }
    }

    #[test]
    fn after_a_refused_mount_the_remedy_is_by_what_refused_it_and_never_the_mount() {
        let proc = || Part::Mount("proc", "/proc".into());
        let user = Around {
            root: true,
            in_user_namespace: true,
            container: false,
            masked: false,
        };
        let said = |part, errno, around, apparmor: bool| {
            let closed = |(name, ..): &&(&str, &str, &str)| apparmor && *name == APPARMOR.0;
            let lack = Lack::of_refused(&refused(part, errno), around, closed);
            (
                lack.reason,
                lack.remedy.map(|remedy| remedy.line(&machine())),
            )
        };
        // AppArmor on Ubuntu: simulated, as this needs its kernel.
        let (_, remedy) = said(Part::Private, libc::EACCES, user, true);
        assert_eq!(
            remedy.as_deref(),
            Some("sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0")
        );
        let masked = Around {
            masked: true,
            ..user
        };
        let (reason, remedy) = said(proc(), libc::EPERM, masked, false);
        assert!(reason.contains("mount proc on /proc"), "{reason}");
        assert!(
            remedy.is_some_and(
                |line| line.starts_with("# ") && line.contains("systempaths=unconfined")
            )
        );
        let contained = Around {
            container: true,
            ..user
        };
        let (_, remedy) = said(Part::Private, libc::EACCES, contained, false);
        assert!(remedy.is_some_and(|line| line.contains("apparmor=unconfined")));
        let (_, remedy) = said(Part::User, libc::EPERM, contained, false);
        assert!(remedy.is_some_and(|line| line.contains("--privileged")));
        let nobody = Around {
            root: false,
            ..user
        };
        let (_, remedy) = said(Part::User, libc::EPERM, nobody, false);
        assert!(remedy.is_some_and(|line| line.contains("sudo")));
        assert_eq!(said(proc(), libc::ENOMEM, masked, true).1, None);
    }
}
