//! Gates: the one that ships is complete, and what is not understood is refused in one line.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reports::gate::Gate;
use schema::Metric;

fn refusal(text: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gate.toml");
    std::fs::write(&path, text).unwrap();
    let error = Gate::load(&path).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.contains("gate.toml"), "{error}");
    error
}

const LATENCY: &str =
    "[metrics.latency]\nrelative = 0.05\nabsolute = \"1 µs\"\np = 0.01\nreason = \"why\"\n";

#[test]
fn the_gate_that_ships_names_every_metric_that_is_no_part_of_another() {
    let gate = Gate::shipped();
    let left_out: Vec<&str> = Metric::ALL
        .iter()
        .filter(|metric| !gate.thresholds.contains_key(metric))
        .map(|metric| metric.name())
        .collect();
    // What a real kube-proxy alone has, whose update_time and sync_time are gated; an idle hour, which is made of syncs; listings, swaps, what fares wrong or waits while a list is replaced, round trips, the node's own part, connections and flows at a rate, of which no two runs of the same thing were held beside each other yet; a wait whose length is that of grace periods, parts of cpu_time, our own preparation, a cross-check, and the momentary peak of a figure that is gated.
    assert_eq!(
        left_out,
        [
            "time_to_effect",
            "time_to_listing",
            "release_time",
            "render_time",
            "user_time",
            "system_time",
            "listing_time",
            "listing_time_updating",
            "swap_time",
            "swap_wait",
            "round_trip",
            "path_time",
            "packet_cpu_time",
            "connection_time",
            "lost",
            "late",
            "wrong",
            "stall",
            "processes",
            "idle_cpu_time",
            "idle_processes",
            "idle_messages",
            "kernel_memory_peak",
            "cgroup_memory"
        ]
    );
    assert!(
        gate.thresholds
            .values()
            .all(|thresholds| thresholds.reason.len() > 20)
    );
    assert_eq!(gate.thresholds[&Metric::Latency].absolute, 1_000.0);
    assert_eq!(gate.thresholds[&Metric::KernelMemory].absolute, 32_000.0);
    assert!(gate.allowed.is_empty());
}

#[test]
fn what_is_counted_has_one_table_unless_it_has_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("gate.toml");
    let limits = |absolute: u32| {
        format!("relative = 0.01\nabsolute = \"{absolute}\"\np = 0.01\nreason = \"why\"\n")
    };
    let text = format!("[metrics.rules]\n{}[exact]\n{}", limits(7), limits(1));
    std::fs::write(&path, text).unwrap();
    let gate = Gate::load(&path).unwrap();
    let absolute = |metric| gate.thresholds.get(metric).map(|limits| limits.absolute);
    assert_eq!(absolute(&Metric::Rules), Some(7.0));
    assert_eq!(absolute(&Metric::Chains), Some(1.0));
    // Bytes have another unit, and times are measured.
    assert_eq!(absolute(&Metric::BytesSent), None);
    assert_eq!(absolute(&Metric::Latency), None);
}

#[test]
fn what_is_not_understood_names_its_key_and_the_remedy() {
    for (text, said) in [
        ("", "no [metrics.NAME]"),
        ("metrics = 3", "line 1: invalid type: integer"),
        ("[metrics.latency]\nrelative = ", "line 2"),
        (
            "[metrics.latenzy]\nrelative = 0.1",
            "metrics.latenzy: no metric 'latenzy'; did you mean 'latency'? (known: update_time",
        ),
        (
            &LATENCY.replace("reason = \"why\"\n", ""),
            "metrics.latency: missing field `reason`; write it as",
        ),
        (
            &LATENCY.replace("why", " "),
            "metrics.latency.reason: say in one sentence",
        ),
        (
            &LATENCY.replace("relative = 0.05\n", ""),
            "metrics.latency: missing field `relative`",
        ),
        (
            &LATENCY.replace("p = 0.01\n", ""),
            "metrics.latency.p: give a number",
        ),
        (
            &LATENCY.replace("absolute = \"1 µs\"\n", ""),
            "metrics.latency: missing field `absolute`",
        ),
        (
            &LATENCY.replace("0.05", "-0.05"),
            "metrics.latency.relative: give a share",
        ),
        (
            &LATENCY.replace("0.05", "nan"),
            "metrics.latency.relative: give a share",
        ),
        (
            &LATENCY.replace("0.01", "0"),
            "metrics.latency.p: give a number",
        ),
        (
            &LATENCY.replace("0.01", "\"low\""),
            "metrics.latency: invalid type: string",
        ),
        (
            &LATENCY.replace("1 µs", "1 kB"),
            "metrics.latency.absolute: not an amount in ns, µs",
        ),
        (
            &LATENCY.replace("\"1 µs\"", "1000"),
            "metrics.latency.absolute: not an amount",
        ),
        (
            &LATENCY.replace("reason", "because"),
            "metrics.latency: unknown field `because`, expected one of `relative`",
        ),
        (&(LATENCY.to_owned() + LATENCY), "line 6"),
        (
            &(LATENCY.to_owned() + "[metric]\n"),
            "unknown field `metric`, expected one of `metrics`",
        ),
        (
            &(LATENCY.to_owned() + "[allow-missing]\nmode = \"ipvs\"\n"),
            "invalid type: map, expected a sequence",
        ),
        (
            &(LATENCY.to_owned() + "[[allow-missing]]\nmode = \"ipvs\"\n"),
            "allow-missing 1: missing field `reason`",
        ),
        (
            &(LATENCY.to_owned() + "[[allow-missing]]\nreason = \"x\"\n"),
            "names no field",
        ),
        (
            &(LATENCY.to_owned() + "[[allow-missing]]\nreason = \"x\"\nmode = \"ipsv\"\n"),
            "allow-missing 1: unknown variant `ipsv`, expected one of `none`",
        ),
        (
            &(LATENCY.to_owned() + "[[allow-missing]]\nreason = \"x\"\nservices = \"many\"\n"),
            "allow-missing 1: invalid type: string \"many\", expected u32",
        ),
        (
            &(LATENCY.to_owned() + "[[allow-missing]]\nreason = \"x\"\nposishon = \"last\"\n"),
            "allow-missing 1: unknown variant `posishon`, expected one of `cache`",
        ),
    ] {
        let error = refusal(text);
        assert!(error.contains(said), "{error}\ninstead of {said}");
    }
    assert!(
        Gate::load("no/such/gate.toml".as_ref())
            .unwrap_err()
            .to_string()
            .contains("leave --gate out")
    );
}

#[test]
fn amounts_have_the_units_that_people_write() {
    for (written, nanoseconds) in [
        ("1 µs", 1e3),
        ("1us", 1e3),
        ("2.5 ms", 2.5e6),
        ("0 ns", 0.0),
        ("1 s", 1e9),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("gate.toml");
        std::fs::write(&path, LATENCY.replace("1 µs", written)).unwrap();
        let gate = Gate::load(&path).unwrap();
        assert_eq!(gate.thresholds[&Metric::Latency].absolute, nanoseconds);
        assert_eq!(gate.thresholds.len(), 1);
    }
}
