//! From registers and a copied stack to a call stack.
//!
//! Uses the unwind tables that every Rust program and every distribution's C library carry, and frame pointers only
//! where there are none. So programs need not be built with frame pointers, which would cost what is measured.

use std::ops::Range;

use framehop::{
    CacheNative, ExplicitModuleSectionInfo, MayAllocateDuringUnwind, Module, UnwindRegsNative, Unwinder as _,
    UnwinderNative,
};

use super::Sample;
use super::image::Image;

/// No stack that is believed is deeper.
const DEPTH_MAX: usize = 256;

/// Unwinds stacks of this process.
pub struct Unwinder {
    tables: UnwinderNative<Vec<u8>, MayAllocateDuringUnwind>,
    cache: CacheNative<MayAllocateDuringUnwind>,
}

impl Unwinder {
    /// Knows the code of these images, and takes their unwind tables.
    pub fn new(images: &mut [Image]) -> Unwinder {
        let mut tables = UnwinderNative::new();
        for image in images {
            let range =
                |section: &(u64, Vec<u8>)| -> Range<u64> { section.0..section.0 + section.1.len() as u64 };
            let sections = ExplicitModuleSectionInfo {
                base_svma: 0,
                eh_frame_svma: image.eh_frame.as_ref().map(range),
                eh_frame: image.eh_frame.take().map(|section| section.1),
                eh_frame_hdr_svma: image.eh_frame_hdr.as_ref().map(range),
                eh_frame_hdr: image.eh_frame_hdr.take().map(|section| section.1),
                ..ExplicitModuleSectionInfo::default()
            };
            tables.add_module(Module::new(
                image.name.clone(),
                image.code.clone(),
                image.bias,
                sections,
            ));
        }
        Unwinder {
            tables,
            cache: CacheNative::default(),
        }
    }

    /// The addresses of the stack's functions, innermost first, each inside the instruction that was under way. What
    /// the copy does not hold is cut off; `false` says so.
    pub fn unwind(&mut self, sample: &Sample<'_>) -> (Vec<u64>, bool) {
        let base = sample.stack_pointer;
        let mut read = |address: u64| {
            let offset = usize::try_from(address.checked_sub(base).ok_or(())?).map_err(drop)?;
            let bytes = sample.stack.get(offset..).and_then(|bytes| bytes.first_chunk());
            bytes.map(|&bytes| u64::from_ne_bytes(bytes)).ok_or(())
        };
        let mut frames =
            self.tables
                .iter_frames(sample.instruction, registers(sample), &mut self.cache, &mut read);
        let mut addresses = Vec::with_capacity(32);
        while addresses.len() < DEPTH_MAX {
            match frames.next() {
                Ok(Some(frame)) => addresses.push(frame.address_for_lookup()),
                Ok(None) => return (addresses, true),
                Err(_) => break,
            }
        }
        (addresses, false)
    }
}

#[cfg(target_arch = "aarch64")]
fn registers(sample: &Sample<'_>) -> UnwindRegsNative {
    UnwindRegsNative::new(sample.link, sample.stack_pointer, sample.frame_pointer)
}

#[cfg(not(target_arch = "aarch64"))]
fn registers(sample: &Sample<'_>) -> UnwindRegsNative {
    UnwindRegsNative::new(sample.instruction, sample.stack_pointer, sample.frame_pointer)
}
