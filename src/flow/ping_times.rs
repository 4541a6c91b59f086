//! The time from a ping to its pong.

use super::{ControlFrame, Transfer};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Pings whose pongs are waited for; of more, the oldest are forgotten.
const MAX_PINGS: usize = 16;

/// When the last pings were sent.
#[derive(Default)]
pub struct PingTimes(VecDeque<(Bytes, Instant)>);

impl PingTimes {
    /// Observes a control frame. Gives the round trip if it is the pong of a ping; of the last one if it answers several (RFC 6455
    /// section 5.5.3).
    pub fn observe(&mut self, transfer: Transfer, frame: &ControlFrame) -> Option<Duration> {
        match (transfer, frame) {
            (Transfer::Sent, ControlFrame::Ping(payload)) => {
                if self.0.len() == MAX_PINGS {
                    self.0.pop_front();
                }
                self.0.push_back((payload.clone(), Instant::now()));
                None
            }
            (Transfer::Received, ControlFrame::Pong(payload)) => {
                let at = self.0.iter().position(|(sent, _)| sent == payload)?;
                self.0.drain(..=at).next_back().map(|(_, sent)| sent.elapsed())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_answers_the_pings_before_its_own_too() {
        let mut times = PingTimes::default();
        let [ping, pong] = [ControlFrame::Ping, ControlFrame::Pong];
        let payload = |number: usize| Bytes::from(number.to_string());
        for number in 0..MAX_PINGS + 2 {
            assert_eq!(times.observe(Transfer::Sent, &ping(payload(number))), None);
        }
        assert_eq!(times.observe(Transfer::Received, &pong(payload(1))), None, "it is forgotten");
        assert!(times.observe(Transfer::Received, &pong(payload(4))).is_some());
        assert_eq!(times.observe(Transfer::Received, &pong(payload(3))), None);
        assert!(times.observe(Transfer::Received, &pong(payload(5))).is_some());
    }
}
