//! Contenders: who takes part, and what each can do.

pub mod external;

use std::collections::BTreeMap;

use model::contender::{Contender, ContenderError, Origin};
use server::engine::{Capabilities, Threads};

use external::EXTERNALS;

/// What the lab may ask of a contender's server. A server of the user's own is asked for nothing.
pub fn capabilities(contender: &Contender) -> Capabilities {
    match &contender.origin {
        Origin::Engine { engine } => {
            server::engine::find(engine).map_or(Capabilities::NONE, |engine| engine.capabilities)
        }
        Origin::External { external } => {
            external::find(external).map_or(Capabilities::NONE, |external| Capabilities {
                threads: external.threads,
                ..Capabilities::NONE
            })
        }
        Origin::Command { .. } | Origin::Running { .. } => Capabilities::NONE,
    }
}

/// Whether the lab can tell its server how many threads to work with.
pub fn takes_workers(contender: &Contender) -> bool {
    matches!(contender.origin, Origin::Engine { .. } | Origin::External { .. })
}

/// Whether its server works with as many threads as it is told.
pub fn heeds_workers(contender: &Contender) -> bool {
    capabilities(contender).threads == Threads::AsTold
}

/// Whether its server can let messages gather.
pub fn can_linger(contender: &Contender) -> bool {
    capabilities(contender).lingers
}

/// Whether its server is told how epolls share sockets and wait.
pub fn is_epoll(contender: &Contender) -> bool {
    capabilities(contender).epoll_flags
}

fn refuse<T>(why: String) -> Result<T, ContenderError> {
    Err(ContenderError(why))
}

/// The contenders that take part, in order. `selection` is `engines` (those of our own server, without the yardsticks),
/// `own` (the user's own), `all` (both, the yardsticks, and the other servers of this repository), or names; the user's
/// own replace others of the same name. The second `epoll` of `epoll,epoll` is called `epoll#2`, which makes a null
/// check: both should cost the same.
///
/// # Errors
/// When a name is unknown, or nobody is left.
pub fn select(
    selection: &[String],
    engines: &[&str],
    own: &[Contender],
) -> Result<Vec<Contender>, ContenderError> {
    for (index, contender) in own.iter().enumerate() {
        if own[..index].iter().any(|earlier| earlier.name == contender.name) {
            return refuse(format!("two contenders are called `{}`", contender.name));
        }
    }
    let yardsticks = crate::engines::yardsticks();
    let ours = engines.iter().chain(&yardsticks);
    let ours = ours.map(|engine| Contender::engine(engine));
    let externals = EXTERNALS
        .iter()
        .map(|external| Contender::external(external.name));
    let mut known: Vec<Contender> = ours
        .chain(externals)
        .filter(|ours| own.iter().all(|own| own.name != ours.name))
        .collect();
    known.extend(own.iter().cloned());
    let mut selected: Vec<Contender> = Vec::new();
    for name in selection {
        match name.as_str() {
            "all" => selected.extend(known.iter().cloned()),
            "own" => {
                let new = own.iter().filter(|own| !selected.contains(own));
                let new: Vec<_> = new.cloned().collect();
                selected.extend(new);
            }
            "engines" => selected.extend(
                known
                    .iter()
                    .filter(|contender| matches!(&contender.origin, Origin::Engine { engine } if engines.contains(&engine.as_str())))
                    .cloned(),
            ),
            name => match known.iter().find(|contender| contender.name == name) {
                Some(contender) => selected.push(contender.clone()),
                None => {
                    let names: Vec<_> = known
                        .iter()
                        .map(|contender| format!("`{}`", contender.name))
                        .collect();
                    return refuse(format!(
                        "there is no contender `{name}`: choose among {}, `engines`, `own` or `all`, or describe yours with --contender",
                        names.join(", ")
                    ));
                }
            },
        }
    }
    if selected.is_empty() {
        return refuse("no contender is left".to_owned());
    }
    // By name, not by origin: two of the user's own may do the same and keep the names that the user gave them.
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for contender in &mut selected {
        let times = times.entry(contender.name.clone()).or_default();
        *times += 1;
        if *times > 1 {
            contender.name = format!("{}#{times}", contender.name);
        }
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGINES: &[&str] = &["epoll", "tokio", "threads"];

    fn names(selection: &[&str], own: &[Contender]) -> Result<Vec<String>, String> {
        let selection: Vec<_> = selection.iter().map(|name| (*name).to_owned()).collect();
        select(&selection, ENGINES, own)
            .map(|contenders| contenders.into_iter().map(|contender| contender.name).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn all_own_and_names_select() {
        let mine = Contender::parse("name=mine,echo=a:1").unwrap();
        let own = std::slice::from_ref(&mine);
        assert_eq!(
            names(&["engines", "own"], own).unwrap(),
            ["epoll", "tokio", "threads", "mine"]
        );
        let all = names(&["all"], own).unwrap();
        assert!(
            all.starts_with(&["epoll", "tokio", "threads"].map(str::to_owned))
                && all.ends_with(&["mine".to_owned()])
        );
        assert_eq!(names(&["own"], own).unwrap(), ["mine"]);
        assert_eq!(names(&["mine", "epoll"], own).unwrap(), ["mine", "epoll"]);
        let error = names(&["epol"], own).unwrap_err();
        assert!(error.contains("`epol`") && error.contains("`mine`"), "{error}");
        assert!(names(&["own"], &[]).unwrap_err().contains("no contender"));
    }

    #[test]
    fn other_servers_of_the_repository_are_chosen_by_name_and_replaced_by_the_users_own() {
        let go_net = [Contender::external("go-net")];
        assert_eq!(select(&["go-net".to_owned()], ENGINES, &[]).unwrap(), go_net);
        let own = [Contender::parse("name=go-net,echo=server-go-net:8888").unwrap()];
        assert_eq!(select(&["go-net".to_owned()], ENGINES, &own).unwrap(), own);
        let named = ["go-net", "own"].map(str::to_owned);
        assert_eq!(select(&named, ENGINES, &own).unwrap(), own, "once, not twice");
    }

    #[test]
    fn the_same_twice_is_a_null_check() {
        assert_eq!(
            names(&["epoll", "tokio", "epoll", "epoll"], &[]).unwrap(),
            ["epoll", "tokio", "epoll#2", "epoll#3"]
        );
    }

    #[test]
    fn two_names_of_one_thing_stay_two_names() {
        let own = ["old", "new"].map(|name| {
            let text = format!("name={name},command=./mine {{port}}");
            Contender::parse(&text).unwrap()
        });
        assert_eq!(names(&["own"], &own).unwrap(), ["old", "new"]);
        assert_eq!(
            names(&["old", "new", "old"], &own).unwrap(),
            ["old", "new", "old#2"]
        );
    }

    #[test]
    fn the_users_own_replaces_an_engine_of_the_same_name() {
        let epoll = Contender::parse("name=epoll,echo=server-epoll:8888").unwrap();
        let own = std::slice::from_ref(&epoll);
        assert_eq!(
            names(&["engines", "own"], own).unwrap(),
            ["tokio", "threads", "epoll"]
        );
        assert_eq!(select(&["epoll".to_owned()], ENGINES, own).unwrap(), own);
        let twice = [epoll.clone(), epoll];
        assert!(names(&["all"], &twice).unwrap_err().contains("two contenders"));
    }
}
