//! The lab as a user meets it: what it lists, what it refuses, and that it says so once, with the remedy.

// Helpers of a test may fail the test.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use assert_cmd::assert::OutputAssertExt;

/// The lab, free of flags that the environment could set.
fn lab(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.env_clear().current_dir(folder);
    command
}

/// Everything that is below `folder`.
fn content(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn bad_input_is_one_message_and_exit_code_2_and_leaves_nothing() {
    for (words, named) in [
        (vec!["--contenders", "epoll,nginx"], "`nginx`"),
        (vec!["--scenario", "fwe"], "`fwe`"),
        (vec!["--scenario", "missing.toml"], "missing.toml"),
        (vec!["run", "--scenario", "fwe"], "`fwe`"),
        (vec!["--connections", "0"], "--connections"),
        (vec!["--connections", "abc"], "abc"),
        (vec!["--rate", "0"], "--rate"),
        (vec!["--rate=-1"], "--rate"),
        (vec!["--cycles", "0"], "--cycles"),
        (vec!["--slice", "fast"], "--slice"),
        (vec!["--server-cpus", "999"], "999"),
        (vec!["--server-cpus", "9999"], "9999"),
        (vec!["--fail-if", "tokio/epoll speed > 1"], "speed"),
        (vec!["--fail-if", "nginx/epoll cpu_percent > 1"], "nginx"),
        (vec!["--undecided", "perhaps"], "perhaps"),
        (vec!["sweep", "--undecided", "perhaps"], "perhaps"),
        (vec!["compare", "a", "b", "--undecided", "perhaps"], "perhaps"),
        (vec!["--contender", "name=mine,port=7000"], "`port`"),
        (vec!["--baseline", "nginx"], "nginx"),
        (vec!["--accept", "fair"], "fair"),
        (vec!["--profile", "--profile-seconds", "0"], "1 to 300"),
        (vec!["--profile", "--profile-seconds", "301"], "1 to 300"),
        (vec!["--profile", "--profile-seconds", "abc"], "abc"),
        (vec!["--nonsense"], "--nonsense"),
        (vec!["nonsense"], "nonsense"),
        (vec!["report", "missing.json"], "missing.json"),
        (vec!["--slice", "0ms"], "--slice"),
        (vec!["--think-time", "1ms", "--rate", "100"], "--think-time"),
        (vec!["--baseline", "epoll", "--contenders", "tokio"], "--baseline"),
        (vec!["sweep"], "--connections"),
        (vec!["sweep", "--connections", "10,"], "--connections"),
        (vec!["sweep", "--connections", "10,ten"], "`ten`"),
        (vec!["sweep", "--connections", "10,20", "--rate", "5,6"], "--rate"),
        (vec!["sweep", "--linger", "10us,1h"], "--linger"),
        (vec!["compare"], "<BEFORE>"),
        (vec!["compare", "missing.json", "missing.json"], "missing.json"),
        (vec!["compare", "a", "b", "--fail-if", "nonsense"], "nonsense"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = lab(folder.path()).args(&words).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {stderr}");
        assert!(stderr.contains(named), "{words:?}: {stderr}");
        assert_eq!(stderr.matches("error:").count(), 1, "{words:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{words:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{words:?}");
        assert!(content(folder.path()).is_empty(), "{words:?}");
    }
}

#[test]
fn a_scenario_file_that_is_none_is_named_with_its_line() {
    for (text, named) in [
        ("connections = [", "TOML"),
        (
            "connections = 5\npace = \"open\"\ncolour = 3\n",
            "unknown field `colour`",
        ),
        ("connections = 0\npace = \"open\"\n", "connections = 0"),
        ("connections = 5\npace = \"open\"\nrate = 0\n", "rate = 0"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine.toml"), text).unwrap();
        let output = lab(folder.path())
            .args(["--scenario", "mine.toml"])
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}: {stderr}");
        assert!(
            stderr.contains(named) && stderr.contains("mine.toml"),
            "{text}: {stderr}"
        );
        assert_eq!(content(folder.path()), ["mine.toml"]);
    }
}

#[test]
fn an_output_that_cannot_be_written_stops_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    // A file where a folder should be stops even root.
    std::fs::write(folder.path().join("taken"), "").unwrap();
    let output = lab(folder.path())
        .args(["--output", "taken/results"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("--output") && stderr.contains("taken/results"),
        "{stderr}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn flags_may_come_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [
        ("SCENARIOS", "fwe"),
        ("CONNECTIONS", "abc"),
        ("RATE", "-1"),
        ("CONTENDERS", "nginx"),
        ("LAB_REPEAT", "perhaps"),
        ("UNDECIDED", "perhaps"),
        ("PROFILE", "perhaps"),
        ("PROFILE_SECONDS", "0"),
        ("CONTENDER", "name=a,echo=x"),
    ] {
        let output = lab(folder.path()).env(name, value).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
        assert!(stderr.contains(value), "{name}: {stderr}");
        let named = format!("error: {name} in the environment");
        assert!(
            stderr.starts_with(&named) && stderr.lines().count() == 1,
            "{name}: {stderr}"
        );
        assert!(content(folder.path()).is_empty(), "{name}");
    }
}

#[test]
fn a_number_that_cannot_be_is_said_in_one_line_with_its_remedy() {
    let to = |least: u64, most: u64| format!("should be a whole number from {least} to {most}");
    for (flag, least, most, beyond) in [
        ("--connections", 1, 10_000_000, "10000001"),
        ("--message-bytes", 1, 16 << 20, "16777217"),
        ("--workers", 1, 1024, "1025"),
        ("--events", 1, 65_536, "65537"),
        ("--cycles", 1, u64::from(u32::MAX), "4294967296"),
        ("--profile-seconds", 1, 300, "301"),
        ("--profile-hz", 0, 1_000, "1001"),
        ("--seed", 0, u64::MAX, "18446744073709551616"),
    ] {
        for value in ["", "abc", "1.5", beyond] {
            let folder = tempfile::tempdir().unwrap();
            let variable = flag[2..].to_uppercase().replace('-', "_");
            let as_flag = lab(folder.path()).args([flag, value]).output().unwrap();
            let as_variable = lab(folder.path()).env(&variable, value).output().unwrap();
            for (output, origin) in [
                (as_flag, flag.to_owned()),
                (as_variable, format!("{variable} in the environment")),
            ] {
                assert_eq!(output.status.code(), Some(2), "{origin} {value}");
                assert_eq!(
                    String::from_utf8(output.stderr).unwrap(),
                    format!("error: {origin}: `{value}` {}\n", to(least, most))
                );
            }
        }
    }
}

#[test]
fn what_would_do_nothing_is_refused_unless_the_environment_says_it() {
    for (flag, variable, value) in [
        ("--profile-seconds", "PROFILE_SECONDS", "9"),
        ("--accept", "ACCEPT", "shared"),
        ("--trigger", "TRIGGER", "level"),
        ("--events", "EVENTS", "7"),
        ("--think-time", "THINK_TIME", "10ms"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let gone = ["--contenders", "own", "--contender", "name=gone,echo=127.0.0.1:1"];
        let run = |command: &mut Command| {
            let output = command.args(gone).output().unwrap();
            assert_eq!(output.status.code(), Some(2));
            String::from_utf8(output.stderr).unwrap()
        };
        let refused = run(lab(folder.path()).args([flag, value]));
        assert!(refused.starts_with(&format!("error: {flag}: ")), "{refused}");
        assert!(
            refused.to_lowercase().contains("leave it out") && refused.lines().count() == 1,
            "{refused}"
        );
        assert!(content(folder.path()).is_empty());
        // It gets as far as asking for the contender, who is gone.
        let passed = run(lab(folder.path()).env(variable, value));
        assert!(passed.contains("gone is skipped"), "{variable}: {passed}");
    }
}

#[test]
fn a_sweeps_list_may_come_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    // A list is none of what `run` takes, and that does not matter to a sweep.
    let output = lab(folder.path())
        .args(["sweep", "--rate", "1,2"])
        .env("CONNECTIONS", "10,20")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("second list"), "{stderr}");
}

#[test]
fn the_list_names_every_contender_and_scenario() {
    let folder = tempfile::tempdir().unwrap();
    // The environment of a run does not disturb a list.
    let assert = lab(folder.path())
        .arg("list")
        .env("SCENARIOS", "few")
        .env("CONNECTIONS", "10,20")
        .assert()
        .success();
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    for name in ["epoll", "tokio", "threads", "few", "many", "10000 connections"] {
        assert!(text.contains(name), "{name} is not in\n{text}");
    }
}

#[test]
fn a_reader_that_has_seen_enough_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gone = ["--contenders", "own", "--contender", "name=gone,echo=127.0.0.1:1"];
    for (words, code) in [(&["list"][..], 0), (&gone, 2)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = lab(folder.path()).args(words).stdout(writer).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {stderr}");
        assert!(!stderr.contains("panicked"), "{words:?}: {stderr}");
    }
}

#[test]
fn it_starts_itself_as_server_and_client() {
    let folder = tempfile::tempdir().unwrap();
    for role in ["server", "client"] {
        let output = lab(folder.path()).args([role, "--help"]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{role}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("--cpus"), "{role}: {text}");
    }
}

#[test]
fn a_contender_that_cannot_run_is_a_row_that_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let output = lab(folder.path())
        .args(["--scenario", "few", "--contenders", "own", "--quick"])
        .args(["--contender", "name=gone,echo=127.0.0.1:1"])
        .args(["--contender", "name=broken,command=./no-such-program {port}"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    // Both are what the user said wrongly.
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for part in [
        "gone is skipped",
        "127.0.0.1:1",
        "broken is skipped",
        "no-such-program",
    ] {
        assert!(stdout.contains(part), "{part} is not in\n{stdout}");
    }
    // Nothing was measured, so it is kept but not the latest result.
    let results = folder.path().join("results");
    assert!(!results.join("latest").exists());
    let run = std::fs::read_dir(&results)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let result = lab::store::load(&run.join("result.json")).unwrap();
    assert_eq!(result.skipped.len(), 2);
    // The report can be made again from the result alone.
    let reports = lab::store::report_paths(&run);
    for report in &reports {
        std::fs::remove_file(report).unwrap();
    }
    let again = lab(folder.path())
        .arg("report")
        .arg(run.join("result.json"))
        .assert()
        .success();
    let text = String::from_utf8(again.get_output().stdout.clone()).unwrap();
    assert!(text.contains("gone is skipped"), "{text}");
    assert!(reports.iter().all(|report| report.is_file()));
}

#[test]
fn a_named_contender_that_takes_no_part_is_exit_code_5() {
    let gone = "name=gone,command=\"./nothing --port {port}\"";
    let missing = "go-net did not take part in few";
    let rule = ["--fail-if", "gone/epoll cpu_micros_per_message > 1"];
    let undecided = ["--undecided", "pass"];
    for (contenders, more, named) in [
        ("epoll,own", &["--contender", gone][..], "gone did not take part"),
        (
            "epoll,own",
            &[&["--contender", gone][..], &rule, &undecided].concat(),
            "failed: `gone/epoll cpu_micros_per_message > 1` cannot be decided in few: gone did not run",
        ),
        ("epoll,go-net", &[], missing),
    ] {
        let folder = tempfile::tempdir().unwrap();
        // Without PATH and in a folder of its own it finds no Go.
        let output = lab(folder.path())
            .args([
                "--scenario",
                "few",
                "--connections",
                "2",
                "--rate",
                "200",
                "--no-pin",
            ])
            .args(["--slice", "30ms", "--rounds", "1", "--cycles", "2"])
            .args(["--contenders", contenders])
            .args(more)
            .output()
            .unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(5), "{contenders} {more:?}: {stderr}");
        assert!(stderr.contains(named), "{contenders} {more:?}: {stderr}");
    }
}

#[test]
fn the_help_of_a_run_lists_the_exit_codes() {
    let folder = tempfile::tempdir().unwrap();
    let assert = lab(folder.path()).args(["run", "--help"]).assert().success();
    let text = String::from_utf8(assert.get_output().stdout.clone()).unwrap();
    for part in [
        "Exit codes:",
        "a rule of --fail-if holds",
        "--undecided <fail|pass>",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn more_connections_than_can_be_are_a_fault_of_the_input_when_a_flag_asks_for_them() {
    let asked = |words: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(
            folder.path().join("huge.toml"),
            "connections = 10000000\npace = \"open\"\n",
        )
        .unwrap();
        let mut command = lab(folder.path());
        command.args(words).args(["--contenders", "epoll,tokio"]);
        // Whatever this machine allows, so much it does not.
        sys::child::limit_descriptors(&mut command, 1_000);
        let output = command.output().unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(stdout.contains("choose fewer --connections"), "{stdout}");
        output.status.code()
    };
    assert_eq!(asked(&["--scenario", "few", "--connections", "9000000"]), Some(2));
    assert_eq!(asked(&["--scenario", "huge.toml"]), Some(1));
    assert_eq!(
        asked(&["sweep", "--scenario", "few", "--connections", "8000000,9000000"]),
        Some(2)
    );
}

#[test]
fn settings_of_our_server_reach_no_other() {
    let folder = tempfile::tempdir().unwrap();
    // What a contender of this repository that is built apart would be: it notes its environment, and ends.
    let external = folder.path().join("contenders/rust-runtimes/target/release/mio");
    std::fs::create_dir_all(external.parent().unwrap()).unwrap();
    std::fs::write(&external, "#!/bin/sh\nenv > external\nexit 1\n").unwrap();
    std::fs::set_permissions(&external, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mine = "name=mine,command=\"sh -c 'env > mine' {port}\"";
    let output = lab(folder.path())
        .env("PATH", std::env::var_os("PATH").unwrap())
        .args([
            "--scenario",
            "few",
            "--contenders",
            "mio,mine",
            "--contender",
            mine,
        ])
        .envs([
            ("READ_BUFFER", "7"),
            ("NODELAY", "false"),
            ("GOGC", "off"),
            ("OF_MINE", "kept"),
        ])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let noted = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(name));
        text.unwrap_or_else(|error| panic!("{name}: {error}: {stderr}"))
    };
    let (external, mine) = (noted("external"), noted("mine"));
    for setting in ["READ_BUFFER", "NODELAY"] {
        assert!(
            !external.contains(setting) && !mine.contains(setting),
            "{external}\n{mine}"
        );
    }
    for of_the_user in ["GOGC=off", "OF_MINE=kept"] {
        assert!(!external.contains(of_the_user), "{external}");
        assert!(mine.contains(of_the_user), "{mine}");
    }
    assert!(external.contains("PATH="), "{external}");
}

#[test]
fn a_clash_of_the_clients_metrics_names_the_flag_that_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = lab(folder.path())
        .args(["--scenario", "few", "--contenders", "epoll", "--quick"])
        .args(["--client-metrics", &address])
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.contains("--client-metrics") && stderr.contains(&address),
        "{stderr}"
    );
    assert!(!stderr.contains(" --metrics"), "{stderr}");
}

#[test]
fn every_file_among_the_scenarios_is_one() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    for file in content(&folder) {
        let path = folder.join(&file);
        let scenario = lab::scenarios::find(&path.to_string_lossy()).unwrap();
        assert_eq!(file, format!("{}.toml", scenario.name));
    }
}
