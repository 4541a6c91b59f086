//! The last messages of a room, for members that join (`--history`).

use super::{
    frame_queue::frame_length,
    resume::{Place, Resume, number},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};
use crate::{
    cluster::{Position, Recent},
    config::HistoryOptions,
    memory,
};
use bytes::{Buf, Bytes};
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// Counted for each batch beside its frames: the allocations around them.
const OVERHEAD: usize = 200;
/// The histories of all rooms take at most this part of `--max-memory`.
const MEMORY_PART: usize = 4;

/// What the histories of all rooms share.
pub struct Histories {
    /// Of each.
    pub limits: HistoryOptions,
    held: AtomicUsize,
    most: usize,
}

impl Histories {
    /// There are none yet.
    pub fn new(limits: HistoryOptions) -> Arc<Self> {
        Arc::new(Self { limits, held: AtomicUsize::new(0), most: memory::limit() / MEMORY_PART })
    }

    /// Bytes in them.
    pub fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// How many bytes are too much, of which those are to be forgotten that were used least recently.
    pub fn excess(&self) -> usize {
        // Before a room that publishes must forget its own.
        self.held().saturating_sub(self.most / 4 * 3)
    }
}

/// Messages of one batch.
struct Entry {
    sequence: u64,
    /// The index of the first one that is kept.
    first: u64,
    messages: u64,
    frames: Bytes,
    /// Bytes of memory that they keep.
    kept: usize,
}

impl Entry {
    /// Its frames without the first `count`.
    fn without(&self, count: u64) -> Bytes {
        let mut frames = self.frames.clone();
        for _ in 0..count {
            frames.advance(frame_length(&frames).min(frames.len()));
        }
        frames
    }

    fn size(&self) -> usize {
        OVERHEAD + self.frames.len()
    }
}

/// A part of a history as a member receives it.
pub struct Replayed {
    /// The frames.
    pub frames: Bytes,
    /// The number of messages in it.
    pub messages: u64,
    /// Bytes of memory that it keeps.
    pub held: usize,
}

/// The last messages of one room.
pub struct History {
    all: Arc<Histories>,
    entries: VecDeque<Entry>,
    messages: u64,
    /// See [`Entry::size`].
    bytes: usize,
    /// So many of them are counted in those of all rooms.
    counted: usize,
    /// That of the last batch.
    position: Position,
    /// Positions are counted here; otherwise they come from the engine of the cluster.
    is_local: bool,
    /// Everything after this is kept.
    floor: Place,
    /// When the last batch was published.
    used: Instant,
}

impl History {
    /// That of a room in which nothing has been published.
    pub fn new(all: &Arc<Histories>) -> Self {
        let position = Position { epoch: rand::random(), sequence: 0 };
        Self {
            all: all.clone(),
            entries: VecDeque::new(),
            messages: 0,
            bytes: 0,
            counted: 0,
            position,
            is_local: true,
            floor: Place::after(position),
            used: Instant::now(),
        }
    }

    /// Starts with what the engine of the cluster has.
    pub fn begin(&mut self, recent: Recent) {
        let Recent { position, after, batches } = recent;
        self.forget();
        (self.position, self.is_local, self.used) = (position, false, Instant::now());
        self.floor = Place::after(Position { sequence: after, ..position });
        for (body, messages, batch) in batches {
            self.push(batch.sequence, body.plain, messages);
        }
        self.trim();
    }

    /// Adds a batch, and gives its position: that of the engine, or the next one here.
    pub fn record(&mut self, frames: Bytes, messages: u64, position: Option<Position>) -> Position {
        let position = match position {
            Some(position) => {
                if self.is_local || position.epoch != self.position.epoch {
                    self.forget();
                    self.floor = Place::after(Position { sequence: position.sequence.saturating_sub(1), ..position });
                }
                self.is_local = false;
                position
            }
            None => {
                if !self.is_local {
                    self.forget();
                    (self.is_local, self.position.epoch) = (true, rand::random());
                    self.floor = Place::after(self.position);
                }
                Position { sequence: self.position.sequence + 1, ..self.position }
            }
        };
        (self.position, self.used) = (position, Instant::now());
        self.push(position.sequence, frames, messages);
        self.trim();
        position
    }

    fn push(&mut self, sequence: u64, frames: Bytes, messages: u64) {
        let kept = frames.len();
        let entry = Entry { sequence, first: 0, messages, frames: memory::counted(frames), kept };
        self.messages += messages;
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// Drops the oldest messages beyond the limits.
    fn trim(&mut self) {
        let HistoryOptions { messages, bytes, .. } = self.all.limits;
        while let Some(front) = self.entries.front_mut()
            && (self.messages > messages || self.bytes > bytes)
        {
            let epoch = self.position.epoch;
            let place = |index| Place { batch: Position { epoch, sequence: front.sequence }, index };
            if self.messages - front.messages >= messages {
                self.floor = place((front.first + front.messages).saturating_sub(1));
                self.messages -= front.messages;
                self.bytes -= front.size();
                self.entries.pop_front();
                continue;
            }
            self.floor = place(front.first);
            let length = frame_length(&front.frames).min(front.frames.len());
            front.frames.advance(length);
            (front.first, front.messages) = (front.first + 1, front.messages - 1);
            (self.messages, self.bytes) = (self.messages - 1, self.bytes - length);
            if front.messages == 0 {
                self.bytes -= OVERHEAD;
                self.entries.pop_front();
            }
        }
        if let Some(front) = self.entries.front_mut()
            && front.frames.len() < front.kept / 2
        {
            front.frames = memory::counted(Bytes::copy_from_slice(&front.frames));
            front.kept = front.frames.len();
        }
        self.count();
        if self.all.held() > self.all.most {
            self.forget();
        }
    }

    fn count(&mut self) {
        let before = std::mem::replace(&mut self.counted, self.bytes);
        self.all.held.fetch_add(self.bytes, Relaxed);
        self.all.held.fetch_sub(before, Relaxed);
    }

    /// Drops all messages.
    pub fn forget(&mut self) {
        self.entries = VecDeque::new();
        (self.messages, self.bytes) = (0, 0);
        self.floor = Place::after(self.position);
        self.count();
    }

    /// Drops all messages if nothing was published for too long. Returns whether there are none.
    pub fn forget_old(&mut self) -> bool {
        if self.used.elapsed() >= self.all.limits.lifetime {
            self.forget();
        }
        self.entries.is_empty()
    }

    /// When something was published last.
    pub fn used(&self) -> Instant {
        self.used
    }

    /// What a member receives that joins.
    pub fn replay(&mut self, resume: Option<&Resume>) -> Vec<Replayed> {
        self.forget_old();
        let after = resume.and_then(|resume| resume.after);
        // On another node of the cluster it may have received what this one has not yet.
        let is_known = |after: &Place| !self.is_local || after.batch.sequence <= self.position.sequence;
        let after = after.filter(|after| *after >= self.floor && is_known(after));
        if let Some(resume) = resume.filter(|_| after.is_some()) {
            resume.succeed();
        }
        let epoch = self.position.epoch;
        let part = |entry: &Entry| {
            let batch = Position { epoch, sequence: entry.sequence };
            let skipped = resume.filter(|_| after.is_some()).map_or(0, |resume| resume.skipped(batch));
            let skipped = skipped.saturating_sub(entry.first).min(entry.messages);
            let messages = entry.messages - skipped;
            let frames = if messages == 0 { Bytes::new() } else { entry.without(skipped) };
            if resume.is_none() {
                return Replayed { frames, messages, held: entry.kept };
            }
            let frames = memory::counted(number(&frames, batch, entry.first + skipped));
            Replayed { held: frames.len(), frames, messages }
        };
        self.entries.iter().map(part).filter(|part| part.messages > 0).collect()
    }
}

impl Drop for History {
    fn drop(&mut self) {
        self.all.held.fetch_sub(self.counted, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooms::frame_queue::{payload, split};
    use bytes::BytesMut;
    use proptest::prelude::*;
    use std::time::Duration;

    fn history(messages: u64, bytes: usize) -> History {
        let limits = HistoryOptions { messages, bytes, lifetime: Duration::from_secs(600) };
        History::new(&Arc::new(Histories { limits, held: AtomicUsize::new(0), most: usize::MAX }))
    }

    /// A batch of messages, each of which is its number and has `length` bytes.
    fn batch(numbers: std::ops::Range<u64>, length: usize) -> Bytes {
        let mut frames = BytesMut::new();
        for number in numbers {
            frames.extend_from_slice(&[0x82, u8::try_from(length).expect("a short one")]);
            frames.extend_from_slice(&number.to_be_bytes());
            frames.resize(frames.len() + length - 8, 0);
        }
        frames.freeze()
    }

    fn numbers(replayed: &[Replayed]) -> Vec<u64> {
        let frames = replayed.iter().flat_map(|part| split(&part.frames));
        let number = |frame| u64::from_be_bytes(payload(frame)[..8].try_into().expect("a number"));
        let numbers: Vec<_> = frames.map(number).collect();
        assert_eq!(numbers.len() as u64, replayed.iter().map(|part| part.messages).sum::<u64>());
        numbers
    }

    /// The places and the numbers of what a member receives that resumes after `after`, and whether it can.
    fn resumed(history: &mut History, after: Option<Place>) -> (bool, Vec<(String, u64)>) {
        let name = after.map(|after| format!("{}.{after}", crate::rooms::resume::PROTOCOL));
        let offers = [Some(crate::rooms::resume::PROTOCOL.to_owned()), name];
        let offers: Vec<_> = offers.into_iter().flatten().map(|offer| offer.parse().expect("a token")).collect();
        let resume = Resume::requested(&offers).expect("it is asked for");
        let replayed = history.replay(Some(&resume));
        let all = replayed.iter().flat_map(|part| split(&part.frames)).map(|frame| {
            let payload = payload(frame);
            let end = payload.iter().position(|byte| *byte == b'\n').expect("a line");
            let number = u64::from_be_bytes(payload[end + 1..][..8].try_into().expect("a number"));
            (String::from_utf8_lossy(&payload[..end]).into_owned(), number)
        });
        let selected = resume.selected(&offers).expect("one");
        (after.is_some() && selected == *offers.last().expect("one"), all.collect())
    }

    #[test]
    fn the_last_messages_are_kept_also_of_a_batch_that_has_more() {
        let mut history = history(5, 10_000);
        assert!(numbers(&history.replay(None)).is_empty());
        history.record(batch(0..3, 8), 3, None);
        history.record(batch(3..6, 8), 3, None);
        assert_eq!(numbers(&history.replay(None)), [1, 2, 3, 4, 5]);
        history.record(batch(6..50, 8), 44, None);
        assert_eq!(numbers(&history.replay(None)), [45, 46, 47, 48, 49]);
        assert_eq!(history.all.held(), OVERHEAD + 50);
        history.forget();
        assert_eq!((numbers(&history.replay(None)), history.all.held()), (vec![], 0));
    }

    #[test]
    fn a_message_longer_than_the_limit_is_not_kept_nor_what_was_before_it() {
        let mut history = history(5, 300);
        history.record(batch(0..1, 8), 1, None);
        history.record(batch(1..2, 120), 1, None);
        assert!(numbers(&history.replay(None)).is_empty());
        history.record(batch(2..3, 8), 1, None);
        assert_eq!(numbers(&history.replay(None)), [2]);
    }

    #[test]
    fn a_room_forgets_its_own_messages_when_all_together_are_too_many() {
        let limits = HistoryOptions { messages: 5, bytes: 10_000, lifetime: Duration::from_secs(600) };
        let all = Arc::new(Histories { limits, held: AtomicUsize::new(0), most: 2 * OVERHEAD + 20 });
        let [mut idle, mut busy] = [History::new(&all), History::new(&all)];
        idle.record(batch(0..1, 8), 1, None);
        busy.record(batch(0..1, 8), 1, None);
        assert_eq!(all.held(), 2 * (OVERHEAD + 10));
        assert!(all.excess() > 0);
        busy.record(batch(1..2, 8), 1, None);
        assert_eq!((numbers(&busy.replay(None)), numbers(&idle.replay(None))), (vec![], vec![0]));
        drop(idle);
        assert_eq!(all.held(), 0);
    }

    #[test]
    fn what_the_engine_has_and_what_follows_is_one_history() {
        let mut history = history(10, 10_000);
        let position = |sequence| Position { epoch: 9, sequence };
        let body = |numbers| crate::cluster::Body { plain: batch(numbers, 8), deflated: None };
        let batches = vec![(body(0..2), 2, position(4)), (body(2..3), 1, position(7))];
        history.begin(Recent { position: position(8), after: 3, batches });
        history.record(batch(3..4, 8), 1, Some(position(12)));
        let place = |sequence, index| Some(Place { batch: position(sequence), index });
        for (after, is_known, expected) in [
            (place(3, 5), false, vec![0, 1, 2, 3]),
            (place(4, 0), true, vec![1, 2, 3]),
            (place(7, 0), true, vec![3]),
            (place(8, 0), true, vec![3]),
            (place(12, 0), true, vec![]),
            (place(13, 0), true, vec![]),
            (Some(Place { batch: Position { epoch: 8, sequence: 7 }, index: 0 }), false, vec![0, 1, 2, 3]),
            (None, false, vec![0, 1, 2, 3]),
        ] {
            let (is_resumed, replayed) = resumed(&mut history, after);
            assert_eq!(
                (is_resumed, replayed.iter().map(|(_, number)| *number).collect()),
                (is_known, expected),
                "{after:?}"
            );
        }
        // Then the node is alone, and back.
        assert_ne!(history.record(batch(4..5, 8), 1, None).epoch, 9);
        assert_eq!(numbers(&history.replay(None)), [4]);
        history.record(batch(5..6, 8), 1, Some(position(20)));
        assert_eq!(numbers(&history.replay(None)), [5]);
        assert!(!resumed(&mut history, place(12, 0)).0);
    }

    #[test]
    fn a_client_resumes_that_has_the_last_message_of_a_batch_that_is_gone() {
        let mut history = history(18, 580);
        let mut next = 0;
        let positions = [3, 2, 16].map(|messages| {
            next += messages;
            history.record(batch(next - messages..next, 8), messages, None)
        });
        assert_eq!(numbers(&history.replay(None)), (3..21).collect::<Vec<_>>());
        for (index, is_known) in [(1, false), (2, true)] {
            assert_eq!(resumed(&mut history, Some(Place { batch: positions[0], index })).0, is_known);
        }
    }

    proptest! {
        #[test]
        fn whoever_resumes_misses_nothing_and_gets_nothing_twice(
            batches in prop::collection::vec((1..20_u64, 8..100_usize), 1..40),
            limits in (1..50_u64, 500..5000_usize),
            from: prop::sample::Index,
        ) {
            let mut history = history(limits.0, limits.1);
            let (mut all, mut next) = (Vec::new(), 0);
            for (messages, length) in batches {
                let position = history.record(batch(next..next + messages, length), messages, None);
                all.extend((0..messages).map(|index| Place { batch: position, index }));
                next += messages;
                prop_assert!(history.messages <= limits.0 && history.bytes <= limits.1);
            }
            let kept = numbers(&history.replay(None));
            prop_assert_eq!(&kept, &(next - kept.len() as u64..next).collect::<Vec<_>>());
            let at = from.index(all.len());
            let (is_resumed, replayed) = resumed(&mut history, Some(all[at]));
            let missed: Vec<_> = (at as u64 + 1..next).collect();
            prop_assert_eq!(is_resumed, missed.len() <= kept.len());
            let expected = if is_resumed { missed } else { kept };
            prop_assert_eq!(replayed.iter().map(|(_, number)| *number).collect::<Vec<_>>(), expected);
            for (place, number) in replayed {
                prop_assert_eq!(place, all[usize::try_from(number).expect("a number")].to_string());
            }
        }
    }
}
