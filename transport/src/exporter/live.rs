//! An exporter at work.

use std::sync::Arc;

use crate::runtime::{Executor, Runtime, Spawner};

/// What the exports of one exporter share, and what runs them. Dropped, what is under way ends there and then.
pub(super) struct Live<C> {
    pub(super) client: Arc<C>,
    spawner: Spawner,
}

impl<C> Live<C> {
    pub(super) fn start(runtime: &Runtime, client: impl FnOnce(Executor) -> C) -> Self {
        let spawner = Spawner::new(runtime);
        Self {
            client: Arc::new(client(spawner.executor())),
            spawner,
        }
    }

    /// Runs an export. Where there is no thread to be had, the future is dropped, and the call in it says so.
    pub(super) fn run(&self, export: impl Future<Output = ()> + Send + 'static) {
        let _ = self.spawner.spawn(export);
    }
}

impl<C> Drop for Live<C> {
    fn drop(&mut self) {
        self.spawner.close();
    }
}
