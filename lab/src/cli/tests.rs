//! Flags become a configuration, or a message that names flag, value and remedy.

use super::*;
use model::{config::CpuPlan, scenario::Offer};

const ENGINES: &[&str] = &["epoll", "tokio", "threads"];

fn config_on(cpus: &str, words: &[&str]) -> Result<Config, String> {
    config_on_cores(cpus, &[], words)
}

fn config_on_cores(cpus: &str, siblings: &[&str], words: &[&str]) -> Result<Config, String> {
    let Asked::Run(args) = read(&[&["lab"], words].concat())? else {
        panic!("no run");
    };
    let siblings: Vec<CpuSet> = siblings.iter().map(|set| set.parse().unwrap()).collect();
    args.validated(ENGINES, &Cores::new(cpus.parse().unwrap(), &siblings))
        .map_err(|error| error.to_string())
}

fn read(words: &[&str]) -> Result<Asked, String> {
    let words: Vec<_> = words.iter().map(OsString::from).collect();
    Asked::parse(&words).map_err(|unread| match unread {
        Unread::Value(line) => line,
        Unread::Parser(error) => error.to_string(),
    })
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
    assert_eq!(contenders, [ENGINES, &["go-net", "go-net-tuned"]].concat());
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
            [cpus.server(), cpus.client()].map(|set| set.unwrap().to_string()),
            [server, client],
            "{allowed} {flags:?}"
        );
    }
    let pairs = ["0,4", "1,5", "2,6", "3,7"];
    for (allowed, siblings, server, client) in [
        // As Linux numbers the threads of most machines: no core is in both halves.
        ("0-7", &pairs[..], "0-1,4-5", "2-3,6-7"),
        ("0-3", &["0-1", "2-3"], "0-1", "2-3"),
        ("1,4-6", &pairs, "1,4-5", "6"),
        // One core is all there is.
        ("0-1", &["0-1"], "0", "1"),
        ("2,6", &pairs, "2", "6"),
    ] {
        let cpus = config_on_cores(allowed, siblings, &[]).unwrap().cpus;
        assert_eq!(
            [cpus.server(), cpus.client()].map(|set| set.unwrap().to_string()),
            [server, client],
            "{allowed}"
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
fn the_time_that_help_and_readme_promise_suffices_for_all_default_contenders() {
    let planned = |words: &[&str]| {
        let words = std::iter::once("lab").chain(words.iter().copied());
        let run = Lab::try_parse_from(words).unwrap().run;
        let config = run.validated(&crate::engines::names(), &Cores::new("0-1".parse().unwrap(), &[]));
        crate::runner::estimate(&config.unwrap(), |_| true)
    };
    assert!(planned(&["--quick"]) < Duration::from_secs(60));
    assert!(planned(&[]) < Duration::from_secs(180));
    let config = config(&[]).unwrap();
    let all = crate::runner::estimate(&config, |_| true);
    let some = crate::runner::estimate(&config, |contender| contender.name != "threads");
    assert!(some < all, "who cannot run costs no time");
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
fn the_default_baseline_gives_way_to_the_first_contender() {
    assert_eq!(
        config(&["--contenders", "tokio,threads"]).unwrap().baseline,
        "tokio"
    );
    let told = config(&["--contenders", "tokio,epoll", "--baseline", "epoll"]);
    assert_eq!(told.unwrap().baseline, "epoll");
}

#[test]
fn what_only_other_loops_can_take_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("closed.toml");
    std::fs::write(&path, "connections = 5\npace = \"closed\"\n").unwrap();
    let closed = path.to_str().unwrap();
    for (words, named) in [
        (["--rate", "500"], "--rate: `500` belongs to open loops"),
        (
            ["--arrivals", "poisson"],
            "--arrivals: `poisson` belongs to open loops",
        ),
    ] {
        let words = [&["--scenario", closed], &words[..]].concat();
        assert!(config(&words).unwrap_err().contains(named), "{words:?}");
    }
    // `auto` asks for nothing, and one scenario that takes a value is enough.
    assert!(config(&["--scenario", closed, "--rate", "auto"]).is_ok());
    let both = format!("{closed},few");
    assert!(config(&["--scenario", &both, "--rate", "500", "--think-time", "1ms"]).is_ok());
}

#[test]
fn those_linger_that_can() {
    let of = |words: &[&str]| -> Vec<Option<u64>> {
        let contenders = config(words).unwrap().contenders;
        contenders
            .iter()
            .map(|contender| contender.linger_micros)
            .collect()
    };
    assert_eq!(of(&["--linger", "50us"]), [Some(50), None, None, None, None]);
    assert_eq!(of(&["--linger", "0s"]), [None; 5]);
    assert_eq!(of(&[]), [None; 5]);
}

fn sweep(words: &[&str]) -> Result<Config, String> {
    let Asked::Action(Action::Sweep(args)) = read(&[&["lab", "sweep"], words].concat())? else {
        panic!("no sweep");
    };
    args.validated(ENGINES, &Cores::new("0-1".parse().unwrap(), &[]))
        .map_err(|error| error.to_string())
}

#[test]
fn a_sweep_over_connections_is_a_scenario_each() {
    let config = sweep(&["--connections", "500,10,10000", "--rate", "3000", "--quick"]).unwrap();
    let names: Vec<_> = config.scenarios.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "few connections=10",
            "few connections=500",
            "few connections=10000"
        ]
    );
    assert_eq!(config.scenarios[2].connections, 10_000);
    assert!(config.scenarios.iter().all(|s| s.cycles == QUICK_CYCLES
        && matches!(
            s.pace,
            Load::Open {
                rate: Offer::PerSecond(_),
                ..
            }
        )));
    let sweep = config.sweep.unwrap();
    assert_eq!(
        (sweep.parameter.as_str(), &sweep.families[..]),
        (
            "connections",
            &[ENGINES, &["go-net", "go-net-tuned"]]
                .concat()
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()[..]
        )
    );
    assert_eq!(
        (sweep.points[2].label.as_str(), sweep.points[2].value),
        ("10,000", 10_000.0)
    );
    assert!(sweep.points.iter().all(|point| point.suffix.is_empty()));
}

#[test]
fn a_sweep_over_rates_or_bytes_is_a_scenario_each() {
    let config = sweep(&["--rate", "500,2500.5", "--scenario", "many"]).unwrap();
    let names: Vec<_> = config.scenarios.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(names, ["many rate=500", "many rate=2500.5"]);
    let config = sweep(&["--message-bytes", "100,1000"]).unwrap();
    assert_eq!(config.scenarios[1].message_bytes, 1000);
    assert_eq!(config.sweep.unwrap().points[1].label, "1,000 B");
}

#[test]
fn a_sweep_over_linger_is_contenders_side_by_side() {
    let config = sweep(&["--linger", "50us,20us", "--contenders", "epoll,tokio"]).unwrap();
    let contenders: Vec<_> = config
        .contenders
        .iter()
        .map(|contender| (contender.name.as_str(), contender.linger_micros))
        .collect();
    assert_eq!(
        contenders,
        [
            ("epoll", None),
            ("epoll linger=20us", Some(20)),
            ("epoll linger=50us", Some(50)),
            ("tokio", None)
        ]
    );
    assert_eq!((config.scenarios.len(), config.baseline.as_str()), (1, "epoll"));
    let points = config.sweep.unwrap().points;
    let suffixes: Vec<_> = points.iter().map(|point| point.suffix.as_str()).collect();
    assert_eq!(suffixes, ["", " linger=20us", " linger=50us"]);
    assert_eq!((points[1].label.as_str(), points[1].value), ("20 µs", 20.0));
}

#[test]
fn a_sweep_over_workers_is_contenders_side_by_side() {
    let flags = [
        "--workers",
        "2,1",
        "--contenders",
        "tokio,epoll",
        "--linger",
        "30us",
    ];
    let rule = [
        "--fail-if",
        "epoll workers=2/epoll workers=1 cpu_micros_per_message > 2",
    ];
    let config = sweep(&[&flags[..], &rule].concat()).unwrap();
    let contenders: Vec<_> = config
        .contenders
        .iter()
        .map(|contender| {
            (
                contender.name.as_str(),
                contender.workers,
                contender.linger_micros,
            )
        })
        .collect();
    assert_eq!(
        contenders,
        [
            ("tokio workers=1", Some(1), None),
            ("tokio workers=2", Some(2), None),
            ("epoll workers=1", Some(1), Some(30)),
            ("epoll workers=2", Some(2), Some(30)),
        ]
    );
    assert_eq!(config.baseline, "epoll workers=1");
}

#[test]
fn who_chooses_its_threads_itself_takes_part_once_in_a_sweep_over_workers() {
    let config = sweep(&[
        "--workers",
        "1,2",
        "--contenders",
        "threads,epoll,go-net,go-net-tuned",
        "--baseline",
        "threads",
    ])
    .unwrap();
    let names: Vec<_> = config.contenders.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "threads",
            "epoll workers=1",
            "epoll workers=2",
            "go-net",
            "go-net-tuned workers=1",
            "go-net-tuned workers=2"
        ]
    );
    assert_eq!(config.baseline, "threads");
    let sweep = config.sweep.unwrap();
    assert_eq!(sweep.once, ["threads", "go-net"]);
    let named = |family: &str| -> Vec<String> {
        let points = sweep.points.iter();
        points.map(|point| sweep.contender(family, point)).collect()
    };
    assert_eq!(named("epoll"), ["epoll workers=1", "epoll workers=2"]);
    // Shown at the first point; the other one is nobody's.
    assert_eq!(named("threads"), ["threads", "threads workers=2"]);
}

#[test]
fn what_is_wrong_in_a_sweep_is_named() {
    for (words, named) in [
        (vec![], "a sweep varies one of --connections"),
        (vec!["--connections", "10"], "--connections: `10` is no list"),
        (vec!["--connections", ""], "--connections: `` is no list"),
        (
            vec!["--connections", "10,"],
            "--connections: `10,` has an empty place",
        ),
        (vec!["--connections", "10,0"], "--connections: `0` should be"),
        (vec!["--connections", "10,-3"], "--connections: `-3` should be"),
        (vec!["--connections", "10,ten"], "--connections: `ten` should be"),
        (
            vec!["--connections", "10,20,10"],
            "--connections: `10` stands twice",
        ),
        (
            vec!["--connections", "10,99999999"],
            "--connections: `99999999` should be a whole number from 1 to 10000000",
        ),
        (
            vec!["--connections", "10,20", "--workers", "1,2"],
            "--workers: `1,2` is a second list beside --connections",
        ),
        (
            vec!["--connections", "10,20", "--rate", "0"],
            "--rate: `0` should be",
        ),
        (
            vec!["--rate", "10,auto"],
            "--rate: `auto` should be a number above 0",
        ),
        (vec!["--linger", "10us,20"], "--linger: `20` is no duration"),
        (vec!["--linger", "10us,20ms"], "--linger: `20ms` is too long"),
        (
            vec!["--linger", "10us,20us", "--contenders", "tokio"],
            "--linger: epoll and uring linger",
        ),
        (vec!["--message-bytes", "1,99999999"], "--message-bytes: "),
        (vec!["--workers", "0,1"], "--workers: `0` should be"),
        (
            vec!["--workers", "1,2000"],
            "--workers: `2000` should be a whole number from 1 to 1024",
        ),
        (
            vec!["--workers", "1,2", "--contender", "name=mine,echo=x:1"],
            "--workers: `mine` is a contender of yours",
        ),
        (
            vec!["--workers", "1,2", "--contenders", "threads"],
            "--workers: `threads` and `go-net` take",
        ),
        (
            vec!["--connections", "10,20", "--scenario", "few,many"],
            "--scenario: `few,many` are several",
        ),
        (vec!["--connections", "10,20", "--scenario", "fwe"], "`fwe`"),
    ] {
        let error = sweep(&words).unwrap_err();
        assert!(error.contains(named), "{words:?}: {error}");
    }
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
        (vec!["--baseline", "mio"], "--baseline: `mio`"),
        (vec!["--rate", "0"], "--rate: `0`"),
        (vec!["--rate=-1"], "--rate: `-1`"),
        (vec!["--rate", "fast"], "--rate: `fast`"),
        (
            vec!["--connections", "0"],
            "--connections: `0` should be a whole number from 1 to 10000000",
        ),
        (
            vec!["--connections", "abc"],
            "--connections: `abc` should be a whole number",
        ),
        (vec!["--message-bytes", "0"], "--message-bytes: `0` should be"),
        (
            vec!["--message-bytes", "99999999999"],
            "--message-bytes: `99999999999` should be",
        ),
        (
            vec!["--cycles", "0"],
            "--cycles: `0` should be a whole number from 1 to",
        ),
        (vec!["--slice", "soon"], "--slice: `soon` should be a duration"),
        (
            vec!["--slice", "0ms"],
            "--slice: `0s` should be between 10ms and 1h",
        ),
        (vec!["--slice", "2h"], "--slice: `2h`"),
        (vec!["--connections", "99999999"], "--connections: `99999999`"),
        (
            vec!["--think-time", "10ms"],
            "--think-time: `10ms` belongs to closed",
        ),
        (
            vec!["--think-time", "10ms", "--rate", "500"],
            "--think-time: `10ms` belongs to closed",
        ),
        (
            vec!["--baseline", "epoll", "--contenders", "tokio"],
            "--baseline: `epoll` takes no part: choose among `tokio`",
        ),
        (vec!["--linger", "11ms"], "--linger: `11ms` is too long"),
        (
            vec!["--linger", "1500ns"],
            "--linger: `1us 500ns` should be whole",
        ),
        (
            vec!["--linger", "50us", "--contenders", "tokio"],
            "--linger: epoll and uring linger",
        ),
        (
            vec![
                "--metrics",
                "127.0.0.1:9102",
                "--client-metrics",
                "127.0.0.1:9100",
            ],
            "--client-metrics: 127.0.0.1:9100 and the next ports",
        ),
        (
            vec!["--workers", "0"],
            "--workers: `0` should be a whole number from 1 to 1024",
        ),
        (vec!["--workers", "1025"], "--workers: `1025` should be"),
        (
            vec!["--events", "0"],
            "--events: `0` should be a whole number from 1 to 65536",
        ),
        (vec!["--events", "65537"], "--events: `65537` should be"),
        (vec!["--arrivals", "often"], "`often`"),
        (
            vec!["--accept", "all"],
            "--accept: `all` should be one of shared, exclusive, reuseport",
        ),
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
            "no port for each of 5",
        ),
        (vec!["--fail-if", "tokio cpu > 1"], "no figure `cpu`"),
        (vec!["--fail-if", "go/epoll cpu_percent > 1"], "`go` is none"),
        (vec!["--fail-if", "f: tokio cpu_percent > 1"], "`f` is none"),
        (
            vec!["--repeat=maybe"],
            "--repeat: `maybe` should be one of true, false",
        ),
        (vec!["--colour"], "--colour"),
    ] {
        let error = config(&words).unwrap_err();
        assert!(error.contains(named), "{words:?}: {error}");
    }
}
