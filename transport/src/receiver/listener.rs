//! Accepting connections, and coming to an end.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Poll, Waker};
use core::time::Duration;
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use spanwire_core::limiter::{OVERHEAD, Permit};
use spanwire_core::pipeline::Intake;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::line::{CONNECTION, Line, STREAM_WINDOW, Stay};
use super::socket::{self, Bound, Open};
use super::stats::{Counts, ReceiverStats, count};
use crate::dial::Connection;
use crate::endpoint::InvalidEndpoint;
use crate::runtime::{Executor, Runtime, Spawner};
#[cfg(feature = "tls")]
use crate::tls::{CurrentServerTls, ServerTls, TlsError};

/// The most bytes of a connection's window.
const MOST_WINDOW: usize = 1 << 20;

/// How long a connection has to be idle before it can be asked to leave for another.
const SETTLED: Duration = Duration::from_secs(1);

/// The same for one that has not said anything yet.
const SILENT: Duration = Duration::from_millis(50);

/// How long until another is asked when one does not go.
const NEXT: Duration = Duration::from_millis(100);

/// How often it is looked whether there is room again.
const LOOK: Duration = Duration::from_millis(20);

/// How long to wait when the system gives no connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What to listen on, and with what bounds.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) endpoint: String,
    pub(crate) max_connections: usize,
    /// `None`: a 512th of the neighbours' share.
    pub(crate) window: Option<usize>,
    pub(crate) stay: Stay,
    pub(crate) runtime: Runtime,
    /// What may be agreed upon under TLS.
    #[cfg(feature = "tls")]
    pub(crate) alpn: &'static [&'static [u8]],
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<ServerTls>,
}

/// A future of a connection.
pub(crate) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is spoken on a connection.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// Speaks it, until the connection ends. Futures of requests go to `executor`.
    fn serve(&self, stream: Connection, line: Line, executor: Executor) -> Serving;
}

/// What listens. Dropped, it ends, and so does what is under way.
pub(crate) struct Listener {
    shared: Arc<Shared>,
    spawner: Arc<Spawner>,
    local_addr: Option<SocketAddr>,
}

/// Shared by a listener and its connections.
struct Shared {
    live: Mutex<Live>,
    /// A member has gone, or the time is over.
    changed: Condvar,
    /// The same, for who accepts.
    freed: Notify,
    stop: Notify,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Live {
    stopping: bool,
    expired: bool,
    /// Who accepts, and connections.
    members: usize,
    lines: BTreeMap<u64, Line>,
    next: u64,
    /// Bytes charged for connections.
    charged: usize,
    /// When a connection was last asked to leave for another.
    evicted: Option<Instant>,
    wakers: Vec<Waker>,
}

impl Shared {
    fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, mut live: MutexGuard<'_, Live>) {
        let wakers = core::mem::take(&mut live.wakers);
        drop(live);
        self.changed.notify_all();
        for waker in wakers {
            waker.wake();
        }
    }
}

/// What a stop waits for.
struct Member {
    shared: Arc<Shared>,
    /// The connection, and what it is charged.
    line: Option<(u64, Permit)>,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut live = self.shared.live();
        live.members = live.members.saturating_sub(1);
        if let Some((number, permit)) = self.line.take() {
            live.lines.remove(&number);
            live.charged = live.charged.saturating_sub(permit.bytes() + OVERHEAD);
            self.shared.counts.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.shared.tell(live);
        self.shared.freed.notify_one();
    }
}

/// What a connection is charged for, with and without its window.
#[derive(Clone, Copy)]
struct Charge {
    window: usize,
    bytes: usize,
    allowance: usize,
}

impl Charge {
    /// For a share of so many bytes.
    fn of(share: usize, listening: &Listening) -> Self {
        let window = listening
            .window
            .unwrap_or(share / 512)
            .clamp(STREAM_WINDOW, MOST_WINDOW);
        let fixed = CONNECTION;
        #[cfg(feature = "tls")]
        let fixed = match listening.tls {
            Some(_) => fixed + super::line::UNDER_TLS,
            None => fixed,
        };
        let bytes = window + fixed;
        Self {
            window,
            bytes,
            allowance: (share / 8).saturating_sub(bytes),
        }
    }

    /// The least share in which a connection has room for a body that is not small.
    fn least_share(listening: &Listening) -> usize {
        (Self::of(0, listening).bytes + STREAM_WINDOW) * 8
    }
}

impl Listener {
    /// Binds, and begins to accept.
    pub(crate) fn start(
        listening: Listening,
        intake: Intake,
        counts: Arc<Counts>,
        protocol: impl Protocol,
    ) -> Result<Self, ListenError> {
        let address = socket::address(&listening.endpoint).map_err(ListenError::Endpoint)?;
        #[cfg(feature = "tls")]
        let tls = match &listening.tls {
            Some(tls) => {
                let tls = CurrentServerTls::new(tls.clone(), listening.alpn);
                Some(Arc::new(tls.map_err(ListenError::Tls)?))
            }
            None => None,
        };
        let share = intake.account().ok_or(ListenError::Closed)?.limit();
        let least = Charge::least_share(&listening);
        if share < least {
            return Err(ListenError::Share {
                bytes: share,
                least,
            });
        }
        let no_socket = |error: io::Error| ListenError::Bind {
            endpoint: listening.endpoint.clone(),
            why: error.to_string(),
        };
        let bound = Bound::bind(&address).map_err(no_socket)?;
        let local_addr = bound.local_addr();
        let shared = Arc::new(Shared {
            live: Mutex::default(),
            changed: Condvar::new(),
            freed: Notify::new(),
            stop: Notify::new(),
            counts,
        });
        shared.live().members = 1;
        let member = Member {
            shared: shared.clone(),
            line: None,
        };
        let spawner = Arc::new(Spawner::new(&listening.runtime));
        let stay = Arc::new(listening.stay.clone());
        let porter = Porter {
            listening: listening.clone(),
            stay,
            intake,
            shared: shared.clone(),
            executor: spawner.executor(),
            protocol: Arc::new(protocol),
            #[cfg(feature = "tls")]
            tls,
        };
        spawner
            .spawn(porter.accept(bound, member))
            .map_err(no_socket)?;
        Ok(Self {
            shared,
            spawner,
            local_addr,
        })
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    pub(crate) fn stats(&self) -> ReceiverStats {
        self.shared.counts.read()
    }

    /// Accepts no more, and tells every connection to finish what is under way and leave.
    fn begin_to_stop(&self) {
        let lines: Vec<Line> = {
            let mut live = self.shared.live();
            live.stopping = true;
            live.lines.values().cloned().collect()
        };
        self.shared.stop.notify_one();
        for line in lines {
            line.stop();
        }
    }

    /// Comes to an end; waits on this thread. What is under way after `within` is cut.
    pub(crate) fn stop(&self, within: Duration) -> Stopped {
        self.begin_to_stop();
        let end = Instant::now().checked_add(within);
        let mut live = self.shared.live();
        while live.members > 0 && !live.expired {
            live = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.shared.changed.wait_timeout(live, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.shared.changed.wait(live);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        let stopped = Stopped::of(&live);
        drop(live);
        self.spawner.close();
        stopped
    }

    /// The same as a future, of any runtime.
    pub(crate) fn stop_async(
        &self,
        within: Duration,
    ) -> impl Future<Output = Stopped> + Send + use<> {
        self.begin_to_stop();
        let (shared, spawner) = (self.shared.clone(), self.spawner.clone());
        let clock = shared.clone();
        let clocked = self.spawner.spawn(async move {
            sleep(within).await;
            let mut live = clock.live();
            live.expired = true;
            clock.tell(live);
        });
        if clocked.is_err() {
            self.shared.live().expired = true;
        }
        async move {
            let stopped = poll_fn(|context| {
                let mut live = shared.live();
                if live.members == 0 || live.expired {
                    return Poll::Ready(Stopped::of(&live));
                }
                if !live
                    .wakers
                    .iter()
                    .any(|waker| waker.will_wake(context.waker()))
                {
                    live.wakers.push(context.waker().clone());
                }
                Poll::Pending
            })
            .await;
            spawner.close();
            stopped
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.begin_to_stop();
        self.spawner.close();
    }
}

/// How a receiver came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says whether requests were cut"]
#[non_exhaustive]
pub struct Stopped {
    /// Connections that were cut, with what was under way on them: their clients will send that again.
    pub cut: usize,
}

impl Stopped {
    fn of(live: &Live) -> Self {
        Self {
            cut: live.lines.len(),
        }
    }

    /// Whether everything that was under way was answered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.cut == 0
    }
}

/// Who accepts.
struct Porter<P> {
    listening: Listening,
    stay: Arc<Stay>,
    intake: Intake,
    shared: Arc<Shared>,
    executor: Executor,
    protocol: Arc<P>,
    #[cfg(feature = "tls")]
    tls: Option<Arc<CurrentServerTls>>,
}

impl<P: Protocol> Porter<P> {
    async fn accept(self, bound: Bound, _member: Member) {
        let Ok(open) = bound.open() else { return };
        let mut work = pin!(self.accept_all(&open));
        let mut stop = pin!(self.shared.stop.notified());
        poll_fn(|context| {
            if stop.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            work.as_mut().poll(context)
        })
        .await;
    }

    /// Accepts until it is dropped.
    async fn accept_all(&self, open: &Open) {
        let counts = &self.shared.counts;
        loop {
            let (stream, peer) = match open.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    let gone = matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::Interrupted
                            | io::ErrorKind::InvalidInput
                            | io::ErrorKind::NotConnected
                    );
                    if !gone {
                        // Out of descriptors, or of memory: asking again at once is in vain, and one fewer would help.
                        count(&counts.accept_failures, 1);
                        self.evict(&mut self.shared.live());
                        sleep(PAUSE).await;
                    }
                    continue;
                }
            };
            let Some((line, member)) = self.room(peer).await else {
                // The pipeline is shut down: the peer is to look elsewhere.
                continue;
            };
            count(&counts.accepted, 1);
            self.executor.spawn(self.serve(stream, line, member));
        }
    }

    /// Waits until there is room for another connection. `None` once the pipeline is shut down.
    async fn room(&self, peer: Option<IpAddr>) -> Option<(Line, Member)> {
        loop {
            let account = self.intake.account()?;
            let charge = Charge::of(account.limit(), &self.listening);
            {
                let mut live = self.shared.live();
                if live.stopping {
                    return None;
                }
                let crowded = live.lines.len() >= self.listening.max_connections
                    || live.charged.saturating_add(charge.bytes + OVERHEAD) > account.limit() / 2;
                if !crowded && let Ok(permit) = account.acquire(charge.bytes) {
                    let line = Line::new(
                        self.stay.clone(),
                        self.shared.counts.clone(),
                        charge.window,
                        charge.allowance,
                        peer,
                    );
                    let number = live.next;
                    live.next += 1;
                    live.members += 1;
                    live.charged += charge.bytes + OVERHEAD;
                    live.lines.insert(number, line.clone());
                    count(&self.shared.counts.open, 1);
                    drop(live);
                    let member = Member {
                        shared: self.shared.clone(),
                        line: Some((number, permit)),
                    };
                    return Some((line, member));
                }
                if crowded {
                    self.evict(&mut live);
                }
            }
            // Connections say when they go; other memory comes back without a word.
            let is_wanted = &self.shared.counts.is_wanted;
            is_wanted.store(true, Ordering::Relaxed);
            let _ = timeout(LOOK, self.shared.freed.notified()).await;
            is_wanted.store(false, Ordering::Relaxed);
        }
    }

    /// Asks the connection that was idle longest to leave, unless one is about to. Those that have asked for nothing yet go
    /// first, however many there are: who sends now and then keeps its place.
    fn evict(&self, live: &mut Live) {
        let lately = live.evicted.is_some_and(|at| at.elapsed() < NEXT);
        let leaves = |line: &Line| line.is_asked() && line.idle().is_some();
        if lately && live.lines.values().any(leaves) {
            return;
        }
        let stays = |line: &&Line| !line.is_asked() && line.idle().is_some();
        let newcomers = live
            .lines
            .values()
            .filter(stays)
            .any(|line| !line.is_served());
        let longest = live
            .lines
            .values()
            .filter(stays)
            .filter(|line| !newcomers || !line.is_served())
            .filter_map(|line| {
                let settled = if line.is_open() { SETTLED } else { SILENT };
                let idle = line.idle().filter(|idle| *idle >= settled)?;
                Some((idle, line))
            })
            .max_by_key(|(idle, _)| *idle);
        if let Some((_, line)) = longest {
            line.evict();
            live.evicted = Some(Instant::now());
            count(&self.shared.counts.evicted, 1);
        }
    }

    /// Speaks TLS, where it is asked for, and the protocol.
    fn serve(&self, stream: Connection, line: Line, member: Member) -> Serving {
        let (protocol, executor) = (self.protocol.clone(), self.executor.clone());
        #[cfg(feature = "tls")]
        let tls = self.tls.clone();
        Box::pin(async move {
            let _member = member;
            #[cfg(feature = "tls")]
            let stream = match tls {
                Some(tls) => {
                    let mut shaken = None;
                    let shaking = async { shaken = Some(shake_hands(tls, stream).await) };
                    line.drive(shaking, |_| {}).await;
                    match shaken {
                        Some(Some(stream)) => stream,
                        Some(None) => {
                            count(&line.counts().handshakes_failed, 1);
                            return;
                        }
                        // It was told to leave.
                        None => return,
                    }
                }
                None => stream,
            };
            let stream = line.listen_to(stream);
            protocol.serve(stream, line, executor).await;
        })
    }
}

#[cfg(feature = "tls")]
async fn shake_hands(tls: Arc<CurrentServerTls>, stream: Connection) -> Option<Connection> {
    let config = tls.config();
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let stream = acceptor.accept(stream).await.ok()?;
    Some(Box::new(stream))
}

/// Why a receiver can't listen. Names the setting at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenError {
    /// The endpoint is none that can be listened on.
    Endpoint(InvalidEndpoint),
    /// The system does not give the endpoint.
    Bind {
        /// The endpoint, as it was set.
        endpoint: String,
        /// What the system said.
        why: String,
    },
    /// There can be no TLS as it is set.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// The neighbours' share of the budget is too small for a connection and a body of 64 KiB in an eighth of it.
    Share {
        /// The bytes it has.
        bytes: usize,
        /// The bytes it needs.
        least: usize,
    },
    /// The pipeline is shut down.
    Closed,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::Bind { endpoint, why } => write!(f, "endpoint '{endpoint}': {why}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "tls: {error}"),
            Self::Share { bytes, least } => write!(
                f,
                "neighbours' share of the memory limit has {bytes} bytes, and a receiver needs {least}"
            ),
            Self::Closed => f.write_str("the pipeline is shut down"),
        }
    }
}

impl core::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Endpoint(error) => Some(error),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
