//! The memory that the process holds for its clients, and the limit on it (`--max-memory`).
//!
//! Counted are the batches that wait for members of rooms, each once however many members share it; what has been read of an
//! unfinished message, inflated; long messages on their way; and output that waits. A connection counts when it has [`LARGE`] bytes or
//! more, so that short messages cost nothing.
//!
//! Beyond the limit no connection that counts reads further, and the one with the most is told to close. New clients are refused.

mod machine;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use std::{
    fs,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Relaxed},
        },
    },
    task::Context,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, time::sleep};

/// A connection with less is neither counted nor closed.
pub const LARGE: usize = 16 * 1024;
/// Longer messages are [`counted`] on their way.
pub const LONG_MESSAGE: usize = 64 * 1024;
/// After a look for a connection to close that found none, the next look is this much later: it takes time that grows with their
/// number.
const LOOKS: Duration = Duration::from_millis(10);
/// A connection that was told to close may take this long before another is told.
const CLOSING: Duration = Duration::from_secs(1);
/// By default the limit is this part of the memory of the machine or the container. The kernel's socket buffers need some, too.
const DEFAULT_PART: usize = 2;

static HELD: AtomicUsize = AtomicUsize::new(0);
static LIMIT: AtomicUsize = AtomicUsize::new(usize::MAX);
static CONNECTIONS: Mutex<Large> = Mutex::new(Large { all: Vec::new(), closing: 0, since: None, found_none: None });

/// The connections that count.
struct Large {
    all: Vec<Arc<Entry>>,
    /// How many of them have been told to close.
    closing: usize,
    /// When the last was told.
    since: Option<Instant>,
    /// When there was none that could be told.
    found_none: Option<Instant>,
}

struct Entry {
    /// Bytes that are held for the connection, including those that it shares with others.
    held: AtomicUsize,
    /// The room of a member; 0 for others. Its members share what waits for them.
    room: usize,
    must_close: AtomicBool,
    /// It reads no further until less is held.
    pauses: AtomicBool,
    task: AtomicWaker,
    /// Its place among the connections that count, which changes under their lock.
    place: AtomicUsize,
}

fn connections() -> MutexGuard<'static, Large> {
    CONNECTIONS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limit without `--max-memory`, in bytes.
pub fn default_limit() -> usize {
    machine::available(|path| fs::read_to_string(path).ok()) / DEFAULT_PART
}

/// Sets the limit, in bytes. Without this there is none.
pub fn set_limit(bytes: usize) {
    LIMIT.store(bytes, Relaxed);
}

/// The limit, in bytes.
pub fn limit() -> usize {
    LIMIT.load(Relaxed)
}

/// Bytes that are held at present.
pub fn held() -> usize {
    HELD.load(Relaxed)
}

/// Whether more is held than the limit allows.
#[inline]
pub fn is_over() -> bool {
    HELD.load(Relaxed) > LIMIT.load(Relaxed)
}

/// Whether a connection that holds so many bytes must not hold more for now.
#[inline]
pub fn pauses(held: usize) -> bool {
    held >= LARGE && is_over()
}

/// Whether a new client may come in.
pub fn admits() -> bool {
    relieve();
    !is_over()
}

fn add(bytes: usize) {
    HELD.fetch_add(bytes, Relaxed);
    if is_over() {
        relieve();
    }
}

fn subtract(bytes: usize) {
    let before = HELD.fetch_sub(bytes, Relaxed);
    let limit = LIMIT.load(Relaxed);
    if before > limit && before - bytes <= limit {
        connections().all.iter().filter(|entry| entry.pauses.swap(false, AcqRel)).for_each(|entry| entry.task.wake());
    }
}

/// Beyond the limit, tells the connection to close for which the most is held. Of a member's room, all must close that have more
/// than half as much: none of what they share is freed before.
fn relieve() {
    if !is_over() {
        return;
    }
    let mut large = connections();
    let is_within = |time: Option<Instant>, limit| time.is_some_and(|time| time.elapsed() < limit);
    if (large.closing > 0 && is_within(large.since, CLOSING)) || is_within(large.found_none, LOOKS) {
        return;
    }
    let remaining = large.all.iter().filter(|entry| !entry.must_close.load(Relaxed));
    let Some(most) = remaining.max_by_key(|entry| entry.held.load(Relaxed)).cloned() else {
        large.found_none = Some(Instant::now());
        return;
    };
    let enough = most.held.load(Relaxed) / 2;
    let shares = |entry: &Entry| entry.room == most.room && entry.room != 0 && entry.held.load(Relaxed) > enough;
    let mut told = 0;
    for entry in large.all.iter().filter(|entry| Arc::ptr_eq(entry, &most) || shares(entry)) {
        told += usize::from(!entry.must_close.swap(true, Relaxed));
        entry.task.wake();
    }
    large.closing += told;
    large.since = Some(Instant::now());
    // Those who wait until less is held do not come here again.
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async {
            sleep(CLOSING).await;
            relieve();
        });
    }
}

/// Bytes that are counted until the last part of them is dropped.
struct Counted(Bytes);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        subtract(self.0.len());
    }
}

/// Counts bytes until the last part of what is returned is dropped.
#[cold]
pub fn counted(bytes: Bytes) -> Bytes {
    add(bytes.len());
    Bytes::from_owner(Counted(bytes))
}

/// What is held for one connection.
#[derive(Default)]
pub struct Account {
    own: usize,
    shared: usize,
    room: usize,
    /// Present while the connection counts.
    entry: Option<Arc<Entry>>,
}

impl Account {
    /// The account of a member of a room, which is told from others by this number; 0 stands for none.
    pub fn of_room(room: usize) -> Self {
        Self { own: 0, shared: 0, room, entry: None }
    }

    /// The connection holds so many bytes that nobody else counts.
    #[inline]
    pub fn set_own(&mut self, bytes: usize) {
        if bytes != self.own && (bytes >= LARGE || self.own > 0) {
            let bytes = if bytes >= LARGE { bytes } else { 0 };
            let before = std::mem::replace(&mut self.own, bytes);
            self.update();
            if bytes > before { add(bytes - before) } else { subtract(before - bytes) }
        }
    }

    /// So many bytes wait for it that are counted where they were made.
    #[inline]
    pub fn set_shared(&mut self, bytes: usize) {
        self.shared = bytes;
        if self.own + bytes >= LARGE || self.entry.is_some() {
            self.update();
        }
    }

    fn update(&mut self) {
        let held = self.own + self.shared;
        match &self.entry {
            Some(entry) if held >= LARGE => entry.held.store(held, Relaxed),
            Some(_) => self.leave(),
            None if held >= LARGE => {
                let entry = Arc::new(Entry {
                    held: AtomicUsize::new(held),
                    room: self.room,
                    must_close: AtomicBool::new(false),
                    pauses: AtomicBool::new(false),
                    task: AtomicWaker::new(),
                    place: AtomicUsize::new(0),
                });
                let mut large = connections();
                entry.place.store(large.all.len(), Relaxed);
                large.all.push(entry.clone());
                self.entry = Some(entry);
            }
            None => {}
        }
    }

    /// The connection no longer counts.
    fn leave(&mut self) {
        let Some(entry) = self.entry.take() else { return };
        let mut large = connections();
        let place = entry.place.load(Relaxed);
        large.all.swap_remove(place);
        if let Some(moved) = large.all.get(place) {
            moved.place.store(place, Relaxed);
        }
        if entry.must_close.load(Relaxed) {
            large.closing -= 1;
            drop(large);
            relieve();
        }
    }

    /// Whether the connection must close.
    #[inline]
    pub fn must_close(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.must_close.load(Relaxed))
    }

    /// As [`must_close`](Self::must_close), before the task waits: it is woken when that changes. `pauses`: and when the connection
    /// may read again.
    #[inline]
    pub fn poll_must_close(&self, cx: &Context<'_>, pauses: bool) -> bool {
        let Some(entry) = &self.entry else { return false };
        entry.task.register(cx.waker());
        if pauses {
            // Whoever frees memory sees this, or is seen by what follows.
            entry.pauses.swap(true, AcqRel);
            if !is_over() {
                cx.waker().wake_by_ref();
            }
        }
        self.must_close()
    }

    /// Bytes that are held for the connection.
    pub fn held(&self) -> usize {
        self.own + self.shared
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.shared = 0;
        self.set_own(0);
        self.leave();
    }
}
