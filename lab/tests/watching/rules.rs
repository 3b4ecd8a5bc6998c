//! The recording rules, read from their YAML: names and expressions.

use super::promql;
use std::fs;
use std::path::Path;

/// One recording rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The name it records under.
    pub record: String,
    /// Its expression.
    pub expression: String,
}

/// All rules of prometheus/rules.yml.
pub fn all(root: &Path) -> Vec<Rule> {
    let rules = parse(&fs::read_to_string(root.join("prometheus/rules.yml")).unwrap());
    assert!(rules.len() > 5, "only {} rules were found", rules.len());
    rules
}

/// Reads `record:` and `expr:`, the latter on one line or as a `>-` block. promtool reads the file as YAML.
fn parse(text: &str) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    let mut block_indent = None;
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let content = line.trim();
        if block_indent.is_some_and(|at| indent > at) {
            let rule = rules.last_mut().unwrap();
            rule.expression.push(' ');
            rule.expression.push_str(content);
            continue;
        }
        block_indent = None;
        if let Some(record) = content.strip_prefix("- record: ") {
            rules.push(Rule {
                record: record.to_owned(),
                expression: String::new(),
            });
        } else if let Some(expression) = content.strip_prefix("expr: ") {
            if expression == ">-" {
                block_indent = Some(indent);
            } else {
                rules.last_mut().unwrap().expression = expression.to_owned();
            }
        }
    }
    rules
}

#[test]
fn both_ways_to_write_an_expression_are_read() {
    let text = "- record: a:b:c\n  expr: x + y\n# note\n- record: d:e:f\n  expr: >-\n    x\n    / y\n";
    let rules = parse(text);
    assert_eq!(rules[0].expression, "x + y");
    assert_eq!(rules[1].record, "d:e:f");
    assert_eq!(promql::selectors(&rules[1].expression).len(), 2);
}
