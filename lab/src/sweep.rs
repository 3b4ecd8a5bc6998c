//! Pure: a configuration with one parameter varied: a scenario for each value, or contenders for each value in one scenario.

use crate::contender;
use crate::report::figures::count;
use model::config::{Config, Sweep, SweepPoint};
use model::contender::Contender;
use model::rate::Rate;
use model::scenario::{Load, Overrides, Scenario, ScenarioError};

/// What can be varied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// Connections to each contender.
    Connections,
    /// Messages per second.
    Rate,
    /// Threads that each server may work with.
    Workers,
    /// Microseconds that a server lets messages gather.
    Linger,
    /// Bytes of a message.
    MessageBytes,
}

impl Parameter {
    /// All of them.
    pub const ALL: [Parameter; 5] = [
        Parameter::Connections,
        Parameter::Rate,
        Parameter::Workers,
        Parameter::Linger,
        Parameter::MessageBytes,
    ];

    /// Its flag without the dashes.
    pub fn name(self) -> &'static str {
        match self {
            Parameter::Connections => "connections",
            Parameter::Rate => "rate",
            Parameter::Workers => "workers",
            Parameter::Linger => "linger",
            Parameter::MessageBytes => "message-bytes",
        }
    }

    /// Values as one would type them, for messages.
    pub fn example(self) -> &'static str {
        match self {
            Parameter::Connections => "10,50,500,5000,10000",
            Parameter::Rate => "5000,20000,40000",
            Parameter::Workers => "1,2,4",
            Parameter::Linger => "20us,50us,100us",
            Parameter::MessageBytes => "100,1000,10000",
        }
    }

    /// A value as it is shown.
    fn label(self, value: f64) -> String {
        match self {
            Parameter::Connections | Parameter::Workers => count(value),
            Parameter::Rate if value.fract() == 0.0 => format!("{}/s", count(value)),
            Parameter::Rate => format!("{value}/s"),
            Parameter::Linger => format!("{value} µs"),
            Parameter::MessageBytes => format!("{} B", count(value)),
        }
    }

    /// A value as it stands in names: `linger=20us`.
    fn setting(self, value: f64) -> String {
        let unit = if self == Parameter::Linger { "us" } else { "" };
        format!("{}={value}{unit}", self.name())
    }
}

/// `config`, which has one scenario, with the parameter at each of `values`, which ascend: counts, messages per second,
/// bytes, or microseconds.
///
/// # Errors
/// When a value or a contender does not allow it: what to change.
pub fn spread(mut config: Config, parameter: Parameter, values: &[f64]) -> Result<Config, String> {
    let families: Vec<String> = config
        .contenders
        .iter()
        .map(|contender| contender.name.clone())
        .collect();
    let points = match parameter {
        Parameter::Connections | Parameter::Rate | Parameter::MessageBytes => {
            over_scenarios(&mut config, parameter, values)?
        }
        Parameter::Workers | Parameter::Linger => over_contenders(&mut config, parameter, values)?,
    };
    let side_by_side = matches!(parameter, Parameter::Workers | Parameter::Linger);
    let left = |family: &&String| {
        side_by_side
            && config
                .contenders
                .iter()
                .any(|contender| contender.name == **family)
    };
    config.sweep = Some(Sweep {
        parameter: parameter.name().to_owned(),
        once: families.iter().filter(left).cloned().collect(),
        families,
        points,
    });
    Ok(config)
}

/// Each value is a scenario of its own.
fn over_scenarios(
    config: &mut Config,
    parameter: Parameter,
    values: &[f64],
) -> Result<Vec<SweepPoint>, String> {
    let base = config
        .scenarios
        .first()
        .ok_or("there is no scenario to vary")?
        .clone();
    if parameter == Parameter::Rate && matches!(base.pace, Load::Closed { .. }) {
        return Err(format!(
            "`{}` is a closed loop, which has no rate: choose a --scenario with pace = \"open\"",
            base.name
        ));
    }
    config.scenarios.clear();
    config.connections_by_flag |= parameter == Parameter::Connections;
    let mut points = Vec::new();
    for &value in values {
        let mut scenario = base
            .clone()
            .with(&overrides(parameter, value))
            .map_err(|why| match why {
                ScenarioError::Invalid { value, why, .. } => format!("`{value}` {why}"),
                other => other.to_string(),
            })?;
        scenario.name = format!("{} {}", base.name, parameter.setting(value));
        points.push(point(parameter, value, &scenario, String::new()));
        config.scenarios.push(scenario);
    }
    Ok(points)
}

fn overrides(parameter: Parameter, value: f64) -> Overrides {
    let mut overrides = Overrides::default();
    match parameter {
        Parameter::Connections => overrides.connections = Some(value as u64),
        Parameter::MessageBytes => overrides.message_bytes = Some(value as u64),
        Parameter::Rate => overrides.rate = Some(Rate::new(value).ok()),
        Parameter::Workers | Parameter::Linger => {}
    }
    overrides
}

/// Each value is a contender beside the others in one scenario, so that their slices are pairs.
fn over_contenders(
    config: &mut Config,
    parameter: Parameter,
    values: &[f64],
) -> Result<Vec<SweepPoint>, String> {
    let scenario = config.scenarios.first().ok_or("there is no scenario to run")?;
    // What linger costs and saves is seen against none.
    let with_none = parameter == Parameter::Linger && values.first().is_some_and(|first| *first > 0.0);
    let values: Vec<f64> = with_none
        .then_some(0.0)
        .into_iter()
        .chain(values.iter().copied())
        .collect();
    let points: Vec<_> = values
        .iter()
        .map(|&value| {
            let plain = parameter == Parameter::Linger && value == 0.0;
            let suffix = if plain {
                String::new()
            } else {
                format!(" {}", parameter.setting(value))
            };
            point(parameter, value, scenario, suffix)
        })
        .collect();
    let varies: fn(&Contender) -> bool = match parameter {
        Parameter::Linger => contender::can_linger,
        _ => contender::heeds_workers,
    };
    let mut contenders = Vec::new();
    for family in &config.contenders {
        if !varies(family) {
            if parameter == Parameter::Workers && !contender::takes_workers(family) {
                return Err(format!(
                    "`{}` is a contender of yours, which the lab cannot tell how many threads to work with: leave it out of --contenders",
                    family.name
                ));
            }
            contenders.push(family.clone());
            continue;
        }
        for point in &points {
            let mut contender = family.clone();
            contender.name.push_str(&point.suffix);
            match parameter {
                Parameter::Linger => {
                    contender.linger_micros = (point.value > 0.0).then_some(point.value as u64);
                }
                _ => contender.workers = Some(point.value as usize),
            }
            contenders.push(contender);
        }
    }
    if !config.contenders.iter().any(varies) {
        return Err(match parameter {
            Parameter::Linger => "epoll and uring linger, and neither takes part: name one in --contenders",
            _ => "`threads` and `go-net` take as many threads as they like, and nobody else takes part: name another in --contenders",
        }
        .to_owned());
    }
    let baseline = config
        .contenders
        .iter()
        .find(|family| family.name == config.baseline);
    if let Some(first) = points.first()
        && baseline.is_some_and(varies)
    {
        config.baseline.push_str(&first.suffix);
    }
    config.contenders = contenders;
    Ok(points)
}

fn point(parameter: Parameter, value: f64, scenario: &Scenario, suffix: String) -> SweepPoint {
    SweepPoint {
        value,
        label: parameter.label(value),
        scenario: scenario.name.clone(),
        suffix,
    }
}
