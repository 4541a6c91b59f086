//! The sessions of a listener that are under way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    sync::Notify,
    task::{AbortHandle, JoinHandle},
};

/// The sessions of a listener that are under way. When this is dropped, they are aborted. A [`JoinSet`](tokio::task::JoinSet) takes 100
/// bytes more for each, and wakes the loop that accepts at the end of each.
#[derive(Default)]
pub(super) struct UnderWay {
    sessions: Arc<Sessions>,
    next: u64,
}

#[derive(Default)]
struct Sessions {
    /// By number. A session may end before its handle is here.
    handles: Mutex<HashMap<u64, Option<AbortHandle>>>,
    /// None is left.
    over: Notify,
}

/// A session is under way until this is dropped.
pub(super) struct Entered {
    sessions: Arc<Sessions>,
    number: u64,
}

impl UnderWay {
    /// A session begins. [`spawned`](Self::spawned) must follow.
    pub fn enter(&mut self) -> Entered {
        let number = self.next;
        self.next += 1;
        self.sessions.lock().insert(number, None);
        Entered { sessions: self.sessions.clone(), number }
    }

    /// The task of the session that entered last.
    pub fn spawned(&self, task: &JoinHandle<()>) {
        if let Some(handle) = self.sessions.lock().get_mut(&(self.next - 1)) {
            *handle = Some(task.abort_handle());
        }
    }

    /// Waits until no session is under way.
    pub async fn over(&self) {
        while !self.sessions.lock().is_empty() {
            self.sessions.over.notified().await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let handles = std::mem::take(&mut *self.sessions.lock());
        handles.into_values().flatten().for_each(|handle| handle.abort());
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Option<AbortHandle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut handles = self.sessions.lock();
        handles.remove(&self.number);
        if handles.is_empty() {
            self.sessions.over.notify_one();
        }
    }
}
