//! What our own choices cost a server: counters, allocator settings, the release profile.

use std::process::Command;

use crate::bench::{Bench, repository};
use crate::goal::{Goal, Row};
use crate::sections::{ratio, words};

/// The variable in which jemalloc finds settings that come before the program's own.
const ALLOCATOR_VARIABLE: &str = "_RJEM_MALLOC_CONF";
/// cargo's release profile as it comes, by the variables that override the workspace's.
const PLAIN_PROFILE: [(&str, &str); 2] = [
    ("CARGO_PROFILE_RELEASE_LTO", "off"),
    ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
];

/// Runs a server with each choice made and not made, in one run.
pub fn rows(bench: &Bench) -> Result<Vec<Row>, String> {
    // Builds of one kind share a target folder, so that few crates are built twice. Each program is kept.
    let chosen = kept(bench, &server("choices", &[], &[])?, "chosen")?;
    let uncounted = kept(
        bench,
        &server("choices", &["--features", "uncounted"], &[])?,
        "uncounted",
    )?;
    let plain_profile = server("plain-profile", &[], &PLAIN_PROFILE)?;
    let caches = format!("{ALLOCATOR_VARIABLE}=tcache:true");
    let no_caches = format!("{ALLOCATOR_VARIABLE}=tcache:false");
    let contenders = [
        ("chosen", "epoll", &no_caches, &chosen),
        ("uncounted", "epoll", &no_caches, &uncounted),
        ("plain-profile", "epoll", &no_caches, &plain_profile),
        ("thread-caches", "epoll", &caches, &chosen),
        ("tokio", "tokio", &no_caches, &chosen),
        ("tokio-thread-caches", "tokio", &caches, &chosen),
    ];
    let rate = bench.rate.to_string();
    let mut all = words(&["--rate", &rate, "--arrivals", "smooth"]);
    all.extend(words(&["--contenders", "own", "--baseline", "chosen"]));
    for (name, engine, settings, program) in contenders {
        all.push("--contender".to_owned());
        all.push(format!(
            "name={name},command=\"env {settings} '{program}' --engine {engine} --listen 127.0.0.1:{{port}} --metrics none\""
        ));
    }
    let result = bench.lab("choices", "run", &all)?;
    let mut rows = Vec::new();
    for scenario in ["few", "many"] {
        let row = |above, below, goal| ratio(&result, scenario, above, below, goal);
        rows.extend([
            row("chosen", "uncounted", Goal::AtMost(1.01)),
            row("chosen", "plain-profile", Goal::None),
            row("chosen", "thread-caches", Goal::None),
            row("tokio", "tokio-thread-caches", Goal::None),
        ]);
    }
    Ok(rows)
}

/// Builds the server in a target folder of its own; returns its path.
fn server(folder: &str, features: &[&str], environment: &[(&str, &str)]) -> Result<String, String> {
    let target = repository().join("target").join(folder);
    let status = Command::new(env!("CARGO"))
        .current_dir(repository())
        .args(["build", "--release", "--locked", "--package", "server"])
        .arg("--target-dir")
        .arg(&target)
        .args(features)
        .envs(environment.iter().copied())
        .status()
        .map_err(|error| format!("cargo cannot be started: {error}"))?;
    if !status.success() {
        return Err(format!("cargo ended with {status}"));
    }
    Ok(target.join("release/server").display().to_string())
}

fn kept(bench: &Bench, program: &str, name: &str) -> Result<String, String> {
    let path = bench.folder.join(format!("server-{name}"));
    std::fs::copy(program, &path).map_err(|error| format!("{program} cannot be copied: {error}"))?;
    Ok(path.display().to_string())
}
