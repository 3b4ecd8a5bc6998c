//! Profiles and the allocator's figures, of every engine, from a real server under load.
//!
//! Each load checks every byte that comes back, so these tests show as well that sampling loses none.

// What a test's helpers unwrap fails the test, as it should.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "profile/load.rs"]
mod load;
#[path = "profile/server.rs"]
mod server_process;

use std::process::Command;

use load::Load;
use server::engine::ENGINES;
use server_process::Server;
use telemetry::profile::category::{Category, cpu_nanos_by_category};
use telemetry::profile::folded::{Threads, folded};
use telemetry::profile::pprof::Profile;

/// The engines that this machine allows. io_uring may be denied; the others may not be missing.
fn engines() -> Vec<&'static str> {
    let allowed = ENGINES.iter().filter(|engine| match (engine.probe)() {
        Ok(()) => true,
        Err(why) => {
            assert_eq!(engine.name, "uring", "{}: {why}", engine.name);
            eprintln!("uring is left out: {why}");
            false
        }
    });
    allowed.map(|engine| engine.name).collect()
}

/// What the first remark of a profile says: samples, and how many the CPU time implies.
fn samples_and_implied(profile: &Profile) -> (f64, f64) {
    let comments = profile.comments();
    let words: Vec<&str> = comments[0].split_whitespace().collect();
    let after = words.iter().position(|word| *word == "implies").unwrap();
    (words[0].parse().unwrap(), words[after + 1].parse().unwrap())
}

/// Waits until the server says that a recording is under way.
fn await_recording(server: &Server) {
    server.poll_until(|| {
        server
            .get("/debug/pprof/")
            .text()
            .contains("is under way")
            .then_some(())
    });
}

/// A profile of enough CPU time to judge it by. A machine that is busy elsewhere may leave too little to the first.
fn judgeable(engine: &str, server: &Server) -> Profile {
    server.poll_until(|| {
        let answer = server.get("/debug/pprof/profile?seconds=2&frequency=199");
        assert_eq!(answer.status, 200, "{engine}: {}", answer.text());
        assert!(
            answer.head.contains("application/octet-stream"),
            "{}",
            answer.head
        );
        assert_eq!(answer.body[..2], [0x1f, 0x8b], "it is gzipped");
        let profile = Profile::from_bytes(&answer.body).unwrap();
        (samples_and_implied(&profile).1 > 20.0).then_some(profile)
    })
}

#[test]
fn a_profile_under_load_shows_reading_and_writing() {
    for engine in engines() {
        let server = Server::start(engine, &[]);
        let load = Load::start(server.echo, 8);
        load.await_messages(2000);
        // A profile of little CPU time may lack the rarest of the calls by chance: then the next one shows it.
        server.poll_until(|| {
            let profile = judgeable(engine, &server);
            let found = shows_its_work(engine, &profile).and_then(|()| read_with_go(engine, &profile));
            found.inspect_err(|why| eprintln!("{engine}: {why}")).ok()
        });
        load.finish();
        server.stop();
    }
}

/// Says what is wrong with a profile of an engine under load.
fn shows_its_work(engine: &str, profile: &Profile) -> Result<(), String> {
    let stacks = folded(profile, Threads::Apart);
    let (samples, implied) = samples_and_implied(profile);
    assert!(samples >= 0.6 * implied, "{engine}: {:?}", profile.comments());
    let worker = match engine {
        "threads" => "connection",
        _ => engine,
    };
    assert!(
        stacks.lines().any(|line| line.starts_with(worker)),
        "{engine}: no thread is called {worker}…\n{stacks}"
    );
    let cut_off = stacks.lines().filter(|line| line.contains("[cut off]")).count();
    assert!(
        cut_off * 4 < stacks.lines().count(),
        "{engine}: {cut_off} stacks are cut off\n{stacks}"
    );
    let nanos = cpu_nanos_by_category(profile);
    let share = |category| nanos[category as usize] as f64 / nanos.iter().sum::<u64>() as f64;
    let expected = match engine {
        // The kernel reads and writes within the wait.
        "uring" => share(Category::Wait),
        _ => share(Category::Read).min(share(Category::Write)),
    };
    if expected <= 0.02 {
        return Err(format!("the calls are missing: {nanos:?}\n{stacks}"));
    }
    Ok(())
}

/// What an echo server is about: the calls in which the kernel reads, writes and waits.
const CALLS: [&str; 3] = ["send", "recv", "epoll_wait"];
/// Functions that count as the top of the list.
const TOP: usize = 12;

/// `go tool pprof -top` must read it; of engines that are loops around epoll it must show reading, writing and waiting on
/// top, and that they are most of it, or this says what it shows: in which order and how much of each is the machine's
/// affair. Where there is no Go, CI says so by failing.
fn read_with_go(engine: &str, profile: &Profile) -> Result<(), String> {
    if Command::new("go").arg("version").output().is_err() {
        assert!(
            std::env::var_os("CI").is_none(),
            "CI needs Go for `go tool pprof`: install golang-go"
        );
        eprintln!("{engine}: not tried with `go tool pprof`, because there is no Go here");
        return Ok(());
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("profile.pb.gz");
    std::fs::write(&file, profile.to_gzip()).unwrap();
    let output = Command::new("go")
        .args(["tool", "pprof", "-top", &format!("-nodecount={TOP}")])
        .arg(&file)
        .env("PPROF_TMPDIR", directory.path())
        .output()
        .unwrap();
    let top = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        top.contains("Type: cpu") && top.contains("flat%"),
        "{engine}: {top}"
    );
    if !["epoll", "tokio"].contains(&engine) {
        return Ok(());
    }
    let listed = flat_percents(&top);
    let shares = CALLS.map(|call| {
        let of_call = listed.iter().filter(|(function, _)| is_call(function, call));
        of_call.map(|(_, percent)| percent).sum::<f64>()
    });
    if shares.iter().all(|share| *share > 0.0) && shares.iter().sum::<f64>() > 50.0 {
        return Ok(());
    }
    Err(format!(
        "{CALLS:?} have {shares:?} %: they are not all on top, or not the most\n{top}"
    ))
}

/// The functions of the list and how much of all is spent in each itself, in percent. A line holds flat, flat%, sum%, cum,
/// cum% and the function.
fn flat_percents(top: &str) -> Vec<(&str, f64)> {
    let lines = top.lines().skip_while(|line| !line.contains("flat%")).skip(1);
    lines
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let percent = words.nth(1)?.strip_suffix('%')?.parse().ok()?;
            Some((words.nth(3)?, percent))
        })
        .collect()
}

/// Whether a function is this call, by whatever name the C library has it (`send`, `__send`, `__libc_send`).
fn is_call(function: &str, call: &str) -> bool {
    let name = function.rsplit("::").next().unwrap_or(function);
    name.trim_start_matches('_').trim_start_matches("libc_") == call
}

#[test]
fn a_flame_graph_is_a_picture_of_the_engine() {
    let server = Server::start("epoll", &[]);
    let load = Load::start(server.echo, 8);
    load.await_messages(100);
    let graph = server.get("/debug/pprof/flamegraph?seconds=1&frequency=250");
    assert_eq!(graph.status, 200, "{}", graph.text());
    assert!(graph.head.contains("image/svg+xml"));
    let text = graph.text();
    assert!(
        text.contains("<svg") && text.contains("epoll-0") && text.contains("recv"),
        "{text}"
    );
    load.finish();
    server.stop();
}

#[test]
fn bad_requests_are_told_what_is_wrong() {
    let server = Server::start("epoll", &[]);
    for (path, status, says) in [
        (
            "/debug/pprof/profile?seconds=0",
            400,
            "seconds=0: this must be a whole number from 1 to 300",
        ),
        ("/debug/pprof/profile?seconds=301", 400, "seconds=301"),
        ("/debug/pprof/profile?seconds=abc", 400, "seconds=abc"),
        (
            "/debug/pprof/flamegraph?frequency=0",
            400,
            "frequency=0: this must be a whole number from 1 to 1000",
        ),
        ("/debug/pprof/flamegraph?colour=red", 400, "`colour`"),
        ("/debug/pprof/heap", 404, "/debug/pprof/flamegraph"),
        (
            "/nothing",
            404,
            "there is nothing at /nothing; there is: /metrics, /healthz, /debug/pprof/",
        ),
        ("/debug/pprof/", 200, "No recording is under way"),
        ("/debug/pprof", 200, "/debug/pprof/profile?seconds=30"),
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
    }
    server.stop();
}

#[test]
fn an_idle_server_gives_an_empty_profile_and_no_picture() {
    let server = Server::start("threads", &[]);
    let profile = server.get("/debug/pprof/profile?seconds=1");
    assert_eq!(profile.status, 200);
    let profile = Profile::from_bytes(&profile.body).unwrap();
    assert!(
        samples_and_implied(&profile).0 <= 10.0,
        "{:?}",
        profile.comments()
    );
    if profile.sample.is_empty() {
        let graph = server.get("/debug/pprof/flamegraph?seconds=1&frequency=1");
        assert!(
            graph.status == 200 || graph.text().contains("put the server under load"),
            "{}",
            graph.text()
        );
    }
    server.stop();
}

#[test]
fn a_second_recording_is_told_how_long_the_first_still_takes() {
    let server = Server::start("epoll", &[]);
    // Longer than any machine is slow; it ends when this end hangs up.
    let first = server.ask("/debug/pprof/profile?seconds=300");
    await_recording(&server);
    for path in ["profile?seconds=1", "flamegraph?seconds=1"] {
        let refused = server.get(&format!("/debug/pprof/{path}"));
        assert_eq!(refused.status, 409, "{}", refused.text());
        assert!(refused.text().contains("try again in"), "{}", refused.text());
        assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    }
    assert_eq!(server.get("/metrics").status, 200, "scrapes go on");
    drop(first);
    server.stop();
}

#[test]
fn whoever_hangs_up_cancels_and_a_server_stops_in_the_middle() {
    let server = Server::start("epoll", &[]);
    let load = Load::start(server.echo, 4);
    drop(server.ask("/debug/pprof/profile?seconds=300"));
    server.poll_until(|| (server.get("/debug/pprof/profile?seconds=1").status == 200).then_some(()));
    let under_way = server.ask("/debug/pprof/profile?seconds=300");
    await_recording(&server);
    load.finish();
    server.stop();
    drop(under_way);
}

#[test]
fn profiles_in_a_loop_lose_no_byte() {
    // ECHOLAB_PROFILE_LOOP=60 makes it a long one.
    let seconds = std::env::var("ECHOLAB_PROFILE_LOOP")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2);
    for engine in engines() {
        // The second sampler goes on beneath the recordings.
        let server = Server::start(engine, &["--profile-hz", "97"]);
        let load = Load::start(server.echo, 32);
        let mut samples = 0.0;
        for round in 0..seconds {
            let path = match round % 2 {
                0 => "/debug/pprof/profile?seconds=1&frequency=1000",
                _ => "/debug/pprof/profile?seconds=1&frequency=250",
            };
            let answer = server.get(path);
            assert_eq!(answer.status, 200, "{engine}: {}", answer.text());
            samples += samples_and_implied(&Profile::from_bytes(&answer.body).unwrap()).0;
        }
        let messages = load.finish();
        eprintln!("{engine}: {messages} messages echoed and checked, {samples} samples taken meanwhile");
        assert!(samples > 0.0);
        server.stop();
    }
}

#[test]
fn cpu_by_category_adds_up_to_the_process() {
    let server = Server::start("epoll", &["--profile-hz", "97"]);
    let load = Load::start(server.echo, 8);
    let value = |name: &str| server.metric(name);
    let category = |name: &str| value(&format!("echolab_profile_seconds_total{{category=\"{name}\"}}"));
    // A full second of CPU: enough samples for every large category.
    server.poll_until(|| (value("process_cpu_seconds_total") > 1.0).then_some(()));
    load.finish();
    // The samples are read every half second.
    let sum = server.poll_until(|| {
        let sum: f64 = Category::ALL.iter().map(|(_, text)| category(text)).sum();
        let cpu = value("process_cpu_seconds_total");
        assert!(sum <= cpu, "{sum} of {cpu}");
        (sum > 0.8 * cpu).then_some(sum)
    });
    assert!(category("read") > 0.02 * sum && category("write") > 0.1 * sum);
    assert!(value("echolab_profile_samples_total") > 20.0);
    server.stop();
}

#[test]
fn without_a_rate_there_is_no_category() {
    let server = Server::start("epoll", &[]);
    let metrics = server.get("/metrics").text();
    assert!(!metrics.contains("echolab_profile_seconds_total"), "{metrics}");
    server.stop();
}

#[test]
fn no_engine_allocates_for_a_message() {
    for engine in engines() {
        let server = Server::start(engine, &[]);
        let load = Load::start(server.echo, 8);
        load.await_messages(5000);
        let before = (
            server.metric("echolab_allocations_total"),
            server.metric("echolab_messages_total"),
        );
        load.await_messages(20_000);
        let after = (
            server.metric("echolab_allocations_total"),
            server.metric("echolab_messages_total"),
        );
        let (allocations, messages) = (after.0 - before.0, after.1 - before.1);
        assert!(messages >= 10_000.0, "{engine}: {messages}");
        eprintln!("{engine}: {allocations} allocations in {messages} messages");
        assert!(
            allocations <= messages / 1000.0,
            "{engine}: {allocations} allocations in {messages} messages"
        );
        for figure in ["allocated", "active", "resident", "metadata"] {
            assert!(
                server.metric(&format!("echolab_allocator_{figure}_bytes")) > 0.0,
                "{engine}: {figure}"
            );
        }
        assert!(server.metric("echolab_allocator_retained_bytes") >= 0.0);
        load.finish();
        server.stop();
    }
}
