//! Which flag of `lab sweep` is the list, and what stands in it.

use super::{Asking, SweepArgs, UsageError, of_flag, values};
use crate::sweep::Parameter;
use model::rate::{Rate, RateError};

/// The parameter that is varied, its values, ascending, and the single values of all others.
pub fn read(args: &SweepArgs) -> Result<(Parameter, Vec<f64>, Asking), UsageError> {
    if args.scenario.contains(',') {
        return Err(of_flag(
            "--scenario",
            format!("`{}` are several: a sweep takes one", args.scenario),
        ));
    }
    let texts = Parameter::ALL.map(|parameter| {
        let text = match parameter {
            Parameter::Connections => &args.connections,
            Parameter::Rate => &args.rate,
            Parameter::Workers => &args.workers,
            Parameter::Linger => &args.linger,
            Parameter::MessageBytes => &args.message_bytes,
        };
        (parameter, text.as_deref().map(str::trim))
    });
    let lists: Vec<_> = texts
        .iter()
        .filter_map(|(parameter, text)| {
            text.filter(|text| text.contains(','))
                .map(|text| (*parameter, text))
        })
        .collect();
    let (parameter, list) = match lists[..] {
        [one] => one,
        [] => return Err(no_list(&texts)),
        [(first, _), (second, list), ..] => {
            return Err(of_flag(
                &format!("--{}", second.name()),
                format!(
                    "`{list}` is a second list beside --{}: vary one parameter at a time",
                    first.name()
                ),
            ));
        }
    };
    let values = listed(parameter, list)?;
    let mut load = Asking {
        scenarios: vec![args.scenario.clone()],
        ..Asking::default()
    };
    for (single, text) in texts.into_iter().filter(|(single, _)| *single != parameter) {
        let Some(text) = text else { continue };
        match single {
            Parameter::Rate => load.rate = Some(text.to_owned()),
            Parameter::Connections => load.connections = Some(value(single, text)? as u64),
            Parameter::MessageBytes => load.message_bytes = Some(value(single, text)? as u64),
            Parameter::Workers => load.workers = Some(value(single, text)? as usize),
            Parameter::Linger => {
                load.linger = Some(std::time::Duration::from_micros(value(single, text)? as u64));
            }
        }
    }
    Ok((parameter, values, load))
}

fn no_list(texts: &[(Parameter, Option<&str>)]) -> UsageError {
    match texts
        .iter()
        .find_map(|(parameter, text)| Some((parameter, (*text)?)))
    {
        Some((parameter, text)) => of_flag(
            &format!("--{}", parameter.name()),
            format!(
                "`{text}` is no list, and a sweep needs one of two values or more, such as --{} {}",
                parameter.name(),
                parameter.example()
            ),
        ),
        None => {
            let flags = Parameter::ALL.map(|parameter| format!("--{}", parameter.name()));
            UsageError(format!(
                "a sweep varies one of {}: give it a list, such as --connections {}",
                flags.join(", "),
                Parameter::Connections.example()
            ))
        }
    }
}

/// The values of a list, ascending.
fn listed(parameter: Parameter, list: &str) -> Result<Vec<f64>, UsageError> {
    let mut values = Vec::new();
    for item in list.split(',').map(str::trim) {
        if item.is_empty() {
            return Err(of_flag(
                &format!("--{}", parameter.name()),
                format!(
                    "`{list}` has an empty place: write it like {}",
                    parameter.example()
                ),
            ));
        }
        let value = value(parameter, item)?;
        if values.contains(&value) {
            return Err(of_flag(
                &format!("--{}", parameter.name()),
                format!("`{item}` stands twice in `{list}`: name each value once"),
            ));
        }
        values.push(value);
    }
    values.sort_unstable_by(f64::total_cmp);
    Ok(values)
}

fn value(parameter: Parameter, text: &str) -> Result<f64, UsageError> {
    let refuse = |why: String| of_flag(&format!("--{}", parameter.name()), why);
    let whole = |read: Result<u64, String>| {
        read.map(|number| number as f64).map_err(|should| {
            refuse(format!(
                "`{text}` {should}, such as those in {}",
                parameter.example()
            ))
        })
    };
    match parameter {
        Parameter::Linger => {
            let linger = humantime::parse_duration(text)
                .map_err(|_| refuse(format!("`{text}` is no duration: write it like 50us")))?;
            let micros = model::contender::linger_micros(linger).map_err(refuse)?;
            Ok(micros as f64)
        }
        Parameter::Rate => text
            .parse()
            .map(Rate::per_second)
            .map_err(|why: RateError| refuse(format!("`{text}` {why}"))),
        Parameter::Connections => whole(values::connections(text)),
        Parameter::Workers => whole(values::workers(text).map(|workers| workers as u64)),
        Parameter::MessageBytes => whole(values::message_bytes(text)),
    }
}
