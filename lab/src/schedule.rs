//! Pure: contenders × cycles → slices, in an order that rotates from cycle to cycle (A B C, B C A, C A B).

/// One stretch of time in which one contender alone is under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The cycle, from 0.
    pub cycle: u32,
    /// The place within the cycle, from 0.
    pub position: usize,
    /// Whose turn it is: an index into the contenders.
    pub contender: usize,
}

/// The turns of one cycle. Over any `contenders` cycles in a row each contender stands once at each position, so
/// that what a predecessor leaves behind (warm caches, a changed clock rate) hits all alike.
pub fn cycle(cycle: u32, contenders: usize) -> impl Iterator<Item = Turn> {
    (0..contenders).map(move |position| Turn {
        cycle,
        position,
        contender: (position + cycle as usize % contenders) % contenders,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_rotates() {
        let order = |number| -> String {
            cycle(number, 3)
                .map(|turn| ['A', 'B', 'C'][turn.contender])
                .collect()
        };
        assert_eq!(
            [order(0), order(1), order(2), order(3)],
            ["ABC", "BCA", "CAB", "ABC"]
        );
    }

    #[test]
    fn nobody_makes_an_empty_cycle() {
        assert_eq!(cycle(3, 0).count(), 0);
    }

    proptest! {
        #[test]
        fn everyone_has_one_turn_a_cycle(contenders in 1usize..20, number in 0u32..1000) {
            let mut seen: Vec<_> = cycle(number, contenders).map(|turn| turn.contender).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..contenders).collect::<Vec<_>>());
        }

        #[test]
        fn positions_are_balanced(contenders in 1usize..12, first in 0u32..100) {
            for contender in 0..contenders {
                let mut positions: Vec<_> = (first..first + contenders as u32)
                    .flat_map(|number| cycle(number, contenders))
                    .filter(|turn| turn.contender == contender)
                    .map(|turn| turn.position)
                    .collect();
                positions.sort_unstable();
                prop_assert_eq!(positions, (0..contenders).collect::<Vec<_>>());
            }
        }
    }
}
