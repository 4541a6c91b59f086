//! How long the engine has been away.

use std::time::{Duration, Instant};

/// The number of them.
const PARTS: usize = 3;

/// What failed, or works again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The connection.
    Connection,
    /// Publishing.
    Publishing,
    /// Any other request.
    Requests,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The engine has been away for too long, for this reason.
    Away(String),
    /// It is back.
    Back,
}

/// After the engine was away for too long it counts as back when it is connected and nothing has failed for this long.
const TRIAL: Duration = Duration::from_secs(1);
/// It is longer each time that requests fail again before one has succeeded, so that members are not let in and closed all the time.
const LONGEST_TRIAL: Duration = Duration::from_secs(60);

/// Decides when the engine counts as away: when it is not connected, or when requests of one kind have failed without a success in
/// between, for longer than `wait`.
#[derive(Debug)]
pub struct Outage {
    wait: Duration,
    /// Since when each part fails, and why: at first, or at last if it is the connection.
    failing: [Option<(Instant, String)>; PARTS],
    last_failure: Option<Instant>,
    is_away: bool,
    trial: Duration,
    /// Requests that have failed before it counted as back, none of which has succeeded since.
    on_trial: [bool; PARTS],
}

impl Outage {
    /// The engine is connected.
    pub fn new(wait: Duration) -> Self {
        let failing = [const { None }; PARTS];
        Self { wait, failing, last_failure: None, is_away: false, trial: TRIAL, on_trial: [false; PARTS] }
    }

    /// Something failed that was tried at `since`.
    pub fn failed(&mut self, part: Part, since: Instant, now: Instant, reason: &str) {
        self.last_failure = Some(now);
        if let Some(failing) = self.failing.get_mut(part as usize) {
            let (_, why) = failing.get_or_insert_with(|| (since, reason.to_owned()));
            // Why it cannot be restored says more than how it was lost. Of requests the first refusal does: others may follow from it.
            if part == Part::Connection {
                reason.clone_into(why);
            }
        }
    }

    /// Something works.
    pub fn works(&mut self, part: Part) {
        if let Some(failing) = self.failing.get_mut(part as usize) {
            *failing = None;
        }
        if let Some(on_trial) = self.on_trial.get_mut(part as usize) {
            *on_trial = false;
        }
    }

    /// Whether something fails.
    pub fn is_failing(&self) -> bool {
        self.is_away || self.failing.iter().any(Option::is_some)
    }

    /// Whether the connection is lost.
    pub fn is_disconnected(&self) -> bool {
        self.failing.first().is_some_and(Option::is_some)
    }

    /// Whether the engine counts as away.
    pub fn is_away(&self) -> bool {
        self.is_away
    }

    /// What has changed since the last call.
    pub fn poll(&mut self, now: Instant) -> Option<Change> {
        if self.is_away {
            let is_quiet = self.last_failure.is_none_or(|last| now.saturating_duration_since(last) >= self.trial);
            if self.is_disconnected() || (self.is_failing_requests() && !is_quiet) {
                return None;
            }
            self.on_trial = std::array::from_fn(|part| part > 0 && self.failing.get(part).is_some_and(Option::is_some));
            (self.failing, self.is_away) = ([const { None }; PARTS], false);
            return Some(Change::Back);
        }
        let longest = self.failing.iter().flatten().min_by_key(|(since, _)| *since)?;
        if now.saturating_duration_since(longest.0) < self.wait {
            return None;
        }
        self.is_away = true;
        let fails_again = self.on_trial.iter().any(|on_trial| *on_trial);
        self.trial = if fails_again { (self.trial * 2).min(LONGEST_TRIAL) } else { TRIAL };
        Some(Change::Away(longest.1.clone()))
    }

    fn is_failing_requests(&self) -> bool {
        self.failing.iter().skip(1).any(Option::is_some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_away_when_a_part_of_it_has_failed_for_too_long() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut outage = Outage::new(Duration::from_secs(5));
        outage.failed(Part::Connection, at(0), at(0), "lost");
        assert_eq!((outage.poll(at(4)), outage.is_failing()), (None, true));
        outage.works(Part::Connection);
        assert_eq!((outage.poll(at(6)), outage.is_failing()), (None, false));
        outage.failed(Part::Publishing, at(10), at(12), "out of memory");
        outage.failed(Part::Publishing, at(12), at(14), "another reason");
        outage.works(Part::Requests);
        assert_eq!(outage.poll(at(15)), Some(Change::Away("out of memory".into())));
        assert_eq!(outage.poll(at(15)), Some(Change::Back), "it is tried again");
        assert!(!outage.is_failing());
        outage.failed(Part::Connection, at(20), at(20), "lost");
        outage.failed(Part::Connection, at(21), at(21), "refused");
        assert_eq!(outage.poll(at(25)), Some(Change::Away("refused".into())));
        assert_eq!(outage.poll(at(99)), None);
        outage.works(Part::Connection);
        assert_eq!(outage.poll(at(99)), Some(Change::Back));
    }

    #[test]
    fn an_engine_that_refuses_again_and_again_is_tried_less_and_less_often() {
        let start = Instant::now();
        let mut now = start;
        let mut outage = Outage::new(Duration::from_secs(5));
        let mut trials = Vec::new();
        for _ in 0..9 {
            // It is tried again and again.
            while outage.poll(now).is_none() {
                outage.failed(Part::Publishing, now, now, "out of memory");
                now += Duration::from_millis(250);
            }
            let away = now;
            while outage.poll(now) != Some(Change::Back) {
                now += Duration::from_millis(250);
            }
            trials.push((now - away).as_secs_f64().ceil() as u64);
        }
        assert_eq!(trials, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        outage.works(Part::Publishing);
        outage.failed(Part::Publishing, now, now, "out of memory");
        now += Duration::from_secs(5);
        assert!(matches!(outage.poll(now), Some(Change::Away(_))));
        assert_eq!(outage.poll(now + TRIAL), Some(Change::Back));
    }
}
