//! The threads that serve the connections of a listener.

use crate::error::Error;
use std::{
    any::Any,
    convert::Infallible,
    io, iter,
    num::NonZeroUsize,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

/// After this many polls of tasks a runtime looks for new data, if some tasks are always ready. tokio's default is 61: with that, two
/// peers whose messages are compressed 64 KiB a poll kept the others waiting for 240 to 320 ms; with this, for 22 to 37 ms. A look
/// is a system call: a MiB from TCP to a WebSocket costs 80 instead of 60.
const POLLS: u32 = 8;

/// A runtime for one thread.
///
/// # Errors
/// The system has no descriptors for it.
pub fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().event_interval(POLLS).build()
}

/// Threads, each with a runtime of its own. A connection stays on one of them: where threads take tasks from each other, an echo
/// costs a third more, since its task and what wakes it are on different cores again and again.
pub struct Workers {
    /// The thread that has started the others.
    first: Worker,
    others: Vec<Worker>,
    placed: AtomicUsize,
}

struct Worker {
    runtime: Handle,
    /// A clone of it stands for a connection.
    connections: Arc<()>,
    /// The thread ends when this is dropped.
    _end: Option<oneshot::Sender<Infallible>>,
}

/// A connection's place on a thread.
pub struct Place {
    /// The runtime of the thread.
    pub runtime: Handle,
    /// Whether this is the thread that accepts.
    pub accepts: bool,
    /// The place is taken until this is dropped.
    pub connection: Arc<()>,
}

impl Workers {
    /// Starts threads, so that there are `count` with the calling one, whose runtime is `first`. Must not be called by a task of a
    /// runtime.
    ///
    /// # Errors
    /// The system has no further thread.
    pub fn start(first: &Handle, count: NonZeroUsize) -> Result<Self, Error> {
        let first = Worker { runtime: first.clone(), connections: Arc::default(), _end: None };
        let others = (1..count.get()).map(|_| Worker::start()).collect::<io::Result<_>>();
        let others = others.map_err(|source| Error::io("cannot start a thread", source))?;
        Ok(Self { first, others, placed: AtomicUsize::new(0) })
    }

    /// A place on the thread with the fewest connections.
    pub fn place(&self) -> Place {
        // Among equals, the first in an order that begins elsewhere each time, and without a period: if it always began with the same
        // thread, the first members of rooms of ten, who may be the ones that speak, would all share that thread. Handing a connection
        // over takes seven system calls, so this thread keeps it while it has no other.
        let placed = self.placed.fetch_add(1, Relaxed);
        let is_idle = Arc::strong_count(&self.first.connections) == 1;
        let start = if is_idle { 0 } else { placed.count_ones() as usize };
        let threads = self.threads().cycle().skip(start).take(1 + self.others.len());
        let worker = threads.min_by_key(|worker| Arc::strong_count(&worker.connections)).unwrap_or(&self.first);
        Place {
            runtime: worker.runtime.clone(),
            accepts: ptr::eq(worker, &self.first),
            connection: worker.connections.clone(),
        }
    }

    fn threads(&self) -> impl Iterator<Item = &Worker> + Clone {
        iter::once(&self.first).chain(&self.others)
    }

    /// The runtimes of all threads.
    pub fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.threads().map(|worker| &worker.runtime)
    }
}

impl Worker {
    fn start() -> io::Result<Self> {
        let runtime = runtime()?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel();
        thread::Builder::new().name("wsplice-worker".into()).spawn(move || {
            let _ = runtime.block_on(ended);
            // Name look-ups and files may still occupy threads.
            runtime.shutdown_background();
        })?;
        Ok(Self { runtime: handle, connections: Arc::default(), _end: Some(end) })
    }
}

/// The reason for which the system refused a thread, if this is the payload of that panic of tokio.
pub fn refused_thread(payload: &(dyn Any + Send)) -> Option<String> {
    // "OS can't spawn worker thread: Resource temporarily unavailable (os error 11)"
    let (what, reason) = payload.downcast_ref::<String>()?.split_once(": ")?;
    what.contains("spawn worker thread").then(|| reason.to_owned())
}
