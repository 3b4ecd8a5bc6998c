//! What a message looks like: every byte follows from its connection and its sequence number, so that neither side
//! of the check needs a copy of it.
//!
//! A message is a row of little-endian 64-bit words, cut at its length. Word 0 is the sequence number, mixed with the
//! connection so that even a message of one byte differs between connections; word 1 is the connection; from word 2 on
//! it is a Weyl sequence (a constant is added from word to word) that begins at a value mixed from both. A reply that belongs to another connection, that is
//! one behind, shifted, or damaged, therefore differs within its first bytes.

use crate::random::{STEP, mix};

/// Bytes of a word.
const WORD: usize = size_of::<u64>();

/// One message, as the two numbers that it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The connection that sends it.
    pub connection: u64,
    /// Its place among the messages of that connection, from 0.
    pub sequence: u64,
}

impl Message {
    /// Word `index` of the message.
    #[inline]
    fn word(self, index: usize) -> u64 {
        match index {
            0 => self.sequence ^ mix(self.connection),
            1 => self.connection,
            _ => (self.sequence.wrapping_mul(STEP) ^ mix(self.connection))
                .wrapping_add((index as u64).wrapping_mul(STEP)),
        }
    }

    /// Writes the message's bytes from offset `from` on into `out`, as many as fit there.
    #[inline]
    pub fn write(self, from: usize, out: &mut [u8]) {
        let (head, body) = out.split_at_mut(self.bytes_to_word(from, out.len()));
        for (byte, expected) in head.iter_mut().zip(self.bytes(from)) {
            *byte = expected;
        }
        let mut index = from.div_ceil(WORD);
        let (words, rest) = body.as_chunks_mut::<WORD>();
        for word in words {
            *word = self.word(index).to_le_bytes();
            index += 1;
        }
        rest.copy_from_slice(&self.word(index).to_le_bytes()[..rest.len()]);
    }

    /// Where `received`, which should be the message's bytes from offset `from` on, first differs from them.
    #[inline]
    pub fn first_difference(self, from: usize, received: &[u8]) -> Option<usize> {
        let (head, body) = received.split_at(self.bytes_to_word(from, received.len()));
        let mut index = from.div_ceil(WORD);
        let (words, rest) = body.as_chunks::<WORD>();
        let mut difference = 0;
        for (&byte, expected) in head.iter().zip(self.bytes(from)) {
            difference |= u64::from(byte ^ expected);
        }
        for word in words {
            difference |= u64::from_le_bytes(*word) ^ self.word(index);
            index += 1;
        }
        for (&byte, expected) in rest.iter().zip(self.word(index).to_le_bytes()) {
            difference |= u64::from(byte ^ expected);
        }
        // Where it differs is wanted only when it does, which is the end of a connection.
        match difference {
            0 => None,
            _ => {
                let differs = |(&byte, expected): (&u8, u8)| byte != expected;
                received
                    .iter()
                    .zip(self.bytes(from))
                    .position(differs)
                    .map(|at| from + at)
            }
        }
    }

    /// How many of `length` bytes from offset `from` on belong to a word that has begun before.
    #[inline]
    fn bytes_to_word(self, from: usize, length: usize) -> usize {
        (from.next_multiple_of(WORD) - from).min(length)
    }

    /// The message's bytes from offset `from` on, without end.
    fn bytes(self, from: usize) -> impl Iterator<Item = u8> {
        (from..).map(move |at| self.word(at / WORD).to_le_bytes()[at % WORD])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn whole(message: Message, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        message.write(0, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn any_part_of_a_message_is_a_part_of_the_whole(
            connection: u64, sequence: u64, length in 1usize..400, cut in 0usize..400,
        ) {
            let message = Message { connection, sequence };
            let bytes = whole(message, length);
            let cut = cut.min(length);
            let mut part = vec![0; length - cut];
            message.write(cut, &mut part);
            prop_assert_eq!(&part, &bytes[cut..]);
            prop_assert_eq!(message.first_difference(cut, &part), None);
            prop_assert_eq!(message.first_difference(0, &bytes[..cut]), None);
        }

        #[test]
        fn any_wrong_byte_is_found_where_it_is(
            connection: u64, sequence: u64, length in 1usize..400, at in 0usize..400, cut in 0usize..400, flip in 1u8..,
        ) {
            let message = Message { connection, sequence };
            let at = at % length;
            let cut = cut % (at + 1);
            let mut bytes = whole(message, length);
            bytes[at] ^= flip;
            prop_assert_eq!(message.first_difference(cut, &bytes[cut..]), Some(at));
        }

        #[test]
        fn neighbours_differ_even_in_one_byte(connection in 0u64..1_000_000, sequence in 0u64..1_000_000) {
            let message = Message { connection, sequence };
            let next = Message { connection, sequence: sequence + 1 };
            prop_assert_ne!(whole(message, 1), whole(next, 1));
        }
    }

    #[test]
    fn a_message_carries_its_connection_and_its_sequence_number() {
        let bytes = whole(
            Message {
                connection: 7,
                sequence: 9,
            },
            16,
        );
        let word = |range: std::ops::Range<usize>| u64::from_le_bytes(bytes[range].try_into().unwrap());
        assert_eq!((word(0..8) ^ mix(7), word(8..16)), (9, 7));
    }
}
