//! Reading results: what a killed run leaves is read, what is damaged or foreign is refused with one
//! clear line.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::path::PathBuf;

use reports::{LoadError, load};
use synthetic::Shape;

struct File {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file(text: impl AsRef<[u8]>) -> File {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("results.jsonl");
    fs::write(&path, text).unwrap();
    File { _dir: dir, path }
}

fn small() -> String {
    synthetic::lines(&synthetic::run(&Shape {
        blocks: 1,
        sizes: vec![100],
        samples: 3,
        ..Shape::default()
    }))
    .unwrap()
}

/// The error's text; it must be one line.
fn refusal(text: impl AsRef<[u8]>) -> String {
    let error = load(&file(text).path).unwrap_err().to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn a_run_directory_and_its_file_read_the_same() {
    let file = file(small());
    let (of_file, of_dir) = (
        load(&file.path).unwrap(),
        load(file.path.parent().unwrap()).unwrap(),
    );
    assert_eq!(of_file.cells, of_dir.cells);
    assert!(of_file.end.is_some() && of_file.warnings.is_empty());
    let written = synthetic::run(&Shape {
        blocks: 1,
        sizes: vec![100],
        samples: 3,
        ..Shape::default()
    });
    assert_eq!(of_file.cells, written.cells);
    assert_eq!(of_file.header, written.header);
}

#[test]
fn a_torn_last_line_is_dropped_with_a_warning_wherever_it_is_torn() {
    let text = small();
    let before_last = text.trim_end().rfind('\n').unwrap() + 1;
    for cut in [before_last + 1, before_last + 20, text.len() - 2] {
        let run = load(&file(&text[..cut]).path).unwrap();
        assert_eq!(run.end, None);
        assert_eq!(run.warnings.len(), 1, "cut at {cut}");
        assert!(run.warnings[0].contains("cut off"));
    }
    let run = load(&file(&text[..text.len() - 1]).path).unwrap();
    assert!(
        run.end.is_some(),
        "only the newline is missing: nothing was lost"
    );
}

#[test]
fn damage_before_the_last_line_is_refused_with_its_line() {
    let text = small();
    let mut lines: Vec<&str> = text.lines().collect();
    lines[2] = &lines[2][..40];
    let error = refusal(lines.join("\n") + "\n");
    assert!(
        error.contains("line 3") && error.contains("damaged"),
        "{error}"
    );
    lines[2] = "{\"record\":\"cell\",\"mode\":\"teleport\"}";
    assert!(refusal(lines.join("\n") + "\n").contains("line 3"));
    lines[2] = lines[0];
    assert!(refusal(lines.join("\n") + "\n").contains("second header"));
}

#[test]
fn a_damaged_last_line_that_is_whole_is_not_a_torn_one() {
    assert!(refusal(small() + "{\"record\":\n").contains("damaged"));
}

#[test]
fn what_is_not_ours_is_foreign_and_what_is_empty_is_empty() {
    assert!(refusal("").contains("empty"));
    for foreign in [
        "hello\n",
        "{\"a\":1}\n",
        "[]\n",
        "\n",
        "{\"record\":\"cell\"}\n",
        "\u{0}\u{1}\n",
    ] {
        assert!(
            matches!(load(&file(foreign).path), Err(LoadError::Foreign { .. })),
            "{foreign:?}"
        );
    }
    assert!(matches!(
        load(&file([0xff, 0xfe, 0x00].as_slice()).path),
        Err(LoadError::Foreign { .. })
    ));
    assert!(matches!(
        load("no/such/run"),
        Err(LoadError::Missing { .. })
    ));
    assert!(matches!(
        load(tempfile::tempdir().unwrap().path()),
        Err(LoadError::Missing { .. })
    ));
}

#[test]
fn a_newer_file_is_refused_with_advice() {
    let newer = small().replacen("\"schema_version\":2", "\"schema_version\":999", 1);
    let error = refusal(newer);
    assert!(error.contains("999") && error.contains("newer"), "{error}");
    assert!(matches!(
        load(&file(small().replacen("\"schema_version\":2", "\"schema_version\":0", 1)).path),
        Err(LoadError::Version { .. })
    ));
}

#[test]
fn fields_of_a_later_writer_are_ignored() {
    let text = small();
    let extended = text
        .replace(
            "{\"record\":\"cell\",",
            "{\"record\":\"cell\",\"weather\":{\"rain\":[1,2]},",
        )
        .replace(
            "\"metric\":\"latency\",",
            "\"metric\":\"latency\",\"colour\":\"blue\",",
        )
        .replacen(
            "{\"record\":\"header\",",
            "{\"record\":\"header\",\"moon\":\"full\",",
            1,
        );
    assert_ne!(text, extended);
    assert_eq!(
        load(&file(extended).path).unwrap().cells,
        load(&file(text).path).unwrap().cells
    );
}

#[test]
fn samples_in_a_form_that_nobody_writes_are_damage() {
    let text = small();
    let start = text.find("\"values\":[").unwrap();
    let end = start + text[start..].find(']').unwrap() + 1;
    let broken = format!("{}\"hdr\":\"AAAA\"{}", &text[..start], &text[end..]);
    assert!(refusal(broken).contains("values"));
}

#[test]
fn of_two_outcomes_of_a_cell_in_a_block_the_later_one_counts() {
    let text = small();
    let measured = text.lines().nth(1).unwrap();
    let mut interrupted: serde_json::Value = serde_json::from_str(measured).unwrap();
    interrupted["outcome"] = "not-run".into();
    interrupted["reason"] = "interrupted".into();
    interrupted["series"] = serde_json::json!([]);
    let end = r#"{"record":"end","ended":"interrupted","elapsed_ns":5,"runner_rss_bytes":1}"#;
    let resumed = r#"{"record":"resumed","resumed":"2026-11-23T08:00:00Z","spent_ns":5}"#;
    let (header, rest) = text.split_once('\n').unwrap();
    let run =
        load(&file(format!("{header}\n{interrupted}\n{end}\n{resumed}\n{rest}")).path).unwrap();
    let whole = load(&file(&text).path).unwrap();
    assert_eq!(run.cells, whole.cells);
    assert_eq!(
        run.end, whole.end,
        "an end that is followed by others ends nothing"
    );
    assert_eq!(run.warnings.len(), 1, "{:?}", run.warnings);
    assert!(run.warnings[0].contains("2026-11-23T08:00:00Z"));
    // The same the other way round is not what a run does: the line is named.
    let twice = load(&file(format!("{text}{measured}\n")).path).unwrap();
    assert!(
        twice.warnings[0].contains("two outcomes"),
        "{:?}",
        twice.warnings
    );
}
