//! The category of a stack of addresses, quickly and in little memory: for sampling all the time.
//!
//! Knows of each function only what its name says, not the name; so it takes a few hundred kilobytes where line tables
//! take dozens of megabytes. What was inlined counts for the function that it was inlined into.

use std::ops::Range;

use super::category::{Category, Mark, decide};
use super::image::Image;
use super::symbols::readable;

/// Knows what each function of the program is about.
pub struct Classifier {
    images: Vec<Marks>,
}

/// What the functions of one image are about: where each begins, rising, and what its name says.
struct Marks {
    code: Range<u64>,
    marks: Vec<(u64, Mark)>,
}

impl Classifier {
    /// Reads the symbols of these images.
    pub fn new(images: &[Image]) -> Classifier {
        let marks = |image: &Image| {
            let mut marks: Vec<(u64, Mark)> = Vec::new();
            image.for_each_function(|address, symbol| marks.push((address, Mark::of(&readable(symbol)))));
            marks.sort_by_key(|&(address, _)| address);
            // Neighbours that say the same are one.
            marks.dedup_by_key(|&mut (_, mark)| mark);
            marks.shrink_to_fit();
            Marks {
                code: image.code.clone(),
                marks,
            }
        };
        Classifier {
            images: images.iter().map(marks).collect(),
        }
    }

    /// What a stack was about; its addresses are given from the innermost outwards.
    pub fn categorize(&self, addresses: &[u64]) -> Category {
        decide(addresses.iter().map(|&address| self.mark(address)))
    }

    fn mark(&self, address: u64) -> Mark {
        let image = self.images.iter().find(|image| image.code.contains(&address));
        let Some(Marks { marks, .. }) = image else {
            return Mark::default();
        };
        let after = marks.partition_point(|&(start, _)| start <= address);
        let function = after.checked_sub(1).and_then(|index| marks.get(index));
        function.map(|&(_, mark)| mark).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::image::images;

    #[test]
    fn calls_of_the_c_library_are_told_apart() {
        let images = images().unwrap();
        let classifier = Classifier::new(&images);
        let libc = images.iter().find(|image| image.name.contains("libc")).unwrap();
        let mut seen = 0;
        libc.for_each_function(|address, symbol| {
            let expected = match symbol {
                "recv" => Category::Read,
                "send" => Category::Write,
                "epoll_wait" => Category::Wait,
                "malloc" => Category::Allocation,
                _ => return,
            };
            seen += 1;
            assert_eq!(classifier.categorize(&[1, address + 4]), expected, "{symbol}");
        });
        assert_eq!(seen, 4);
        let here = calls_of_the_c_library_are_told_apart as *const () as u64;
        assert_eq!(classifier.categorize(&[here + 1]), Category::Other);
        let marks: usize = classifier.images.iter().map(|image| image.marks.len()).sum();
        assert!(marks < 50_000, "{marks}");
    }
}
