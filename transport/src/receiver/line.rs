//! One connection: how long it may stay, and how much it may hold.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::stats::{Counts, count};
use crate::dial::Connection;

/// Bytes charged for a connection beside its window: its tasks, a frame and an answer in its buffers, its table of header
/// names. An idle one takes 34 to 43 KiB of them.
pub const CONNECTION: usize = 64 << 10;

/// The same for TLS around it: keys, and a record on either side.
#[cfg(feature = "tls")]
pub(super) const UNDER_TLS: usize = 48 << 10;

/// Bytes a second that a body has to arrive at, once [`GRACE`] has passed.
pub const SLOWEST: usize = 64 << 10;

/// How long any body may take: one of `n` bytes is cut when it is not there `GRACE` and `n` / [`SLOWEST`] seconds after its
/// request began.
pub const GRACE: Duration = Duration::from_secs(5);

/// How long a body may say nothing, also within [`GRACE`], while a newcomer waits for a place or less than a quarter of the
/// neighbours' share is left.
pub const STALL: Duration = Duration::from_secs(1);

/// The flow-control window of a stream, and the least of a connection: what HTTP/2 begins with (RFC 9113, 6.9.2).
pub(super) const STREAM_WINDOW: usize = 64 << 10;

/// How long a connection that was asked to leave may still take when it does nothing.
const FAREWELL: Duration = Duration::from_secs(1);

/// The same for one that has never asked for anything.
const BRIEF: Duration = Duration::from_millis(100);

/// How long connections may stay.
#[derive(Clone, Debug)]
pub(crate) struct Stay {
    /// How long until TLS is agreed upon and the opening has come.
    pub(crate) handshake: Duration,
    /// The bytes of the opening: until so many have come, a connection has said nothing.
    pub(crate) opening: u64,
    /// How long without a request under way; `None`: as long as nobody else needs the place.
    pub(crate) max_idle: Option<Duration>,
    /// How long altogether, give or take a tenth.
    pub(crate) max_age: Option<Duration>,
    /// How long the requests under way may take after that.
    pub(crate) age_grace: Option<Duration>,
}

/// Why a connection is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// It has said nothing.
    Silent = 1,
    Idle,
    Old,
    /// Another needs the place.
    Evicted,
    /// The receiver comes to an end.
    Stop,
}

/// One connection, as the receiver sees it. A clone is another handle.
#[derive(Clone)]
pub(crate) struct Line(Arc<State>);

struct State {
    stay: Arc<Stay>,
    counts: Arc<Counts>,
    window: usize,
    peer: Option<IpAddr>,
    /// What bodies may hold, and what they hold.
    allowance: usize,
    held: AtomicUsize,
    began: Instant,
    ages: Option<Instant>,
    heard: AtomicU64,
    busy: AtomicUsize,
    /// Whether there was ever a request.
    served: AtomicBool,
    /// Milliseconds after `began` at which the last request ended.
    idle_since: AtomicU64,
    /// Zero, or the first reason to leave that came from outside.
    asked: AtomicU8,
    notify: Notify,
}

impl Line {
    /// A connection with a window, of which bodies may hold `allowance` bytes.
    pub(super) fn new(
        stay: Arc<Stay>,
        counts: Arc<Counts>,
        window: usize,
        allowance: usize,
        peer: Option<IpAddr>,
    ) -> Self {
        let began = Instant::now();
        let ages = stay.max_age.and_then(|age| began.checked_add(spread(age)));
        Self(Arc::new(State {
            stay,
            counts,
            window,
            peer,
            allowance,
            held: AtomicUsize::new(0),
            began,
            ages,
            heard: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            idle_since: AtomicU64::new(0),
            asked: AtomicU8::new(0),
            notify: Notify::new(),
        }))
    }

    /// What is counted for the whole receiver.
    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// The bytes of the flow-control window of the connection.
    pub(crate) fn window(&self) -> usize {
        self.0.window
    }

    /// The address of IP that it comes from.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.0.peer
    }

    /// The most that bodies of this connection may hold together.
    pub(crate) fn allowance(&self) -> usize {
        self.0.allowance
    }

    /// Until the guard is dropped, a request is under way.
    pub(crate) fn begin(&self) -> Busy {
        self.0.busy.fetch_add(1, Ordering::Relaxed);
        self.0.served.store(true, Ordering::Relaxed);
        Busy(self.clone())
    }

    /// Holds nothing yet of what the bodies of this connection may.
    pub(crate) fn hold(&self) -> Hold {
        Hold {
            line: self.clone(),
            bytes: 0,
        }
    }

    /// Whether a newcomer waits for a place.
    pub(super) fn is_wanted(&self) -> bool {
        self.0.counts.is_wanted.load(Ordering::Relaxed)
    }

    /// How long no request has been under way; `None` while one is.
    pub(super) fn idle(&self) -> Option<Duration> {
        let state = &self.0;
        (state.busy.load(Ordering::Relaxed) == 0).then(|| {
            let since = Duration::from_millis(state.idle_since.load(Ordering::Relaxed));
            state.began.elapsed().saturating_sub(since)
        })
    }

    /// Whether there was ever a request.
    pub(super) fn is_served(&self) -> bool {
        self.0.served.load(Ordering::Relaxed)
    }

    /// Asks the connection to leave, since another needs its place.
    pub(super) fn evict(&self) {
        self.ask(Leave::Evicted);
    }

    pub(super) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed) != 0
    }

    /// Whether the peer has said what a connection begins with.
    pub(super) fn is_open(&self) -> bool {
        self.0.heard.load(Ordering::Relaxed) >= self.0.stay.opening
    }

    /// Asks the connection to leave, since the receiver comes to an end.
    pub(super) fn stop(&self) {
        self.ask(Leave::Stop);
    }

    fn ask(&self, why: Leave) {
        let asked = &self.0.asked;
        // The first reason stays.
        let _ = asked.compare_exchange(0, why as u8, Ordering::Relaxed, Ordering::Relaxed);
        self.0.notify.notify_one();
    }

    /// Ready once the connection is to leave.
    async fn leaving(&self) -> Leave {
        let state = &*self.0;
        loop {
            match state.asked.load(Ordering::Relaxed) {
                0 => {}
                asked if asked == Leave::Evicted as u8 => return Leave::Evicted,
                _ => return Leave::Stop,
            }
            let now = Instant::now();
            let mut next = state.ages;
            if next.is_some_and(|ages| ages <= now) {
                return Leave::Old;
            }
            let mut until = |at: Option<Instant>| next = next.into_iter().chain(at).min();
            if !self.is_open() {
                let opened_by = state.began.checked_add(state.stay.handshake);
                if opened_by.is_some_and(|by| by <= now) {
                    return Leave::Silent;
                }
                until(opened_by);
            }
            if let Some(most) = state.stay.max_idle {
                let left = most.saturating_sub(self.idle().unwrap_or_default());
                if left.is_zero() {
                    return Leave::Idle;
                }
                until(now.checked_add(left));
            }
            match next {
                Some(next) => drop(timeout_at(next, state.notify.notified()).await),
                None => state.notify.notified().await,
            }
        }
    }

    /// Drives a connection to its end. When it is to leave, `leave` tells it so, once, and it may finish what is under way.
    pub(crate) async fn drive<C: Future>(&self, connection: C, leave: impl FnOnce(Pin<&mut C>)) {
        let mut connection = pin!(connection);
        let why = {
            let mut leaving = pin!(self.leaving());
            poll_fn(|context| {
                if connection.as_mut().poll(context).is_ready() {
                    return Poll::Ready(None);
                }
                leaving.as_mut().poll(context).map(Some)
            })
            .await
        };
        let Some(why) = why else { return };
        if why == Leave::Silent {
            count(&self.0.counts.handshakes_failed, 1);
        }
        if !self.is_open() {
            // Nobody to take leave of.
            return;
        }
        leave(connection.as_mut());
        let last = match why {
            Leave::Old => self.0.stay.age_grace,
            _ => None,
        };
        let last = last.and_then(|grace| Instant::now().checked_add(grace));
        // What is under way is finished: how long it may take is bounded by itself. A peer with nothing under way that does not
        // hang up is not waited for.
        loop {
            let farewell = if self.is_served() { FAREWELL } else { BRIEF };
            let farewell = Instant::now() + farewell;
            let until = last.map_or(farewell, |last| last.min(farewell));
            if timeout_at(until, connection.as_mut()).await.is_ok()
                || self.idle().is_some()
                || last.is_some_and(|last| last <= Instant::now())
            {
                return;
            }
        }
    }

    /// The same stream, of which every byte that is read is counted.
    pub(super) fn listen_to(&self, stream: Connection) -> Connection {
        Box::new(Heard {
            stream,
            line: self.clone(),
        })
    }
}

/// A duration, give or take a tenth, so that connections made together don't end together. gRPC, A9.
fn spread(age: Duration) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let random = RandomState::new().hash_one(0_u8) % 201;
    age.saturating_mul(900 + random as u32) / 1000
}

/// A request is under way.
pub(crate) struct Busy(Line);

impl Drop for Busy {
    fn drop(&mut self) {
        let state = &*self.0.0;
        let now = u64::try_from(state.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        state.idle_since.store(now, Ordering::Relaxed);
        state.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of what the bodies of one connection may hold; given back when it is dropped.
pub(crate) struct Hold {
    line: Line,
    bytes: usize,
}

impl Hold {
    /// Takes `more` bytes; `false` when so many are not left to this connection.
    #[must_use]
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let state = &*self.line.0;
        let grown = state
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(more)
                    .filter(|held| *held <= state.allowance)
            })
            .is_ok();
        if grown {
            self.bytes += more;
        }
        grown
    }

    /// Gives back `less` bytes.
    pub(crate) fn shrink(&mut self, less: usize) {
        let less = less.min(self.bytes);
        self.bytes -= less;
        self.line.0.held.fetch_sub(less, Ordering::Relaxed);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.line.0.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A stream that is listened to.
struct Heard {
    stream: Connection,
    line: Line,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, buffer);
        let more = (buffer.filled().len() - before) as u64;
        self.line.0.heard.fetch_add(more, Ordering::Relaxed);
        count(&self.line.0.counts.bytes, more);
        poll
    }
}

impl AsyncWrite for Heard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
