//! The connections that wait for their next request to fall due, in the order in which it does. Pure.
//!
//! Due times mostly arrive here in rising order: in a closed loop each is a think time after a reply, in a smooth open
//! loop connections take turns. Those go through a ring at constant cost; only the ones that come out of order (random
//! arrivals, replies that overtake each other) pay for a heap.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::clock::Nanos;

/// Connections by due time. Allocates nothing as long as no more wait than it was made for.
#[derive(Debug)]
pub struct DueQueue {
    in_order: VecDeque<(Nanos, u32)>,
    out_of_order: BinaryHeap<Reverse<(Nanos, u32)>>,
}

impl DueQueue {
    /// Room for `connections`.
    pub fn with_capacity(connections: usize) -> DueQueue {
        DueQueue {
            in_order: VecDeque::with_capacity(connections),
            out_of_order: BinaryHeap::with_capacity(connections),
        }
    }

    /// Lets `connection` wait until `due`.
    #[inline]
    pub fn push(&mut self, due: Nanos, connection: u32) {
        match self.in_order.back() {
            Some(&(last, _)) if due < last => self.out_of_order.push(Reverse((due, connection))),
            _ => self.in_order.push_back((due, connection)),
        }
    }

    /// The earliest due time.
    #[inline]
    pub fn next_due(&self) -> Option<Nanos> {
        let in_order = self.in_order.front().map(|&(due, _)| due);
        match self.out_of_order.peek() {
            None => in_order,
            Some(&Reverse((due, _))) => Some(in_order.map_or(due, |other| other.min(due))),
        }
    }

    /// Takes the connection with the earliest due time.
    #[inline]
    pub fn pop(&mut self) -> Option<(Nanos, u32)> {
        match (self.in_order.front(), self.out_of_order.peek()) {
            (Some(&(ordered, _)), Some(&Reverse((due, _)))) if due < ordered => {
                self.out_of_order.pop().map(|Reverse(entry)| entry)
            }
            (Some(_), _) => self.in_order.pop_front(),
            (None, _) => self.out_of_order.pop().map(|Reverse(entry)| entry),
        }
    }

    /// Takes the connection with the earliest due time if that is `now` or before.
    #[inline]
    pub fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, u32)> {
        match self.next_due() {
            Some(due) if due <= now => self.pop(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(batches in prop::collection::vec((prop::collection::vec(0u64..1000, 0..30), 0usize..30), 0..20)) {
            let (mut queue, mut model) = (DueQueue::with_capacity(0), Vec::new());
            for (number, (dues, pops)) in batches.into_iter().enumerate() {
                for due in dues {
                    queue.push(due, number as u32);
                    model.push(due);
                }
                model.sort_unstable();
                for _ in 0..pops.min(model.len()) {
                    let due = model.remove(0);
                    prop_assert_eq!(queue.next_due(), Some(due));
                    if due > 0 {
                        prop_assert_eq!(queue.pop_due(due - 1), None);
                    }
                    prop_assert_eq!(queue.pop_due(due).map(|(due, _)| due), Some(due));
                }
            }
            let rest: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(due, _)| due).collect();
            prop_assert_eq!(rest, model);
        }
    }
}
