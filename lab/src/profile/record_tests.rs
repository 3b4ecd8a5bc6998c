//! Records of small profiles made by hand: one of each language.

use super::*;
use telemetry::profile::pprof::{Function, Label, Line, Location, Sample, ValueType};

/// A profile with these stacks (innermost first) and milliseconds, a sample each.
fn profile(stacks: &[(&[&str], i64)]) -> Profile {
    let mut texts: Vec<String> = ["", "cpu", "nanoseconds", "samples", "count"]
        .map(str::to_owned)
        .to_vec();
    let mut profile = Profile {
        sample_type: vec![ValueType { kind: 3, unit: 4 }, ValueType { kind: 1, unit: 2 }],
        ..Profile::default()
    };
    for (functions, millis) in stacks {
        let mut ids = Vec::new();
        for name in *functions {
            let id = profile.function.len() as u64 + 1;
            texts.push((*name).to_owned());
            profile.function.push(Function {
                id,
                name: texts.len() as i64 - 1,
                ..Function::default()
            });
            profile.location.push(Location {
                id,
                line: vec![Line {
                    function_id: id,
                    line: 1,
                }],
                ..Location::default()
            });
            ids.push(id);
        }
        profile.sample.push(Sample {
            location_id: ids,
            value: vec![1, millis * 1_000_000],
            label: vec![],
        });
    }
    profile.string_table = texts;
    profile
}

fn taken(messages: u64, nanos_per_message: Option<f64>) -> Taken<'static> {
    Taken {
        scenario: "few",
        contender: "epoll",
        messages,
        nanos_per_message,
        cost_relative_error: Some(0.02),
        pprof: "a.pb.gz",
    }
}

fn near(value: f64, wanted: f64) -> bool {
    (value - wanted).abs() < 1e-9
}

#[test]
fn a_profile_is_divided_by_its_messages() {
    let profile = profile(&[
        (
            &[
                "recv",
                "sys::socket::receive",
                "echo_server::run",
                "std::rt::main",
            ],
            30,
        ),
        (
            &["send", "sys::socket::send", "echo_server::run", "std::rt::main"],
            50,
        ),
        (&["echo_server::run", "echo_server::run", "std::rt::main"], 20),
    ]);
    let record = record(&profile, &taken(10_000, None)).unwrap();
    assert_eq!((record.samples, record.messages), (3, 10_000));
    let category = |name: &str| record.category_micros_per_message[name];
    assert!(near(category("read"), 3.0) && near(category("write"), 5.0) && near(category("other"), 2.0));
    assert_eq!(record.category_micros_per_message.len(), Category::ALL.len());
    let top: Vec<_> = record
        .top
        .iter()
        .map(|top| {
            (
                top.function.as_str(),
                top.self_micros_per_message,
                top.total_micros_per_message,
            )
        })
        .collect();
    assert_eq!(
        top,
        [
            ("send", 5.0, 5.0),
            ("recv", 3.0, 3.0),
            ("echo_server::run", 2.0, 10.0)
        ]
    );
    assert!(
        record
            .folded
            .contains("std::rt::main;echo_server::run;sys::socket::send;send 50000000\n")
    );
}

#[test]
fn the_clock_tells_the_time_and_the_profile_its_shares() {
    let profile = profile(&[
        (&["syscall.read", "main.echo", "runtime.goexit"], 10),
        (&["runtime.schedule", "runtime.mcall"], 30),
    ]);
    let record = record(&profile, &taken(1_000, Some(120_000.0))).unwrap();
    let category = |name: &str| record.category_micros_per_message[name];
    assert!(near(category("read"), 30.0) && near(category("scheduler"), 90.0));
    assert!(near(record.top[0].self_micros_per_message, 90.0));
    assert_eq!(
        record.folded,
        "runtime.goexit;main.echo;syscall.read 30000000\nruntime.mcall;runtime.schedule 90000000\n"
    );
}

#[test]
fn what_tells_nothing_is_refused_with_the_reason() {
    let some: &[(&[&str], i64)] = &[(&["main"], 1)];
    let refused = |profile: &Profile, messages| record(profile, &taken(messages, None)).unwrap_err();
    assert!(refused(&profile(some), 0).contains("no message"));
    assert!(refused(&profile(&[]), 1).contains("no sample"));
    let mut heap = profile(some);
    heap.sample_type.clear();
    assert!(refused(&heap, 1).contains("does not say how much CPU time"));
}

#[test]
fn a_record_is_bounded_whatever_a_profile_holds() {
    let names: Vec<Vec<String>> = (0..3_000)
        .map(|index| {
            vec![
                format!("function_{index}_{}", "long".repeat(50)),
                "main".to_owned(),
            ]
        })
        .collect();
    let names: Vec<Vec<&str>> = names
        .iter()
        .map(|stack| stack.iter().map(String::as_str).collect())
        .collect();
    let stacks: Vec<(&[&str], i64)> = names.iter().map(|stack| (stack.as_slice(), 1)).collect();
    let record = record(&profile(&stacks), &taken(1, None)).unwrap();
    assert!(record.folded.len() <= FOLDED_BYTES_MAX);
    assert_eq!(record.folded, "main;[rest] 3000000000\n");
    assert_eq!(record.top.len(), TOP);
}

/// As [`profile`], taken by a server of ours: each stack with its thread, and those of observers marked as the server does.
fn threaded(stacks: &[(&str, &[&str], i64)]) -> Profile {
    let bare: Vec<_> = stacks
        .iter()
        .map(|(_, functions, millis)| (*functions, *millis))
        .collect();
    let mut profile = profile(&bare);
    let mut text = |text: &str| {
        profile.string_table.push(text.to_owned());
        profile.string_table.len() as i64 - 1
    };
    let (role, observer, thread) = (text("role"), text("observer"), text("thread"));
    for ((name, ..), sample) in stacks.iter().zip(&mut profile.sample) {
        profile.string_table.push((*name).to_owned());
        let name_index = profile.string_table.len() as i64 - 1;
        let label = |key, str| Label { key, str };
        sample.label.push(label(thread, name_index));
        if matches!(*name, "profiler" | "exporter") {
            sample.label.push(label(role, observer));
        }
    }
    profile
}

#[test]
fn the_categories_add_up_to_what_the_run_says_whatever_profiling_cost() {
    let profile = threaded(&[
        ("epoll-0", &["recv", "std::rt::main"], 30),
        ("epoll-0", &["send", "std::rt::main"], 60),
        ("profiler", &["framehop::unwind", "std::rt::main"], 500),
        ("exporter", &["deflate", "std::rt::main"], 400),
    ]);
    let record = record(&profile, &taken(1_000, Some(9_000.0))).unwrap();
    assert_eq!(record.samples, 2);
    let category = |name: &str| record.category_micros_per_message[name];
    assert!(near(category("read"), 3.0) && near(category("write"), 6.0));
    assert!(near(record.category_micros_per_message.values().sum(), 9.0));
    assert_eq!(
        record.folded,
        "std::rt::main;recv 3000000\nstd::rt::main;send 6000000\n"
    );
    // Threads of another program may be called so, too.
    let mut foreign = profile.clone();
    for sample in &mut foreign.sample {
        sample.label.truncate(1);
    }
    let record = super::record(&foreign, &taken(1_000, Some(9_000.0))).unwrap();
    assert_eq!(record.samples, 4);
    assert!(near(record.category_micros_per_message.values().sum(), 9.0));
}

/// Many callers of one function, each with little: as many as it takes to pass the cap, and a few less.
#[test]
fn a_record_that_is_just_over_its_cap_differs_from_none_just_below() {
    let stacks_of = |callers: usize| {
        let names: Vec<[String; 4]> = (0..callers)
            .map(|index| {
                [
                    "hidden".to_owned(),
                    format!("caller_{index}_{}", "long".repeat(30)),
                    "worker".to_owned(),
                    "std::rt::main".to_owned(),
                ]
            })
            .collect();
        let refs: Vec<Vec<&str>> = names
            .iter()
            .map(|stack| stack.iter().map(String::as_str).collect())
            .collect();
        let millis = 60_000 / callers as i64;
        let stacks: Vec<(&[&str], i64)> = refs.iter().map(|stack| (stack.as_slice(), millis)).collect();
        let mut profile = profile(&stacks);
        // A sample each 4 ms, as they come.
        for sample in &mut profile.sample {
            sample.value[0] = millis / 4;
        }
        record(&profile, &taken(100_000, Some(600_000.0))).unwrap()
    };
    // The lines are about 170 bytes long.
    let (below, over) = (stacks_of(560), stacks_of(600));
    assert!(below.folded.contains("hidden"), "its stacks are whole");
    assert!(!over.folded.contains("hidden"), "its stacks are cut");
    for (one, other) in [(&below, &over), (&over, &below), (&below, &below)] {
        let functions = crate::profile::change::functions(one, other).unwrap();
        assert!(functions.is_empty(), "{functions:?}");
    }
}

#[test]
fn the_functions_of_a_record_are_bounded_and_say_what_they_leave_out() {
    let names: Vec<String> = (0..2_000)
        .map(|index| format!("function_{index}_{}", "long".repeat(20)))
        .collect();
    let stacks: Vec<[&str; 1]> = names.iter().map(|name| [name.as_str()]).collect();
    let stacks: Vec<(&[&str], i64)> = stacks
        .iter()
        .zip(1..)
        .map(|(stack, millis)| (stack.as_slice(), millis))
        .collect();
    let record = record(&profile(&stacks), &taken(1, None)).unwrap();
    let bytes: usize = record.functions.keys().map(String::len).sum();
    assert!(
        bytes <= NAMES_BYTES_MAX && bytes > NAMES_BYTES_MAX - 200,
        "{bytes}"
    );
    let least = *record.functions.values().min().unwrap();
    assert_eq!(record.left_out_nanos, least - 1_000_000);
}

#[test]
fn shares_add_up_to_one_or_say_why_there_are_none() {
    let read: &[&str] = &["__libc_recv", "serve"];
    let found = shares(&profile(&[(read, 3), (&["compute", "serve"], 1)])).unwrap();
    let of = |wanted: &str| found.iter().find(|(name, _)| *name == wanted).unwrap().1;
    assert!(near(of("read"), 0.75) && near(of("other"), 0.25), "{found:?}");
    assert_eq!(found.len(), Category::ALL.len());
    assert!(shares(&profile(&[])).is_err());
}
