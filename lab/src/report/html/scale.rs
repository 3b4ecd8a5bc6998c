//! Where a value lies on an axis, and which values an axis names.

use super::text;

/// From values to places, both ends included.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    logarithmic: bool,
    values: (f64, f64),
    places: (f64, f64),
}

/// A value that an axis names.
#[derive(Debug, Clone, PartialEq)]
pub struct Tick {
    /// Where it is.
    pub place: f64,
    /// How it is written.
    pub label: String,
}

impl Scale {
    /// From 0 to the first round number that is not below `largest`.
    pub fn from_zero(largest: f64, places: (f64, f64)) -> Scale {
        let largest = if largest.is_finite() && largest > 0.0 {
            largest.max(1e-9)
        } else {
            1.0
        };
        let step = round_step(largest / 4.0);
        Scale {
            logarithmic: false,
            values: (0.0, (largest / step - 1e-9).ceil().max(1.0) * step),
            places,
        }
    }

    /// From the smallest to the largest of values above 0, with a margin. What is not above 0 does not count.
    pub fn logarithmic(values: impl Iterator<Item = f64>, places: (f64, f64)) -> Scale {
        let shown = values.filter(|value| value.is_finite() && *value > 0.0);
        let (low, high) = shown.fold((f64::MAX, 0.0f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let (low, high) = if low <= high { (low, high) } else { (0.5, 2.0) };
        // Never so narrow that noise looks like a difference, or that no round number lies in it.
        let margin = ((high / low).powf(0.06)).max((1.6 * low / high).sqrt()).max(1.0);
        Scale {
            logarithmic: true,
            values: (low / margin, high * margin),
            places,
        }
    }

    /// Linear between two values, both ends exact.
    pub fn linear(values: (f64, f64), places: (f64, f64)) -> Scale {
        Scale {
            logarithmic: false,
            values,
            places,
        }
    }

    /// Whether a value is on the axis.
    pub fn holds(&self, value: f64) -> bool {
        // What only rounding puts outside is on it.
        value >= self.values.0 * (1.0 - 1e-9) && value <= self.values.1 * (1.0 + 1e-9)
    }

    /// Where a value lies; what is outside is put at the nearer end.
    pub fn place(&self, value: f64) -> f64 {
        let (low, high) = self.values;
        let share = if self.logarithmic {
            (value.max(low).ln() - low.ln()) / (high.ln() - low.ln())
        } else {
            (value - low) / (high - low)
        };
        let share = if share.is_finite() {
            share.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.places.0 + (self.places.1 - self.places.0) * share
    }

    /// Round values, as many as fit without touching each other. `across` is what a label takes in the axis' direction.
    pub fn ticks(&self, across: impl Fn(&str) -> f64) -> Vec<Tick> {
        let mut best = Vec::new();
        for values in self.choices() {
            let ticks: Vec<Tick> = values
                .into_iter()
                .map(|value| Tick {
                    place: self.place(value),
                    label: short(value),
                })
                .collect();
            let apart = ticks.windows(2).all(|pair| {
                let room = (across(&pair[0].label) + across(&pair[1].label)) / 2.0 + 4.0;
                (pair[1].place - pair[0].place).abs() >= room
            });
            if apart && ticks.len() > best.len() {
                best = ticks;
            }
        }
        best
    }

    /// Ticks for an axis from left to right.
    pub fn ticks_across(&self) -> Vec<Tick> {
        self.ticks(text::width)
    }

    /// Ticks for an axis from bottom to top.
    pub fn ticks_upwards(&self) -> Vec<Tick> {
        self.ticks(|_| text::SIZE + 4.0)
    }

    /// Sets of values that an axis could name.
    fn choices(&self) -> Vec<Vec<f64>> {
        let (low, high) = self.values;
        let steps = |step: f64| {
            let first = (low / step - 1e-9).ceil() as i64;
            let last = (high / step + 1e-9).floor() as i64;
            (first..=last.min(first + 12))
                .map(|n| n as f64 * step)
                .collect::<Vec<_>>()
        };
        if !self.logarithmic {
            let step = round_step((high - low) / 4.0);
            return vec![steps(step), steps(2.0 * step), steps(5.0 * step), vec![low, high]];
        }
        let decades = (low.log10().floor() as i32)..=(high.log10().ceil() as i32);
        let of = |factors: &[f64]| {
            let all = decades.clone().flat_map(|decade| {
                factors
                    .iter()
                    .map(move |factor| factor * 10f64.powi(decade))
                    .collect::<Vec<_>>()
            });
            all.filter(|value| (low..=high).contains(value))
                .collect::<Vec<_>>()
        };
        let every = |n: i32| {
            let exponents = decades.clone().filter(move |decade| decade % n == 0);
            exponents
                .map(|decade| 10f64.powi(decade))
                .filter(|value| (low..=high).contains(value))
                .collect()
        };
        let mut choices = vec![
            of(&[1.0, 2.0, 5.0]),
            of(&[1.0, 3.0]),
            of(&[1.0]),
            every(2),
            every(3),
        ];
        // Within a decade, 1-2-5 names too little.
        if high / low < 10.0 {
            choices.extend([3.0, 5.0, 8.0].map(|parts| steps(round_step((high - low) / parts))));
        }
        choices
    }
}

/// 1, 2 or 5 times a power of ten, not below `rough`.
fn round_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(10.0 * power)
}

/// A round value in as few characters as say it.
pub fn short(value: f64) -> String {
    let (value, unit) = match value.abs() {
        v if v >= 1e12 => return format!("{value:.0e}"),
        v if v >= 999_999_999.0 => (value / 1e9, "G"),
        v if v >= 999_999.0 => (value / 1e6, "M"),
        v if v >= 9_999.0 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.1 => format!("{value:.2}"),
        v if v > 0.0 && v < 1e-6 => return format!("{value:.0e}"),
        _ => format!("{value:.6}"),
    };
    let text = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        &text
    };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks_across().into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn axes_name_round_values() {
        let labels = |scale: Scale| labels(&scale).join(" ");
        assert_eq!(labels(Scale::from_zero(8.3, (0.0, 300.0))), "0 5 10");
        assert_eq!(
            labels(Scale::from_zero(40_000.0, (0.0, 300.0))),
            "0 10k 20k 30k 40k"
        );
        let wide = [0.02, 35.0].into_iter();
        assert_eq!(
            labels(Scale::logarithmic(wide, (0.0, 300.0))),
            "0.03 0.1 0.3 1 3 10 30"
        );
        let narrow = [0.98, 1.25].into_iter();
        assert_eq!(
            labels(Scale::logarithmic(narrow, (0.0, 300.0))),
            "0.9 1 1.1 1.2 1.3 1.4"
        );
    }

    #[test]
    fn figures_are_short() {
        assert_eq!(
            [0.0, 0.05, 1.25, 10.0, 250.0, 12_000.0, 2.5e6].map(short),
            ["0", "0.05", "1.25", "10", "250", "12k", "2.5M"]
        );
    }

    proptest! {
        #[test]
        fn ticks_lie_on_the_axis_apart_and_in_order(low in 1e-6..1e6f64, factor in 1.0..1e6f64, logarithmic: bool) {
            let scale = if logarithmic {
                Scale::logarithmic([low, low * factor].into_iter(), (40.0, 340.0))
            } else {
                Scale::from_zero(low * factor, (40.0, 340.0))
            };
            let ticks = scale.ticks_across();
            prop_assert!(!ticks.is_empty(), "{:?}", scale);
            for pair in ticks.windows(2) {
                let room = (text::width(&pair[0].label) + text::width(&pair[1].label)) / 2.0;
                prop_assert!(pair[1].place - pair[0].place > room, "{:?}", ticks);
                prop_assert!(pair[0].label != pair[1].label, "{:?}", ticks);
            }
            prop_assert!(ticks.iter().all(|tick| (39.9..340.1).contains(&tick.place)));
        }

        #[test]
        fn a_larger_value_never_lies_to_the_left(a in 0.0..1e9f64, b in 0.0..1e9f64) {
            for scale in [Scale::from_zero(a.max(b), (0.0, 100.0)), Scale::logarithmic([a, b].into_iter(), (0.0, 100.0))] {
                prop_assert!(scale.place(a.min(b)) <= scale.place(a.max(b)));
                prop_assert!((0.0..=100.0).contains(&scale.place(a)));
            }
        }
    }
}
