//! The rules by which a session ends (the manual, HOW A SESSION ENDS). The idea: a close frame is the end of one
//! direction, as FIN is for TCP; the other side may finish what it is saying.

use super::pump::{Pump, Stage, Summary};
use crate::{error::Error, flow::Role, message::Close};
use std::{future::Future, pin::Pin, task::Context, time::Duration};
use tokio::time::{Instant, Sleep, sleep_until};

/// How long the pong is waited for that tells that the far side has seen everything.
const SETTLE: Duration = Duration::from_secs(5);
/// How long an end is waited for, out of courtesy, when the session has failed.
pub(super) const FAREWELL: Duration = Duration::from_secs(1);

/// The timers of a session. None runs while messages simply flow.
pub(super) struct Clock {
    /// When something last happened; kept only while a timer runs.
    last_activity: Instant,
    /// What the ends had heard then.
    heard: [u64; 2],
    /// Everything ends then, whatever is still on its way.
    deadline: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Clock {
    pub fn new() -> Self {
        Self { last_activity: Instant::now(), heard: [0; 2], deadline: None, sleep: None }
    }
}

impl Pump<'_> {
    /// Both directions are done, or none of them will ever move.
    pub(super) fn is_over(&self) -> bool {
        self.ways.iter().all(|way| way.stage == Stage::Done) || self.ways.iter().all(|way| way.stage == Stage::Parked)
    }

    /// After each message of way `i`: whether its stage changed because there were enough.
    pub(super) fn count(&mut self, i: usize) -> bool {
        if i == 0 && self.rules.max_sent.is_some_and(|most| self.ways[0].moved >= most) {
            self.ways[0].stage = self.after_input(0);
            self.end_when_enough();
            return true;
        }
        if i == 1 && self.has_enough() {
            // No more than asked for, also while the input is still waited for.
            self.ways[1].stage = Stage::Discarding;
            self.end_when_enough();
            return true;
        }
        false
    }

    fn has_enough(&self) -> bool {
        self.rules.enough.is_some_and(|enough| self.ways[1].moved >= enough)
    }

    /// Ends the session when the answers are there; with `-1` our own message must have gone out too.
    fn end_when_enough(&mut self) {
        let all_is_sent = self.rules.max_sent.is_none() || !matches!(self.ways[0].stage, Stage::Moving);
        if self.has_enough() && all_is_sent {
            self.hurry(self.rules.linger);
        }
    }

    /// What follows when nothing more comes from end `i`, which is no WebSocket.
    fn after_input(&self, i: usize) -> Stage {
        let answers = self.ways[1 - i].stage == Stage::Moving;
        let [from, to] = [self.ends[i].role, self.ends[1 - i].role];
        if self.rules.no_close || from == (Role::Shared { outlives_input: true }) {
            Stage::Parked
        } else if i == 0 && answers && self.rules.enough.is_some() && to == Role::WebSocket {
            Stage::Awaiting
        } else if matches!((from, to), (Role::Console { .. }, Role::WebSocket | Role::Shared { .. })) && answers {
            Stage::Settling(Instant::now() + SETTLE)
        } else {
            Stage::Finishing
        }
    }

    /// The source of way `i` has ended.
    pub(super) fn source_ended(&mut self, i: usize, close: Option<Close>) {
        let we_closed_first = self.ways[1 - i].stage == Stage::Done;
        if let (Some(close), false, None) = (&close, we_closed_first, &self.closed_by) {
            self.closed_by = Some((i, close.clone()));
        }
        self.ways[i].ended = true;
        self.ways[i].close = close;
        if self.ends[i].role == Role::WebSocket {
            self.ways[i].stage = Stage::Finishing;
            // Nobody waits for answers of a peer that has closed.
            let other = &mut self.ways[1 - i];
            if matches!(other.stage, Stage::Settling(_) | Stage::Lingering | Stage::Awaiting) {
                other.stage = Stage::Finishing;
            }
        } else {
            self.ways[i].stage = self.after_input(i);
        }
        if self.rules.exit_on_eof {
            self.hurry(self.rules.linger);
        }
        self.end_when_enough();
        self.note_activity();
    }

    /// The destination of way `i` has been told that nothing more comes.
    pub(super) fn destination_told(&mut self, i: usize) {
        let [from, to] = [self.ends[i].role, self.ends[1 - i].role];
        // A console, a file or a shared end has nothing to say to a peer that has closed or is gone; a socket or a process
        // may have.
        let is_mute = match to {
            Role::Console { terminal: true } => true,
            Role::Console { .. } | Role::Source | Role::Sink => matches!(from, Role::WebSocket | Role::Process),
            // A console has had its answer window.
            Role::Shared { .. } => from != Role::Peer,
            Role::Peer | Role::Process | Role::WebSocket => false,
        };
        let nothing_comes = match self.ways[1 - i].stage {
            Stage::Parked | Stage::Settling(_) | Stage::Lingering | Stage::Awaiting => true,
            Stage::Moving => is_mute && self.ways[i].ended,
            _ => false,
        };
        if nothing_comes {
            self.ways[1 - i].stage = Stage::Finishing;
        }
        self.note_activity();
    }

    /// End `i` cannot be read any more. What it said before goes out; the other end is told that it will hear no more.
    pub(super) fn reading_failed(&mut self, i: usize, error: Error) {
        self.fail(i, error, Close::new(1011, ""));
    }

    /// The destination of way `i` takes no more. What it has said is still read where that can be: it may be an answer,
    /// and it may hold the reason.
    pub(super) fn writing_failed(&mut self, i: usize, error: Error) {
        let may_explain = matches!(self.ends[1 - i].role, Role::WebSocket | Role::Peer | Role::Shared { .. })
            && self.ways[1 - i].stage == Stage::Moving;
        if may_explain && self.unwritten.is_none() {
            self.unwritten = Some(error);
            self.broken[1 - i] = true;
            self.ways[i].stage = Stage::Done;
            self.note_activity();
        } else {
            // A reader that has had enough (`| head -1`) is no failure; anything else must not look like a clean end.
            let code = if error.is_silent() { 1001 } else { 1011 };
            self.fail(1 - i, error, Close::new(code, ""));
        }
    }

    /// End `i` is lost; the other one is closed with `parting`.
    fn fail(&mut self, i: usize, error: Error, parting: Close) {
        self.broken[i] = true;
        self.fatal.get_or_insert(error);
        self.parting.get_or_insert(parting);
        self.ways[1 - i].stage = Stage::Done;
        if self.ways[i].stage != Stage::Done {
            self.ways[i].stage = Stage::Finishing;
        }
        self.farewell = FAREWELL;
        self.note_activity();
    }

    /// Ends both directions now; close frames of the peers are waited for at most so long.
    fn hurry(&mut self, farewell: Duration) {
        for way in &mut self.ways {
            if way.stage != Stage::Done {
                way.stage = Stage::Finishing;
            }
        }
        self.farewell = farewell;
    }

    /// SIGINT or SIGTERM: WebSockets get close 1001, and what they still say until they answer is delivered.
    pub(super) fn stop(&mut self) {
        self.parting = Some(Close::new(1001, ""));
        self.farewell = self.rules.grace;
        self.clock.deadline = Some(Instant::now() + self.rules.grace);
        for i in 0..2 {
            let drains = self.ends[i].role == Role::WebSocket
                && self.ends[1 - i].role != Role::WebSocket
                && matches!(self.ways[i].stage, Stage::Moving | Stage::Discarding);
            if !drains && self.ways[i].stage != Stage::Done {
                self.ways[i].stage = Stage::Finishing;
            }
        }
        self.note_activity();
    }

    /// Whether silence is measured: one direction has ended, and a WebSocket takes part. Between byte streams a half-close
    /// may last.
    fn is_closing(&self) -> bool {
        self.ends.iter().any(|end| end.role == Role::WebSocket)
            && self.ways.iter().any(|way| matches!(way.stage, Stage::Done | Stage::Finishing))
    }

    fn is_lingering(&self) -> bool {
        self.ways.iter().any(|way| way.stage == Stage::Lingering)
    }

    fn settles_until(&self) -> Option<Instant> {
        self.ways.iter().find_map(|way| match way.stage {
            Stage::Settling(until) => Some(until),
            _ => None,
        })
    }

    /// Silence starts anew.
    pub(super) fn note_activity(&mut self) {
        if self.is_closing() || self.is_lingering() {
            self.clock.last_activity = Instant::now();
        }
    }

    /// Runs the timers; tells whether one of them changed anything.
    pub(super) fn poll_clock(&mut self, cx: &mut Context<'_>) -> bool {
        let waits_for_us = (0..2).any(|i| {
            let to = self.ends[1 - i].role;
            self.ways[i].is_blocked && matches!(to, Role::Console { .. } | Role::Sink | Role::Shared { .. })
        });
        let heard = self.ends.each_ref().map(|end| end.io.progress());
        let hears = heard != std::mem::replace(&mut self.clock.heard, heard);
        if waits_for_us || hears {
            // A reader of our output that takes its time is not a silent peer, and neither is one in the middle of a long
            // message.
            self.note_activity();
        }
        let silence = if self.is_lingering() {
            Some(self.rules.linger)
        } else {
            self.is_closing().then_some(self.rules.close_timeout)
        };
        let silent_at = silence.map(|limit| self.clock.last_activity + limit);
        let Some(next) = [self.clock.deadline, self.settles_until(), silent_at].into_iter().flatten().min() else {
            return false;
        };
        let sleep = self.clock.sleep.get_or_insert_with(|| Box::pin(sleep_until(next)));
        if sleep.deadline() != next {
            sleep.as_mut().reset(next);
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        if self.clock.deadline.is_some_and(|deadline| deadline <= next) {
            self.ways.iter_mut().for_each(|way| way.stage = Stage::Done);
            self.farewell = Duration::ZERO;
        } else if self.settles_until().is_some_and(|until| until <= next) {
            self.ways
                .iter_mut()
                .filter(|way| matches!(way.stage, Stage::Settling(_)))
                .for_each(|way| way.stage = Stage::Lingering);
        } else if self.is_lingering() {
            self.ways
                .iter_mut()
                .filter(|way| way.stage == Stage::Lingering)
                .for_each(|way| way.stage = Stage::Finishing);
        } else {
            self.fell_silent();
        }
        self.note_activity();
        true
    }

    /// A peer that was told that nothing more comes has been silent for `--close-timeout`.
    fn fell_silent(&mut self) {
        for i in 0..2 {
            let timed_out =
                |doing: String| Error::TimedOut { doing, limit: self.rules.close_timeout, option: "--close-timeout" };
            if self.ways[i].is_blocked && self.ways[1 - i].ended && self.ends[1 - i].role == Role::WebSocket {
                // It has closed and reads no more: what it said is what counts, and what it does not take is thrown away.
                self.broken[1 - i] = true;
                self.ways[i].is_blocked = false;
                continue;
            }
            match self.ways[i].stage {
                // It had its chance to answer.
                Stage::Moving | Stage::Discarding if self.ends[i].role != Role::WebSocket => {
                    self.ways[i].stage = Stage::Finishing
                }
                Stage::Moving | Stage::Discarding => {
                    let error = timed_out(format!("waiting for {} to answer the close frame", self.ends[i].name));
                    return self.fail(i, error, Close::new(1011, ""));
                }
                Stage::Finishing if self.ways[i].is_blocked => {
                    let error = timed_out(format!("waiting for {} to take the last data", self.ends[1 - i].name));
                    return self.fail(1 - i, error, Close::new(1011, ""));
                }
                _ => {}
            }
        }
    }

    /// What the session was.
    pub(super) fn verdict(self) -> Result<Summary, Error> {
        let close = self.closed_by.map(|(by, close)| (self.ends[by].name.to_string(), close));
        if let Some(error) = self.fatal.or(if close.is_none() { self.unwritten } else { None }) {
            return Err(error);
        }
        if let Some((with, close)) = close.as_ref().filter(|(_, close)| !close.is_clean()) {
            return Err(Error::ClosedByPeer { with: with.clone(), close: close.clone() });
        }
        // Where we closed first, the answer repeats our words.
        let close = match close {
            Some((by, close)) => Some((Some(by), close)),
            None => self.ways.iter().find_map(|way| way.close.clone()).map(|close| (None, close)),
        };
        let [sent, received] = self.ways.map(|way| way.moved);
        match self.rules.enough {
            Some(wanted) if self.rules.must_have_enough && received < wanted => {
                Err(Error::Replies { wanted, got: received })
            }
            _ => Ok(Summary { moved: [sent, received], close }),
        }
    }
}
