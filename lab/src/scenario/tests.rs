//! Scenarios: what is read, what flags change, what is refused.

use super::*;

const CLOSED: &str = "connections = 5\npace = \"closed\"\nthink_time = \"10ms\"\n";

#[test]
fn the_built_in_ones_are_the_originals() {
    let few = Scenario::find("few").unwrap();
    let many = Scenario::find("many").unwrap();
    assert_eq!((few.connections, few.message_bytes), (50, 100));
    assert_eq!((many.connections, many.message_bytes), (10_000, 100));
    let auto = Pace::Open {
        rate: Rate::AutoShare(0.6),
        arrivals: Arrivals::Smooth,
    };
    assert_eq!((few.pace, many.pace), (auto, auto));
    assert_eq!(
        (few.rounds, few.cycles, few.slice()),
        (6, 5, Duration::from_millis(250))
    );
}

#[test]
fn a_closed_loop_has_a_think_time() {
    let scenario = Scenario::parse(CLOSED, "x.toml", "x").unwrap();
    assert_eq!(
        scenario.pace,
        Pace::Closed {
            think_time_micros: 10_000
        }
    );
    assert_eq!(scenario.name, "x");
}

#[test]
fn what_is_wrong_is_named() {
    let open = "connections = 5\npace = \"open\"\n";
    for (text, named) in [
        ("connections = ", "TOML parse error"),
        ("connections = 5\n", "missing field `pace`"),
        (
            "connections = 5\npace = \"open\"\nconection = 3\n",
            "unknown field `conection`",
        ),
        ("connections = 0\npace = \"open\"\n", "connections = 0"),
        (
            "connections = -4\npace = \"open\"\n",
            "invalid value: integer `-4`",
        ),
        ("connections = 5\npace = \"half\"\n", "unknown variant `half`"),
        (&format!("{open}rate = 0\n"), "rate = 0"),
        (&format!("{open}rate = -1.5\n"), "rate = -1.5"),
        (&format!("{open}rate = nan\n"), "rate = NaN"),
        (&format!("{open}rate = \"fast\"\n"), "rate = \"fast\""),
        (&format!("{open}share = 1.5\n"), "share = 1.5"),
        (&format!("{open}rate = 5\nshare = 0.5\n"), "`share`"),
        (&format!("{open}arrivals = \"often\"\n"), "`often`"),
        (&format!("{open}think_time = \"1ms\"\n"), "`think_time`"),
        (&format!("{open}slice = \"fast\"\n"), "slice = \"fast\""),
        (&format!("{open}slice = \"1ms\"\n"), "slice = 1ms"),
        (&format!("{open}cycles = 0\n"), "cycles = 0"),
        (&format!("{open}message_bytes = 0\n"), "message_bytes = 0"),
        (&format!("{open}name = \"a b\"\n"), "name = \"a b\""),
        (&format!("{CLOSED}rate = 5\n"), "`rate`"),
    ] {
        let error = Scenario::parse(text, "x.toml", "x").unwrap_err().to_string();
        assert!(
            error.contains(named) && error.contains("x.toml"),
            "{text}\n{error}"
        );
    }
}

#[test]
fn an_unknown_scenario_lists_the_known_ones() {
    let error = Scenario::find("fwe").unwrap_err().to_string();
    assert!(
        error.contains("`fwe`") && error.contains("`few`, `many`"),
        "{error}"
    );
    let error = Scenario::find("no/such.toml").unwrap_err().to_string();
    assert!(
        error.contains("no/such.toml") && error.contains("cannot read"),
        "{error}"
    );
}

#[test]
fn the_command_line_changes_what_applies() {
    let overrides = Overrides {
        connections: Some(7),
        rate: Some(Some(900.0)),
        think_time: Some(Duration::from_millis(3)),
        cycles: Some(2),
        ..Overrides::default()
    };
    let open = Scenario::find("few").unwrap().with(&overrides).unwrap();
    assert_eq!((open.connections, open.cycles), (7, 2));
    assert!(matches!(
        open.pace,
        Pace::Open {
            rate: Rate::PerSecond(900.0),
            ..
        }
    ));
    let closed = Scenario::parse(CLOSED, "x", "x")
        .unwrap()
        .with(&overrides)
        .unwrap();
    assert_eq!(
        closed.pace,
        Pace::Closed {
            think_time_micros: 3_000
        }
    );
    let zero = Overrides {
        connections: Some(0),
        ..Overrides::default()
    };
    assert!(Scenario::find("few").unwrap().with(&zero).is_err());
}
