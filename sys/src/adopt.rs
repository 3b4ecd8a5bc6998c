//! Gives a descriptor to a type of another library that takes raw ones alone.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};

/// Makes a `T` of a descriptor that is certainly owned and open, for types without a `From<OwnedFd>`.
pub fn adopt<T: FromRawFd>(fd: OwnedFd) -> T {
    // SAFETY: an `OwnedFd` is open and nobody else's, and `into_raw_fd` gives up the ownership that `T` takes.
    unsafe { T::from_raw_fd(fd.into_raw_fd()) }
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read, Write};
    use std::os::fd::OwnedFd;

    use super::adopt;

    #[test]
    fn an_adopted_descriptor_works_and_is_closed_once() {
        let (mut reader, writer): (PipeReader, PipeWriter) = std::io::pipe().unwrap();
        let mut adopted: PipeWriter = adopt(OwnedFd::from(writer));
        adopted.write_all(b"x").unwrap();
        drop(adopted);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "x");
    }
}
