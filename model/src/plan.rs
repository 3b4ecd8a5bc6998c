//! Pure: contenders × cycles → slices, in an order that rotates from cycle to cycle (A B C, C A B, B C A; C B A, …).
//!
//! By how much it rotates is shuffled. If it moved on by one place each time, the turns of a contender would recur with
//! a period (one slice less than a cycle), and whatever else recurs with it on the machine, a scrape, a timer, a
//! housekeeping thread, would hit one contender alone, again and again.

use fastrand::Rng;

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

/// The turns of one cycle. `contenders` cycles make a block, in which each contender stands once at each position, so
/// that what comes first or last hits all alike. From block to block the order itself is shuffled, so that what a
/// predecessor leaves behind (warm caches, a changed clock rate) is not always left to the same one. All follows from
/// `seed`.
pub fn cycle(cycle: u32, contenders: usize, seed: u64) -> impl Iterator<Item = Turn> {
    let (block, place) = (
        cycle as usize / contenders.max(1),
        cycle as usize % contenders.max(1),
    );
    let mut random = stream(seed, Purpose::Block(block as u64));
    let mut order: Vec<usize> = (0..contenders).collect();
    let mut rotations = order.clone();
    random.shuffle(&mut order);
    random.shuffle(&mut rotations);
    (0..contenders).map(move |position| Turn {
        cycle,
        position,
        contender: order[(position + rotations[place]) % contenders],
    })
}

/// The order in which contenders are started. At thousands of connections who came first has it a little dearer for as long as
/// it lives (in the kernel, so for any server; 1 to 3 % against the last of eight on the machine where it was seen), and
/// the baseline should not always be the one. Another `seed` is another order, and so is another `round`.
pub fn start(round: u32, contenders: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contenders).collect();
    stream(seed, Purpose::Start(round)).shuffle(&mut order);
    order
}

/// What random numbers are for: each purpose has its own.
enum Purpose {
    Start(u32),
    Block(u64),
}

/// The random numbers of one purpose. Neighbouring seeds, and neighbouring blocks, have nothing in common.
fn stream(seed: u64, purpose: Purpose) -> Rng {
    let number = match purpose {
        Purpose::Start(round) => u64::from(round) << 32,
        Purpose::Block(block) => block + 1,
    };
    let seed = Rng::with_seed(seed).u64(..);
    let number = Rng::with_seed(number).u64(..);
    Rng::with_seed(seed ^ number.rotate_left(32))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEED: u64 = 1;

    #[test]
    fn a_block_has_every_rotation_of_one_order() {
        let order = |number| -> String {
            cycle(number, 3, SEED)
                .map(|turn| ['A', 'B', 'C'][turn.contender])
                .collect()
        };
        for block in 0..10 {
            let first = order(3 * block);
            let mut rotations: Vec<_> = (0..3).map(|place| order(3 * block + place)).collect();
            rotations.sort_unstable();
            rotations.dedup();
            assert_eq!(rotations.len(), 3);
            assert!(
                rotations.iter().all(|other| first.repeat(2).contains(other)),
                "{rotations:?}"
            );
        }
        let firsts: std::collections::BTreeSet<_> = (0..30).map(order).collect();
        assert_eq!(firsts.len(), 6, "every order occurs: {firsts:?}");
    }

    #[test]
    fn nobody_makes_an_empty_cycle() {
        assert_eq!(cycle(3, 0, SEED).count(), 0);
    }

    /// Something happens every `period` slices. How many of its hits in a round go to the contender that it hits most,
    /// as a share of all its hits: the mean over rounds and phases.
    fn focus(turns: &[usize], contenders: usize, period: usize) -> f64 {
        let mut shares = vec![];
        for round in turns.chunks(contenders * contenders) {
            for phase in 0..period {
                let mut hits = vec![0; contenders];
                let hit = round.iter().skip(phase).step_by(period);
                hit.for_each(|&contender| hits[contender] += 1);
                let most = hits.iter().max().copied().unwrap_or(0);
                shares.push(f64::from(most) / f64::from(hits.iter().sum::<i32>()));
            }
        }
        shares.iter().sum::<f64>() / shares.len() as f64
    }

    #[test]
    fn what_recurs_does_not_hit_one_contender_alone() {
        const ROUNDS: usize = 50;
        for contenders in 4..=16 {
            let turns: Vec<_> = (0..ROUNDS * contenders)
                .flat_map(|number| cycle(number as u32, contenders, SEED))
                .map(|turn| turn.contender)
                .collect();
            // With a rotation by one place a cycle, a period of one slice less than a cycle does just that.
            let plain: Vec<_> = (0..ROUNDS * contenders)
                .flat_map(|number| (0..contenders).map(move |position| (position + number) % contenders))
                .collect();
            let plain = focus(&plain, contenders, contenders - 1);
            assert!(plain > 0.6, "{contenders}: {plain}");
            for period in 2..=contenders {
                let focus = focus(&turns, contenders, period);
                assert!(
                    focus < 0.85 * plain,
                    "{contenders} contenders, every {period} slices: {focus}, {plain}"
                );
            }
        }
    }

    #[test]
    fn another_seed_is_another_schedule() {
        let orders = |seed| -> Vec<Vec<usize>> {
            let order = |number| cycle(number, 8, seed).map(|turn| turn.contender).collect();
            (0..80).map(order).collect()
        };
        let (one, two) = (orders(1), orders(2));
        assert!(
            two.iter().all(|order| !one.contains(order)),
            "no order of 40320 comes twice"
        );
        assert!(!one.contains(&start(0, 8, 1)));
    }

    #[test]
    fn each_round_starts_in_another_order() {
        let orders: Vec<_> = (0..6).map(|round| start(round, 8, SEED)).collect();
        for (place, order) in orders.iter().enumerate() {
            assert!(!orders[..place].contains(order), "{orders:?}");
        }
    }

    #[test]
    fn anyone_may_be_started_first() {
        let mut firsts: Vec<_> = (0..100).map(|seed| start(0, 5, seed)[0]).collect();
        firsts.sort_unstable();
        firsts.dedup();
        assert_eq!(firsts, [0, 1, 2, 3, 4]);
    }

    proptest! {
        #[test]
        fn everyone_is_started_once(round in 0u32..9, contenders in 0usize..20, seed: u64) {
            let mut order = start(round, contenders, seed);
            order.sort_unstable();
            prop_assert_eq!(order, (0..contenders).collect::<Vec<_>>());
        }

        #[test]
        fn everyone_has_one_turn_a_cycle(contenders in 1usize..20, number in 0u32..1000, seed: u64) {
            let mut seen: Vec<_> = cycle(number, contenders, seed).map(|turn| turn.contender).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..contenders).collect::<Vec<_>>());
        }

        #[test]
        fn positions_are_balanced(contenders in 1usize..12, round in 0u32..100, seed: u64) {
            let first = round * contenders as u32;
            for contender in 0..contenders {
                let mut positions: Vec<_> = (first..first + contenders as u32)
                    .flat_map(|number| cycle(number, contenders, seed))
                    .filter(|turn| turn.contender == contender)
                    .map(|turn| turn.position)
                    .collect();
                positions.sort_unstable();
                prop_assert_eq!(positions, (0..contenders).collect::<Vec<_>>());
            }
        }
    }
}
