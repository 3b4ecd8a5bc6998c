//! A profile as a flame graph: an SVG that shows itself in any browser.

use std::io;

use inferno::flamegraph::{Options, from_lines};

use super::folded::{Threads, folded};
use super::pprof::Profile;

/// Draws the profile, one tower for each thread.
///
/// # Errors
/// `InvalidInput` when there is no sample to draw.
pub fn flamegraph(profile: &Profile, title: &str) -> io::Result<Vec<u8>> {
    let stacks = folded(profile, Threads::Apart);
    if stacks.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "there is no sample to draw",
        ));
    }
    let mut options = Options::default();
    options.title = title.to_owned();
    options.subtitle = profile.comments().first().map(|&comment| comment.to_owned());
    options.deterministic = true;
    let mut image = Vec::new();
    from_lines(&mut options, stacks.lines(), &mut image)
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(image)
}
