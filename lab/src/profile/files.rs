//! The files of profiles, in the folder `profiles` of a result: pprof files as they came, and pictures of records.

use std::fs;
use std::path::Path;

use anyhow::Context;

use super::flames::{Direction, Place, differential, flame_graph};
use model::profile::ProfileRecord;
use model::result::LabResult;

/// The folder within a result's folder.
pub const FOLDER: &str = "profiles";

/// The pprof file of a contender in a scenario, from the result's folder.
pub fn pprof(scenario: &str, contender: &str) -> String {
    format!("{FOLDER}/{}-{}.pb.gz", plain(scenario), plain(contender))
}

/// The flame graph of a record, from the result's folder.
pub fn picture(record: &ProfileRecord) -> String {
    format!(
        "{FOLDER}/{}-{}.svg",
        plain(&record.scenario),
        plain(&record.contender)
    )
}

/// The differential flame graph of a record and the baseline's, from the result's folder.
pub fn difference(record: &ProfileRecord, baseline: &str, direction: Direction) -> String {
    let direction = match direction {
        Direction::Dearer => "dearer",
        Direction::Cheaper => "cheaper",
    };
    format!(
        "{FOLDER}/{}-{}-against-{}-{direction}.svg",
        plain(&record.scenario),
        plain(&record.contender),
        plain(baseline)
    )
}

/// What every file system and every link takes: `epoll#2` becomes `epoll~2`, which no name holds by itself.
fn plain(name: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => c,
        '#' => '~',
        _ => '_',
    };
    name.chars().map(plain).collect()
}

/// Keeps a pprof file.
///
/// # Errors
/// When it cannot be written.
pub fn keep(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    write(folder, name, bytes)
}

/// Draws everything that a result's records have, anew.
///
/// # Errors
/// When a picture cannot be written.
pub fn draw(folder: &Path, result: &LabResult) -> anyhow::Result<()> {
    for record in result.profiles.iter().filter(|record| record.missing.is_none()) {
        // A record that gives no picture says why in the report.
        if let Ok(image) = flame_graph(record, Place::File) {
            write(folder, &picture(record), image.as_bytes())?;
        }
        let Some(baseline) = result.baseline_profile(record) else {
            continue;
        };
        for direction in [Direction::Dearer, Direction::Cheaper] {
            if let Ok(image) = differential(baseline, record, direction, Place::File) {
                let name = difference(record, &baseline.contender, direction);
                write(folder, &name, image.as_bytes())?;
            }
        }
    }
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = folder.join(name);
    let write = || {
        fs::create_dir_all(folder.join(FOLDER))?;
        fs::write(&path, bytes)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn names_hold_nothing_that_a_path_or_link_would_mistake() {
        assert_eq!(pprof("few", "epoll#2"), "profiles/few-epoll~2.pb.gz");
        assert_eq!(pprof("a/b c", ".."), "profiles/a_b_c-...pb.gz");
    }

    #[test]
    fn every_picture_can_be_made_again_from_the_result() {
        let folder = tempfile::tempdir().unwrap();
        draw(folder.path(), &fixture::result_with_profiles()).unwrap();
        let mut names: Vec<_> = fs::read_dir(folder.path().join(FOLDER))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "few-epoll.svg",
                "few-go-net.svg",
                "few-tokio-against-epoll-cheaper.svg",
                "few-tokio-against-epoll-dearer.svg",
                "few-tokio.svg",
            ]
        );
    }
}
