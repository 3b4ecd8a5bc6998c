//! The order in which a thread's connections take turns. Pure.
//!
//! It is drawn once, from a seed, and kept: each pass takes every connection once, and a slice goes on where the one
//! before ended. The messages of two connections of a thread therefore never differ by more than one. A new order for
//! each pass would ask some connections twice within a moment.

use crate::random;

/// The connections of one thread in their order. The next one is at the front when a slice begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rota {
    order: Vec<u32>,
    /// Turns taken since the front was last moved.
    taken: usize,
}

impl Rota {
    /// Connections 0 to `connections`, in an order that follows from `seed` (Fisher and Yates).
    pub fn new(connections: usize, seed: u64) -> Rota {
        let mut order: Vec<u32> = (0..connections as u32).collect();
        let mut state = seed;
        for last in (1..order.len()).rev() {
            // The upper half of the product is even over 0 to `last`, but for less than one part in 2^32.
            let drawn = (u128::from(random::next(&mut state)) * (last as u128 + 1)) >> 64;
            order.swap(last, drawn as usize);
        }
        Rota { order, taken: 0 }
    }

    /// Begins a slice: whoever is next comes to the front, and connections that do not `stand` leave for ever.
    /// Allocates nothing.
    pub fn begin(&mut self, mut stand: impl FnMut(usize) -> bool) {
        self.order.rotate_left(self.taken);
        self.taken = 0;
        self.order.retain(|&connection| stand(connection as usize));
    }

    /// Ends a slice that took `turns` turns.
    pub fn end(&mut self, turns: u64) {
        self.taken = turns.checked_rem(self.order.len() as u64).unwrap_or(0) as usize;
    }

    /// How many connections take turns.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// The connection at this place (from 0, below `len`) of the slice that has begun.
    pub fn at(&self, place: usize) -> usize {
        self.order[place] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The connections that `turns` turns take, as a slice hands them out.
    fn slice(rota: &mut Rota, turns: usize) -> Vec<usize> {
        rota.begin(|_| true);
        let taken = (0..turns).map(|turn| rota.at(turn % rota.len())).collect();
        rota.end(turns as u64);
        taken
    }

    proptest! {
        #[test]
        fn every_pass_takes_every_connection_once_however_it_is_cut_into_slices(
            connections in 1usize..200, slices in prop::collection::vec(0usize..500, 1..20), seed: u64,
        ) {
            let mut rota = Rota::new(connections, seed);
            let turns: Vec<usize> = slices.iter().flat_map(|&turns| slice(&mut rota, turns)).collect();
            for pass in turns.chunks(connections) {
                let mut sorted = pass.to_vec();
                sorted.sort_unstable();
                sorted.dedup();
                prop_assert_eq!(sorted.len(), pass.len());
                prop_assert!(sorted.iter().all(|&connection| connection < connections));
            }
            // It goes on where it ended: the cuts change nothing.
            let uncut = slice(&mut Rota::new(connections, seed), turns.len());
            prop_assert_eq!(turns, uncut);
        }

        #[test]
        fn the_seed_decides(connections in 20usize..500, seed: u64) {
            let rota = Rota::new(connections, seed);
            prop_assert_eq!(&rota, &Rota::new(connections, seed));
            prop_assert_ne!(&rota, &Rota::new(connections, seed ^ 1));
            let in_order: Vec<u32> = (0..connections as u32).collect();
            prop_assert_ne!(rota.order, in_order);
        }

        #[test]
        fn who_is_lost_leaves_and_the_others_keep_their_order(
            connections in 2usize..100, turns in 0usize..300, lost in prop::collection::hash_set(0usize..100, 0..50), seed: u64,
        ) {
            let mut rota = Rota::new(connections, seed);
            slice(&mut rota, turns);
            let mut expected = rota.clone();
            let expected: Vec<usize> = slice(&mut expected, connections)
                .into_iter()
                .filter(|connection| !lost.contains(connection))
                .collect();
            rota.begin(|connection| !lost.contains(&connection));
            let left: Vec<usize> = (0..rota.len()).map(|place| rota.at(place)).collect();
            prop_assert_eq!(left, expected);
            rota.end(turns as u64);
        }
    }

    #[test]
    fn all_orders_are_equally_likely() {
        let mut counts = std::collections::BTreeMap::<Vec<u32>, u32>::new();
        for seed in 0..24_000 {
            *counts.entry(Rota::new(4, random::mix(seed)).order).or_default() += 1;
        }
        assert_eq!(counts.len(), 24);
        // Each is expected 1,000 times, with a standard deviation of 31.
        assert!(
            counts.values().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }
}
