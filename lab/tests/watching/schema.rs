//! A validator for the part of JSON Schema that `dashboard.schema.json` beside this file uses.

use serde_json::Value;

/// The schema, as text, so that a test binary needs no path to it.
const SCHEMA: &str = include_str!("dashboard.schema.json");

/// The schema of a dashboard.
pub fn dashboard() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// What is wrong with `value`: a path and a reason each. `part` names a definition (`dashboard`, `timeseries`).
pub fn problems(schema: &Value, part: &str, value: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let definition = &schema["definitions"][part];
    if definition.is_null() {
        return vec![format!("the schema knows no `{part}`")];
    }
    check(schema, definition, value, part, &mut problems);
    problems
}

fn check(schema: &Value, rule: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    if let Some(name) = rule["$ref"].as_str() {
        let definition = &schema["definitions"][name];
        assert!(
            definition.is_object(),
            "the schema refers to `{name}`, which it lacks"
        );
        return check(schema, definition, value, path, problems);
    }
    if let Some(kinds) = rule.get("type") {
        let kinds: Vec<&str> = match kinds {
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            kind => kind.as_str().into_iter().collect(),
        };
        if !kinds.iter().any(|kind| is_of(kind, value)) {
            problems.push(format!("{path}: {value} is not of type {}", kinds.join(" or ")));
            return;
        }
    }
    if let Some(allowed) = rule["enum"].as_array()
        && !allowed.contains(value)
    {
        problems.push(format!(
            "{path}: {value} is none of {}",
            Value::from(allowed.clone())
        ));
    }
    for (bound, wrong) in [
        (
            "minimum",
            value
                .as_f64()
                .zip(rule["minimum"].as_f64())
                .is_some_and(|(v, b)| v < b),
        ),
        (
            "maximum",
            value
                .as_f64()
                .zip(rule["maximum"].as_f64())
                .is_some_and(|(v, b)| v > b),
        ),
    ] {
        if wrong {
            problems.push(format!("{path}: {value} is beyond the {bound} {}", rule[bound]));
        }
    }
    if let Value::Array(items) = value {
        for (index, item) in items.iter().enumerate() {
            check(
                schema,
                &rule["items"],
                item,
                &format!("{path}[{index}]"),
                problems,
            );
        }
    }
    if let Value::Object(fields) = value {
        for required in rule["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if !fields.contains_key(required) {
                problems.push(format!("{path}: `{required}` is missing"));
            }
        }
        for (name, field) in fields {
            let inside = format!("{path}.{name}");
            match rule["properties"].get(name) {
                Some(rule) => check(schema, rule, field, &inside, problems),
                None if rule["additionalProperties"] == false => {
                    problems.push(format!("{inside}: no such field"))
                }
                None => check(schema, &rule["additionalProperties"], field, &inside, problems),
            }
        }
    }
}

fn is_of(kind: &str, value: &Value) -> bool {
    match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        _ => panic!("the schema names a type `{kind}`"),
    }
}

#[test]
fn it_finds_what_is_wrong() {
    let schema = serde_json::json!({ "definitions": {
        "a": { "type": "object", "required": ["x"], "additionalProperties": false, "properties": {
            "x": { "enum": ["p", "q"] }, "y": { "type": "array", "items": { "$ref": "b" } } } },
        "b": { "type": ["integer", "null"], "minimum": 1, "maximum": 3 } } });
    let wrong = |value| problems(&schema, "a", &value).len();
    assert_eq!(wrong(serde_json::json!({ "x": "p", "y": [1, 3, null] })), 0);
    assert_eq!(
        wrong(serde_json::json!({ "x": "r", "y": [0, 4, "1", 1.5], "z": 1 })),
        6
    );
    assert_eq!(wrong(serde_json::json!({})), 1);
    assert_eq!(wrong(serde_json::json!([])), 1);
}
