//! One line a cell and metric, and one a pool (RFC 4180).

use schema::comparison::{Change, Compared, Comparison, Pooled};

const HEAD: &str = "kind,mode,scenario,services,endpoints,environment,variant,options,metric,unit,verdict,reason,base_stays,base_n,base_median,new_stays,new_n,new_median,relative,relative_low,relative_high,absolute,absolute_low,absolute_high,cliffs_delta,test,p,p_adjusted,noisy,allowed,failed";

pub(super) fn render(comparison: &Comparison) -> String {
    let pools = comparison.pooled.iter().map(of_pool);
    let lines = pools.chain(comparison.cells.iter().map(of_cell));
    let lines = lines.map(|fields| fields.iter().map(|field| quoted(field)).collect());
    let lines = lines.map(|fields: Vec<String>| fields.join(",") + "\n");
    format!("{HEAD}\n{}", lines.collect::<String>())
}

/// Nothing where there is nothing.
fn text(value: Option<impl ToString>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

fn of_pool(pool: &Pooled) -> Vec<String> {
    let mut fields = vec![
        "pooled".to_owned(),
        text(pool.mode),
        pool.scenario.to_string(),
    ];
    fields.resize(fields.len() + 5, String::new());
    fields.extend([
        pool.metric.to_string(),
        pool.metric.unit().to_string(),
        pool.verdict.to_string(),
        text(pool.reason.as_ref()),
    ]);
    for units in [pool.base_units, pool.new_units] {
        fields.extend([units.to_string(), String::new(), String::new()]);
    }
    fields.extend(of_change(Some(&pool.change)));
    fields.extend([false.to_string(), String::new(), String::new()]);
    fields
}

fn of_cell(row: &Compared) -> Vec<String> {
    let options = row.key.options.iter().map(|(k, v)| format!("{k}={v}"));
    let options: Vec<String> = options.collect();
    let mut fields = vec![
        "cell".to_owned(),
        row.key.mode.to_string(),
        row.key.scenario.to_string(),
        row.key.services.to_string(),
        row.key.endpoints.to_string(),
        row.key.environment.clone(),
        row.key.variant.clone(),
        options.join(" "),
        text(row.metric),
        text(row.unit),
        row.verdict.to_string(),
        text(row.reason.as_ref()),
    ];
    for side in [row.base.as_ref(), row.new.as_ref()] {
        fields.extend([
            text(side.map(|side| side.stays)),
            text(side.map(|side| side.n)),
            text(side.map(|side| side.median)),
        ]);
    }
    fields.extend(of_change(row.change.as_ref()));
    fields.extend([
        row.noisy.to_string(),
        text(row.allowed.as_ref()),
        row.failed.to_string(),
    ]);
    fields
}

fn of_change(change: Option<&Change>) -> [String; 10] {
    let relative = |end: usize| text(change.and_then(|c| Some(c.relative_ci95?[end])));
    let absolute = |end: usize| text(change.and_then(|c| Some(c.absolute_ci95?[end])));
    [
        text(change.and_then(|change| change.relative)),
        relative(0),
        relative(1),
        text(change.map(|change| change.absolute)),
        absolute(0),
        absolute(1),
        text(change.and_then(|change| change.cliffs_delta)),
        text(change.map(|change| &change.test)),
        text(change.and_then(|change| change.p)),
        text(change.and_then(|change| change.p_adjusted)),
    ]
}

fn quoted(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    }
}
