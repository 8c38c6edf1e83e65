//! The statistics against SciPy's, value by value: `reference/statistics.json` holds what SciPy gave,
//! `reference/statistics.py` made it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use reports::statistics::{
    Curve, Exchangeable, LOWEST_FORTIETH, aligned_ranks, aligned_shift, benjamini_hochberg,
    cliffs_delta, fit, mann_whitney, median_interval, middle_of_differences, normal_below,
    permutation, shift, signed_rank,
};
use serde_json::Value;

fn reference(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("reference/statistics.json")).unwrap();
    let cases = all[part].as_array().unwrap().clone();
    assert!(!cases.is_empty(), "{part}");
    cases
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|v| v.as_f64().unwrap()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[track_caller]
fn close(seen: f64, wanted: f64, relative: f64) {
    assert!(
        (seen - wanted).abs() <= relative * wanted.abs().max(1e-12),
        "{seen} instead of {wanted}"
    );
}

#[track_caller]
fn interval(seen: Option<[f64; 2]>, wanted: &Value, relative: f64) {
    match (seen, wanted) {
        (None, Value::Null) => {}
        (Some(seen), Value::Array(ends)) => {
            close(seen[0], number(&ends[0]), relative);
            close(seen[1], number(&ends[1]), relative);
        }
        _ => panic!("{seen:?} instead of {wanted}"),
    }
}

fn strata(case: &Value) -> Vec<Exchangeable> {
    let list = case["strata"].as_array().unwrap();
    list.iter()
        .map(|stratum| Exchangeable {
            a: numbers(&stratum[0]),
            b: numbers(&stratum[1]),
        })
        .collect()
}

#[test]
fn mann_whitney_and_cliffs_delta_agree_with_scipy() {
    for case in reference("mann_whitney") {
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        close(mann_whitney(&a, &b).unwrap(), number(&case["p"]), 1e-9);
        close(mann_whitney(&b, &a).unwrap(), number(&case["p"]), 1e-9);
        close(
            cliffs_delta(&a, &b).unwrap(),
            number(&case["cliffs_delta"]),
            1e-9,
        );
    }
    assert_eq!(mann_whitney(&[], &[1.0]), None);
    assert_eq!(mann_whitney(&[2.0; 4], &[2.0; 5]), Some(1.0));
}

#[test]
fn the_signed_rank_test_agrees_with_scipy() {
    for case in reference("signed_rank") {
        let differences = numbers(&case["differences"]);
        close(signed_rank(&differences).unwrap(), number(&case["p"]), 1e-9);
    }
    assert_eq!(signed_rank(&[]), None);
    assert_eq!(signed_rank(&[0.0; 3]), Some(1.0));
}

#[test]
fn shifts_and_their_intervals_are_those_that_scipys_tests_do_not_refuse() {
    for case in reference("shifts") {
        let seen = shift(&numbers(&case["a"]), &numbers(&case["b"])).unwrap();
        close(seen.estimate, number(&case["estimate"]), 1e-9);
        interval(seen.ci95, &case["ci95"], 1e-9);
    }
    for case in reference("middles") {
        let seen = middle_of_differences(&numbers(&case["differences"])).unwrap();
        close(seen.estimate, number(&case["estimate"]), 1e-9);
        interval(seen.ci95, &case["ci95"], 1e-9);
    }
}

#[test]
fn permutations_inside_strata_agree_with_going_through_all_of_them() {
    for case in reference("permutations") {
        let seen = permutation(&strata(&case), 7).unwrap();
        let wanted = number(&case["p"]);
        if case["exact"] == true {
            close(seen, wanted, 1e-9);
        } else {
            // 19,999 draws: three standard errors.
            let error = (wanted * (1.0 - wanted) / 20_000.0).sqrt();
            assert!(
                (seen - wanted).abs() < 3.0 * error,
                "{seen} instead of {wanted}"
            );
        }
    }
    assert_eq!(permutation(&[], 1), None);
    let one_sided = Exchangeable {
        a: vec![1.0, 2.0],
        b: Vec::new(),
    };
    assert_eq!(permutation(&[one_sided], 1), None);
}

#[test]
fn aligned_ranks_of_many_stays_agree_with_drawn_exchanges() {
    for case in reference("aligned") {
        let strata = strata(&case);
        let (seen, wanted) = (aligned_ranks(&strata, 7).unwrap(), number(&case["p"]));
        assert!(
            (seen / wanted).ln().abs() < 0.15,
            "{seen} instead of {wanted}"
        );
        // The interval leaves out zero exactly when the test at 5 % does.
        let [low, high] = aligned_shift(&strata).unwrap().ci95.unwrap();
        assert_eq!(
            low > 0.0 || high < 0.0,
            seen < 0.05,
            "{low} {high}, p {seen}"
        );
    }
}

#[test]
fn adjusted_p_agree_with_scipy() {
    for case in reference("corrections") {
        let seen = benjamini_hochberg(&numbers(&case["p"]));
        for (seen, wanted) in seen.iter().zip(numbers(&case["adjusted"])) {
            close(*seen, wanted, 1e-12);
        }
    }
    assert!(benjamini_hochberg(&[]).is_empty());
}

#[test]
fn the_normal_distribution_agrees_with_scipy() {
    for case in reference("normal") {
        let (p, x) = (number(&case["p"]), number(&case["x"]));
        close(normal_below(x), p, 1e-9);
    }
    close(normal_below(LOWEST_FORTIETH), 0.025, 1e-14);
}

#[test]
fn fits_of_a_block_agree_with_scipys_regression() {
    for case in reference("fits") {
        let services: Vec<u32> = numbers(&case["services"])
            .iter()
            .map(|n| *n as u32)
            .collect();
        let curve = if case["model"] == "linear" {
            Curve::Line
        } else {
            Curve::Power
        };
        let seen = fit(curve, &services, &[numbers(&case["values"])], false).unwrap();
        close(seen.estimate.value, number(&case["estimate"]), 1e-9);
        close(seen.intercept.value, number(&case["intercept"]), 1e-9);
    }
}

#[test]
fn intervals_of_medians_agree_with_scipys_quantile_test() {
    for case in reference("medians") {
        let seen = median_interval(&numbers(&case["values"])).unwrap();
        interval(Some(seen), &case["ci95"], 1e-9);
    }
}
