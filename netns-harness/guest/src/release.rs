//! Names of kernel packages: which of them a user means, and which of several is taken.

use std::cmp::Ordering;

/// Kinds of kernels, the best for a guest first: small ones that are made for virtual machines.
const FLAVOURS: &[&str] = &["-cloud-", "-kvm", "-virtual", "-generic", "-amd64"];

/// The flavour of a kernel package; `None` for what is no x86-64 kernel of one of these kinds.
fn flavour(package: &str) -> Option<usize> {
    FLAVOURS.iter().position(|f| package.contains(f))
}

/// The release that a package's name states: `6.1.0-56-cloud-amd64`. A meta-package has none.
fn release(package: &str) -> Option<&str> {
    let release = package.strip_prefix("linux-image-")?;
    let version = release.split('-').next()?;
    (version.split('.').count() >= 3 && version.starts_with(|c: char| c.is_ascii_digit()))
        .then_some(release)
}

/// The series of a kernel's package, which is the shortest name that `--kernel` takes for it:
/// `linux-image-6.1.0-56-cloud-amd64` is a 6.1. `None` for what is no kernel's package.
#[must_use]
pub fn series_of(package: &str) -> Option<String> {
    let mut parts = release(package)?.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

/// Whether a package is of that name: itself, its release, or a version that the release begins with.
pub(crate) fn matches(name: &str, package: &str) -> bool {
    if name == package {
        return true;
    }
    let Some(rest) = release(package).and_then(|r| r.strip_prefix(name)) else {
        return false;
    };
    let whole = rest.is_empty() || rest.starts_with(['.', '-', '+']);
    whole && !name.is_empty() && flavour(package).is_some()
}

/// Orders packages of one name: the better flavour, then the newer release, is greater.
pub(crate) fn rank(a: &str, b: &str) -> Ordering {
    let place = |p: &str| flavour(p).unwrap_or(FLAVOURS.len());
    place(b).cmp(&place(a)).then_with(|| by_version(a, b))
}

/// The package that is taken for a name.
pub(crate) fn newest(name: &str, packages: &[String]) -> Option<String> {
    let named = packages.iter().filter(|p| matches(name, p));
    named.max_by(|a, b| rank(a, b)).cloned()
}

/// The series that there are, oldest first.
pub(crate) fn series(packages: &[String]) -> Vec<String> {
    let bootable = packages.iter().filter(|p| flavour(p).is_some());
    let mut all: Vec<String> = bootable.filter_map(|p| series_of(p)).collect();
    all.sort_by(|a, b| by_version(a, b));
    all.dedup();
    all
}

/// Orders names by their numbers, then by their letters.
pub(crate) fn by_version(a: &str, b: &str) -> Ordering {
    fn parts(text: &str) -> Vec<(u64, String)> {
        text.split(['.', '-', '+', '_'])
            .map(|part| (part.parse().unwrap_or(0), part.to_owned()))
            .collect()
    }
    parts(a).cmp(&parts(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<String> {
        [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-57-amd64",
            "linux-image-6.12-cloud-amd64",
            "linux-image-6.12.107+deb12-cloud-amd64",
            "linux-image-6.12.117+deb12-cloud-amd64",
            "linux-image-6.8.0-31-generic",
            "linux-image-5.10.0-1-arm64",
        ]
        .map(str::to_owned)
        .to_vec()
    }

    #[test]
    fn a_version_gives_its_newest_package_for_virtual_machines() {
        let newest = |name| newest(name, &known()).unwrap();
        assert_eq!(newest("6.1"), "linux-image-6.1.0-56-cloud-amd64");
        assert_eq!(newest("6.12"), "linux-image-6.12.117+deb12-cloud-amd64");
        assert_eq!(newest("6.8"), "linux-image-6.8.0-31-generic");
        assert_eq!(newest("6"), "linux-image-6.12.117+deb12-cloud-amd64");
    }

    #[test]
    fn a_package_or_a_release_is_itself() {
        let newest = |name| newest(name, &known()).unwrap();
        for name in ["linux-image-6.1.0-57-amd64", "6.1.0-57-amd64"] {
            assert_eq!(newest(name), "linux-image-6.1.0-57-amd64");
        }
    }

    #[test]
    fn what_there_is_not_is_not_guessed() {
        for name in ["5.4", "6.1.0-5", "", "5.10", "linux-image-6.12"] {
            assert_eq!(newest(name, &known()), None, "{name}");
        }
        assert_eq!(series(&known()), ["6.1", "6.8", "6.12"]);
    }
}
