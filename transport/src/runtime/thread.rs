//! A thread with a runtime that turns until it is told to stop.

use std::io;
use std::thread;

use spanwire_core::current;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;

/// Our own runtime. Dropped, it ends: what is unfinished on it is dropped there, and nobody waits.
pub(super) struct OwnThread {
    handle: Handle,
    /// Dropped with the rest, which is what the thread waits for.
    _running: oneshot::Sender<()>,
}

impl OwnThread {
    /// # Errors
    /// The system gives no thread, or no means to wait for sockets.
    pub(super) fn start() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(1)
            .thread_name("spanwire-aside")
            .build()?;
        let handle = runtime.handle().clone();
        let runtime = Unawaited(Some(runtime));
        let (running, stopped) = oneshot::channel::<()>();
        thread::Builder::new()
            .name("spanwire-io".into())
            .spawn(move || {
                let _quiet = current::suppress();
                // Ready, with an error, as soon as the other end is gone.
                if let Some(runtime) = &runtime.0 {
                    let _ = runtime.block_on(stopped);
                }
            })?;
        Ok(Self {
            handle,
            _running: running,
        })
    }

    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }
}

/// A runtime that is dropped without waiting for its threads: a name that is being looked up may take long. Also where
/// waiting would not be allowed, such as on a thread of another runtime.
struct Unawaited(Option<Runtime>);

impl Drop for Unawaited {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
