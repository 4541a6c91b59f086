//! A task that ends with its owner.

use tokio::task::JoinHandle;

/// A spawned task, which is aborted when this is dropped.
pub struct Task(JoinHandle<()>);

impl Task {
    /// Spawns it on the current runtime.
    pub fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(work))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
