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
    result["schema"] = json!(model::result::SCHEMA);
    result
}

#[cfg(test)]
mod tests {
    use crate::report::fixture;
    use model::result::LabResult;

    use super::*;

    /// The fixture as the lab before rounds would have written it.
    fn old() -> Value {
        let mut result = serde_json::to_value(fixture::result()).unwrap();
        result["schema"] = json!(1);
        for run in result["runs"].as_array_mut().unwrap() {
            let rounds = run.as_object_mut().unwrap().remove("rounds").unwrap();
            let rounds = rounds.as_array().unwrap();
            let cycles: Vec<Value> = rounds
                .iter()
                .flat_map(|round| round["cycles"].as_array().unwrap().clone())
                .collect();
            run["cycles"] = json!(cycles);
        }
        for scenario in result["config"]["scenarios"].as_array_mut().unwrap() {
            scenario.as_object_mut().unwrap().remove("rounds");
        }
        result
    }

    #[test]
    fn an_old_result_has_one_round_with_all_its_cycles_and_says_so() {
        let result: LabResult = serde_json::from_value(upgraded(old())).unwrap();
        for (run, now) in result.runs.iter().zip(fixture::result().runs) {
            assert_eq!(run.rounds.len(), 1);
            assert_eq!(run.cycles().count(), now.cycles().count());
            assert_eq!(run.rounds[0].bytes, now.bytes);
        }
        assert!(result.notes.last().unwrap().contains("schema 1"));
        assert_eq!(result.config.scenarios[0].rounds, 1);
        // Comparisons stand as they were found.
        assert_eq!(result.comparisons, fixture::result().comparisons);
    }

    #[test]
    fn what_is_no_result_stays_none() {
        for nonsense in [
            json!({}),
            json!({"schema": 1, "runs": 3}),
            json!({"schema": 1, "runs": [7]}),
        ] {
            assert!(serde_json::from_value::<LabResult>(upgraded(nonsense)).is_err());
        }
    }
}
