//! From addresses to function names, files and lines.

use std::collections::HashMap;
use std::rc::Rc;

use addr2line::Loader;

use super::image::Image;

/// Stands for the outer part of a stack that was not copied. No code lies there.
pub const CUT_OFF: u64 = 0;

/// A function and the place in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    /// The function's name as it is written in the source, with its path; or `[file]` when nothing is known.
    pub function: String,
    /// The source file; empty when unknown.
    pub file: String,
    /// The line; 0 when unknown.
    pub line: u32,
}

/// What stands at an address.
#[derive(Debug)]
pub struct Place {
    /// The image's index.
    pub image: Option<usize>,
    /// The function there: the innermost of those that were inlined, then outwards.
    pub lines: Vec<Line>,
}

/// Finds names, and remembers them.
pub struct Symbolizer {
    images: Vec<Image>,
    /// Read when first needed: a program's tables take memory.
    loaders: Vec<Option<Option<Loader>>>,
    known: HashMap<u64, Rc<Place>>,
}

impl Symbolizer {
    /// Knows these images.
    pub fn new(images: Vec<Image>) -> Symbolizer {
        Symbolizer {
            loaders: images.iter().map(|_| None).collect(),
            images,
            known: HashMap::new(),
        }
    }

    /// The images, in their order.
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// What stands at `address`.
    pub fn place(&mut self, address: u64) -> Rc<Place> {
        if let Some(place) = self.known.get(&address) {
            return Rc::clone(place);
        }
        let place = Rc::new(self.find(address));
        self.known.insert(address, Rc::clone(&place));
        place
    }

    fn find(&mut self, address: u64) -> Place {
        let unknown = |name: &str| Line {
            function: format!("[{}]", name.trim_matches(['[', ']'])),
            file: String::new(),
            line: 0,
        };
        let Some(index) = self.images.iter().position(|image| image.code.contains(&address)) else {
            return Place {
                image: None,
                lines: vec![unknown(if address == CUT_OFF { "cut off" } else { "unknown" })],
            };
        };
        let image = &self.images[index];
        let loader = self.loaders[index].get_or_insert_with(|| {
            let path = image.path.as_ref()?;
            Loader::new(path).ok()
        });
        let mut lines = loader
            .as_ref()
            .map(|loader| lines(loader, address.wrapping_sub(image.bias)))
            .unwrap_or_default();
        if lines.is_empty() {
            let file = image.name.rsplit('/').next().unwrap_or_default();
            lines.push(unknown(file));
        }
        Place {
            image: Some(index),
            lines,
        }
    }
}

fn lines(loader: &Loader, address: u64) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Ok(mut frames) = loader.find_frames(address) {
        while let Ok(Some(frame)) = frames.next() {
            let location = frame.location;
            let file = location.as_ref().and_then(|location| location.file);
            let file = file.unwrap_or_default();
            let name = frame.function.as_ref().and_then(|function| {
                let raw = function.raw_name().ok()?;
                Some(qualified(readable(&raw), file))
            });
            lines.push(Line {
                function: name.unwrap_or_default(),
                file: file.to_owned(),
                line: location.and_then(|location| location.line).unwrap_or(0),
            });
        }
    }
    // The symbol table knows the outermost one with its whole path, and functions without line tables.
    if let Some(symbol) = loader.find_symbol(address) {
        match lines.last_mut() {
            Some(line) => line.function = readable(symbol),
            None => lines.push(Line {
                function: readable(symbol),
                file: String::new(),
                line: 0,
            }),
        }
    }
    lines.retain(|line| !line.function.is_empty());
    lines
}

/// A symbol as a Rust programmer would write it, without the hash; symbols of other languages as they are.
fn readable(symbol: &str) -> String {
    match rustc_demangle::try_demangle(symbol) {
        Ok(name) => format!("{name:#}"),
        Err(_) => symbol.to_owned(),
    }
}

/// Line tables name an inlined function without its path, so `tokio::runtime::task::poll` is just `poll`. The file says
/// which module it is in; only the type is lost.
fn qualified(name: String, file: &str) -> String {
    let bare = name.trim_start_matches("::");
    // A path before the generics' brackets: the name came from the symbol, and is whole.
    let is_whole = !name.starts_with("::") && bare.split('<').next().is_some_and(|head| head.contains("::"));
    match module(file) {
        Some(module) if !is_whole && !name.starts_with('<') => format!("{module}::{bare}"),
        _ => name,
    }
}

/// The module that a Rust file holds: `…/tokio-1.52.0/src/runtime/task/mod.rs` is `tokio::runtime::task`.
fn module(file: &str) -> Option<String> {
    let path = file.strip_suffix(".rs")?;
    let (before, inside) = path.rsplit_once("/src/")?;
    let package = before.rsplit('/').next()?;
    let version = package.rmatch_indices('-').map(|(index, _)| index);
    let name_end = version
        .into_iter()
        .find(|index| package[index + 1..].starts_with(|c: char| c.is_ascii_digit()));
    let mut module = package[..name_end.unwrap_or(package.len())].replace('-', "_");
    let parts: Vec<&str> = inside.split('/').collect();
    for (index, part) in parts.iter().enumerate() {
        let is_root = index + 1 == parts.len() && matches!(*part, "mod" | "lib" | "main");
        if !is_root {
            module.push_str("::");
            module.push_str(part);
        }
    }
    Some(module)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::image::images;

    #[inline(never)]
    fn planted() -> u32 {
        std::hint::black_box(line!())
    }

    #[test]
    fn a_function_of_this_program_is_found_with_file_and_line() {
        let line = planted();
        let mut symbolizer = Symbolizer::new(images().unwrap());
        let place = symbolizer.place(planted as *const () as u64 + 1);
        assert_eq!(place.image, Some(0));
        let found = place.lines.last().unwrap();
        assert!(found.function.ends_with("symbols::tests::planted"), "{found:?}");
        assert!(
            found.file.ends_with("telemetry/src/profile/symbols.rs"),
            "{found:?}"
        );
        assert!(found.line.abs_diff(line) <= 1, "{found:?}");
        assert_eq!(symbolizer.place(1).lines[0].function, "[unknown]");
    }

    #[test]
    fn an_inlined_function_gets_the_path_of_its_file() {
        for (name, file, whole) in [
            (
                "poll",
                "/r/tokio-1.52.0/src/runtime/task/mod.rs",
                "tokio::runtime::task::poll",
            ),
            (
                "get<u8>",
                "/rustc/1/library/core/src/slice/index.rs",
                "core::slice::index::get<u8>",
            ),
            (
                "::call_once",
                "/rustc/1/library/core/src/ops/function.rs",
                "core::ops::function::call_once",
            ),
            ("wait", "server/src/main.rs", "server::wait"),
            ("f", "/r/parking_lot-core-0.9/src/lib.rs", "parking_lot_core::f"),
            (
                "g<a::B>",
                "/r/io-uring-0.7.1/src/sys/mod.rs",
                "io_uring::sys::g<a::B>",
            ),
            ("a::b::c", "/r/tokio-1.52.0/src/lib.rs", "a::b::c"),
            (
                "<a::B as c::D>::e",
                "/r/tokio-1.52.0/src/lib.rs",
                "<a::B as c::D>::e",
            ),
            ("arena_malloc", "src/arena.c", "arena_malloc"),
            ("planted", "server/tests/planted.rs", "planted"),
        ] {
            assert_eq!(qualified(name.to_owned(), file), whole);
        }
    }

    #[test]
    fn a_function_of_the_c_library_is_found() {
        let images = images().unwrap();
        let libc = images
            .iter()
            .position(|image| image.name.contains("libc"))
            .unwrap();
        let image = &images[libc];
        let address = {
            let loader = Loader::new(image.path.as_ref().unwrap()).unwrap();
            let address = (0..image.code.end - image.code.start).step_by(16).find(|offset| {
                let address = image.code.start + offset - image.bias;
                loader
                    .find_symbol(address)
                    .is_some_and(|name| name.contains("epoll_wait"))
            });
            image.code.start + address.unwrap()
        };
        let mut symbolizer = Symbolizer::new(images);
        assert!(symbolizer.place(address).lines[0].function.contains("epoll_wait"));
    }
}
