//! Pauses between attempts to connect.

use std::time::Duration;

/// Before the second attempt.
const FIRST: Duration = Duration::from_millis(50);

/// Longer ones would use up `--cluster-wait` although the engine is back.
const LONGEST: Duration = Duration::from_secs(1);

/// Pauses that double, each random in part, so that the nodes of a restarted engine do not come back at once.
pub struct Backoff(Duration);

impl Default for Backoff {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Backoff {
    /// The next pause: between half of its length and all of it.
    pub fn next(&mut self) -> Duration {
        let pause = self.0.mul_f64(rand::random_range(0.5..1.0));
        self.0 = (self.0 * 2).min(LONGEST);
        pause
    }
}

/// The pause before an attempt, of which the first needs none.
#[cfg(feature = "nats")]
pub fn after(attempts: usize) -> Duration {
    let mut backoff = Backoff::default();
    (1..attempts.min(10)).map(|_| backoff.next()).last().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_second_and_are_random_in_part() {
        let mut backoff = Backoff::default();
        let pauses = (0..40).map(|_| backoff.next()).collect::<Vec<_>>();
        assert!(pauses[0] >= FIRST / 2 && pauses[0] < FIRST);
        let last = &pauses[10..];
        assert!(last.iter().all(|pause| (LONGEST / 2..LONGEST).contains(pause)));
        assert!(last.iter().any(|pause| pause != &last[0]));
    }
}
