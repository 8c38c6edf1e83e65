//! Which distribution this is, and what its packages are called: one table, `packages.tsv`, which `scripts/bootstrap`
//! reads too. Its key is a package's name in Debian; "-" is none. Names of others are as we know
//! them; only Debian's are tried by tests.

use std::fs;

/// Distributions by whose names packages are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// And what is made from it.
    Debian,
    /// Packages as Debian's; kernels of its own.
    Ubuntu,
    /// With RHEL and what is made from that.
    Fedora,
    /// And what is made from it.
    Arch,
    /// With musl.
    Alpine,
    /// With SLES.
    OpenSuse,
}

/// Its rows are what a package is called, one for each key; row `ids` has the words of `ID` and `ID_LIKE` (os-release(5)).
const PACKAGES: &str = include_str!("packages.tsv");

impl Distribution {
    /// This system's; none where it is none of these, or does not say.
    #[must_use]
    pub fn here() -> Option<Self> {
        let files = ["/etc/os-release", "/usr/lib/os-release"].into_iter();
        let mut texts = files.filter_map(|file| fs::read_to_string(file).ok());
        Self::of(&texts.next()?)
    }

    /// By what `/etc/os-release` says: its own name first, then of what it is made, in that order.
    #[must_use]
    pub fn of(os_release: &str) -> Option<Self> {
        let value = |name: &str| {
            let mut lines = os_release.lines();
            let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().trim_matches(['"', '\''])
        };
        let words = value("ID").split(' ').chain(value("ID_LIKE").split(' '));
        let mut known = words.filter_map(Self::called);
        known.next()
    }

    fn called(word: &str) -> Option<Self> {
        let all = [
            Self::Debian,
            Self::Fedora,
            Self::Arch,
            Self::Alpine,
            Self::OpenSuse,
        ];
        let is = |of: &Self| {
            of.cell("ids")
                .is_some_and(|ids| ids.split(' ').any(|id| id == word))
        };
        let found = all.into_iter().find(is)?;
        Some(if word == "ubuntu" {
            Self::Ubuntu
        } else {
            found
        })
    }

    const fn column(self) -> usize {
        match self {
            Self::Debian | Self::Ubuntu => 1,
            Self::Fedora => 2,
            Self::Arch => 3,
            Self::Alpine => 4,
            Self::OpenSuse => 5,
        }
    }

    fn cell(self, key: &str) -> Option<&'static str> {
        let mut rows = PACKAGES.lines().map(|line| line.split('\t'));
        let mut row = rows.find(|row| row.clone().next() == Some(key))?;
        row.nth(self.column()).filter(|cell| *cell != "-")
    }

    /// The command that installs a package, by its name in Debian; none where there is none.
    #[must_use]
    pub fn installs(self, package: &str) -> Option<String> {
        let (command, names) = (self.cell("install")?, self.cell(package)?);
        Some(format!("{command} {names}"))
    }

    /// The command that puts back what a package that is there should hold.
    #[must_use]
    pub fn reinstalls(self, package: &str) -> Option<String> {
        let (command, names) = (self.cell("reinstall")?, self.cell(package)?);
        Some(format!("{command} {names}"))
    }

    /// The command that brings modules which a kernel of this distribution has in a package apart, where it has one.
    #[must_use]
    pub fn more_modules(self, release: &str) -> Option<&'static str> {
        match self {
            Self::Ubuntu => Some("sudo apt-get install -y linux-modules-extra-$(uname -r)"),
            Self::Fedora => Some("sudo dnf install -y kernel-modules-extra-$(uname -r)"),
            // The cloud kernels leave out what the others have.
            Self::Debian if release.contains("-cloud-") => Some(
                "sudo apt-get install -y linux-image-$(dpkg --print-architecture)  # then boot it",
            ),
            Self::Alpine if release.ends_with("-virt") => {
                Some("sudo apk add linux-lts  # then boot it")
            }
            Self::OpenSuse => {
                Some("sudo zypper --non-interactive install kernel-default  # then boot it")
            }
            Self::Debian | Self::Arch | Self::Alpine => None,
        }
    }
}

/// What installs a package here, as a command; where the distribution is not known, or has none, a comment.
#[must_use]
pub fn install(package: &str) -> String {
    install_on(Distribution::here(), package)
}

/// The same on that distribution.
#[must_use]
pub fn install_on(distribution: Option<Distribution>, package: &str) -> String {
    let command = distribution.and_then(|distribution| distribution.installs(package));
    command.unwrap_or_else(|| format!("# install what Debian calls {package}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n";
    const UBUNTU: &str = "NAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nID=ubuntu\nID_LIKE=debian\n";
    const MINT: &str = "NAME=\"Linux Mint\"\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n";
    const FEDORA: &str = "NAME=\"Fedora Linux\"\nID=fedora\nVERSION_ID=43\n";
    const ROCKY: &str = "NAME=\"Rocky Linux\"\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
    const ARCH: &str = "NAME=\"Arch Linux\"\nID=arch\nBUILD_ID=rolling\n";
    const ALPINE: &str = "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.22.1\n";
    const TUMBLEWEED: &str =
        "NAME=\"openSUSE Tumbleweed\"\nID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n";
    const NIXOS: &str = "NAME=NixOS\nID=nixos\nID_LIKE=\"\"\n";

    #[test]
    fn each_distribution_is_told_what_installs_nftables_and_both_engines_of_iptables_there() {
        for (os_release, nftables, iptables) in [
            (
                DEBIAN,
                "sudo apt-get install -y nftables",
                "sudo apt-get install -y iptables",
            ),
            (
                UBUNTU,
                "sudo apt-get install -y nftables",
                "sudo apt-get install -y iptables",
            ),
            (
                MINT,
                "sudo apt-get install -y nftables",
                "sudo apt-get install -y iptables",
            ),
            (
                FEDORA,
                "sudo dnf install -y nftables",
                "sudo dnf install -y iptables-legacy iptables-nft",
            ),
            (
                ROCKY,
                "sudo dnf install -y nftables",
                "sudo dnf install -y iptables-legacy iptables-nft",
            ),
            (
                ARCH,
                "sudo pacman -S --needed --noconfirm nftables",
                "sudo pacman -S --needed --noconfirm iptables",
            ),
            (
                ALPINE,
                "sudo apk add nftables",
                "sudo apk add iptables iptables-legacy",
            ),
            (
                TUMBLEWEED,
                "sudo zypper --non-interactive install nftables",
                "sudo zypper --non-interactive install iptables iptables-backend-nft",
            ),
            (
                NIXOS,
                "# install what Debian calls nftables",
                "# install what Debian calls iptables",
            ),
        ] {
            let distribution = Distribution::of(os_release);
            assert_eq!(install_on(distribution, "nftables"), nftables);
            assert_eq!(install_on(distribution, "iptables"), iptables);
        }
    }

    #[test]
    fn modules_that_lie_in_a_package_apart_are_those_of_the_running_kernel() {
        let of = |os_release, release| Distribution::of(os_release)?.more_modules(release);
        let says = |os_release, release, word: &str| {
            assert!(of(os_release, release).is_some_and(|command| command.contains(word)));
        };
        says(
            UBUNTU,
            "6.8.0-1020-azure",
            "linux-modules-extra-$(uname -r)",
        );
        says(
            FEDORA,
            "6.17.4-300.fc43.x86_64",
            "kernel-modules-extra-$(uname -r)",
        );
        says(DEBIAN, "6.1.0-40-cloud-amd64", "linux-image-");
        says(ALPINE, "6.12.50-0-virt", "linux-lts");
        says(TUMBLEWEED, "6.17.5-1-default", "kernel-default");
        assert_eq!(of(DEBIAN, "6.1.0-40-amd64"), None);
        assert_eq!(of(ARCH, "6.17.5-arch1-1"), None);
    }

    #[test]
    fn the_table_is_whole_and_what_is_not_in_it_is_none() {
        for line in PACKAGES.lines() {
            assert_eq!(line.split('\t').count(), 6, "{line}");
        }
        assert_eq!(Distribution::Arch.installs("sockperf"), None);
        assert_eq!(Distribution::Debian.installs("no-such-package"), None);
    }
}
