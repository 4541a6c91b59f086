//! Reports of what was dropped, at most one a second.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::sleep;

/// The shortest time between two reports.
const PAUSE: Duration = Duration::from_secs(1);

/// Collects what is dropped in a `T`, and reports it: the first drop at once, what follows within a second at the end of that
/// second, and the rest when this is dropped.
pub struct Drops<T> {
    pending: Mutex<Pending<T>>,
    report: Box<dyn Fn(T) + Send + Sync>,
}

struct Pending<T> {
    /// Not reported yet.
    dropped: Option<T>,
    /// A task reports it in less than a second.
    is_pausing: bool,
}

impl<T: Default + Send + 'static> Drops<T> {
    /// `report` is called with what was dropped since the last call.
    pub fn new(report: impl Fn(T) + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { pending: Mutex::new(Pending { dropped: None, is_pausing: false }), report: Box::new(report) })
    }

    /// Adds what is dropped now.
    pub fn add(self: &Arc<Self>, add: impl FnOnce(&mut T)) {
        let mut pending = self.lock();
        add(pending.dropped.get_or_insert_default());
        if !std::mem::replace(&mut pending.is_pausing, true) {
            drop(pending);
            let drops = Arc::downgrade(self);
            tokio::spawn(async move {
                while drops.upgrade().is_some_and(|drops| drops.report_or_rest()) {
                    sleep(PAUSE).await;
                }
            });
        }
    }

    /// Reports what was dropped, or, if that is nothing, ends the pause.
    fn report_or_rest(&self) -> bool {
        let mut pending = self.lock();
        let dropped = pending.dropped.take();
        pending.is_pausing = dropped.is_some();
        drop(pending);
        dropped.map(&self.report).is_some()
    }
}

impl<T> Drops<T> {
    /// Reports at once what has not been reported.
    pub fn flush(&self) {
        let dropped = self.lock().dropped.take();
        dropped.into_iter().for_each(&self.report);
    }

    fn lock(&self) -> MutexGuard<'_, Pending<T>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Drops<T> {
    fn drop(&mut self) {
        self.flush();
    }
}
