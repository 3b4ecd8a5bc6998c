//! Servers that are not ours and live in this repository all the same: where each is looked for, and how it is built.
//!
//! They take our server's flags and say `ready …` as it does. A new one is a row in [`EXTERNALS`].

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use server::engine::Threads;

/// A server of this repository that is built apart from the lab.
#[derive(Debug)]
pub struct External {
    /// Its name, as `--contenders` takes it.
    pub name: &'static str,
    /// One line: how it serves.
    pub summary: &'static str,
    /// Flags of its own, before those that all take.
    pub flags: &'static [&'static str],
    /// How many threads serve.
    pub threads: Threads,
    /// Its program, from the root of the repository.
    program: &'static str,
    toolchain: Toolchain,
}

/// Who builds a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Toolchain {
    /// `go build`, in seconds and without downloads: the lab does it itself before each use.
    Go,
    /// cargo, in minutes and with downloads: the user does it.
    Cargo,
}

const fn go_net(
    name: &'static str,
    summary: &'static str,
    flags: &'static [&'static str],
    threads: Threads,
) -> External {
    External {
        name,
        summary,
        flags,
        threads,
        program: "contenders/go-net/go-net",
        toolchain: Toolchain::Go,
    }
}

macro_rules! rust_runtime {
    ($name:literal, $summary:literal) => {
        External {
            name: $name,
            summary: $summary,
            flags: &[],
            threads: Threads::AsTold,
            program: concat!("contenders/rust-runtimes/target/release/", $name),
            toolchain: Toolchain::Cargo,
        }
    };
}

/// All of them.
pub const EXTERNALS: &[External] = &[
    go_net(
        "go-net",
        "a goroutine per connection on Go's net, as the original experiment had it",
        &["--tuned=false"],
        Threads::ItsOwn,
    ),
    go_net(
        "go-net-tuned",
        "the same with a buffer per connection and as many threads as the others have workers",
        &["--tuned=true"],
        Threads::AsTold,
    ),
    rust_runtime!("mio", "an event loop made with mio"),
    rust_runtime!("monoio-epoll", "monoio with its legacy driver, which is epoll"),
    rust_runtime!("monoio-uring", "monoio with its io_uring driver"),
    rust_runtime!("glommio", "glommio, on io_uring"),
    rust_runtime!("compio", "compio, on io_uring"),
    rust_runtime!("smol", "smol: one executor that all threads run"),
    rust_runtime!(
        "tokio-current-thread",
        "a single-threaded tokio runtime for each worker"
    ),
    rust_runtime!("tokio-uring", "tokio-uring: tokio's single thread on io_uring"),
];

/// How the Rust ones are built.
const CARGO_BUILD: &str = "cargo build --release --manifest-path contenders/rust-runtimes/Cargo.toml";
/// How the Go one is built.
const GO_BUILD: &str = "(cd contenders/go-net && go build)";

/// The one with this name.
pub fn find(name: &str) -> Option<&'static External> {
    EXTERNALS.iter().find(|external| external.name == name)
}

impl External {
    /// Whether it can be started: it is built, or will be.
    ///
    /// # Errors
    /// Why not, and what to do.
    pub fn probe(&self) -> Result<(), String> {
        let place = Place::here();
        match self.toolchain {
            Toolchain::Go if place.sources(self).is_some() && place.has_go() => Ok(()),
            _ => place.built(self).map(drop),
        }
    }

    /// Its program, built anew when that takes seconds.
    ///
    /// # Errors
    /// Why there is none, and what to do.
    pub fn program(&self) -> Result<PathBuf, String> {
        Place::here().program(self)
    }
}

/// Where things are looked for.
struct Place {
    /// Folders that may be the root of the repository, the likeliest first.
    roots: Vec<PathBuf>,
    /// The Go tool.
    go: PathBuf,
}

impl Place {
    /// The current directory, and every folder above the lab's own program (`target/release/lab` in the root).
    fn here() -> Place {
        let current = std::env::current_dir().ok();
        let own = std::env::current_exe().ok();
        let above = own.iter().flat_map(|own| own.ancestors().skip(1));
        Place {
            roots: current.into_iter().chain(above.map(Path::to_owned)).collect(),
            go: PathBuf::from("go"),
        }
    }

    fn program(&self, external: &External) -> Result<PathBuf, String> {
        if external.toolchain == Toolchain::Go
            && let Some(sources) = self.sources(external)
            && self.has_go()
        {
            self.go_build(sources)?;
        }
        self.built(external)
    }

    /// The program as it lies there.
    fn built(&self, external: &External) -> Result<PathBuf, String> {
        let mut places = self.roots.iter().map(|root| root.join(external.program));
        places
            .find(|program| program.is_file())
            .ok_or_else(|| self.why_not_built(external))
    }

    fn why_not_built(&self, external: &External) -> String {
        let program = external.program;
        match external.toolchain {
            Toolchain::Cargo => format!("{program} is not built: run `{CARGO_BUILD}`"),
            Toolchain::Go if self.sources(external).is_none() => {
                format!("{program} is not here, nor its sources: start the lab in the root of the repository")
            }
            Toolchain::Go => format!(
                "{program} is not built, and there is no `go` to build it: install Go 1.19 or later (Debian's golang is \
                 enough), or build it elsewhere, {GO_BUILD}, and put it there"
            ),
        }
    }

    /// The folder of a Go program's sources.
    fn sources(&self, external: &External) -> Option<PathBuf> {
        let folders = self.roots.iter().filter_map(|root| {
            let folder = root.join(external.program).parent()?.to_owned();
            folder.join("go.mod").is_file().then_some(folder)
        });
        folders.into_iter().next()
    }

    fn has_go(&self) -> bool {
        let mut version = Command::new(&self.go);
        version
            .arg("version")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        version.status().is_ok_and(|status| status.success())
    }

    /// Builds in `sources`; when nothing has changed that takes a moment.
    fn go_build(&self, sources: PathBuf) -> Result<(), String> {
        let built = Command::new(&self.go)
            .arg("build")
            .current_dir(&sources)
            // The Go that is here: another one would have to be downloaded.
            .env("GOTOOLCHAIN", "local")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("`go build` in {} cannot be started: {error}", sources.display()))?;
        if built.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&built.stderr);
        Err(format!(
            "`go build` in {} failed: {}",
            sources.display(),
            said.lines().collect::<Vec<_>>().join("; ")
        ))
    }
}

#[cfg(test)]
#[path = "external_tests.rs"]
mod tests;
