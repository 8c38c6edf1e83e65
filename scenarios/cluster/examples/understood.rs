//! What is understood of files, as JSON: `understood FILE…` prints the population in numbers, with `--services` every
//! service, with `--shape` its anonymous shape instead. Files that are refused are exit 2 and one line.
#![allow(clippy::unwrap_used, reason = "an example that panics has failed")]

use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;

use cluster::{Protocol, Refused, Service, Shape, summary};
use serde_json::json;

fn main() -> ExitCode {
    let (options, files): (Vec<_>, Vec<_>) =
        std::env::args().skip(1).partition(|a| a.starts_with("--"));
    let with = |option: &str| options.iter().any(|given| given == option);
    match understood(&files, with("--services"), with("--shape")) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::from(2)
        }
    }
}

fn understood(files: &[String], services: bool, shape: bool) -> Result<String, Refused> {
    let mut readers = Vec::new();
    for file in files {
        let opened = File::open(file).map_err(|source| Refused::Read {
            file: file.clone(),
            source,
        })?;
        readers.push((file.as_str(), BufReader::with_capacity(1 << 16, opened)));
    }
    let cluster = cluster::read(readers)?;
    let shape_of = Shape::of(&cluster);
    if shape {
        return Ok(shape_of.text().trim_end().to_owned());
    }
    // The lab has no SCTP.
    let usable = |service: &Service| service.protocol != Protocol::Sctp;
    let mut said = json!(summary(&cluster, usable));
    said["shape"] = json!(shape_of.hash());
    let notes = cluster.notes.listed.iter().map(|note| {
        let line = note
            .line
            .map_or_else(String::new, |line| format!(":{line}"));
        format!("{}{line}: {}", files[note.file], note.what)
    });
    said["notes"] = notes.collect();
    if services {
        let of = |service: &Service| {
            let endpoints = service.endpoints.as_ref().map(|endpoints| {
                let all = endpoints.iter().map(|e| match (e.addr, e.port) {
                    (Some(addr), Some(port)) => std::net::SocketAddr::new(addr, port).to_string(),
                    _ => "?".to_owned(),
                });
                all.collect::<Vec<_>>()
            });
            json!({
                "service": service.to_string(),
                "name": service.name.as_ref().map(ToString::to_string),
                "endpoints": endpoints,
            })
        };
        said["services"] = cluster.services.iter().map(of).collect();
    }
    Ok(serde_json::to_string_pretty(&said).unwrap())
}
