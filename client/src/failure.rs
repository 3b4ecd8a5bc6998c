//! Why the client gives up, and the exit code that says so.

use std::fmt;
use std::process::ExitCode;

/// Why the client gives up: one message that says what is wrong, with which value, and what to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Bad input, or a need beyond a limit; nothing was done. Exit code 2.
    Input(String),
    /// It went wrong on the way. Exit code 1.
    Runtime(String),
}

impl Failure {
    /// Bad input.
    pub fn input(message: impl Into<String>) -> Failure {
        Failure::Input(message.into())
    }

    /// Something that went wrong on the way.
    pub fn runtime(message: impl Into<String>) -> Failure {
        Failure::Runtime(message.into())
    }

    /// The exit code that says so.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Input(_) => ExitCode::from(2),
            Failure::Runtime(_) => ExitCode::from(1),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Input(message) | Failure::Runtime(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for Failure {}
