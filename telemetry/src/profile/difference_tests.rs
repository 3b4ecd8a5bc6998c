//! Differences of profiles whose truth is known.

use proptest::prelude::*;

use super::*;

/// Of sides whose stacks are whole.
static NO_FUNCTIONS: BTreeMap<String, u64> = BTreeMap::new();

/// Nanoseconds between two samples.
const PERIOD: u64 = 4_000_000;
const STACKS: [&str; 8] = [
    "main;worker;recv",
    "main;worker;send",
    "main;worker;epoll_wait",
    "main;worker;echo",
    "main;worker;echo;memcpy",
    "main;worker;accept",
    "main;worker;other;recv",
    "main;worker",
];

fn side(folded: &str, samples: u64, messages: u64) -> Side<'_> {
    Side {
        folded,
        functions: &NO_FUNCTIONS,
        left_out_nanos: 0,
        samples,
        messages,
        cost_error: 0.0,
    }
}

/// So many samples of each stack.
fn text(counts: &[u64]) -> String {
    let lines = STACKS.iter().zip(counts).filter(|(_, count)| **count > 0);
    lines
        .map(|(stack, count)| format!("{stack} {}\n", count * PERIOD))
        .collect()
}

/// Draws samples from stacks with these weights, by chance that `seed` repeats (xorshift, Marsaglia 2003).
fn drawn(weights: &[u64], samples: u64, seed: &mut u64) -> Vec<u64> {
    let total: u64 = weights.iter().sum();
    let mut counts = vec![0; weights.len()];
    for _ in 0..samples {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        let mut left = *seed % total;
        let hit = weights.iter().position(|&weight| match left.checked_sub(weight) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        counts[hit.unwrap()] += 1;
    }
    counts
}

fn names(functions: &[Function]) -> Vec<&str> {
    functions.iter().map(|function| function.name.as_str()).collect()
}

proptest! {
    #[test]
    fn a_profile_does_not_differ_from_itself(
        counts in proptest::collection::vec(0u64..5_000, 8),
        messages in 1u64..1_000_000,
    ) {
        let (text, samples) = (text(&counts), counts.iter().sum());
        let same = side(&text, samples, messages);
        prop_assert!(functions(&same, &same).is_empty());
        prop_assert!(stacks(&same, &same).iter().all(|stack| stack.ratio.is_none()));
    }

    #[test]
    fn what_a_stack_costs_is_its_time_over_messages(nanos in 1u64..1_000_000_000, messages in 1u64..1_000_000) {
        let text = format!("main {nanos}\n");
        let found = stacks(&side(&text, 7, messages), &side("", 0, 1));
        let wanted = nanos as f64 / messages as f64;
        prop_assert!((found[0].baseline_nanos - wanted).abs() < 1e-6 * wanted);
        prop_assert_eq!(found[0].contender_nanos, 0.0);
    }
}

#[test]
fn two_looks_at_the_same_program_differ_by_noise_alone() {
    let weights = [300, 400, 150, 100, 20, 5, 20, 5];
    let mut seed = 0x5eed;
    let mut found = Vec::new();
    for round in 0..200 {
        // The second look is shorter or longer, and sees fewer or more messages.
        let factor = 1 + round % 3;
        let (first, second) = (
            drawn(&weights, 600, &mut seed),
            drawn(&weights, 600 * factor, &mut seed),
        );
        let (first, second) = (text(&first), text(&second));
        let (first, second) = (
            side(&first, 600, 10_000),
            side(&second, 600 * factor, 10_000 * factor),
        );
        found.extend(functions(&first, &second));
    }
    // Seven functions in 200 pairs: chance alone should pass four deviations once in ten thousand times.
    assert!(found.len() <= 1, "{found:?}");
}

#[test]
fn what_was_planted_is_found_and_nothing_else() {
    let weights = [300, 400, 150, 100, 20, 5, 20, 5];
    let mut seed = 7;
    for _ in 0..50 {
        let baseline = text(&drawn(&weights, 500, &mut seed));
        let contender =
            text(&drawn(&weights, 500, &mut seed)) + &format!("main;worker;planted {}\n", 100 * PERIOD);
        let (baseline, contender) = (side(&baseline, 500, 10_000), side(&contender, 600, 10_000));
        let functions = functions(&baseline, &contender);
        assert_eq!(names(&functions), ["planted"]);
        assert!(
            (functions[0].change_nanos() - 40_000.0).abs() < 1.0,
            "{functions:?}"
        );
        let marked: Vec<_> = stacks(&baseline, &contender)
            .into_iter()
            .filter(|stack| stack.ratio.is_some())
            .map(|stack| stack.frames)
            .collect();
        assert_eq!(marked, ["main;worker;planted"]);
    }
}

#[test]
fn fewer_messages_in_the_same_time_make_everything_dearer() {
    let counts = text(&[400; 8]);
    let (much, little) = (side(&counts, 3_200, 10_000), side(&counts, 3_200, 5_000));
    let dearer = functions(&much, &little);
    assert_eq!(dearer.len(), 7, "{dearer:?}");
    assert!(dearer.iter().all(|function| function.change_nanos() > 0.0));
    assert!(
        functions(&little, &much)
            .iter()
            .all(|function| function.change_nanos() < 0.0)
    );
}

#[test]
fn a_function_that_is_called_from_elsewhere_is_the_same_function() {
    let baseline = format!("main;old;send {}\n", 500 * PERIOD);
    let contender = format!("main;new;send {}\n", 500 * PERIOD);
    let sides = (side(&baseline, 500, 1_000), side(&contender, 500, 1_000));
    assert!(functions(&sides.0, &sides.1).is_empty());
    let moved = stacks(&sides.0, &sides.1);
    assert!(moved.len() == 2 && moved.iter().all(|stack| stack.ratio.is_none()));
    // Twice as dear: so it is in each place.
    let slow = side(&contender, 500, 500);
    let ratios: Vec<_> = stacks(&sides.0, &slow).iter().map(|stack| stack.ratio).collect();
    assert_eq!(ratios, [Some(2.0), Some(2.0)]);
}

/// A noisy machine moves all of a message's cost between two runs of one server; what is new costs more than nothing all
/// the same.
#[test]
fn a_cost_that_is_not_known_well_makes_no_function_dearer() {
    let baseline = text(&[1_000; 8]);
    let contender = text(&[1_000; 8]) + &format!("main;worker;planted {}\n", 400 * PERIOD);
    let sides = |cost_error: f64| {
        // Each function costs 1.25 times as much.
        let unsure = |side| Side { cost_error, ..side };
        (
            unsure(side(&baseline, 8_000, 10_000)),
            unsure(side(&contender, 8_400, 8_000)),
        )
    };
    let found = |cost_error| {
        let (baseline, contender) = sides(cost_error);
        functions(&baseline, &contender).len()
    };
    assert_eq!((found(0.0), found(0.01)), (8, 8));
    for cost_error in [0.05, 0.3, 1.0] {
        let (baseline, contender) = sides(cost_error);
        assert_eq!(
            names(&functions(&baseline, &contender)),
            ["planted"],
            "{cost_error}"
        );
        assert_eq!(
            names(&functions(&contender, &baseline)),
            ["planted"],
            "{cost_error}"
        );
    }
}

/// The same stacks made small on one side alone, by which functions lose their names.
#[test]
fn what_a_picture_leaves_out_is_no_difference() {
    let whole: String = (0..200)
        .map(|index| format!("main;caller_{index};hidden {}\n", 10 * PERIOD))
        .collect();
    let whole = whole + &format!("main;send {}\n", 2_000 * PERIOD);
    let small = folded::compact(&whole, 0.01, usize::MAX);
    assert!(!small.contains("hidden"), "{small}");
    let functions_of = |folded: &str| -> BTreeMap<String, u64> {
        let functions = by_function(folded).into_iter();
        functions.map(|(name, nanos)| (name.to_owned(), nanos)).collect()
    };
    let known = functions_of(&whole);
    let baseline = side(&whole, 4_000, 10_000);
    let contender = Side {
        functions: &known,
        ..side(&small, 4_000, 10_000)
    };
    assert_eq!(functions(&baseline, &contender), []);
    assert!(
        stacks(&baseline, &contender)
            .iter()
            .all(|stack| stack.ratio.is_none())
    );
    // This is what the stacks alone would say.
    assert_eq!(
        names(&functions(&baseline, &side(&small, 4_000, 10_000))),
        ["hidden"]
    );
}

#[test]
fn a_function_that_a_side_may_have_left_out_differs_beyond_what_was_left_out_alone() {
    let known: BTreeMap<String, u64> = [("send".to_owned(), 2_000 * PERIOD)].into();
    let baseline = text(&[0, 2_000, 0, 0, 0, 0, 0, 0]);
    let left_out = |samples: u64| Side {
        functions: &known,
        left_out_nanos: samples * PERIOD,
        ..side(&baseline, 2_000, 10_000)
    };
    let contender = text(&[0, 2_000, 0, 0, 100, 0, 0, 0]);
    let contender = side(&contender, 2_100, 10_000);
    assert_eq!(names(&functions(&left_out(0), &contender)), ["memcpy"]);
    assert_eq!(names(&functions(&left_out(10), &contender)), ["memcpy"]);
    assert_eq!(functions(&left_out(100), &contender), []);
    assert_eq!(functions(&left_out(1_000), &contender), []);
}

#[test]
fn a_sum_of_functions_differs_by_the_same_test() {
    let folded = text(&[400; 8]);
    let (one, other) = (side(&folded, 3_200, 10_000), side(&folded, 3_200, 10_000));
    // A sample stands for 400 ns of a message here.
    let samples = |count: f64| count * 400.0;
    assert!(!differs(&one, &other, (samples(400.0), samples(400.0))));
    assert!(!differs(&one, &other, (samples(400.0), samples(470.0))));
    assert!(differs(&one, &other, (samples(400.0), samples(600.0))));
    assert!(differs(&one, &other, (samples(600.0), samples(400.0))));
    // Few samples say nothing, and a tenth is nothing, however many say it.
    assert!(!differs(&one, &other, (samples(4.0), samples(6.0))));
    assert!(!differs(&one, &other, (samples(40_000.0), samples(43_000.0))));
    assert!(!differs(&one, &other, (0.0, 0.0)));
}
