//! How many messages each connection of a thread carried in the slices that are counted. Pure.

use model::protocol::Spread;

/// Messages by connection; `None` for one that took part in no counted slice.
#[derive(Debug, Clone, Default)]
pub struct Carried(Vec<Option<u64>>);

impl Carried {
    /// Nothing yet, for this many connections.
    pub fn new(connections: usize) -> Carried {
        Carried(vec![None; connections])
    }

    /// A counted slice begins; `connection` has begun `messages` messages in its life.
    pub fn begin(&mut self, connection: usize, messages: u64) {
        let carried = &mut self.0[connection];
        // Wraps when it carried less in counted slices than in others; the end of the slice wraps back.
        *carried = Some(carried.unwrap_or(0).wrapping_sub(messages));
    }

    /// That slice has ended; `connection` has begun `messages` messages in its life now.
    pub fn end(&mut self, connection: usize, messages: u64) {
        let carried = &mut self.0[connection];
        *carried = carried.map(|carried| carried.wrapping_add(messages));
    }

    /// Their spread between slices; `None` when no connection took part in one that counts.
    pub fn spread(&self) -> Option<Spread> {
        let each = |messages: &u64| Spread {
            connections_used: u64::from(*messages > 0),
            messages_fewest: *messages,
            messages_most: *messages,
        };
        self.0.iter().flatten().map(each).reduce(Spread::and)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_counted_slices_count() {
        let mut carried = Carried::new(4);
        assert_eq!(carried.spread(), None);
        // Connection 3 never stood; 0 to 2 had begun 100, 50 and 7 messages before.
        for (connection, messages) in [(0, 100), (1, 50), (2, 7)] {
            carried.begin(connection, messages);
            carried.end(connection, messages + connection as u64);
        }
        let spread = |connections_used, messages_fewest, messages_most| {
            Some(Spread {
                connections_used,
                messages_fewest,
                messages_most,
            })
        };
        assert_eq!(carried.spread(), spread(2, 0, 2));
        // Between the slices, each carried 1,000 that are not counted. Connection 2 was lost then, and keeps what it has.
        for (connection, messages) in [(0, 1100), (1, 1051)] {
            carried.begin(connection, messages);
            carried.end(connection, messages + 5);
        }
        assert_eq!(carried.spread(), spread(3, 2, 6));
    }
}
