//! Scenarios: what is read, what flags change, what is refused.

use super::*;

fn few() -> Scenario {
    Scenario::parse("connections = 50\npace = \"open\"\n", "few.toml", "few").unwrap()
}

const CLOSED: &str = "connections = 5\npace = \"closed\"\nthink_time = \"10ms\"\n";

#[test]
fn a_closed_loop_has_a_think_time() {
    let scenario = Scenario::parse(CLOSED, "x.toml", "x").unwrap();
    assert_eq!(
        scenario.pace,
        Load::Closed {
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
fn the_command_line_changes_what_applies() {
    let overrides = Overrides {
        connections: Some(7),
        rate: Some(Rate::new(900.0).ok()),
        think_time: Some(Duration::from_millis(3)),
        cycles: Some(2),
        ..Overrides::default()
    };
    let open = few().with(&overrides).unwrap();
    assert_eq!((open.connections, open.cycles), (7, 2));
    assert!(matches!(
        open.pace,
        Load::Open {
            rate: Offer::PerSecond(_),
            ..
        }
    ));
    let closed = Scenario::parse(CLOSED, "x", "x")
        .unwrap()
        .with(&overrides)
        .unwrap();
    assert_eq!(
        closed.pace,
        Load::Closed {
            think_time_micros: 3_000
        }
    );
    let zero = Overrides {
        connections: Some(0),
        ..Overrides::default()
    };
    assert!(few().with(&zero).is_err());
}
