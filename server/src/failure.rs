//! What ends the program early, and with which exit code.

use std::process::ExitCode;

/// Why the server does not run (any more).
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line or the environment; the parser words it, and asking for help is one too.
    #[error("{0}")]
    Arguments(#[from] clap::Error),
    /// Input that only this machine shows to be wrong: an address, a CPU.
    #[error("{0}")]
    Input(String),
    /// Anything that another input would not cure.
    #[error("{0:#}")]
    Runtime(#[from] anyhow::Error),
}

impl Failure {
    /// Says it, and how the program ends: 2 for wrong input, 1 for a failure at run time, 0 for help.
    pub fn report(&self) -> ExitCode {
        match self {
            Failure::Arguments(error) => {
                // Nobody is left to hear that standard error is closed.
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Failure::Input(_) => {
                eprintln!("error: {self}");
                ExitCode::from(2)
            }
            Failure::Runtime(_) => {
                eprintln!("error: {self}");
                ExitCode::FAILURE
            }
        }
    }
}
