//! Where results are kept: a folder for each, written anew as the lab goes, never half.

mod schema_1;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;

use crate::report;
use model::result::LabResult;

/// The folder of one result.
#[derive(Debug)]
pub struct Store {
    folder: PathBuf,
    /// The result's name.
    pub run_id: String,
}

impl Store {
    /// Makes the folder of a result that starts `now` below `output`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(output: &Path, now: SystemTime) -> io::Result<Store> {
        fs::create_dir_all(output)?;
        let run_id = run_id(now, fastrand::u16(..));
        let folder = output.join(&run_id);
        fs::create_dir(&folder)?;
        Ok(Store { folder, run_id })
    }

    /// Where everything of this result is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the reports are, or will be: the one to read and the one to look at.
    pub fn report_paths(&self) -> [PathBuf; 2] {
        report_paths(&self.folder)
    }

    /// Writes `result.json` anew and lets `latest` point here.
    ///
    /// # Errors
    /// When it cannot be written; what was written before stays.
    pub fn save(&self, result: &LabResult) -> anyhow::Result<()> {
        let path = self.folder.join("result.json");
        let mut text = serde_json::to_vec_pretty(result).context("the result cannot be written as JSON")?;
        text.push(b'\n');
        replace(&path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        // A result without a run tells nothing; the one before it stays the latest.
        if !result.runs.is_empty() {
            // Convenience only: a file system without links keeps results too.
            let _ = self.link_latest();
        }
        Ok(())
    }

    /// Writes `report.md` and `report.html`.
    ///
    /// # Errors
    /// When one of them cannot be written.
    pub fn report(&self, result: &LabResult) -> anyhow::Result<()> {
        write_reports(&self.folder, result)
    }

    /// Takes the folder away when nothing has been saved in it.
    pub fn discard_if_empty(&self) {
        // Fails when there is something in it, which is what is wanted.
        let _ = fs::remove_dir(&self.folder);
    }

    fn link_latest(&self) -> io::Result<()> {
        let Some(output) = self.folder.parent() else {
            return Ok(());
        };
        let fresh = output.join(format!(".latest-{}", self.run_id));
        std::os::unix::fs::symlink(&self.run_id, &fresh)?;
        fs::rename(&fresh, output.join("latest")).inspect_err(|_| {
            let _ = fs::remove_file(&fresh);
        })
    }
}

/// The reports of the result in this folder: the one to read and the one to look at.
pub fn report_paths(folder: &Path) -> [PathBuf; 2] {
    ["report.md", "report.html"].map(|name| folder.join(name))
}

/// Writes the reports of the result in this folder.
///
/// # Errors
/// When one of them cannot be written.
pub fn write_reports(folder: &Path, result: &LabResult) -> anyhow::Result<()> {
    let texts = [report::markdown::render(result), report::html::render(result)];
    for (path, text) in report_paths(folder).iter().zip(texts) {
        replace(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Reads a `result.json`.
///
/// # Errors
/// When it cannot be read, is no result, or one of another version.
pub fn load(path: &Path) -> anyhow::Result<LabResult> {
    let text = fs::read(path)
        .with_context(|| format!("cannot read {}: give the path of a result.json", path.display()))?;
    let text = text.trim_ascii();
    anyhow::ensure!(
        !text.is_empty(),
        "{} is empty: give the path of a result.json that a run of the lab wrote",
        path.display()
    );
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|error| {
        // The file ended where more was to come, after it began well.
        let what = if error.is_eof() && text.starts_with(b"{") {
            "is cut off: copy it again, or take another result.json"
        } else {
            "is not JSON: give the path of a result.json"
        };
        anyhow::Error::new(error).context(format!("{} {what}", path.display()))
    })?;
    let schema = value.get("schema").and_then(serde_json::Value::as_u64);
    let known = schema.is_some_and(|schema| (1..=u64::from(model::result::SCHEMA)).contains(&schema));
    anyhow::ensure!(
        known,
        "{} has schema {}, this lab reads 1 to {}: use the lab that wrote it",
        path.display(),
        schema.map_or("none".to_owned(), |schema| schema.to_string()),
        model::result::SCHEMA
    );
    let value = if schema == Some(1) {
        schema_1::upgraded(value)
    } else {
        value
    };
    serde_json::from_value(value).with_context(|| format!("{} is no result of the lab", path.display()))
}

/// Replaces a file as a whole: whoever reads sees the old one or the new one.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let fresh = path.with_extension("new");
    fs::write(&fresh, content)?;
    fs::rename(&fresh, path)
}

/// The UTC time and a random part: sorts by time, and two at once differ.
fn run_id(now: SystemTime, random: u16) -> String {
    let time: String = humantime::format_rfc3339_seconds(now)
        .to_string()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    let (date, time) = time.split_at(8);
    format!("{date}-{time}-{random:04x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;
    use std::time::Duration;

    #[test]
    fn a_run_id_is_time_and_chance() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_360_500);
        assert_eq!(run_id(time, 0xab), "20261122-151500-00ab");
    }

    #[test]
    fn what_is_saved_can_be_loaded_and_latest_points_there() {
        let output = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let stores = [0, 1].map(|_| Store::create(output.path(), now).unwrap());
        let result = fixture::result();
        for store in &stores {
            store.save(&result).unwrap();
            store.report(&result).unwrap();
        }
        let latest = output.path().join("latest");
        assert_eq!(fs::read_link(&latest).unwrap(), Path::new(&stores[1].run_id));
        assert_eq!(load(&latest.join("result.json")).unwrap(), result);
        assert!(report_paths(&latest).iter().all(|path| path.is_file()));
    }

    #[test]
    fn an_empty_folder_is_taken_away_a_full_one_stays() {
        let output = tempfile::tempdir().unwrap();
        let store = Store::create(output.path(), SystemTime::now()).unwrap();
        store.discard_if_empty();
        assert!(!output.path().join(&store.run_id).exists());
        let store = Store::create(output.path(), SystemTime::now()).unwrap();
        store.save(&fixture::result()).unwrap();
        store.discard_if_empty();
        assert!(output.path().join(&store.run_id).exists());
    }

    #[test]
    fn a_result_that_was_cut_anywhere_is_called_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        let mut result = fixture::result();
        result.notes = vec!["10 µs".to_owned()];
        let whole = serde_json::to_vec_pretty(&result).unwrap();
        let nested = (1..whole.len()).filter(|end| matches!(whole[end - 1], b'}' | b']'));
        let within = whole.windows(2).position(|pair| pair == "µ".as_bytes()).unwrap() + 1;
        let anywhere = (1..whole.len()).step_by(61);
        for end in anywhere.chain(nested).chain([within]) {
            fs::write(&path, &whole[..end]).unwrap();
            let error = format!("{:#}", load(&path).unwrap_err());
            assert!(error.contains("is cut off"), "{end}: {error}");
        }
        fs::write(&path, &whole).unwrap();
        assert_eq!(load(&path).unwrap(), result);
    }

    #[test]
    fn what_is_no_result_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.json");
        for (text, named) in [
            ("", "is empty"),
            (" \n", "is empty"),
            ("nonsense", "not JSON"),
            ("{\"schema\": 1, \"run_", "is cut off"),
            ("{\"schema\": 1} }", "not JSON"),
            ("{}", "schema none"),
            ("{\"schema\": 9}", "schema 9"),
            ("{\"schema\": 1}", "no result"),
        ] {
            fs::write(&path, text).unwrap();
            let error = format!("{:#}", load(&path).unwrap_err());
            assert!(error.contains(named), "{text}: {error}");
        }
        assert!(load(&folder.path().join("nothing.json")).is_err());
    }
}
