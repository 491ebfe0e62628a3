//! Hands futures to the host's runtime while there is one, and to our own otherwise.

use core::future::Future;
use core::pin::Pin;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::thread::OwnThread;
use super::{Runtime, Silenced};

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs the futures of one exporter or receiver in one process. Dropped, it drops them.
pub(crate) struct Spawner(Arc<Inner>);

struct Inner(Mutex<State>);

struct State {
    /// The host's runtime, until it is found to have ended.
    host: Option<Handle>,
    own: Option<OwnThread>,
    /// How often the place changed where futures run.
    moves: usize,
    /// What runs on the host's runtime, which doesn't end when we do.
    running: Running,
    closed: bool,
}

/// Tasks, of which those that are finished are forgotten now and then: whenever there are twice as many as were left the
/// last time, so that a task costs the same however many there are.
#[derive(Default)]
struct Running {
    tasks: Vec<AbortHandle>,
    left: usize,
}

impl Running {
    /// No sweep for fewer than so many.
    const FEW: usize = 32;

    fn push(&mut self, task: AbortHandle) {
        if self.tasks.len() >= self.left.saturating_mul(2).max(Self::FEW) {
            self.tasks.retain(|task| !task.is_finished());
            self.left = self.tasks.len();
        }
        self.tasks.push(task);
    }
}

impl Spawner {
    pub(crate) fn new(runtime: &Runtime) -> Self {
        Self(Arc::new(Inner(Mutex::new(State {
            host: runtime.handle().cloned(),
            own: None,
            moves: 0,
            running: Running::default(),
            closed: false,
        }))))
    }

    /// Runs a future. What it owns is dropped unfinished if its runtime ends first, or [`close`](Self::close) is called.
    ///
    /// # Errors
    ///
    /// The system gives no thread to run it on. The future is dropped.
    pub(crate) fn spawn(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        self.0.spawn(Box::pin(future))
    }

    /// What spawns futures on behalf of others, and doesn't keep the runtime alive.
    pub(crate) fn executor(&self) -> Executor {
        Executor(Arc::downgrade(&self.0))
    }

    /// Drops what runs, and runs nothing more.
    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl Inner {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn spawn(&self, future: BoxFuture) -> io::Result<()> {
        let host = {
            let state = self.state();
            if state.closed {
                return Err(io::Error::other("what it runs for has ended"));
            }
            state.host.clone()
        };
        let mut future = Silenced(future);
        // No lock is held here: a runtime that has ended drops what it is given at once, and that may be anything.
        if let Some(host) = host {
            match spawn_on(&host, future) {
                Ok(running) => {
                    let mut state = self.state();
                    state.running.push(running.clone());
                    if state.closed {
                        running.abort();
                    }
                    return Ok(());
                }
                Err(back) => future = back,
            }
        }
        let handle = {
            let mut state = self.state();
            if state.host.take().is_some() {
                state.moves += 1;
            }
            match &state.own {
                Some(own) => own.handle().clone(),
                None => state.own.insert(OwnThread::start()?).handle().clone(),
            }
        };
        drop(handle.spawn(future));
        Ok(())
    }

    fn close(&self) {
        let (running, own) = {
            let mut state = self.state();
            state.closed = true;
            (core::mem::take(&mut state.running.tasks), state.own.take())
        };
        for task in running {
            task.abort();
        }
        drop(own);
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Spawns a future, or gives it back when the runtime has ended.
fn spawn_on(host: &Handle, future: Silenced) -> Result<AbortHandle, Silenced> {
    let slot = Arc::new(Mutex::new(Some(future)));
    let take =
        |slot: &Mutex<Option<Silenced>>| slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let within = slot.clone();
    let task = host.spawn(async move {
        let future = take(&within);
        if let Some(future) = future {
            future.await;
        }
    });
    // A runtime that has ended finishes a task by dropping it, before `spawn` returns, and without having polled it.
    if task.is_finished()
        && let Some(back) = take(&slot)
    {
        return Err(back);
    }
    Ok(task.abort_handle())
}

/// Spawns the futures that others ask for: connections, name look-ups.
#[derive(Clone)]
pub(crate) struct Executor(Weak<Inner>);

impl Executor {
    /// How often the place changed where futures run. What was made in one place is of no use in the next.
    pub(crate) fn moves(&self) -> usize {
        self.0.upgrade().map_or(0, |inner| inner.state().moves)
    }

    /// Runs a future, or drops it where what it runs for has ended.
    pub(crate) fn spawn(&self, future: BoxFuture) {
        if let Some(inner) = self.0.upgrade() {
            // Without a thread the connection that this future drives is closed, which its user is told.
            let _ = inner.spawn(future);
        }
    }
}

#[cfg(feature = "grpc")]
impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, future: F) {
        self.spawn(Box::pin(future));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_are_finished_are_forgotten() {
        let host = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let waiting = || host.spawn(core::future::pending::<()>()).abort_handle();
        let mut running = Running::default();
        let first = waiting();
        running.push(first.clone());
        for _ in 0..1000 {
            let finished = waiting();
            finished.abort();
            running.push(finished);
            host.block_on(tokio::task::yield_now());
        }
        assert!(
            running.tasks.len() <= 2 * Running::FEW,
            "{}",
            running.tasks.len()
        );
        assert!(running.tasks.iter().any(|task| task.id() == first.id()));
        for _ in 0..1000 {
            running.push(waiting());
        }
        assert!(running.tasks.len() > 1000, "what runs is kept");
    }
}
