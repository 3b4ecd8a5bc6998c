//! Dashboards and recording rules, held by a plain `cargo test`: they name only metrics that exist, follow the rules of
//! Grafana's dashboard linter, and are what Grafana takes from a file. The rules themselves stand in `watching/lint.rs`;
//! the last test shows that each one does complain.

mod watching;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use watching::board::{self, Board, text};
use watching::lint::RULES;
use watching::promql::selectors;
use watching::rules;

/// What the Go contender exposes under the names of Go's official Prometheus client library.
const GO_METRICS: &[&str] = &[
    "go_gc_duration_seconds_count",
    "go_gc_duration_seconds_sum",
    "go_goroutines",
    "go_memstats_alloc_bytes_total",
    "go_memstats_frees_total",
    "go_memstats_gc_cpu_fraction",
    "go_memstats_gc_sys_bytes",
    "go_memstats_heap_alloc_bytes",
    "go_memstats_heap_idle_bytes",
    "go_memstats_heap_inuse_bytes",
    "go_memstats_heap_released_bytes",
    "go_memstats_heap_sys_bytes",
    "go_memstats_mallocs_total",
    "go_memstats_next_gc_bytes",
    "go_memstats_stack_inuse_bytes",
    "go_memstats_sys_bytes",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Names under which something may be asked: what our processes expose, and what the rules record.
fn known_metrics() -> BTreeSet<String> {
    let mut known: BTreeSet<String> = GO_METRICS.iter().map(|name| (*name).to_owned()).collect();
    for metric in telemetry::names::ALL {
        if metric.kind == telemetry::names::Kind::Histogram {
            known.extend(["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", metric.name)));
        } else {
            known.insert(metric.name.to_owned());
        }
    }
    known.extend(rules::all(&root()).into_iter().map(|rule| rule.record));
    known
}

#[test]
fn dashboards_keep_the_rules() {
    let boards = board::all(&root());
    let mut complaints = Vec::new();
    for board in &boards {
        for (name, rule) in RULES {
            complaints.extend(rule(board).into_iter().map(|what| format!("{name}: {what}")));
        }
    }
    assert!(complaints.is_empty(), "\n{}", complaints.join("\n"));
}

#[test]
fn the_four_dashboards_are_there_and_apart() {
    let boards = board::all(&root());
    let uids: BTreeSet<&str> = boards.iter().map(|board| text(&board.json["uid"])).collect();
    let expected = [
        "echolab-client",
        "echolab-comparison",
        "echolab-epolls",
        "echolab-server",
    ];
    assert!(expected.iter().all(|uid| uids.contains(uid)), "{uids:?}");
    assert_eq!(uids.len(), boards.len(), "two dashboards share a uid");
}

#[test]
fn every_metric_asked_for_exists() {
    let known = known_metrics();
    let boards = board::all(&root());
    let queries = boards
        .iter()
        .flat_map(Board::queries)
        .map(|query| (query.place, query.expression));
    let recorded = rules::all(&root())
        .into_iter()
        .map(|rule| (format!("rule {}", rule.record), rule.expression));
    let mut asked = 0;
    let mut unknown = Vec::new();
    for (place, expression) in queries.chain(recorded) {
        for selector in selectors(&expression) {
            asked += 1;
            if !known.contains(&selector.name) {
                unknown.push(format!("{place}: nobody exposes {}", selector.name));
            }
        }
    }
    assert!(asked > 150, "only {asked} selectors were found");
    assert!(unknown.is_empty(), "\n{}", unknown.join("\n"));
}

#[test]
fn the_go_contender_has_what_is_asked_of_go() {
    let source = std::fs::read_to_string(root().join("contenders/go-net/goruntime.go")).unwrap();
    let named = |text: &str| source.contains(&format!("\"{text}\""));
    let exposed = |name: &str| {
        // A summary's parts are made of its name, and some names of a common beginning.
        let part = ["_sum", "_count"].into_iter().find(|part| name.ends_with(part));
        let whole = part.and_then(|part| name.strip_suffix(part)).unwrap_or(name);
        let rest = whole.strip_prefix("go_memstats_");
        part.is_none_or(named) && (named(whole) || rest.is_some_and(named))
    };
    let missing: Vec<&&str> = GO_METRICS.iter().filter(|name| !exposed(name)).collect();
    assert!(missing.is_empty(), "goruntime.go does not expose {missing:?}");
}

/// A metric that no dashboard shows is measured in vain, or its panel is missing.
#[test]
fn every_metric_of_a_server_or_client_is_shown() {
    let boards = board::all(&root());
    let shown: BTreeSet<String> = boards
        .iter()
        .flat_map(Board::queries)
        .map(|query| query.expression)
        .chain(rules::all(&root()).into_iter().map(|rule| rule.expression))
        .flat_map(|expression| selectors(&expression))
        .map(|selector| selector.name)
        .collect();
    // What says who and since when, and limits that nobody meets, belong in no graph.
    let unshown = [
        "echolab_build_info",
        "process_start_time_seconds",
        "process_virtual_memory_max_bytes",
    ];
    let missing: Vec<&str> = telemetry::names::ALL
        .iter()
        .map(|metric| metric.name)
        .filter(|name| !unshown.contains(name))
        .filter(|name| !shown.iter().any(|shown| shown.starts_with(name)))
        .collect();
    assert!(missing.is_empty(), "no panel shows {missing:?}");
}

/// Every query as a rule, so that promtool parses it; the rules' own tests; the configuration.
#[test]
fn promtool_agrees() {
    let Ok(version) = Command::new("promtool").arg("--version").output() else {
        assert!(
            std::env::var_os("CI").is_none(),
            "promtool is missing; .ci/run installs Debian's package `prometheus`"
        );
        eprintln!("not run: promtool is missing; Debian has it in the package `prometheus`");
        return;
    };
    assert!(version.status.success());
    let folder = tempfile::tempdir().unwrap();
    let mut file = "groups:\n  - name: queries\n    rules:\n".to_owned();
    for (index, query) in board::all(&root()).iter().flat_map(Board::queries).enumerate() {
        let filled = query
            .expression
            .replace("$__rate_interval", "5s")
            .replace("$__range", "1h");
        file += &format!(
            "      - record: query_{index}\n        expr: {}\n",
            Value::from(filled)
        );
    }
    let queries = folder.path().join("queries.yml");
    std::fs::write(&queries, file).unwrap();
    for arguments in [
        ["check", "rules", queries.to_str().unwrap()],
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "prometheus/rules_test.yml"],
    ] {
        let output = Command::new("promtool")
            .args(arguments)
            .current_dir(root())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
    }
}

#[test]
fn every_rule_can_complain() {
    let good = r#"{ "uid": "u", "title": "t", "description": "d", "schemaVersion": 41, "tags": [], "timezone": "", "refresh": "5s",
        "time": { "from": "now-1h", "to": "now" }, "annotations": { "list": [] }, "templating": { "list": [] }, "panels": [] }"#;
    let panel = |expression: &str| {
        serde_json::json!({ "id": 1, "type": "stat", "title": "p", "gridPos": { "x": 0, "y": 0, "w": 12, "h": 8 },
            "targets": [{ "refId": "A", "expr": expression }] })
    };
    let mut wide = panel("x");
    wide["gridPos"]["x"] = 20.into();
    let mut ranges = panel("x");
    ranges["type"] = "state-timeline".into();
    ranges["fieldConfig"] = serde_json::json!({ "defaults": { "color": { "mode": "thresholds" } } });
    let mut pairs = panel("x");
    pairs["transformations"] =
        serde_json::json!([{ "id": "joinByField", "options": { "mode": "outerTabular" } }]);
    pairs["targets"] = serde_json::json!([{}, {}, {}]);
    let mut grey = panel("x");
    grey["targets"][0]["legendFormat"] = "{{contender}}".into();
    let broken: [&[Value]; 16] = [
        &[panel("x")],
        &[panel("x"), panel("x")],
        &[wide],
        &[panel("x")],
        &[panel("x")],
        &[panel("x")],
        &[panel("x")],
        &[panel("rate(x_total[5m])")],
        &[panel("sum(x_total)")],
        &[panel("sum by (job) (rate(x_bucket[5m]))")],
        &[panel("x{job=\"server\"}")],
        &[],
        &[],
        &[ranges],
        &[pairs],
        &[grey],
    ];
    assert_eq!(broken.len(), RULES.len());
    for ((name, rule), panels) in RULES.iter().zip(broken) {
        let mut json: Value = serde_json::from_str(good).unwrap();
        json["panels"] = panels.to_vec().into();
        let board = Board {
            file: "test.json".to_owned(),
            json,
        };
        assert!(!rule(&board).is_empty(), "`{name}` let it pass");
    }
}
