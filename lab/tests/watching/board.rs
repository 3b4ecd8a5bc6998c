//! Dashboards as files: their panels, and every query that they send.

use serde_json::Value;
use std::fs;
use std::path::Path;

/// One dashboard.
pub struct Board {
    /// The file's name.
    pub file: String,
    /// The whole JSON.
    pub json: Value,
}

/// A query of a dashboard and where it stands.
#[derive(Debug, Clone)]
pub struct Query {
    /// The file, and the panel's title, the annotation's or the variable's name.
    pub place: String,
    /// PromQL.
    pub expression: String,
    /// Whether it asks for one moment rather than a range.
    pub instant: bool,
}

/// All dashboards of grafana/dashboards.
pub fn all(root: &Path) -> Vec<Board> {
    let folder = root.join("grafana/dashboards");
    let mut boards: Vec<Board> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            Board {
                file: path.file_name().unwrap().to_string_lossy().into_owned(),
                json: serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}")),
            }
        })
        .collect();
    boards.sort_by(|a, b| a.file.cmp(&b.file));
    boards
}

/// The items of a JSON array; none when it is none.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A JSON string; empty when it is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Board {
    /// All panels, those inside collapsed rows included; rows too.
    pub fn panels(&self) -> Vec<&Value> {
        let panels = items(&self.json["panels"]).iter();
        panels
            .flat_map(|panel| std::iter::once(panel).chain(items(&panel["panels"])))
            .collect()
    }

    /// `file: title`, for complaints.
    pub fn place(&self, panel: &Value) -> String {
        format!("{}: {}", self.file, text(&panel["title"]))
    }

    /// The variables.
    pub fn variables(&self) -> &[Value] {
        items(&self.json["templating"]["list"])
    }

    /// The annotations that ask Prometheus.
    pub fn annotations(&self) -> Vec<&Value> {
        let all = items(&self.json["annotations"]["list"]).iter();
        all.filter(|annotation| annotation["expr"].is_string()).collect()
    }

    /// What panels ask.
    pub fn panel_queries(&self) -> Vec<Query> {
        let mut queries = Vec::new();
        for panel in self.panels() {
            queries.extend(items(&panel["targets"]).iter().map(|target| Query {
                place: self.place(panel),
                expression: text(&target["expr"]).to_owned(),
                instant: target["instant"] == true,
            }));
        }
        queries
    }

    /// What one target of the panel of this title asks.
    ///
    /// # Panics
    /// When there is none.
    pub fn target(&self, title: &str, index: usize) -> Query {
        let place = format!("{}: {title}", self.file);
        let queries = self.panel_queries();
        let mut queries = queries.iter().filter(|query| query.place == place);
        let query = queries.nth(index);
        query
            .unwrap_or_else(|| panic!("{place} has no target {index}"))
            .clone()
    }

    /// What annotations ask.
    pub fn annotation_queries(&self) -> Vec<Query> {
        let annotations = self.annotations().into_iter();
        annotations
            .map(|annotation| Query {
                place: format!("{}: annotation {}", self.file, text(&annotation["name"])),
                expression: text(&annotation["expr"]).to_owned(),
                instant: false,
            })
            .collect()
    }

    /// The selectors that variables take their values from: of `label_values(SELECTOR, LABEL)` the first part.
    pub fn variable_queries(&self) -> Vec<Query> {
        let variables = self
            .variables()
            .iter()
            .filter(|variable| variable["type"] == "query");
        variables
            .map(|variable| {
                let query = text(&variable["query"]["query"]);
                let inside = query
                    .strip_prefix("label_values(")
                    .and_then(|rest| rest.strip_suffix(')'))
                    .and_then(|inside| inside.rsplit_once(", "));
                let place = format!("{}: variable {}", self.file, text(&variable["name"]));
                let (selector, _label) = inside
                    .unwrap_or_else(|| panic!("{place}: `{query}` is no label_values(SELECTOR, LABEL)"));
                Query {
                    place,
                    expression: selector.to_owned(),
                    instant: true,
                }
            })
            .collect()
    }

    /// All of them.
    pub fn queries(&self) -> Vec<Query> {
        let mut queries = self.panel_queries();
        queries.extend(self.annotation_queries());
        queries.extend(self.variable_queries());
        queries
    }
}
