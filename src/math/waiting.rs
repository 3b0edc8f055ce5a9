//! Times to wait, as callers give them.

use std::time::Duration;

/// A hundred years. Who waits longer cannot tell, and an instant so far away can still be named: the clock's own range ends,
/// and adding a time to it then panics.
const LONGEST: Duration = Duration::from_hours(100 * 366 * 24);

/// So many seconds, a hundred years at most; `None` for what is no time: NaN, negative ones, more than any clock counts.
pub fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok().map(|time| time.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn every_time_can_be_waited_for() {
        for number in [0.0, 1e-12, 1.5, 1e9, 1e18, 1.8e19] {
            let time = seconds(number).unwrap_or_default();
            assert!(time <= LONGEST && Instant::now().checked_add(time).is_some(), "{number}");
        }
        assert_eq!(seconds(1.5), Some(Duration::from_millis(1500)));
        for none in [-1.0, f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!(seconds(none), None, "{none}");
        }
    }
}
