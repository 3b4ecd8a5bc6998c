//! Asks a Prometheus, as Grafana would.

use super::board::{Board, Query, items, text};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A Prometheus and the stretch of time that is looked at.
pub struct Prometheus {
    base: String,
    /// Seconds since 1970.
    pub start: f64,
    /// Likewise.
    pub end: f64,
}

/// A series of an answer.
#[derive(Debug, Clone)]
pub struct Series {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its values in time: one for a moment's query.
    pub values: Vec<f64>,
}

/// A dashboard's variable.
#[derive(Debug, Clone)]
pub struct Filled {
    /// Its name.
    pub name: String,
    /// What stands in queries for it.
    pub value: String,
    /// What a user could choose.
    pub choices: BTreeSet<String>,
}

/// One of the choices instead of all.
pub fn choose(variables: &[Filled], name: &str, choice: &str) -> Vec<Filled> {
    let mut chosen = variables.to_vec();
    for variable in chosen.iter_mut().filter(|variable| variable.name == name) {
        choice.clone_into(&mut variable.value);
    }
    chosen
}

/// Now, in seconds since 1970.
pub fn now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

impl Prometheus {
    /// The one that is published on this port; it looks at nothing until told.
    pub fn on(port: u16) -> Prometheus {
        Prometheus {
            base: format!("http://127.0.0.1:{port}/api/v1"),
            start: now(),
            end: now(),
        }
    }

    fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value, String> {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(30)))
            .build()
            .into();
        let mut request = agent.get(format!("{}/{path}", self.base));
        for (name, value) in parameters {
            request = request.query(*name, *value);
        }
        let answer = request
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .map_err(|error| error.to_string())?;
        let answer: Value = serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))?;
        if answer["status"] == "success" {
            Ok(answer["data"].clone())
        } else {
            Err(text(&answer["error"]).to_owned())
        }
    }

    /// Every second of the stretch.
    ///
    /// # Errors
    /// What Prometheus says of the expression.
    pub fn range(&self, expression: &str) -> Result<Vec<Series>, String> {
        let (start, end) = (self.start.to_string(), self.end.to_string());
        let parameters = [
            ("query", expression),
            ("start", &start),
            ("end", &end),
            ("step", "1"),
        ];
        Ok(series(&self.get("query_range", &parameters)?))
    }

    /// The end of the stretch.
    ///
    /// # Errors
    /// What Prometheus says of the expression.
    pub fn moment(&self, expression: &str) -> Result<Vec<Series>, String> {
        let end = self.end.to_string();
        Ok(series(
            &self.get("query", &[("query", expression), ("time", &end)])?,
        ))
    }

    /// Right now; empty also while it cannot be asked.
    pub fn live(&self, expression: &str) -> Vec<Series> {
        self.get("query", &[("query", expression)])
            .map(|data| series(&data))
            .unwrap_or_default()
    }

    /// The values that a label has in the series of a selector.
    fn label_values(&self, selector: &str, label: &str) -> BTreeSet<String> {
        let (start, end) = (self.start.to_string(), self.end.to_string());
        let found = self.get(
            "series",
            &[("match[]", selector), ("start", &start), ("end", &end)],
        );
        let found = found.unwrap_or_else(|error| panic!("{selector}: {error}"));
        let values = items(&found).iter().map(|series| text(&series[label]).to_owned());
        values.filter(|value| !value.is_empty()).collect()
    }

    /// A dashboard's variables as Grafana fills them in when all is chosen: each as a regular expression.
    pub fn variables(&self, board: &Board) -> Vec<Filled> {
        let mut filled: Vec<Filled> = Vec::new();
        for variable in board
            .variables()
            .iter()
            .filter(|variable| variable["type"] == "query")
        {
            let name = text(&variable["name"]).to_owned();
            let query = text(&variable["query"]["query"]);
            let (selector, label) = query
                .trim_start_matches("label_values(")
                .trim_end_matches(')')
                .rsplit_once(", ")
                .unwrap();
            let values = self.label_values(&fill(selector, &filled, self.end - self.start), label);
            assert!(!values.is_empty(), "{}: variable {name} has no value", board.file);
            let every = values.iter().cloned().collect::<Vec<_>>().join("|");
            let value = variable["allValue"].as_str().map_or(every, str::to_owned);
            filled.push(Filled {
                name,
                value,
                choices: values,
            });
        }
        filled
    }

    /// A query with its variables filled in.
    pub fn filled(&self, query: &Query, variables: &[Filled]) -> String {
        fill(&query.expression, variables, self.end - self.start)
    }

    /// Asks what a panel or an annotation asks.
    ///
    /// # Errors
    /// What Prometheus says of the expression.
    pub fn ask(&self, query: &Query, variables: &[Filled]) -> Result<Vec<Series>, String> {
        let expression = self.filled(query, variables);
        if query.instant {
            self.moment(&expression)
        } else {
            self.range(&expression)
        }
    }
}

/// Puts values in for variables, Grafana's own included.
fn fill(expression: &str, variables: &[Filled], range_seconds: f64) -> String {
    let mut filled = expression
        .replace("$__rate_interval", "4s")
        .replace("$__range", &format!("{range_seconds:.0}s"));
    for Filled { name, value, .. } in variables {
        filled = filled.replace(&format!("${name}"), value);
    }
    assert!(!filled.contains('$'), "a variable is left in {filled}");
    filled
}

fn series(data: &Value) -> Vec<Series> {
    let number = |pair: &Value| text(&pair[1]).parse::<f64>().unwrap_or(f64::NAN);
    let result = items(&data["result"]).iter();
    result
        .map(|one| Series {
            labels: one["metric"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.clone(), text(value).to_owned()))
                .collect(),
            values: match one.get("values") {
                Some(values) => items(values).iter().map(number).collect(),
                None => vec![number(&one["value"])],
            },
        })
        .collect()
}

impl Series {
    /// Whether it brings a number.
    pub fn has_number(&self) -> bool {
        self.values.iter().any(|value| value.is_finite())
    }

    /// A label; empty without it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map(String::as_str).unwrap_or_default()
    }
}
