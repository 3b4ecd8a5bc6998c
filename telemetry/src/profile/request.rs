//! What may be asked of a profile's page: `seconds` and `frequency`. Pure.

use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long a profile may take. Longer ones are better taken in pieces: what cannot be cancelled is a nuisance.
const SECONDS: RangeInclusive<u32> = 1..=300;
/// How often samples may be taken. Kernels look at the clock 100 to 1,000 times a second.
pub const HERTZ: RangeInclusive<u32> = 1..=1000;
/// A prime close to 100, so that samples don't march in step with work that comes each 10 ms.
const DEFAULT_HERTZ: u32 = 99;

/// A valid request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// How long to take samples.
    pub duration: Duration,
    /// How many for each second of CPU time.
    pub hertz: NonZeroU32,
}

impl Request {
    /// Reads a query such as `seconds=30&frequency=99`.
    ///
    /// # Errors
    /// A sentence that names the value and says what would be right.
    pub fn parse(query: &str, default_seconds: u32) -> Result<Request, String> {
        let (mut seconds, mut hertz) = (None, None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (place, range) = match key {
                "seconds" => (&mut seconds, SECONDS),
                "frequency" => (&mut hertz, HERTZ),
                _ => {
                    return Err(format!(
                        "`{key}` is not known here: a profile takes `seconds` and `frequency`, \
                         as in ?seconds={default_seconds}&frequency={DEFAULT_HERTZ}"
                    ));
                }
            };
            let number = value.parse().ok().filter(|number| range.contains(number));
            let Some(number) = number else {
                return Err(format!(
                    "{key}={value}: this must be a whole number from {} to {}, as in ?{key}={}",
                    range.start(),
                    range.end(),
                    if key == "seconds" {
                        default_seconds
                    } else {
                        DEFAULT_HERTZ
                    },
                ));
            };
            if place.replace(number).is_some() {
                return Err(format!("`{key}` stands there twice; give it once"));
            }
        }
        let hertz = NonZeroU32::new(hertz.unwrap_or(DEFAULT_HERTZ)).unwrap_or(NonZeroU32::MIN);
        Ok(Request {
            duration: Duration::from_secs(seconds.unwrap_or(default_seconds).into()),
            hertz,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_query_is_taken_and_what_is_missing_has_a_default() {
        let request = Request::parse("", 30).unwrap();
        assert_eq!(
            (request.duration, request.hertz.get()),
            (Duration::from_secs(30), 99)
        );
        let request = Request::parse("frequency=250&seconds=1", 30).unwrap();
        assert_eq!(
            (request.duration, request.hertz.get()),
            (Duration::from_secs(1), 250)
        );
    }

    #[test]
    fn a_bad_query_is_named_with_the_remedy() {
        for (query, value, remedy) in [
            ("seconds=0", "seconds=0", "from 1 to 300"),
            ("seconds=301", "seconds=301", "from 1 to 300"),
            ("seconds=abc", "seconds=abc", "from 1 to 300"),
            ("seconds=-1", "seconds=-1", "from 1 to 300"),
            ("seconds=1.5", "seconds=1.5", "whole number"),
            ("seconds", "seconds=", "whole number"),
            ("frequency=0", "frequency=0", "from 1 to 1000"),
            ("frequency=1001", "frequency=1001", "?frequency=99"),
            (
                "seconds=99999999999999999999",
                "99999999999999999999",
                "from 1 to 300",
            ),
            ("second=3", "`second`", "`seconds` and `frequency`"),
            ("seconds=3&seconds=4", "`seconds`", "once"),
        ] {
            let error = Request::parse(query, 30).unwrap_err();
            assert!(
                error.contains(value) && error.contains(remedy),
                "{query}: {error}"
            );
        }
    }
}
