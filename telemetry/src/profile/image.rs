//! What is mapped into this process as code: the program, its libraries, the kernel's vDSO.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSegment};
use procfs::process::{MMPermissions, MMapPath, Process};

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

/// All images of this process; the program itself comes first. One that cannot be read is left out: its frames will
/// have no names.
///
/// # Errors
/// When /proc is not readable.
pub fn images() -> io::Result<Vec<Image>> {
    let process = Process::myself().map_err(io::Error::other)?;
    let program = process.exe().map_err(io::Error::other)?;
    let mut images = Vec::new();
    for map in process.maps().map_err(io::Error::other)? {
        if !map.perms.contains(MMPermissions::EXECUTE) {
            continue;
        }
        let range = map.address.0..map.address.1;
        let (name, path, bytes) = match &map.pathname {
            // Also when the file was replaced meanwhile, this link leads to what was started.
            MMapPath::Path(path) if *path == program => {
                let link = PathBuf::from("/proc/self/exe");
                let bytes = fs::read(&link);
                (path.display().to_string(), Some(link), bytes)
            }
            MMapPath::Path(path) => (path.display().to_string(), Some(path.clone()), fs::read(path)),
            MMapPath::Vdso => ("[vdso]".to_owned(), None, read_memory(&range)),
            _ => continue,
        };
        let image = bytes
            .ok()
            .and_then(|bytes| parse(name, path, range, map.offset, &bytes));
        images.extend(image);
    }
    images.sort_by_key(|image| image.path.as_deref() != Some(Path::new("/proc/self/exe")));
    Ok(images)
}

fn read_memory(range: &Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    File::open("/proc/self/mem")?.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

fn parse(
    name: String,
    path: Option<PathBuf>,
    code: Range<u64>,
    file_offset: u64,
    bytes: &[u8],
) -> Option<Image> {
    let object = object::File::parse(bytes).ok()?;
    let mapped = file_offset..file_offset + (code.end - code.start);
    // The segment that this mapping shows; the loader rounds its start down to a page.
    let segment = object.segments().find(|segment| {
        let (start, size) = segment.file_range();
        size > 0 && start < mapped.end && start + size > mapped.start && {
            let executable =
                matches!(segment.flags(), object::SegmentFlags::Elf { p_flags, .. } if p_flags & 1 != 0);
            executable || path.is_none()
        }
    })?;
    let placed = code.start + segment.file_range().0;
    let bias = placed.wrapping_sub(file_offset).wrapping_sub(segment.address());
    let section = |name: &str| {
        let section = object.section_by_name(name)?;
        Some((section.address(), section.uncompressed_data().ok()?.into_owned()))
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
}
