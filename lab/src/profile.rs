//! Where the CPU time goes: records of profiles, and the pictures that are made of them.
//!
//! [`record`] turns a pprof file into a [`ProfileRecord`](model::profile::ProfileRecord), which is all that views need;
//! [`flames`] draws records and their differences; [`change`] says in figures what differs; [`files`] keeps both beside
//! the result. [`fetch`] asks a contender for its profile; when, and under which load, is the runner's business.

pub mod change;
pub mod fetch;
pub mod files;
pub mod flames;
pub mod record;

/// What a program is written in, as far as its functions' names tell: names of two languages do not align.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust's standard library is in it.
    Rust,
    /// Go's runtime is in it.
    Go,
    /// Neither.
    Other,
}

impl Language {
    /// The language of folded stacks.
    pub fn of(folded: &str) -> Language {
        let frames = || folded.lines().flat_map(|line| line.split(';'));
        // Go leaves out its outermost frames, and a few samples hold hardly any function of its runtime: a method of a
        // pointer tells as well.
        let go = |frame: &str| frame.starts_with("runtime.") || frame.contains(".(*");
        let rust = ["std::rt::", "std::sys::", "core::ops::", "{closure"];
        if frames().any(go) {
            Language::Go
        } else if frames().any(|frame| rust.iter().any(|part| frame.contains(part))) {
            Language::Rust
        } else {
            Language::Other
        }
    }

    /// What it is called in a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Language::Rust => "Rust",
            Language::Go => "Go",
            Language::Other => "another language",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_language() {
        for (folded, language) in [
            (
                "start_thread;std::sys::thread_start;server::run 1\n",
                Language::Rust,
            ),
            ("runtime.goexit;main.serve 1\n", Language::Go),
            ("main.(*server).echo;syscall.Syscall 1\n", Language::Go),
            ("_start;main;std::vector<int>::push_back 1\n", Language::Other),
            ("", Language::Other),
        ] {
            assert_eq!(Language::of(folded), language, "{folded}");
        }
    }
}
