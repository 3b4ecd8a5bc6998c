//! Results of schema 1, in which a run had one start and its cycles stood in the run itself.

use serde_json::{Value, json};

/// What is said of such a result.
const NOTE: &str = "This result is of schema 1: each server was started once, so its intervals do not hold what another start would bring.";

/// The same result in the present schema. What is no result stays as it is: reading it says what is wrong.
pub fn upgraded(mut result: Value) -> Value {
    for run in result["runs"].as_array_mut().into_iter().flatten() {
        let Some(run) = run.as_object_mut() else { continue };
        let cycles = run.remove("cycles").unwrap_or_else(|| json!([]));
        let of = |part: &str, figure: &str| run.get(part).and_then(|part| part.get(figure)).cloned();
        let round = json!({
            "round": 0,
            "start_position": 0,
            "restarted": true,
            "ramp_seconds": of("client", "ramp_seconds"),
            "resident_bytes_before_connections": of("server", "resident_bytes_before_connections"),
            "resident_bytes": of("server", "resident_bytes"),
            "bytes": run.get("bytes"),
            "spread": null,
            "cycles": cycles,
        });
        run.insert("rounds".to_owned(), json!([round]));
    }
    if let Some(notes) = result["notes"].as_array_mut() {
        notes.push(json!(NOTE));
    }
    result["schema"] = json!(crate::result::SCHEMA);
    result
}
