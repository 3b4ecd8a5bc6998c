//! Where externals are found, and what is said when they are not there.

use std::os::unix::fs::PermissionsExt;

use super::*;

/// An empty folder as the only root, with a `go` that is a script of these lines, if any.
fn place(go: Option<&str>) -> (tempfile::TempDir, Place) {
    let folder = tempfile::tempdir().unwrap();
    let tool = folder.path().join("fake-go");
    if let Some(lines) = go {
        std::fs::write(&tool, format!("#!/bin/sh\n{lines}\n")).unwrap();
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let roots = vec![folder.path().join("elsewhere"), folder.path().to_owned()];
    (folder, Place { roots, go: tool })
}

fn write(folder: &tempfile::TempDir, path: &str) -> PathBuf {
    let path = folder.path().join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, "").unwrap();
    path
}

fn named(name: &str) -> &'static External {
    find(name).unwrap()
}

#[test]
fn names_are_unique_and_none_is_an_engine() {
    for (index, external) in EXTERNALS.iter().enumerate() {
        assert!(
            EXTERNALS[..index]
                .iter()
                .all(|earlier| earlier.name != external.name)
        );
        assert!(
            !crate::engines::names().contains(&external.name),
            "{}",
            external.name
        );
        assert!(!external.summary.is_empty());
    }
    assert!(find("nobody").is_none());
}

#[test]
fn the_folders_and_programs_are_those_of_this_repository() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for external in EXTERNALS {
        match external.toolchain {
            Toolchain::Go => assert!(root.join(external.program).with_file_name("go.mod").is_file()),
            Toolchain::Cargo => {
                let source = format!("contenders/rust-runtimes/src/bin/{}.rs", external.name);
                assert!(root.join(&source).is_file(), "{source} is gone; mend the table");
            }
        }
    }
}

#[test]
fn what_is_built_is_found() {
    let (folder, place) = place(None);
    for external in [named("mio"), named("go-net-tuned")] {
        let program = write(&folder, external.program);
        assert_eq!(place.program(external), Ok(program));
    }
}

#[test]
fn what_is_not_built_says_how_to() {
    let (folder, place) = place(None);
    let why = place.program(named("glommio")).unwrap_err();
    assert!(
        why.contains("release/glommio is not built") && why.contains(CARGO_BUILD),
        "{why}"
    );
    let why = place.program(named("go-net")).unwrap_err();
    assert!(why.contains("root of the repository"), "{why}");
    write(&folder, "contenders/go-net/go.mod");
    let why = place.program(named("go-net")).unwrap_err();
    assert!(why.contains("no `go`") && why.contains(GO_BUILD), "{why}");
}

#[test]
fn go_builds_before_each_use() {
    let (folder, place) = place(Some("[ $1 = version ] || echo new > go-net"));
    let sources = write(&folder, "contenders/go-net/go.mod");
    let old = write(&folder, "contenders/go-net/go-net");
    assert_eq!(place.program(named("go-net")), Ok(old.clone()));
    assert_eq!(std::fs::read_to_string(&old).unwrap(), "new\n");
    assert!(sources.is_file());
}

#[test]
fn a_go_build_that_fails_says_why_and_starts_nothing_old() {
    let (folder, place) = place(Some("[ $1 = version ] || { echo main.go:7: no >&2; exit 1; }"));
    write(&folder, "contenders/go-net/go.mod");
    write(&folder, "contenders/go-net/go-net");
    let why = place.program(named("go-net")).unwrap_err();
    assert!(why.contains("failed: main.go:7: no"), "{why}");
}
