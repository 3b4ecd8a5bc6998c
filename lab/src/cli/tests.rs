//! Flags become a configuration, or a message that names flag, value and remedy.

use super::*;

const ENGINES: &[&str] = &["epoll", "tokio", "threads"];

fn config_on(cpus: &str, words: &[&str]) -> Result<Config, String> {
    let words = std::iter::once("lab").chain(words.iter().copied());
    let lab = Lab::try_parse_from(words).map_err(|error| error.to_string())?;
    lab.run
        .validated(ENGINES, &cpus.parse().unwrap())
        .map_err(|error| error.to_string())
}

fn config(words: &[&str]) -> Result<Config, String> {
    config_on("0-1", words)
}

#[test]
fn nothing_said_is_the_original_experiment() {
    let config = config(&[]).unwrap();
    let scenarios: Vec<_> = config.scenarios.iter().map(|s| s.name.as_str()).collect();
    let contenders: Vec<_> = config.contenders.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(scenarios, ["few", "many"]);
    assert_eq!(contenders, ENGINES);
    assert_eq!((config.baseline.as_str(), config.workers), ("epoll", 1));
    assert!(!config.repeat && config.metrics.is_none());
}

#[test]
fn halves_of_the_cpus() {
    for (allowed, flags, server, client) in [
        ("0-1", vec![], "0", "1"),
        ("0-2", vec![], "0-1", "2"),
        ("0-7", vec![], "0-3", "4-7"),
        ("4,6,9", vec![], "4,6", "9"),
        ("0-3", vec!["--server-cpus", "3"], "3", "0-2"),
        ("0-3", vec!["--client-cpus", "0,2"], "1,3", "0,2"),
        ("0-3", vec!["--server-cpus", "0", "--client-cpus", "2"], "0", "2"),
    ] {
        let cpus = config_on(allowed, &flags).unwrap().cpus;
        assert_eq!(
            (cpus.server(), cpus.client()),
            (Some(server), Some(client)),
            "{allowed} {flags:?}"
        );
    }
    assert_eq!(config_on("3", &[]).unwrap().cpus, CpuPlan::Shared);
    let unpinned = config_on("0-3", &["--no-pin"]).unwrap();
    assert_eq!((unpinned.cpus, unpinned.workers), (CpuPlan::Unpinned, 4));
}

#[test]
fn quick_is_short_but_what_is_said_stands() {
    let quick = config(&["--quick"]).unwrap();
    assert!(quick.scenarios.iter().all(|s| s.cycles == QUICK_CYCLES));
    assert_eq!(quick.scenarios[1].connections, 10_000);
    let said = config(&["--quick", "--cycles", "9", "--slice", "1s"]).unwrap();
    assert_eq!(said.scenarios[0].cycles, 9);
    assert_eq!(said.scenarios[0].slice(), Duration::from_secs(1));
}

#[test]
fn several_definitions_in_one_text() {
    let text = "name=a,echo=x:1;name=b,command=\"./b ; {port}\"; name=c,echo=y:2;";
    let config = config(&["--contender", text, "--contenders", "own"]).unwrap();
    let names: Vec<_> = config.contenders.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(config.baseline, "a");
}

#[test]
fn repeat_takes_a_value_or_none() {
    assert!(config(&["--repeat"]).unwrap().repeat);
    assert!(!config(&["--repeat", "false"]).unwrap().repeat);
}

#[test]
fn what_is_wrong_is_named() {
    for (words, named) in [
        (
            vec!["--scenario", "fwe"],
            "--scenario: there is no scenario `fwe`",
        ),
        (vec!["--scenario", "few,few"], "`few` stands twice"),
        (
            vec!["--contenders", "epol"],
            "--contenders: there is no contender `epol`",
        ),
        (vec!["--contender", "name=x,echo=1"], "--contender name=x,echo=1"),
        (vec!["--baseline", "go-net"], "--baseline: `go-net`"),
        (vec!["--rate", "0"], "--rate: `0`"),
        (vec!["--rate=-1"], "--rate: `-1`"),
        (vec!["--rate", "fast"], "--rate: `fast`"),
        (vec!["--connections", "0"], "--connections: 0"),
        (vec!["--connections", "abc"], "'abc'"),
        (vec!["--message-bytes", "0"], "--message-bytes: 0"),
        (
            vec!["--message-bytes", "99999999999"],
            "message_bytes = 99999999999",
        ),
        (vec!["--cycles", "0"], "--cycles: 0"),
        (vec!["--slice", "soon"], "'soon'"),
        (vec!["--slice", "0s"], "slice = 0s"),
        (vec!["--workers", "0"], "--workers: 0"),
        (vec!["--events", "0"], "--events: 0"),
        (vec!["--arrivals", "often"], "`often`"),
        (vec!["--accept", "all"], "'all'"),
        (vec!["--server-cpus", "99"], "--server-cpus: 99"),
        (vec!["--client-cpus", "x"], "`x`"),
        (vec!["--server-cpus", "0-1"], "no CPU of 0-1 for the clients"),
        (vec!["--client-cpus", "0-1"], "no CPU of 0-1 for the servers"),
        (vec!["--server-cpus", "0", "--client-cpus", "0"], "overlap"),
        (vec!["--server-cpus", "0", "--no-pin"], "cannot be used with"),
        (vec!["--metrics", "9100"], "--metrics: `9100`"),
        (vec!["--client-metrics", "x"], "--client-metrics: `x`"),
        (
            vec!["--client-metrics", "127.0.0.1:65535"],
            "no port for each of 3",
        ),
        (vec!["--fail-if", "tokio cpu > 1"], "no figure `cpu`"),
        (vec!["--fail-if", "go/epoll cpu_percent > 1"], "`go` is none"),
        (vec!["--fail-if", "f: tokio cpu_percent > 1"], "`f` is none"),
        (vec!["--repeat=maybe"], "'maybe'"),
        (vec!["--colour"], "--colour"),
    ] {
        let error = config(&words).unwrap_err();
        assert!(error.contains(named), "{words:?}: {error}");
    }
}
