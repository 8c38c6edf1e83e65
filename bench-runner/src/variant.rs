//! `--variant NAME:'OPTIONS'`: the sides of a comparison that is measured in one run. OPTIONS is a piece of the
//! run's own command line, of which a variant may set a part; what it does not set is the run's.

use std::collections::HashSet;

use clap::FromArgMatches as _;
use clap::parser::ValueSource;

use crate::cli::{Given, RunArgs, one_line, run_alone};
use crate::exit::{Usage, why};

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
    ("kube_proxy", |args, own| args.kube_proxy = own.kube_proxy),
    ("large_cluster", |args, own| {
        args.large_cluster = own.large_cluster;
    }),
    ("maxelem", |args, own| args.maxelem = own.maxelem),
    ("vip_stride", |args, own| args.vip_stride = own.vip_stride),
    ("sysctl", |args, own| args.sysctl.extend(own.sysctl)),
    ("tool", |args, own| args.tool.extend(own.tool)),
    ("tools", |args, own| args.tools = own.tools),
    ("plant", |args, own| args.plant = own.plant),
];

/// The options that a variant may set, as they are written; without those that help does not show.
fn may_set() -> String {
    let command = run_alone("variant");
    let shown = command.get_arguments().filter(|arg| {
        !arg.is_hide_set() && MAY_SET.iter().any(|(id, _)| arg.get_id().as_str() == *id)
    });
    let names: Vec<String> = shown
        .filter_map(|arg| Some(format!("--{}", arg.get_long()?)))
        .collect();
    names.join(", ")
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
            .map_err(|error| Usage(format!("--variant {}: {error}", given.name)))?;
        Ok((given.clone(), own))
    });
    each.collect()
}

/// The run's arguments with a variant's OPTIONS laid over them.
fn laid_over(args: &RunArgs, options: &str) -> Result<RunArgs, String> {
    let words = shlex::split(options)
        .ok_or_else(|| format!("a quotation mark is not closed in: {options}"))?;
    let command = run_alone("variant");
    let parsed = command.clone().try_get_matches_from(words);
    let matches = parsed.map_err(|error| {
        let line = one_line(&error);
        format!("{}; a variant may set {}", why(&line), may_set())
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
    let of_population = ["services", "endpoints"]
        .into_iter()
        .find(|id| is_given(id));
    if let (Some(id), false) = (of_population, args.population.is_empty()) {
        return Err(format!(
            "--{id}: services are those of --population, for all variants alike: leave one of the two out"
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cmd::Cli;

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
        assert_eq!([&base.endpoints, &head.endpoints], [&[5], &[7]]);
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
                line.contains("--tool") && line.contains("--plant"),
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
}
