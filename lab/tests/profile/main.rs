//! `lab run --profile` on real processes: a planted function is found, what has no profile costs nothing else.
//!
//! Shares and names are asserted, never times: the machine may be busy.

// Helpers of a test may fail the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

// The other test of real runs uses the rest of it.
#[allow(dead_code)]
#[path = "../lies/bench.rs"]
mod bench;
mod server;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bench::{Bench, run_of, wait_until_gone};
use lab::measure::Exposition;
use lab::profile::change;
use libtest_mimic::{Arguments, Trial};
use model::profile::ProfileRecord;
use model::result::LabResult;
use model::verdict::Verdict;
use telemetry::profile::category::Category;

fn main() {
    let words: Vec<String> = std::env::args().collect();
    if words.get(1).is_some_and(|word| word == server::NAME) {
        return server::main(&words[2..]);
    }
    // The lab looks for the Go contender's sources from here.
    std::env::set_current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap();
    let tests: [(&str, fn()); 7] = [
        (
            "a_planted_function_is_found_and_nothing_else",
            a_planted_function_is_found_and_nothing_else,
        ),
        (
            "what_has_no_profile_says_why_and_costs_nothing_else",
            what_has_no_profile_says_why_and_costs_nothing_else,
        ),
        (
            "a_contender_of_the_users_own_takes_part",
            a_contender_of_the_users_own_takes_part,
        ),
        (
            "ctrl_c_in_a_profile_keeps_what_was_measured",
            ctrl_c_in_a_profile_keeps_what_was_measured,
        ),
        (
            "ctrl_c_between_profiles_leaves_no_dead_link",
            ctrl_c_between_profiles_leaves_no_dead_link,
        ),
        (
            "dashboards_learn_what_the_cpu_of_others_goes_into",
            dashboards_learn_what_the_cpu_of_others_goes_into,
        ),
        (
            "go_is_profiled_and_its_allocations_are_counted",
            go_is_profiled_and_its_allocations_are_counted,
        ),
    ];
    let mut arguments = Arguments::from_args();
    // They measure: one at a time.
    arguments.test_threads = Some(1);
    let trials = tests.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}

/// The flags of a contender with profiles of this kind, called `name`.
fn contender(bench: &Bench, name: &str, kind: &str) -> [String; 2] {
    let exe = std::env::current_exe().unwrap();
    let pid_file = bench.path(&format!("{name}.pid"));
    let command = format!(
        "'{}' {} {kind} {{port}} {{metrics_port}} '{}'",
        exe.display(),
        server::NAME,
        pid_file.display()
    );
    [
        "--contender".to_owned(),
        format!("name={name},command=\"{command}\",metrics=http://127.0.0.1:{{metrics_port}}/metrics"),
    ]
}

const SHORT: [&str; 4] = ["--slice", "150ms", "--cycles", "2"];

fn flags<'a>(contenders: &'a str, seconds: &'a str) -> Vec<&'a str> {
    let mut flags = vec![
        "--contenders",
        contenders,
        "--profile",
        "--profile-seconds",
        seconds,
    ];
    flags.extend(SHORT);
    flags
}

fn profile_of<'a>(result: &'a LabResult, contender: &str) -> &'a ProfileRecord {
    let mut records = result.profiles.iter();
    records
        .find(|record| record.contender == contender)
        .unwrap_or_else(|| panic!("there is no record of {contender}"))
}

/// The categories of each profile add up to what a message cost in the measured slices.
fn costs_add_up(result: &LabResult) {
    for record in &result.profiles {
        let sum: f64 = record.category_micros_per_message.values().sum();
        let run = run_of(result, &record.contender).server.cpu_micros_per_message;
        let wanted = run.unwrap_or_else(|| panic!("what {} costs is not known", record.contender));
        assert!(
            (sum / wanted - 1.0).abs() < 1e-6,
            "{}: {sum} where {wanted} was wanted",
            record.contender
        );
    }
}

/// The functions that got dearer and cheaper, beyond chance.
fn changes(result: &LabResult, baseline: &str, contender: &str) -> (Vec<String>, Vec<String>) {
    let (baseline, contender) = (profile_of(result, baseline), profile_of(result, contender));
    let functions = change::functions(baseline, contender).unwrap();
    let names = |dearer: bool| {
        let wanted = functions
            .iter()
            .filter(|function| (function.change_nanos() > 0.0) == dearer);
        wanted.map(|function| function.name.clone()).collect()
    };
    (names(true), names(false))
}

/// The flags of our own `epoll` as a contender of the user's, called `name`, with this library loaded before all others.
fn copy_of_epoll(name: &str, preload: Option<&Path>) -> [String; 2] {
    let preload = preload.map_or_else(String::new, |library| {
        format!("LD_PRELOAD='{}'", library.display())
    });
    let command = format!(
        "env {preload} '{}' server --engine epoll --workers 1 --listen 127.0.0.1:{{port}} --metrics 127.0.0.1:{{metrics_port}}",
        env!("CARGO_BIN_EXE_lab")
    );
    [
        "--contender".to_owned(),
        format!("name={name},command=\"{command}\",metrics=http://127.0.0.1:{{metrics_port}}/metrics"),
    ]
}

/// Compiles what makes a slower copy of a server.
fn planted(bench: &Bench) -> PathBuf {
    let library = bench.path("planted.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/profile/planted.c");
    let compiled = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .expect("a C compiler, which building echolab takes as well");
    assert!(compiled.status.success(), "{compiled:?}");
    library
}

fn a_planted_function_is_found_and_nothing_else() {
    // Another program may take caches or CPU in one of two profiles, which is a difference and not ours, or leave too
    // little CPU for any sample to be taken: then again.
    let mut seen = Vec::new();
    let mut again = |why: String| {
        eprintln!("once more, because: {why}");
        seen.push(why);
    };
    for _ in 0..4 {
        let bench = Bench::new();
        let contenders = [
            copy_of_epoll("twin", None),
            copy_of_epoll("slow", Some(&planted(&bench))),
        ];
        let mut flags = flags("epoll,own", "3");
        flags.extend(["--workers", "1"]);
        let mut lab = bench.start(10, 4_000, &flags, &contenders);
        lab.wait_for_cycles("slow", 2);
        let folder = lab.latest().join("profiles");
        let (result, code) = lab.finish();
        assert_eq!(code, bench::expected_code(&result));
        let missing: Vec<_> = result
            .profiles
            .iter()
            .filter_map(|record| record.missing.clone())
            .collect();
        if !missing.is_empty() {
            assert!(
                missing.iter().all(|why| why == "its profile holds no sample"),
                "{missing:?}"
            );
            again(format!("{missing:?}"));
            continue;
        }
        costs_add_up(&result);
        let twin = changes(&result, "epoll", "twin");
        let slow = changes(&result, "epoll", "slow");
        let is_planted = |name: &String| name.ends_with("planted_hot_function");
        if !(twin == (vec![], vec![]) && slow.0.len() == 1 && is_planted(&slow.0[0])) {
            let samples: Vec<_> = result.profiles.iter().map(|record| record.samples).collect();
            again(format!("{samples:?} samples, twin {twin:?}, slow {slow:?}"));
            continue;
        }
        let top = &profile_of(&result, "slow").top;
        assert!(top.iter().any(|top| is_planted(&top.function)), "{top:?}");
        let picture = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
        let dearer = picture("lie-slow-against-epoll-dearer.svg");
        let risen: Vec<_> = dearer
            .split("<title>")
            .filter(|frame| frame.contains("%; +"))
            .collect();
        let of_planted = |frame: &&str| frame.contains("planted_hot_function (");
        assert!(!risen.is_empty() && risen.iter().all(of_planted), "{risen:?}");
        assert!(!picture("lie-slow-against-epoll-cheaper.svg").contains("planted_hot_function ("));
        assert!(!picture("lie-twin-against-epoll-dearer.svg").contains("%; +"));
        return;
    }
    panic!("something else each time: {seen:#?}");
}

fn what_has_no_profile_says_why_and_costs_nothing_else() {
    let bench = Bench::new();
    let contenders =
        ["absent", "busy", "garbage", "mortal", "foreign"].map(|kind| contender(&bench, kind, kind));
    let (result, code) = bench.run(4, 1_000, &flags("own", "1"), &contenders);
    assert_eq!(code, bench::expected_code(&result));
    assert!(result.complete);
    for (name, why) in [
        ("absent", "it serves no profiles"),
        ("busy", "409 (try again in 7 s)"),
        ("garbage", "what it served cannot be used"),
        ("mortal", "its server ended while it was profiled (exit code 9)"),
    ] {
        let record = profile_of(&result, name);
        let missing = record.missing.as_deref().unwrap_or_default();
        assert!(missing.contains(why), "{name}: {missing}");
        assert_eq!((record.messages, record.folded.as_str()), (0, ""));
    }
    assert_eq!(profile_of(&result, "foreign").missing, None);
    for run in &result.runs {
        assert_eq!(run.cycles().count(), 2, "{}", run.contender);
        assert!(run.errors.is_empty(), "{}: {:?}", run.contender, run.errors);
        assert!(!run.verdicts.contains(&Verdict::ServerDied), "{:?}", run.reasons);
    }
    let unchecked = &run_of(&result, "mortal").unchecked;
    assert!(
        unchecked
            .iter()
            .any(|what| what.starts_with("bytes: its server ended")),
        "{unchecked:?}"
    );
}

fn a_contender_of_the_users_own_takes_part() {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let (echo, metrics) = (bind(), bind());
    let definition = format!(
        "name=mine,echo={},metrics=http://{}/metrics",
        echo.local_addr().unwrap(),
        metrics.local_addr().unwrap()
    );
    // They serve until this process ends.
    std::thread::spawn(move || server::echo(echo));
    std::thread::spawn(move || server::pretend(&metrics, "foreign"));
    let bench = Bench::new();
    let mine = [["--contender".to_owned(), definition]];
    let mut lab = bench.start(4, 1_000, &flags("own", "1"), &mine);
    lab.wait_for_cycles("mine", 2);
    let folder = lab.latest();
    let (result, _) = lab.finish();
    let record = profile_of(&result, "mine");
    assert_eq!(record.missing, None);
    assert_eq!(
        (record.samples, record.top[0].function.as_str()),
        (5, "serve_forever")
    );
    // It says 50 ms of CPU, and no clock says otherwise.
    let sum: f64 = record.category_micros_per_message.values().sum();
    let wanted = 50_000.0 / record.messages as f64;
    assert!(
        (sum / wanted - 1.0).abs() < 1e-6,
        "{sum} where {wanted} was wanted"
    );
    for name in [&record.pprof, "profiles/lie-mine.svg"] {
        assert!(folder.join(name).is_file(), "{name}");
    }
    let report = std::fs::read_to_string(folder.join("report.md")).unwrap();
    assert!(
        report.contains("serve_forever") && report.contains("profiles/lie-mine.svg"),
        "{report}"
    );
    // Pictures can be made again from the result alone.
    let picture = folder.join("profiles/lie-mine.svg");
    let before = std::fs::read(&picture).unwrap();
    std::fs::remove_dir_all(folder.join("profiles")).unwrap();
    let again = Command::new(env!("CARGO_BIN_EXE_lab"))
        .env_clear()
        .arg("report")
        .arg(folder.join("result.json"))
        .output()
        .unwrap();
    assert!(again.status.success(), "{again:?}");
    assert_eq!(std::fs::read(&picture).unwrap(), before);
}

fn ctrl_c_in_a_profile_keeps_what_was_measured() {
    let bench = Bench::new();
    let contenders = [contender(&bench, "honest", "honest")];
    let mut lab = bench.start(4, 1_000, &flags("own", "300"), &contenders);
    lab.wait_for_cycles("honest", 2);
    let deadline = Instant::now() + Duration::from_secs(120);
    while !std::fs::read_to_string(bench.path("stderr"))
        .unwrap()
        .contains("profiling")
    {
        assert!(Instant::now() < deadline, "it does not come to profiles");
        std::thread::sleep(Duration::from_millis(10));
    }
    let server = bench.pid("honest");
    sys::child::terminate(lab.pid()).unwrap();
    let (result, code) = lab.finish();
    assert_eq!(code, 130);
    assert_eq!(run_of(&result, "honest").cycles().count(), 2);
    assert!(!result.complete && result.profiles.is_empty());
    wait_until_gone(server);
}

fn ctrl_c_between_profiles_leaves_no_dead_link() {
    let bench = Bench::new();
    // The second one never answers, so the run is stopped while it has the first one's profile alone.
    let contenders = ["foreign", "silent"].map(|kind| contender(&bench, kind, kind));
    let mut lab = bench.start(4, 1_000, &flags("own", "1"), &contenders);
    lab.wait_for("a profile", |result| !result.profiles.is_empty());
    let folder = lab.latest();
    sys::child::terminate(lab.pid()).unwrap();
    let (result, code) = lab.finish();
    assert_eq!((code, result.profiles.len()), (130, 1));
    let report = std::fs::read_to_string(folder.join("report.md")).unwrap();
    let links: Vec<_> = report
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(link, _)| link)
        .filter(|link| link.starts_with("profiles/"))
        .collect();
    assert!(links.contains(&"profiles/lie-foreign.svg"), "{report}");
    for link in links {
        assert!(folder.join(link).is_file(), "{link} leads nowhere");
    }
}

/// Who samples itself is not asked, who serves a profile is, and who does neither takes part all the same.
fn dashboards_learn_what_the_cpu_of_others_goes_into() {
    let bench = Bench::new();
    let contenders = ["honest", "garbage"].map(|kind| contender(&bench, kind, kind));
    let flags = [
        "--contenders",
        "epoll,own",
        "--profile-hz",
        "100",
        "--metrics",
        "127.0.0.1:0",
        "--slice",
        "150ms",
        "--cycles",
        "100000",
    ];
    let mut lab = bench.start(4, 1_000, &flags, &contenders);
    lab.wait_for_cycles("garbage", 1);
    let share_of = |metrics: &Exposition, contender: &str, category: &str| {
        let labels = [("contender", contender), ("category", category)];
        metrics.value("echolab_profile_share", &labels)
    };
    let metrics = lab.wait_for_metrics("the shares of honest", |metrics| {
        share_of(metrics, "honest", "read").is_some()
    });
    let shares: Vec<f64> = Category::ALL
        .iter()
        .map(|(_, name)| share_of(&metrics, "honest", name).unwrap())
        .collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{shares:?}");
    for other in ["epoll", "garbage"] {
        assert_eq!(share_of(&metrics, other, "read"), None, "{other}");
    }
    sys::child::terminate(lab.pid()).unwrap();
    let (result, code) = lab.finish();
    assert_eq!(code, 130);
    assert!(result.profiles.is_empty());
}

fn go_is_profiled_and_its_allocations_are_counted() {
    if Command::new("go").arg("version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI needs Go: install golang-go");
        eprintln!("skipped: there is no Go here");
        return;
    }
    let bench = Bench::new();
    let mut flags = vec![
        "--contenders",
        "epoll,go-net,go-net-tuned",
        "--profile",
        "--profile-seconds",
        "4",
    ];
    flags.extend(["--slice", "500ms", "--cycles", "4"]);
    let mut lab = bench.start(20, 10_000, &flags, &[]);
    lab.wait_for_cycles("epoll", 4);
    let folder = lab.latest();
    let (result, _) = lab.finish();
    for name in ["epoll", "go-net", "go-net-tuned"] {
        let record = profile_of(&result, name);
        assert_eq!(record.missing, None, "{name}");
        let micros = |category: &str| record.category_micros_per_message[category];
        assert!(
            micros("write") > 0.0,
            "{name}: {:?}",
            record.category_micros_per_message
        );
        assert!(
            micros("other") < micros("write"),
            "{name}: {:?}",
            record.category_micros_per_message
        );
        // The original's figure, and that of the scrapes beside it.
        let server = &run_of(&result, name).server;
        let (count, bytes) = (
            server.allocations_per_message.unwrap(),
            server.allocated_bytes_per_message.unwrap(),
        );
        match name {
            "epoll" => assert!(count < 0.001 && bytes < 1.0, "{name}: {count}, {bytes}"),
            "go-net" => assert!(
                (0.99..1.2).contains(&count) && (207.0..260.0).contains(&bytes),
                "{name}: {count}, {bytes}"
            ),
            _ => assert!(count < 0.1 && bytes < 20.0, "{name}: {count}, {bytes}"),
        }
    }
    costs_add_up(&result);
    let why = change::functions(profile_of(&result, "epoll"), profile_of(&result, "go-net"));
    assert!(why.unwrap_err().to_string().contains("written in Go"));
    let profiles = folder.join("profiles");
    assert!(profiles.join("lie-go-net.svg").is_file());
    assert!(!profiles.join("lie-go-net-against-epoll-dearer.svg").exists());
    let report = std::fs::read_to_string(folder.join("report.md")).unwrap();
    assert!(
        report.contains("go-net against epoll, µs by category, beyond chance"),
        "{report}"
    );
}
