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
    /// Its name in the program's tables. Go's tools shorten names that equal this one, and leave others alone.
    pub symbol: String,
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
pub struct Symbolizer<'a> {
    images: &'a [Image],
    loaders: Vec<Option<Loader>>,
    known: HashMap<u64, Rc<Place>>,
}

impl<'a> Symbolizer<'a> {
    /// Knows these images.
    pub fn new(images: &'a [Image]) -> Symbolizer<'a> {
        Symbolizer {
            loaders: images
                .iter()
                .map(|image| Loader::new(image.path.as_ref()?).ok())
                .collect(),
            images,
            known: HashMap::new(),
        }
    }

    /// The images, in their order.
    pub fn images(&self) -> &'a [Image] {
        self.images
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
            symbol: String::new(),
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
        let mut lines = self.loaders[index]
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
            let raw = frame
                .function
                .as_ref()
                .and_then(|function| function.raw_name().ok());
            let raw = raw.unwrap_or_default();
            lines.push(Line {
                function: qualified(readable(&raw), file),
                symbol: raw.into_owned(),
                file: file.to_owned(),
                line: location.and_then(|location| location.line).unwrap_or(0),
            });
        }
    }
    // The symbol table knows the outermost one with its whole path, and functions without line tables.
    if let Some(symbol) = loader.find_symbol(address) {
        match lines.last_mut() {
            Some(line) => {
                line.function = readable(symbol);
                line.symbol = symbol.to_owned();
            }
            None => lines.push(Line {
                function: readable(symbol),
                symbol: symbol.to_owned(),
                file: String::new(),
                line: 0,
            }),
        }
    }
    lines.retain(|line| !line.symbol.is_empty());
    lines
}

/// A symbol as a Rust programmer would write it, without the hash; symbols of other languages as they are.
pub fn readable(symbol: &str) -> String {
    match rustc_demangle::try_demangle(symbol) {
        Ok(name) => format!("{name:#}"),
        Err(_) => symbol.to_owned(),
    }
}

/// Line tables name an inlined function without its path and with all its types, so `tokio::runtime::task::poll` is just
/// `poll<…>`. The file says which module it is in; the types only make flame graphs unreadable.
fn qualified(name: String, file: &str) -> String {
    let Some(module) = module(file) else { return name };
    // A path before the brackets: the name came from the symbol, and is whole.
    match name.split('<').next() {
        Some(bare) if !bare.is_empty() && !bare.contains("::") => format!("{module}::{bare}"),
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
        let images = images().unwrap();
        let mut symbolizer = Symbolizer::new(&images);
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
                "core::slice::index::get",
            ),
            ("wait", "server/src/main.rs", "server::wait"),
            ("f", "/r/parking_lot-core-0.9/src/lib.rs", "parking_lot_core::f"),
            (
                "g<a::B<c::D>, E>",
                "/r/io-uring-0.7.1/src/sys/mod.rs",
                "io_uring::sys::g",
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
        let mut symbolizer = Symbolizer::new(&images);
        assert!(symbolizer.place(address).lines[0].function.contains("epoll_wait"));
    }
}
