//! One line a cell and metric, and one a pool (RFC 4180).

use std::fmt::Write as _;

use schema::comparison::{Change, Comparison};

const HEAD: &str = "kind,mode,scenario,services,endpoints,environment,variant,options,metric,unit,verdict,reason,base_stays,base_n,base_median,new_stays,new_n,new_median,relative,relative_low,relative_high,absolute,absolute_low,absolute_high,cliffs_delta,test,p,p_adjusted,noisy,allowed,failed";

pub(super) fn render(comparison: &Comparison) -> String {
    let mut out = format!("{HEAD}\n");
    for pool in &comparison.pooled {
        let mut fields = vec![
            "pooled".to_owned(),
            pool.mode.map_or_else(String::new, |mode| mode.to_string()),
            pool.scenario.to_string(),
        ];
        fields.extend(vec![String::new(); 5]);
        fields.extend([
            pool.metric.to_string(),
            pool.metric.unit().to_string(),
            pool.verdict.to_string(),
            pool.reason.clone().unwrap_or_default(),
            pool.base_units.to_string(),
            String::new(),
            String::new(),
            pool.new_units.to_string(),
            String::new(),
            String::new(),
        ]);
        fields.extend(of_change(Some(&pool.change)));
        fields.extend(["false".to_owned(), String::new(), String::new()]);
        line(&mut out, &fields);
    }
    for row in &comparison.cells {
        let options: Vec<String> = row
            .key
            .options
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let mut fields = vec![
            "cell".to_owned(),
            row.key.mode.to_string(),
            row.key.scenario.to_string(),
            row.key.services.to_string(),
            row.key.endpoints.to_string(),
            row.key.environment.clone(),
            row.key.variant.clone(),
            options.join(" "),
            row.metric
                .map_or_else(String::new, |metric| metric.to_string()),
            row.unit.map_or_else(String::new, |unit| unit.to_string()),
            row.verdict.to_string(),
            row.reason.clone().unwrap_or_default(),
        ];
        for side in [&row.base, &row.new] {
            fields.extend(match side {
                Some(side) => [
                    side.stays.to_string(),
                    side.n.to_string(),
                    side.median.to_string(),
                ],
                None => [String::new(), String::new(), String::new()],
            });
        }
        fields.extend(of_change(row.change.as_ref()));
        fields.extend([
            row.noisy.to_string(),
            row.allowed.clone().unwrap_or_default(),
            row.failed.to_string(),
        ]);
        line(&mut out, &fields);
    }
    out
}

fn of_change(change: Option<&Change>) -> Vec<String> {
    let text = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    let ends = |ends: Option<[f64; 2]>| [text(ends.map(|e| e[0])), text(ends.map(|e| e[1]))];
    let Some(change) = change else {
        return vec![String::new(); 10];
    };
    let mut fields = vec![text(change.relative)];
    fields.extend(ends(change.relative_ci95));
    fields.push(change.absolute.to_string());
    fields.extend(ends(change.absolute_ci95));
    fields.extend([
        text(change.cliffs_delta),
        change.test.clone(),
        text(change.p),
        text(change.p_adjusted),
    ]);
    fields
}

fn line(out: &mut String, fields: &[String]) {
    let quoted: Vec<String> = fields
        .iter()
        .map(|field| {
            if field.contains([',', '"', '\n', '\r']) {
                format!("\"{}\"", field.replace('"', "\"\""))
            } else {
                field.clone()
            }
        })
        .collect();
    let _ = writeln!(out, "{}", quoted.join(","));
}
