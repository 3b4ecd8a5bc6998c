//! A control group per contender: the kernel then counts the CPU time of all its processes, also of those that have ended.
//!
//! It is made where the lab may make one, and where that changes nothing else: in version 2, whose count needs no controller,
//! or in version 1 when `cpuacct` has a hierarchy of its own. Elsewhere the table of processes has to do.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sys::process::{Ending, Held};

/// Which file counts CPU time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// `cpuacct.usage`, in nanoseconds.
    One,
    /// `usage_usec` of `cpu.stat`, in microseconds.
    Two,
}

/// A control group of the lab's own. Dropped, it is removed.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
    version: Version,
}

/// Groups that this process has made.
static MADE: AtomicU64 = AtomicU64::new(0);

impl Group {
    /// Makes a group below the lab's own; `None` where it may not, or where there are none.
    pub fn new() -> Option<Group> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let name = format!("echolab-{}-{number}", std::process::id());
        places(&mounts, &groups)
            .into_iter()
            .find_map(|(parent, version)| {
                let folder = parent.join(&name);
                fs::create_dir(&folder).ok()?;
                let group = Group { folder, version };
                // A group that counts nothing is of no use.
                group.cpu_seconds().is_some().then_some(group)
            })
    }

    /// The file that takes processes in: a process writes 0 there to enter.
    pub fn entrance(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// CPU time of all processes that were ever in it; what runs at this moment may lack its last few milliseconds.
    pub fn cpu_seconds(&self) -> Option<f64> {
        match self.version {
            Version::One => {
                let text = fs::read_to_string(self.folder.join("cpuacct.usage")).ok()?;
                Some(text.trim().parse::<f64>().ok()? / 1e9)
            }
            Version::Two => {
                let text = fs::read_to_string(self.folder.join("cpu.stat")).ok()?;
                let line = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
                Some(line?.trim().parse::<f64>().ok()? / 1e6)
            }
        }
    }

    /// The processes that are in it now.
    pub fn members(&self) -> io::Result<Vec<u32>> {
        let text = fs::read_to_string(self.entrance())?;
        // A process of another namespace has the number 0 here.
        let pids = text.lines().filter_map(|line| line.trim().parse().ok());
        Ok(pids.filter(|pid| *pid != 0).collect())
    }

    /// Ends at once what is still in it.
    fn clear(&self) {
        for pid in self.members().unwrap_or_default() {
            // It may have ended meanwhile.
            let _ = Held::open(pid).and_then(|held| held.signal(Ending::Make));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel may need a moment until a process that has ended is out of it.
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            self.clear();
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

/// Where groups may be made, best first: the lab's own group in each hierarchy that counts and does nothing else.
fn places(mounts: &str, groups: &str) -> Vec<(PathBuf, Version)> {
    let own = |controller: &str| group_of(groups, controller);
    let mut places = Vec::new();
    for mount in mounts.lines().filter_map(Mount::parse) {
        let found = match mount.kind {
            "cgroup2" => own("").map(|path| (mount.folder_of(path), Version::Two)),
            "cgroup" if mount.has("cpuacct") && !mount.has("cpu") => {
                own("cpuacct").map(|path| (mount.folder_of(path), Version::One))
            }
            _ => None,
        };
        places.extend(found.and_then(|(folder, version)| Some((folder?, version))));
    }
    places.sort_by_key(|(_, version)| *version != Version::Two);
    places
}

/// The group that /proc/PID/cgroup names for a controller; version 2 has the empty name (cgroups(7)).
fn group_of<'a>(groups: &'a str, controller: &str) -> Option<&'a str> {
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let controllers = parts.nth(1)?;
        let path = parts.next()?;
        controllers
            .split(',')
            .any(|one| one == controller)
            .then_some(path)
    })
}

/// A line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
struct Mount<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (head, tail) = line.split_once(" - ")?;
        let mut head = head.split(' ').skip(3);
        let (root, point) = (head.next()?, head.next()?);
        let mut tail = tail.split(' ');
        let kind = tail.next()?;
        let options = tail.nth(1)?;
        Some(Mount {
            root,
            point,
            kind,
            options,
        })
    }

    fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|one| one == option)
    }

    /// Where a group stands below the mount point; `None` when the mount does not show it.
    fn folder_of(&self, group: &str) -> Option<PathBuf> {
        let below = match self.root {
            "/" => group,
            root => group.strip_prefix(root)?,
        };
        Some(Path::new(self.point).join(below.trim_start_matches('/')))
    }
}

/// A quota of CPU time that holds for a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The file that sets it.
    pub file: PathBuf,
    /// What stands in it: microseconds of CPU time per period, and the period.
    pub value: String,
    /// The file that counts what it stopped.
    stat: PathBuf,
}

impl Quota {
    /// All quotas that hold for a process: of its group and of those above, as far as this process can see them.
    pub fn of(pid: u32) -> Vec<Quota> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let mut quotas = Vec::new();
        for mount in mounts.lines().filter_map(Mount::parse) {
            let controller = match mount.kind {
                "cgroup2" => "",
                "cgroup" if mount.has("cpu") => "cpu",
                _ => continue,
            };
            let path = group_of(&groups, controller);
            let Some(folder) = path.and_then(|path| mount.folder_of(path)) else {
                continue;
            };
            let above = folder.ancestors().take_while(|one| one.starts_with(mount.point));
            quotas.extend(above.filter_map(Quota::in_folder));
        }
        quotas
    }

    /// The quota that a group sets; `None` when it sets none.
    fn in_folder(folder: &Path) -> Option<Quota> {
        let read = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let stat = folder.join("cpu.stat");
        if let Some(text) = read("cpu.max") {
            let value = text.trim().to_owned();
            return (!value.starts_with("max")).then(|| Quota {
                file: folder.join("cpu.max"),
                value,
                stat,
            });
        }
        let quota = read("cpu.cfs_quota_us")?.trim().to_owned();
        let period = read("cpu.cfs_period_us")?.trim().to_owned();
        (!quota.starts_with('-')).then(|| Quota {
            file: folder.join("cpu.cfs_quota_us"),
            value: format!("{quota} {period}"),
            stat,
        })
    }

    /// How long it has stopped threads so far, in seconds, summed over CPUs.
    pub fn throttled_seconds(&self) -> Option<f64> {
        let text = fs::read_to_string(&self.stat).ok()?;
        text.lines().find_map(|line| {
            let (name, count) = line.split_once(' ')?;
            let count: f64 = count.trim().parse().ok()?;
            match name {
                "throttled_usec" => Some(count / 1e6),
                "throttled_time" => Some(count / 1e9),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_made_where_they_only_count() {
        let mounts = "\
30 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
31 25 0:27 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup rw
32 25 0:28 /docker/ab /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct
";
        let groups = "9:cpuacct:/docker/ab/x\n2:cpu:/\n0::/user\n";
        assert_eq!(
            places(mounts, groups),
            [
                (PathBuf::from("/sys/fs/cgroup/unified/user"), Version::Two),
                (PathBuf::from("/sys/fs/cgroup/cpuacct/x"), Version::One)
            ]
        );
        // A mount that does not show the lab's own group is of no use.
        assert_eq!(places(mounts, "9:cpuacct:/elsewhere\n"), []);
        assert_eq!(places("nonsense\n", groups), []);
    }

    #[test]
    fn quotas_are_read_as_both_versions_write_them() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        assert_eq!(Quota::in_folder(folder.path()), None);
        write("cpu.cfs_quota_us", "-1\n");
        write("cpu.cfs_period_us", "100000\n");
        assert_eq!(Quota::in_folder(folder.path()), None);
        write("cpu.cfs_quota_us", "120000\n");
        write(
            "cpu.stat",
            "nr_periods 36\nnr_throttled 35\nthrottled_time 1500000000\n",
        );
        let quota = Quota::in_folder(folder.path()).unwrap();
        assert_eq!(quota.value, "120000 100000");
        assert_eq!(quota.throttled_seconds(), Some(1.5));
        write("cpu.max", "max 100000\n");
        assert_eq!(Quota::in_folder(folder.path()), None);
        write("cpu.max", "50000 100000\n");
        write("cpu.stat", "usage_usec 9\nthrottled_usec 250000\n");
        let quota = Quota::in_folder(folder.path()).unwrap();
        assert_eq!(
            (quota.value.as_str(), quota.throttled_seconds()),
            ("50000 100000", Some(0.25))
        );
        assert!(quota.file.ends_with("cpu.max"));
    }

    #[test]
    fn a_group_counts_what_has_ended() {
        // Where none may be made, the table of processes is used instead, which its own test tries.
        let Some(group) = Group::new() else { return };
        let entrance = group.entrance();
        let script = format!(
            "echo 0 > {} && i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done",
            entrance.display()
        );
        let status = std::process::Command::new("sh")
            .args(["-c", &script])
            .status()
            .unwrap();
        assert!(status.success());
        assert!(group.cpu_seconds().unwrap() > 0.001);
        assert_eq!(group.members().unwrap(), Vec::<u32>::new());
        let folder = group.folder.clone();
        drop(group);
        assert!(!folder.exists());
    }
}
