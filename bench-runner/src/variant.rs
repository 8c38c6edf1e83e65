//! `--variant NAME:'OPTIONS'`: the sides of a comparison that is measured in one run. OPTIONS is a piece of the
//! run's own command line, of which a variant may set a part; what it does not set is the run's.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use clap::FromArgMatches as _;
use clap::parser::ValueSource;

use crate::cli::{RunArgs, one_line};
use crate::environment;
use crate::exit::Usage;
use crate::plan::CONTROL;

/// A variant as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Given {
    /// Its name.
    pub(crate) name: String,
    /// What sets it apart, as given.
    pub(crate) options: String,
}

type Take = fn(&mut RunArgs, RunArgs);

/// What a variant may set: the argument, and how it is laid over the run's. Of options that name something the
/// others stay.
const MAY_SET: &[(&str, Take)] = &[
    ("services", |args, own| {
        args.services = own.services;
        // Sizes are compared with the other variants' sizes, one with one.
        args.no_sweep = args.services.len() == 1;
    }),
    ("endpoints", |args, own| args.endpoints = own.endpoints),
    ("kernel", |args, own| args.kernel = own.kernel),
    ("transports", |args, own| args.transports = own.transports),
    ("engines", |args, own| args.engines = own.engines),
    ("large_cluster", |args, own| {
        args.large_cluster = own.large_cluster;
    }),
    ("vip_stride", |args, own| args.vip_stride = own.vip_stride),
    ("sysctl", |args, own| args.sysctl.extend(own.sysctl)),
    ("tool", |args, own| args.tool.extend(own.tool)),
    ("plant", |args, own| args.plant = own.plant),
];

/// The options that a variant may set, as they are written; without those that help does not show.
fn may_set() -> String {
    let command = command();
    let shown = command.get_arguments().filter(|arg| {
        !arg.is_hide_set() && MAY_SET.iter().any(|(id, _)| arg.get_id().as_str() == *id)
    });
    let names: Vec<String> = shown
        .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
        .collect();
    names.join(", ")
}

fn command() -> clap::Command {
    let bare = clap::Command::new("variant")
        .no_binary_name(true)
        .disable_help_flag(true)
        .disable_version_flag(true);
    <RunArgs as clap::Args>::augment_args(bare)
}

/// A value of `--variant`.
pub(crate) fn given(text: &str) -> Result<Given, String> {
    let Some((name, options)) = text.split_once(':') else {
        return Err("write NAME:'OPTIONS', as in base:'' or head:'--kernel 6.12'".to_owned());
    };
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(letters) {
        return Err(format!(
            "'{name}' is no name of a variant: use a-z, 0-9 and -"
        ));
    }
    if name == CONTROL {
        return Err(format!(
            "'{CONTROL}' is the name of the second series of mode none: name the variant otherwise"
        ));
    }
    Ok(Given {
        name: name.to_owned(),
        options: options.trim().to_owned(),
    })
}

/// The variants of a run, each with the whole of its arguments; none when none is given.
///
/// # Errors
/// One alone, two of one name, or OPTIONS that are not a variant's.
pub(crate) fn all(args: &RunArgs) -> Result<Vec<(Given, RunArgs)>, Usage> {
    if let [one] = args.variant.as_slice() {
        return Err(Usage(format!(
            "--variant {}: one variant is compared with nothing: give another one, as in --variant base:''",
            one.name
        )));
    }
    let mut seen = HashSet::new();
    if let Some(twice) = args.variant.iter().find(|v| !seen.insert(&v.name)) {
        return Err(Usage(format!(
            "--variant {} is given twice: name the variants differently",
            twice.name
        )));
    }
    let each = args.variant.iter().map(|given| {
        let own = laid_over(args, &given.options)
            .map_err(|why| Usage(format!("--variant {}: {why}", given.name)))?;
        Ok((given.clone(), own))
    });
    each.collect()
}

/// The run's arguments with a variant's OPTIONS laid over them.
fn laid_over(args: &RunArgs, options: &str) -> Result<RunArgs, String> {
    let words = shlex::split(options)
        .ok_or_else(|| format!("a quotation mark is not closed in: {options}"))?;
    let command = command();
    let parsed = command.clone().try_get_matches_from(words);
    let matches = parsed.map_err(|error| {
        let line = one_line(&error);
        format!(
            "{}; a variant may set {}",
            line.trim_start_matches("error: "),
            may_set()
        )
    })?;
    let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
    let of_run = command
        .get_arguments()
        .find(|arg| {
            let id = arg.get_id().as_str();
            is_given(id) && !MAY_SET.iter().any(|(settable, _)| *settable == id)
        })
        .and_then(clap::Arg::get_long);
    if let Some(long) = of_run {
        return Err(format!(
            "--{long} is for all variants alike: give it outside; a variant may set {}",
            may_set()
        ));
    }
    let mut whole = args.clone();
    whole.variant.clear();
    for (id, take) in MAY_SET.iter().filter(|(id, _)| is_given(id)) {
        let own = RunArgs::from_arg_matches(&matches)
            .map_err(|error| format!("--{id}: {}", one_line(&error)))?;
        take(&mut whole, own);
    }
    Ok(whole)
}

/// A value of `--sysctl`: name, value.
pub(crate) fn sysctl(text: &str) -> Result<(String, String), String> {
    let Some((name, value)) = text.split_once('=') else {
        return Err(
            "write NAME=VALUE, as in net.netfilter.nf_conntrack_tcp_be_liberal=1".to_owned(),
        );
    };
    let (name, value) = (name.trim(), value.trim());
    let letters = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    if !name.starts_with("net.") || !name.chars().all(letters) {
        return Err(format!(
            "'{name}' is no sysctl of a network namespace: those are named net.…, and others would be the host's"
        ));
    }
    if value.is_empty() {
        return Err(format!("give {name} a value"));
    }
    Ok((name.to_owned(), value.to_owned()))
}

/// Where a stay has mounts of its own, and sees nothing of this machine's.
const HIDDEN: [&str; 3] = ["/run", "/proc", "/sys"];

/// A value of `--tool`: name, file.
pub(crate) fn tool(text: &str) -> Result<(String, PathBuf), String> {
    let Some((name, path)) = text.split_once('=') else {
        return Err("write NAME=PATH, as in nft=/opt/nftables/sbin/nft".to_owned());
    };
    let known: Vec<&str> = environment::all_tools().into_iter().map(|t| t.0).collect();
    if !known.contains(&name) {
        return Err(format!(
            "no tool '{name}' is ever started (known: {})",
            known.join(", ")
        ));
    }
    let file = Path::new(path)
        .canonicalize()
        .map_err(|e| format!("{path}: {e}"))?;
    let executable = file
        .metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0);
    if !executable {
        return Err(format!("{path} is no executable file"));
    }
    if let Some(folder) = HIDDEN.iter().find(|folder| file.starts_with(folder)) {
        return Err(format!(
            "{} is below {folder}, of which stays have their own: put it elsewhere",
            file.display()
        ));
    }
    Ok((name.to_owned(), file))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::Cli;

    fn variants(words: &[&str]) -> Result<Vec<(Given, RunArgs)>, String> {
        let cli = Cli::try_parse_from([&["bench-runner"], words].concat())
            .map_err(|error| one_line(&error))?;
        all(&cli.run).map_err(|Usage(why)| why)
    }

    fn refused(words: &[&str]) -> String {
        let line = variants(words).unwrap_err();
        assert!(!line.contains('\n'), "{line}");
        line
    }

    fn head(options: &str) -> String {
        refused(&[
            "--variant",
            "base:",
            "--variant",
            &format!("head:{options}"),
        ])
    }

    #[test]
    fn what_a_variant_does_not_set_is_the_runs() {
        let words = [
            "--services",
            "100,300",
            "--endpoints",
            "5",
            "--modes",
            "nftables",
            "--sysctl",
            "net.a=1",
            "--variant",
            "base:",
            "--variant",
            "head:--endpoints 7 --sysctl 'net.b=1 2' --sysctl net.a=9",
        ];
        let found = variants(&words).unwrap();
        let (base, head) = (&found[0].1, &found[1].1);
        assert_eq!((base.endpoints, head.endpoints), (5, 7));
        assert_eq!(base.services, head.services);
        assert_eq!(base.modes, head.modes);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(base.sysctl, [pair("net.a", "1")]);
        assert_eq!(
            head.sysctl,
            [pair("net.a", "1"), pair("net.b", "1 2"), pair("net.a", "9")],
            "words are split as a shell does; the last of a name counts"
        );
        assert_eq!(found[1].0.name, "head");
    }

    #[test]
    fn a_single_size_of_a_variant_is_measured_exactly() {
        let words = ["--variant", "a:--services 500", "--variant", "b:"];
        let found = variants(&words).unwrap();
        assert!(found[0].1.no_sweep && !found[1].1.no_sweep);
    }

    #[test]
    fn what_a_variant_may_not_set_is_refused_with_what_it_may() {
        for options in [
            "--seed 7",
            "--modes nftables",
            "--out x",
            "--variant a:",
            "--frobnicate",
            "word",
            "--help",
        ] {
            let line = head(options);
            assert!(line.starts_with("--variant head: "), "{line}");
            assert!(
                line.contains("a variant may set --services, --endpoints"),
                "{options}: {line}"
            );
            assert!(
                line.contains("--tool") && !line.contains("--plant"),
                "{line}"
            );
        }
        assert!(head("--seed 7").contains("--seed is for all variants alike"));
        assert!(head("--endpoints 0").contains("at least 1"));
        assert!(head("--sysctl 'net.a=1").contains("not closed"));
    }

    #[test]
    fn names_are_plain_different_and_at_least_two() {
        let alone = refused(&["--variant", "base:"]);
        assert!(alone.contains("compared with nothing"), "{alone}");
        let twice = refused(&["--variant", "a:", "--variant", "a:--endpoints 3"]);
        assert!(twice.contains("given twice"), "{twice}");
        for name in ["", "A", "a b", "control", "ä"] {
            let value = format!("{name}:");
            refused(&["--variant", &value, "--variant", "other:"]);
        }
        assert!(refused(&["--variant", "base", "--variant", "b:"]).contains("NAME:'OPTIONS'"));
    }

    #[test]
    fn sysctls_are_those_of_network_namespaces_and_tools_are_known_and_executable() {
        let sysctl_refused = |text: &str| sysctl(text).unwrap_err();
        assert!(sysctl_refused("kernel.panic=1").contains("the host's"));
        assert!(sysctl_refused("net.core.somaxconn").contains("NAME=VALUE"));
        assert!(sysctl_refused("net.core.somaxconn=").contains("a value"));
        let tool_refused = |text: &str| tool(text).unwrap_err();
        assert!(tool_refused("nftt=/bin/true").contains("known: "));
        assert!(tool_refused("nft=/no/such/file").contains("No such file"));
        assert!(tool_refused("nft=/etc/passwd").contains("no executable file"));
    }
}
