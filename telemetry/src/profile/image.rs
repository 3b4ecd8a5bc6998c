//! What is mapped into this process as code: the program, its libraries, the kernel's vDSO.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSegment, ReadCache, ReadRef};
use procfs::process::{MMPermissions, MMapPath, Process};

/// The running program's own file.
const PROGRAM: &str = "/proc/self/exe";

/// One file of code and where it lies.
#[derive(Debug)]
pub struct Image {
    /// What it is called: a path, or `[vdso]`.
    pub name: String,
    /// Where its bytes can be read; `None` for the vDSO, which is no file.
    pub path: Option<PathBuf>,
    /// The addresses of its code.
    pub code: Range<u64>,
    /// Where in the file the code begins.
    pub file_offset: u64,
    /// What to take off an address to get the one that the file speaks of.
    pub bias: u64,
    /// The GNU build id in hexadecimal; empty when it has none.
    pub build_id: String,
    /// The unwind table and the address at which the file places it.
    pub eh_frame: Option<(u64, Vec<u8>)>,
    /// Its index, likewise.
    pub eh_frame_hdr: Option<(u64, Vec<u8>)>,
}

/// All images of this process; the program itself comes first. A library that cannot be read is left out: its frames
/// will have no names.
///
/// # Errors
/// When /proc or the program is not readable, or no descriptor is left for it.
pub fn images() -> io::Result<Vec<Image>> {
    let process = Process::myself().map_err(io::Error::other)?;
    let program = process.exe().map_err(io::Error::other)?;
    let mut images = Vec::new();
    for map in process.maps().map_err(io::Error::other)? {
        if !map.perms.contains(MMPermissions::EXECUTE) {
            continue;
        }
        let place = Place {
            code: map.address.0..map.address.1,
            file_offset: map.offset,
        };
        images.extend(match map.pathname {
            // Also when the file was replaced meanwhile, this link leads to what was started.
            MMapPath::Path(path) if path == program => {
                let file = ReadCache::new(File::open(PROGRAM)?);
                parse(path.display().to_string(), Some(PROGRAM.into()), place, &file)
            }
            MMapPath::Path(path) => File::open(&path).ok().and_then(|file| {
                let file = ReadCache::new(file);
                parse(path.display().to_string(), Some(path), place, &file)
            }),
            MMapPath::Vdso => {
                let bytes = read_memory(&place.code)?;
                parse("[vdso]".to_owned(), None, place, bytes.as_slice())
            }
            _ => None,
        });
    }
    images.sort_by_key(|image| image.path.as_deref() != Some(Path::new(PROGRAM)));
    Ok(images)
}

fn read_memory(range: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    File::open("/proc/self/mem")?.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

/// A stretch of mapped code.
struct Place {
    code: Range<u64>,
    file_offset: u64,
}

/// Reads of the file what unwinding needs, and no more: programs with line tables are large.
fn parse<'data>(
    name: String,
    path: Option<PathBuf>,
    place: Place,
    data: impl ReadRef<'data>,
) -> Option<Image> {
    let Place { code, file_offset } = place;
    let object = object::File::parse(data).ok()?;
    let mapped = file_offset..file_offset + (code.end - code.start);
    // The segment that this mapping shows; the loader rounds its start down to a page. The vDSO has but one.
    let segment = object.segments().find(|segment| {
        let (start, size) = segment.file_range();
        let executable =
            matches!(segment.flags(), object::SegmentFlags::Elf { p_flags, .. } if p_flags & object::elf::PF_X != 0);
        size > 0 && start < mapped.end && start + size > mapped.start && executable
    })?;
    let placed = code.start + segment.file_range().0;
    let bias = placed.wrapping_sub(file_offset).wrapping_sub(segment.address());
    let section = |name: &str| {
        let section = object.section_by_name(name)?;
        Some((section.address(), section.data().ok()?.to_vec()))
    };
    let build_id = object.build_id().ok().flatten().unwrap_or_default();
    Some(Image {
        name,
        path,
        file_offset,
        bias,
        build_id: build_id.iter().map(|byte| format!("{byte:02x}")).collect(),
        eh_frame: section(".eh_frame"),
        eh_frame_hdr: section(".eh_frame_hdr"),
        code,
    })
}

impl Image {
    /// Calls `each` with the address at which every function of the image lies in this process, and its symbol.
    ///
    /// Reads the tables as they are: the library's own reader would keep each name apart in memory.
    pub fn for_each_function(&self, mut each: impl FnMut(u64, &str)) -> Option<()> {
        let file = ReadCache::new(File::open(self.path.as_ref()?).ok()?);
        let object = object::File::parse(&file).ok()?;
        let tables = |symbols: &str, names: &str| {
            let section = |name| object.section_by_name(name)?.data().ok();
            Some((section(symbols)?, section(names)?))
        };
        let (symbols, names) = tables(".symtab", ".strtab").or_else(|| tables(".dynsym", ".dynstr"))?;
        for symbol in symbols.as_chunks::<SYMBOL_BYTES>().0 {
            let (name, kind, address) = function(symbol);
            let name = names
                .get(name..)
                .and_then(|rest| rest.split(|&byte| byte == 0).next());
            if let (true, Some(name)) = (kind == object::elf::STT_FUNC && address != 0, name) {
                each(address.wrapping_add(self.bias), &String::from_utf8_lossy(name));
            }
        }
        Some(())
    }
}

/// The size of an Elf64_Sym (elf(5)).
const SYMBOL_BYTES: usize = 24;

/// Of an Elf64_Sym: where its name begins, what kind of thing it names, and its address.
fn function(symbol: &[u8; SYMBOL_BYTES]) -> (usize, u8, u64) {
    let [n0, n1, n2, n3, info, _, _, _, a0, a1, a2, a3, a4, a5, a6, a7, ..] = *symbol;
    let name = u32::from_ne_bytes([n0, n1, n2, n3]);
    let address = u64::from_ne_bytes([a0, a1, a2, a3, a4, a5, a6, a7]);
    (name as usize, info & 0xf, address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_comes_first_and_has_unwind_tables() {
        let images = images().unwrap();
        assert!(images.len() >= 2, "{images:?}");
        let here = this_program_comes_first_and_has_unwind_tables as *const () as u64;
        assert!(images[0].code.contains(&here));
        assert!(images[0].eh_frame.is_some() && images[0].eh_frame_hdr.is_some());
        assert!(images.iter().any(|image| image.name == "[vdso]"));
        assert!(images.iter().any(|image| image.name.contains("libc")));
    }

    #[test]
    fn functions_are_where_they_are() {
        let here = functions_are_where_they_are as *const () as u64;
        let mut found = 0;
        let images = images().unwrap();
        images[0].for_each_function(|address, symbol| {
            found += usize::from(address == here && symbol.contains("functions_are_where_they_are"));
        });
        assert_eq!(found, 1);
        let libc = images.iter().find(|image| image.name.contains("libc")).unwrap();
        let mut waits = vec![];
        libc.for_each_function(|address, symbol| {
            if symbol == "epoll_wait" {
                waits.push(address);
            }
        });
        assert!(waits.len() == 1 && libc.code.contains(&waits[0]), "{waits:x?}");
    }
}
