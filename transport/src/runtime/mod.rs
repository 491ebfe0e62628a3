//! What runs the network: a thread of our own, or the host's runtime.
//!
//! By default an exporter has a thread of its own, `spanwire-io`, on which a small tokio runtime turns for as long as the
//! exporter lives: connections are kept alive between exports, and nothing depends on what the host does with its
//! runtime. A host that has one to share gives its handle.
//!
//! - Nothing here waits: a future is handed over and answers for itself. `block_on` is called on our own thread alone.
//! - Every future is [silenced](spanwire_core::current::suppress) whenever it is polled, so that no bridge traces the
//!   export of traces.
//! - Where the host's runtime has ended, or was left behind by a fork, our own takes over.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use spanwire_core::current;
use tokio::runtime::Handle;

mod spawner;
mod thread;

pub(crate) use spawner::{Executor, Spawner};

/// Where the network of an exporter or a receiver runs.
///
/// ```
/// use spanwire_transport::runtime::Runtime;
///
/// // A thread of its own, started with the first export.
/// let own = Runtime::own();
///
/// // The host's threads.
/// let host = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
/// let shared = Runtime::of_host(host.handle().clone());
/// # let _ = (own, shared);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Runtime {
    host: Option<Host>,
}

#[derive(Clone)]
struct Host {
    handle: Handle,
    /// The process that the threads of the runtime are in.
    process: u32,
}

impl Runtime {
    /// A thread of its own for each exporter, and in a forked child another. The default.
    #[must_use]
    pub const fn own() -> Self {
        Self { host: None }
    }

    /// The host's runtime. It needs its I/O and time drivers, and has to be driven: one of a single thread that
    /// only turns inside `block_on` exports nothing in between, and nothing while that thread waits for a flush.
    ///
    /// Once that runtime has ended, and in a forked child, where its threads are not, a thread of our own is used.
    #[must_use]
    pub fn of_host(handle: Handle) -> Self {
        Self {
            host: Some(Host {
                handle,
                process: std::process::id(),
            }),
        }
    }

    /// The host's handle, if its threads are in this process. Not touched otherwise: one of them may have held a lock
    /// when this process was forked off.
    fn handle(&self) -> Option<&Handle> {
        let host = self.host.as_ref()?;
        (host.process == std::process::id()).then_some(&host.handle)
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.host {
            None => "Runtime::own",
            Some(_) => "Runtime::of_host",
        })
    }
}

/// Runs what keeps a processor busy for long, on a thread of the runtime that drives no connections. Dropped, it begins it no
/// more. `None` when the runtime ends first.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    struct Errand<T>(tokio::task::JoinHandle<T>);

    impl<T> Drop for Errand<T> {
        fn drop(&mut self) {
            self.0.abort();
        }
    }

    let mut errand = Errand(tokio::task::spawn_blocking(|| {
        let _quiet = current::suppress();
        work()
    }));
    match (&mut errand.0).await {
        Ok(done) => Some(done),
        // As if it had been done here.
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(_) => None,
    }
}

/// A future that records no spans, however it is polled.
struct Silenced(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Future for Silenced {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let _quiet = current::suppress();
        self.0.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests;
