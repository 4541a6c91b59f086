//! The rules by which a session ends (the manual, HOW A SESSION ENDS). A close frame ends one direction, as FIN does in
//! TCP; the other side may finish sending.

use super::{
    pump::{Pump, Stage, Summary},
    timers::SHUTDOWN_TIMEOUT,
};
use crate::{
    config::{AfterEof, Replies, SessionOptions},
    error::Error,
    flow::{EndKind, MessageEnd},
    message::Close,
    report,
};
use std::{future::Future, task::Context, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Maximum wait for the pong that confirms delivery.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(5);

/// The close code that tells a peer of a failure that is not its own.
fn close_code(error: &Error) -> u16 {
    match error {
        // "Try again later", as for slow members of a room.
        Error::TooSlow { .. } | Error::StuckShared { .. } | Error::OutOfMemory { .. } => 1013,
        _ => 1011,
    }
}

impl Pump<'_> {
    /// Both directions are done, or neither source is read.
    pub(super) fn is_over(&self) -> bool {
        self.directions.iter().all(|direction| direction.stage == Stage::Done)
            || self.directions.iter().all(|direction| direction.stage == Stage::Parked)
    }

    /// Applies `-1`, `--replies` and `--max-messages` after a message of direction `i`; returns whether its stage changed.
    pub(super) fn apply_limits(&mut self, i: usize) -> bool {
        if i == 0 && self.rules.max_sent.is_some_and(|most| self.directions[0].moved >= most) {
            self.directions[0].stage = self.stage_after_input(0);
            self.finish_when_enough();
            return true;
        }
        if i == 1 && self.has_enough_replies() {
            // Print no more replies than asked for, even while the session still waits for input.
            self.directions[1].stage = Stage::Discarding;
            self.finish_when_enough();
            return true;
        }
        if self.rules.max_messages[i].is_some_and(|most| self.directions[i].moved >= most) {
            self.limit_reached(i);
            return true;
        }
        false
    }

    /// Direction `i` copies no more messages. A connection is still read, for its pings and its end.
    fn limit_reached(&mut self, i: usize) {
        let is_connection = matches!(self.ends[i].kind, EndKind::WebSocket | EndKind::Peer | EndKind::Process { .. });
        self.directions[i].stage = if is_connection { Stage::Discarding } else { self.stage_after_input(i) };
        let other = self.directions[1 - i].stage;
        if is_connection && !matches!(other, Stage::Moving | Stage::Finishing | Stage::Done) {
            self.finish_both(self.rules.linger);
        }
    }

    fn has_enough_replies(&self) -> bool {
        self.rules.replies.enough().is_some_and(|enough| self.directions[1].moved >= enough)
    }

    /// Ends the session when enough replies have arrived; with `-1` our own message must have been sent too.
    fn finish_when_enough(&mut self) {
        let all_is_sent = self.rules.max_sent.is_none() || !matches!(self.directions[0].stage, Stage::Moving);
        if self.has_enough_replies() && all_is_sent {
            self.finish_both(self.rules.linger);
        }
    }

    /// The stage of direction `i` after its source, which is not a WebSocket, has ended.
    fn stage_after_input(&mut self, i: usize) -> Stage {
        let answers = self.directions[1 - i].stage == Stage::Moving;
        let [from, to] = [self.ends[i].kind, self.ends[1 - i].kind];
        let may_reply_at_any_time =
            matches!(to, EndKind::WebSocket | EndKind::Datagrams { .. } | EndKind::Shared { outlives_input: false });
        // After bad input, `-n` would only delay its error.
        let is_kept_open = self.rules.after_eof == AfterEof::KeepOpen && self.error.is_none();
        if is_kept_open || from == (EndKind::Shared { outlives_input: true }) {
            Stage::Parked
        } else if i == 0 && answers && self.rules.replies != Replies::Any && may_reply_at_any_time {
            Stage::AwaitingReplies
        } else if matches!(
            (from, to),
            (
                EndKind::Console { .. },
                EndKind::WebSocket | EndKind::Datagrams { from_anybody: false } | EndKind::Shared { .. }
            )
        ) && answers
        {
            self.timers.first_reply = self.first_reply_wait(i);
            Stage::Confirming(Instant::now() + self.timers.first_reply.max(CONFIRM_TIMEOUT))
        } else {
            Stage::Finishing
        }
    }

    /// How long to wait for a first reply to the input of direction `i`, which has ended.
    fn first_reply_wait(&self, i: usize) -> Duration {
        let SessionOptions { linger, reply_wait, .. } = *self.rules;
        let [sent, received] = [&self.directions[i], &self.directions[1 - i]];
        // The server had --reply-wait already and sent nothing, so it probably only stores or forwards.
        let is_mute = received.moved == 0 && sent.first_flush.is_some_and(|at| at.elapsed() >= reply_wait);
        // A user at a terminal ends the input after reading the replies.
        let is_typed = self.ends[i].kind == EndKind::Console { terminal: true };
        if self.last_moved == Some(i) && !is_mute && !is_typed { reply_wait.max(linger) } else { linger }
    }

    /// `--reply-wait` is over. Warns if no reply has come.
    fn end_first_reply_wait(&mut self, i: usize) {
        let waited = std::mem::take(&mut self.timers.first_reply);
        if waited > self.rules.linger && self.last_moved == Some(i) && self.error.is_none() {
            report::warn(format_args!(
                "no reply for {} s after the last message; --reply-wait sets this time, -u waits for none",
                waited.as_secs_f64()
            ));
        }
    }

    /// The source of direction `i` has ended.
    pub(super) fn source_ended(&mut self, i: usize, close: Option<Close>) {
        if self.failed[i]
            && close.is_none()
            && let Some(error) = self.write_error.take()
        {
            // It has ended without a reason for not taking what was sent: it has failed.
            let code = close_code(&error);
            return self.fail(i, error, Close::new(code, ""));
        }
        // A direction to an end that failed is done too, but no close was sent there.
        let we_closed_first = self.directions[1 - i].stage == Stage::Done && !self.failed[i];
        // A user has typed it.
        let is_typed = close.is_some()
            && matches!(self.ends[i].kind, EndKind::Console { .. } | EndKind::Shared { outlives_input: true });
        if let (Some(close), false, None) = (&close, we_closed_first || is_typed, &self.closed_by) {
            self.closed_by = Some((i, close.clone()));
        }
        self.directions[i].ended = true;
        self.directions[i].close = close;
        if self.ends[i].kind == EndKind::WebSocket {
            self.directions[i].stage = Stage::Finishing;
            if matches!(self.ends[1 - i].kind, EndKind::Process { .. }) {
                // One that never stops to print would keep the close frame from being answered.
                self.timers.closed_process = Some((1 - i, self.directions[1 - i].moved));
            }
            // A peer that has closed sends no replies to wait for.
            let other = &mut self.directions[1 - i];
            if matches!(other.stage, Stage::Confirming(_) | Stage::Lingering | Stage::AwaitingReplies) {
                other.stage = Stage::Finishing;
            }
        } else if is_typed {
            self.directions[i].stage = Stage::Finishing;
        } else {
            self.directions[i].stage = self.stage_after_input(i);
        }
        if self.rules.after_eof == AfterEof::End {
            self.finish_both(self.rules.linger);
        }
        self.finish_when_enough();
        self.reset_silence();
    }

    /// Direction `i` is done. Ends the other direction too if nothing can come from there.
    pub(super) fn direction_done(&mut self, i: usize) {
        let [from, to] = [self.ends[i].kind, self.ends[1 - i].kind];
        // When the source has closed or gone, a socket or a process may still reply; standard input, a file or a shared
        // end does not.
        let cannot_reply = match to {
            EndKind::Console { terminal: true } => true,
            EndKind::Console { .. } | EndKind::Source | EndKind::Sink => {
                matches!(from, EndKind::WebSocket | EndKind::Process { .. })
            }
            // Standard input has had its wait for replies.
            EndKind::Shared { .. } | EndKind::Datagrams { from_anybody: false } => from != EndKind::Peer,
            EndKind::Peer
            | EndKind::Process { .. }
            | EndKind::WebSocket
            | EndKind::Datagrams { from_anybody: true } => false,
        };
        let nothing_comes = match self.directions[1 - i].stage {
            Stage::Parked | Stage::Confirming(_) | Stage::Lingering | Stage::AwaitingReplies => true,
            Stage::Moving => cannot_reply && self.directions[i].ended,
            // They have no end to wait for.
            Stage::Discarding => matches!(to, EndKind::Datagrams { .. }),
            _ => false,
        };
        if nothing_comes {
            self.directions[1 - i].stage = Stage::Finishing;
        }
        self.reset_silence();
    }

    /// End `i` failed to read. What was read before is still sent, and the other end is closed.
    pub(super) fn read_failed(&mut self, i: usize, error: Error) {
        let close = Close::new(close_code(&error), "");
        let is_console = matches!(self.ends[i].kind, EndKind::Console { .. });
        if is_console && matches!(error, Error::Input { .. }) && self.directions[i].moved > 0 && self.error.is_none() {
            // The input ends in front of what cannot be sent. What was sent before may have replies.
            self.error = Some(error);
            self.close_override.get_or_insert(close);
            self.source_ended(i, None);
        } else {
            self.fail(i, error, close);
        }
    }

    /// The destination of direction `i` failed to write. If it can still be read, it is: a reply or the reason may be
    /// waiting there.
    pub(super) fn write_failed(&mut self, i: usize, error: Error) {
        let may_explain = matches!(self.ends[1 - i].kind, EndKind::WebSocket | EndKind::Peer | EndKind::Shared { .. })
            && self.directions[1 - i].stage == Stage::Moving
            && !matches!(error, Error::TooSlow { .. } | Error::StuckShared { .. } | Error::OutOfMemory { .. });
        if may_explain && self.write_error.is_none() {
            self.write_error = Some(error);
            self.failed[1 - i] = true;
            self.directions[i].stage = Stage::Done;
            self.reset_silence();
        } else {
            // A reader that has closed our output (`| head -1`) is not a failure. Anything else must not look like
            // success.
            let code = if error.is_silent() { 1001 } else { close_code(&error) };
            self.fail(1 - i, error, Close::new(code, ""));
        }
    }

    /// End `i` is lost. Closes the other end with this close.
    fn fail(&mut self, i: usize, error: Error, close: Close) {
        self.failed[i] = true;
        self.error.get_or_insert(error);
        self.close_override.get_or_insert(close);
        self.directions[1 - i].stage = Stage::Done;
        // What it did not take is dropped.
        self.directions[1 - i].is_blocked = false;
        if self.directions[i].stage != Stage::Done {
            self.directions[i].stage = Stage::Finishing;
        }
        self.close_wait = SHUTDOWN_TIMEOUT;
        self.reset_silence();
    }

    /// Ends both directions now. `close_wait` limits the wait for the close frames of the peers.
    fn finish_both(&mut self, close_wait: Duration) {
        for direction in &mut self.directions {
            if direction.stage != Stage::Done {
                direction.stage = Stage::Finishing;
            }
        }
        self.close_wait = close_wait;
    }

    /// A signal, or the end of the lifetime: WebSockets get this close frame, and what they send until they answer it is delivered.
    pub(super) fn stop(&mut self, close: Close) {
        self.close_override = Some(close);
        self.close_wait = self.rules.grace;
        self.timers.deadline = Some(Instant::now() + self.rules.grace);
        for i in 0..2 {
            let drains = self.ends[i].kind == EndKind::WebSocket
                && self.ends[1 - i].kind != EndKind::WebSocket
                && matches!(self.directions[i].stage, Stage::Moving | Stage::Discarding);
            if !drains && self.directions[i].stage != Stage::Done {
                self.directions[i].stage = Stage::Finishing;
            }
        }
        self.reset_silence();
    }

    /// Whether `--close-timeout` applies: one direction has ended, and at least one end is a WebSocket, has no end, or has failed.
    /// Between byte streams a half-close may last for ever.
    fn is_closing(&self) -> bool {
        let is_limited =
            |end: &MessageEnd| matches!(end.kind, EndKind::WebSocket | EndKind::Datagrams { from_anybody: false });
        (self.error.is_some() || self.ends.iter().any(is_limited))
            && self.directions.iter().any(|direction| matches!(direction.stage, Stage::Done | Stage::Finishing))
    }

    /// The direction whose input has ended and whose replies are waited for, without a number of them.
    fn lingering(&self) -> Option<usize> {
        self.directions.iter().position(|direction| direction.stage == Stage::Lingering)
    }

    /// Whether `--within` applies: `-1` or `--replies` waits, and nothing more is sent.
    fn awaits_replies(&self) -> bool {
        let [sent, received] = &self.directions;
        self.rules.replies != Replies::Any
            && received.stage == Stage::Moving
            && sent.stage != Stage::Moving
            && self.rules.after_eof != AfterEof::KeepOpen
            && !self.is_closing()
    }

    /// The limit on silence that applies now.
    fn silence_limit(&self) -> Option<Duration> {
        match (self.lingering(), &self.error) {
            (Some(i), _) if self.last_moved == Some(i) => Some(self.timers.first_reply.max(self.rules.linger)),
            (Some(_), _) => Some(self.rules.linger),
            (None, _) if self.awaits_replies() => self.rules.within,
            (None, _) if !self.is_closing() => None,
            // Nobody reads our output any more (`| less` and `q`): what the peer has not taken is not waited for.
            (None, Some(error)) if error.is_silent() => Some(SHUTDOWN_TIMEOUT.min(self.rules.close_timeout)),
            (None, _) => Some(self.rules.close_timeout),
        }
    }

    /// The direction whose input has ended and is being confirmed, and the end of the wait for that.
    fn confirming(&self) -> Option<(usize, Instant)> {
        self.directions.iter().enumerate().find_map(|(i, direction)| match direction.stage {
            Stage::Confirming(until) => Some((i, until)),
            _ => None,
        })
    }

    /// Whether a timer may run: one does only after the state of a direction has changed.
    fn may_be_timed(&self) -> bool {
        self.directions.iter().any(|direction| direction.stage != Stage::Moving)
            || self.timers.deadline.is_some()
            || self.timers.output_ends.is_some()
    }

    /// Restarts the silence timers.
    pub(super) fn reset_silence(&mut self) {
        let is_measured = self.may_be_timed()
            && (self.is_closing()
                || self.lingering().is_some()
                || self.confirming().is_some()
                || self.awaits_replies());
        if is_measured {
            self.timers.last_activity = Instant::now();
        }
    }

    /// Ends the output of a process whose client has closed, if its time is over. The time begins with the first output, so
    /// that a program that works for long before it prints is not cut off.
    pub(super) fn limit_output(&mut self) {
        let Some((i, moved_before)) = self.timers.closed_process else { return };
        match self.timers.output_ends {
            None if self.directions[i].moved > moved_before => {
                self.timers.output_ends = Some(Instant::now() + self.rules.close_timeout);
            }
            Some(at) if at <= Instant::now() => {
                (self.timers.closed_process, self.timers.output_ends) = (None, None);
                let input = &self.directions[1 - i];
                if input.is_blocked && input.stage == Stage::Finishing {
                    let error = self.timed_out(format!("waiting for {} to take the last data", self.ends[i].name));
                    self.fail(i, error, Close::new(1011, ""));
                } else if self.directions[i].stage != Stage::Done {
                    self.directions[i].stage = Stage::Finishing;
                }
            }
            _ => {}
        }
    }

    fn timed_out(&self, doing: String) -> Error {
        Error::TimedOut { doing, limit: self.rules.close_timeout, option: "--close-timeout" }
    }

    /// Polls the timers; returns whether one of them expired.
    pub(super) fn poll_timers(&mut self, cx: &mut Context<'_>) -> bool {
        let left_out = self.ends.each_ref().map(|end| end.io.left_out());
        let left_out_before = std::mem::replace(&mut self.timers.left_out, left_out);
        for i in 0..2 {
            if left_out[i] != left_out_before[i] {
                self.last_moved = Some(i);
            }
        }
        if !self.may_be_timed() {
            return false;
        }
        let reader_is_slow = (0..2).any(|i| {
            let to = self.ends[1 - i].kind;
            self.directions[i].is_blocked
                && matches!(to, EndKind::Console { .. } | EndKind::Sink | EndKind::Shared { .. })
        });
        let progress = self.ends.each_ref().map(|end| (end.io.progress(), end.io.unsent()));
        let has_progress = progress != std::mem::replace(&mut self.timers.progress, progress);
        if reader_is_slow || has_progress {
            // Neither a slow reader of our output nor a message that arrives or leaves slowly means that the peer is silent.
            self.reset_silence();
        }
        let confirmed_at = self.confirming().map(|(_, until)| until);
        let silent_at = self.silence_limit().map(|limit| self.timers.last_activity + limit);
        let Some(next) =
            [self.timers.deadline, self.timers.output_ends, confirmed_at, silent_at].into_iter().flatten().min()
        else {
            return false;
        };
        let sleep = self.timers.sleep.get_or_insert_with(|| Box::pin(sleep_until(next)));
        if sleep.deadline() != next {
            sleep.as_mut().reset(next);
        }
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        if self.timers.deadline.is_some_and(|deadline| deadline <= next) {
            self.directions.iter_mut().for_each(|direction| direction.stage = Stage::Done);
            self.close_wait = Duration::ZERO;
        } else if self.timers.output_ends.is_some_and(|at| at <= next) {
            self.limit_output();
        } else if let Some((i, _)) = self.confirming().filter(|(_, until)| *until <= next) {
            self.directions[i].stage = Stage::Lingering;
            self.end_first_reply_wait(i);
        } else if let Some(i) = self.lingering() {
            self.directions[i].stage = Stage::Finishing;
            self.end_first_reply_wait(i);
        } else if self.awaits_replies() {
            let (wanted, got) = (self.rules.replies.enough().unwrap_or_default(), self.directions[1].moved);
            self.error.get_or_insert(Error::Replies { wanted, got, within: self.rules.within });
            self.finish_both(self.rules.linger);
        } else {
            self.close_timed_out();
        }
        self.reset_silence();
        true
    }

    /// `--close-timeout` has passed in silence.
    fn close_timed_out(&mut self) {
        for i in 0..2 {
            if self.directions[i].is_blocked
                && self.directions[1 - i].ended
                && self.ends[1 - i].kind == EndKind::WebSocket
            {
                // The destination has closed and no longer reads: drop what it does not accept.
                self.failed[1 - i] = true;
                self.directions[i].is_blocked = false;
                continue;
            }
            match self.directions[i].stage {
                // The time for a reply after the end of its input is over.
                Stage::Moving | Stage::Discarding if self.ends[i].kind != EndKind::WebSocket => {
                    self.directions[i].stage = Stage::Finishing
                }
                Stage::Moving | Stage::Discarding => {
                    let error = self.timed_out(format!("waiting for {} to answer the close frame", self.ends[i].name));
                    return self.fail(i, error, Close::new(1011, ""));
                }
                Stage::Finishing if self.directions[i].is_blocked => {
                    let error = self.timed_out(format!("waiting for {} to take the last data", self.ends[1 - i].name));
                    return self.fail(1 - i, error, Close::new(1011, ""));
                }
                _ => {}
            }
        }
    }

    /// The outcome of the session.
    pub(super) fn into_result(self) -> Result<Summary, Error> {
        // If the end that failed sent a close frame, its code is the reason.
        let is_explained = self.closed_by.as_ref().is_some_and(|(by, _)| self.failed[*by]);
        if let Some(error) = self.error.or(if is_explained { None } else { self.write_error }) {
            return Err(error);
        }
        let close = self.closed_by.map(|(by, close)| (self.ends[by].name.to_string(), close));
        if let Some((with, close)) = close.as_ref().filter(|(_, close)| !close.is_clean()) {
            return Err(Error::ClosedByPeer { with: with.clone(), close: close.clone() });
        }
        // If we closed first, the close of the peer is an answer. It repeats ours, or says why what we sent was of no use.
        for i in 0..2 {
            let sent = self.close_override.as_ref().or(self.directions[1 - i].close.as_ref());
            let repeated = sent.map_or(self.rules.close_code, |close| close.code);
            if close.is_none()
                && let Some(answer) = &self.directions[i].close
                && self.ends[i].kind == EndKind::WebSocket
                && !answer.is_clean()
                && answer.code != repeated
            {
                return Err(Error::ClosedByPeer { with: self.ends[i].name.to_string(), close: answer.clone() });
            }
        }
        let close = match close {
            Some((by, close)) => Some((Some(by), close)),
            None => self.directions.iter().find_map(|direction| direction.close.clone()).map(|close| (None, close)),
        };
        let [sent, received] = self.directions.map(|direction| direction.moved);
        match self.rules.replies {
            Replies::Exactly(wanted) if received < wanted => {
                Err(Error::Replies { wanted, got: received, within: None })
            }
            _ => Ok(Summary { moved: [sent, received], close }),
        }
    }
}
