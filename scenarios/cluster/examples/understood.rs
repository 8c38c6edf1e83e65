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

/// What a service has besides its ClusterIP, in words; "?" for what is not known.
fn exposed(service: &Service) -> Vec<String> {
    fn words<T: ToString>(what: &str, value: Option<T>) -> String {
        let value = value.map_or_else(|| "?".to_owned(), |value| value.to_string());
        format!("{what} {value}")
    }
    let node_port = service.node_port.map(|port| words("node-port", port));
    let affinity = service.affinity_seconds.map(|s| words("affinity", s));
    let balancers = service.load_balancer_ips.iter();
    let balancers = balancers.map(|address| words("load-balancer", *address));
    let external = service.external_ips.iter();
    let external = external.map(|address| words("external", *address));
    let ranges = service.source_ranges.iter();
    let ranges = ranges.map(|range| words("source-range", *range));
    let policies = [
        (service.external_local, "external-local"),
        (service.internal_local, "internal-local"),
    ];
    let policies = policies.into_iter().filter(|(is, _)| *is);
    let policies = policies.map(|(_, policy)| words("policy", Some(policy)));
    let all = node_port.into_iter().chain(balancers).chain(external);
    all.chain(ranges).chain(affinity).chain(policies).collect()
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
                "exposed": exposed(service),
            })
        };
        said["services"] = cluster.services.iter().map(of).collect();
    }
    Ok(serde_json::to_string_pretty(&said).unwrap())
}
