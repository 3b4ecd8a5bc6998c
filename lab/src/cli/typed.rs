//! What was typed, as against what came from the environment: messages name the place that is to be mended.

use std::error::Error;
use std::ffi::OsString;

use clap::builder::Command;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The words of the command line.
#[derive(Debug, Clone, Default)]
pub struct Typed(Vec<String>);

impl Typed {
    /// These words.
    pub fn new(words: &[OsString]) -> Typed {
        let words = words.iter().map(|word| word.to_string_lossy().into_owned());
        Typed(words.collect())
    }

    /// Whether a flag (with its dashes) is among them.
    pub fn has(&self, flag: &str) -> bool {
        self.0.iter().any(|word| {
            word.strip_prefix(flag)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
        })
    }

    /// Where the value of a flag came from, for messages: the flag, or the variable that stands for it in `command`.
    pub fn origin(&self, flag: &str, command: &Command) -> String {
        let arguments = || {
            let below = command.get_subcommands();
            let below = below.flat_map(|command| command.get_arguments());
            command.get_arguments().chain(below)
        };
        let long = flag.trim_start_matches('-');
        let variable = arguments()
            .filter(|argument| argument.get_long() == Some(long))
            .find_map(|argument| argument.get_env());
        match variable {
            Some(name) if !self.has(flag) && std::env::var_os(name).is_some() => {
                format!("{} in the environment", name.to_string_lossy())
            }
            _ => flag.to_owned(),
        }
    }

    /// One line on a value that cannot be: where it came from, the value, what it should be. `None` when the error is
    /// another one.
    pub fn line(&self, error: &clap::Error, command: &Command) -> Option<String> {
        let text = |kind| match error.get(kind)? {
            ContextValue::String(text) => Some(text.clone()),
            _ => None,
        };
        let argument = text(ContextKind::InvalidArg)?;
        // It reads `--connections <N>`.
        let flag = argument
            .split([' ', '=', '['])
            .next()
            .filter(|flag| flag.starts_with("--"))?;
        let value = text(ContextKind::InvalidValue)?;
        let why = match error.kind() {
            ErrorKind::ValueValidation => error.source()?.to_string(),
            ErrorKind::InvalidValue if value.is_empty() => "needs a value".to_owned(),
            ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue)? {
                ContextValue::Strings(valid) => format!("should be one of {}", valid.join(", ")),
                _ => return None,
            },
            _ => return None,
        };
        let between = if why.starts_with("should ") { " " } else { ": " };
        let origin = self.origin(flag, command);
        Some(format!("{origin}: `{value}`{between}{why}"))
    }
}
