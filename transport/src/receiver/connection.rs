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

use super::pressure::{BODY_STALL, FIRST_BODY_STALL, Need, Pressure, Stalled, Wait};
use super::stats::{Counts, count};
use crate::dial::Connection as Stream;

/// Bytes charged for a connection of HTTP/2 beside what it reads ahead: its task, a frame and an answer in its buffers, its table of
/// header names. An idle one takes 34 to 43 KiB of them, one that stalls inside a long frame 84.
pub const CONNECTION_BYTES: usize = 96 << 10;

/// Bytes charged for a connection of HTTP/1.1: its task, a head, pieces of a body and an answer in its buffers. An idle one takes
/// 44 KiB of them, one that stalls inside a body 68.
pub const HTTP_CONNECTION_BYTES: usize = 80 << 10;

/// The same for TLS around it: keys, and a record on either side.
#[cfg(feature = "tls")]
pub(super) const TLS_BYTES: usize = 48 << 10;

/// Bytes a second that a body has to arrive at, once [`BODY_GRACE`] has passed.
pub const SLOWEST_BYTES_PER_SECOND: usize = 64 << 10;

/// How long any body may take: one of `n` bytes is cut when it is not there `BODY_GRACE` and `n` / [`SLOWEST_BYTES_PER_SECOND`] seconds after its
/// request began.
pub const BODY_GRACE: Duration = Duration::from_secs(5);

/// Bytes charged for what a connection of HTTP/2 has read and no request has taken yet. It reads no further than that.
pub const READ_AHEAD_BYTES: usize = 48 << 10;

/// How long a connection that was asked to leave may still take when it does nothing.
const FAREWELL: Duration = Duration::from_secs(1);

/// The same for one that has never asked for anything.
const BRIEF: Duration = Duration::from_millis(100);

/// The same for one that has stalled: it sends nothing that could cross with its answer.
const ABRUPT: Duration = Duration::from_millis(10);

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

/// The most requests of a connection that wait for room at once. What they are made of is paid for by the connection.
const MOST_WAITING: usize = 2;

/// Why a connection is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// It has said nothing.
    Silent = 1,
    Idle,
    Old,
    /// Another needs the place.
    Evicted,
    /// The same, of one on which requests are under way, and all of them have stalled.
    Stalled,
    /// The receiver comes to an end.
    Stop,
}

/// One connection, as the receiver sees it. A clone is another handle.
#[derive(Clone)]
pub(crate) struct Connection(Arc<State>);

struct State {
    stay: Arc<Stay>,
    counts: Arc<Counts>,
    pressure: Arc<Pressure>,
    peer: Option<IpAddr>,
    /// Bytes read since all requests had taken theirs, and whether that is all that may be.
    ahead: AtomicUsize,
    is_full: AtomicBool,
    /// What bodies may hold, and what they hold.
    allowance: usize,
    held: AtomicUsize,
    began: Instant,
    ages: Option<Instant>,
    heard: AtomicU64,
    busy: AtomicUsize,
    /// Of the requests under way, those whose bodies have stalled, and those that wait for room.
    stalled: AtomicUsize,
    waiting: AtomicUsize,
    /// Whether there was ever a request.
    served: AtomicBool,
    /// Whether a body has ever come to its end.
    proven: AtomicBool,
    /// Whether the last answer is on its way.
    parting: AtomicBool,
    /// Milliseconds after `began` at which the last request ended, or stalled.
    idle_since: AtomicU64,
    /// Zero, or the first reason to leave that came from outside.
    asked: AtomicU8,
    notify: Notify,
}

impl Connection {
    /// A connection, of which bodies may hold `allowance` bytes.
    pub(super) fn new(
        stay: Arc<Stay>,
        counts: Arc<Counts>,
        pressure: Arc<Pressure>,
        allowance: usize,
        peer: Option<IpAddr>,
    ) -> Self {
        let began = Instant::now();
        let ages = stay.max_age.and_then(|age| began.checked_add(spread(age)));
        Self(Arc::new(State {
            stay,
            counts,
            pressure,
            peer,
            ahead: AtomicUsize::new(0),
            is_full: AtomicBool::new(false),
            allowance,
            held: AtomicUsize::new(0),
            began,
            ages,
            heard: AtomicU64::new(0),
            busy: AtomicUsize::new(0),
            stalled: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            served: AtomicBool::new(false),
            proven: AtomicBool::new(false),
            parting: AtomicBool::new(false),
            idle_since: AtomicU64::new(0),
            asked: AtomicU8::new(0),
            notify: Notify::new(),
        }))
    }

    /// What is counted for the whole receiver.
    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// All requests but those that wait for room have taken what was read. Returns whether there may be more, which was not
    /// read for its being too much.
    pub(crate) fn reads_on(&self) -> bool {
        if self.0.waiting.load(Ordering::Relaxed) > 0 {
            return false;
        }
        self.0.ahead.store(0, Ordering::Relaxed);
        self.0.is_full.swap(false, Ordering::Relaxed)
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
            connection: self.clone(),
            bytes: 0,
        }
    }

    /// A request waits for room; `None` when as many do as may.
    pub(super) fn wait(&self, need: Need) -> Option<Waiting<'_>> {
        let waiting = &self.0.waiting;
        let grown = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < MOST_WAITING).then_some(waiting + 1)
        });
        grown.ok().map(|_| Waiting {
            connection: self,
            wait: self.0.pressure.wait(need),
        })
    }

    /// Whether somebody waits who needs less.
    pub(super) fn is_wanted_by_less(&self, need: Need) -> bool {
        self.0.pressure.is_wanted_by_less(need)
    }

    /// The last answer is on its way, and what is still coming is of no use.
    pub(super) fn part(&self) {
        self.0.parting.store(true, Ordering::Relaxed);
    }

    /// A body has come to its end.
    pub(super) fn prove(&self) {
        self.0.proven.store(true, Ordering::Relaxed);
    }

    /// How long a body may say nothing before it has stalled.
    pub(super) fn stalls_after(&self) -> Duration {
        match self.0.proven.load(Ordering::Relaxed) {
            true => BODY_STALL,
            false => FIRST_BODY_STALL,
        }
    }

    /// A body that holds so many bytes at least has stalled, until what is returned is dropped.
    pub(super) fn stall(&self, bytes: usize) -> StalledBody<'_> {
        let stalled = self.0.pressure.stall(self.id(), bytes);
        self.0.stalled.fetch_add(1, Ordering::Relaxed);
        self.settle();
        if self.is_asked() {
            self.0.pressure.clear(self.id());
        }
        StalledBody {
            connection: self,
            stalled,
        }
    }

    fn give_back(&self, bytes: usize) {
        self.0.held.fetch_sub(bytes, Ordering::Relaxed);
        self.0.pressure.release(bytes);
    }

    /// What tells it from the others.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    /// From now on it is idle, unless something is under way.
    fn settle(&self) {
        let state = &*self.0;
        let now = u64::try_from(state.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        state.idle_since.store(now, Ordering::Relaxed);
    }

    /// How long no request has been under way; `None` while one is.
    pub(super) fn idle(&self) -> Option<Duration> {
        (self.0.busy.load(Ordering::Relaxed) == 0).then(|| self.quiet())
    }

    /// How long ago the last request ended, or stalled.
    fn quiet(&self) -> Duration {
        let since = Duration::from_millis(self.0.idle_since.load(Ordering::Relaxed));
        self.0.began.elapsed().saturating_sub(since)
    }

    /// Whether more than one request is under way.
    pub(super) fn is_shared(&self) -> bool {
        self.0.busy.load(Ordering::Relaxed) > 1
    }

    /// Whether requests are under way, and all of them have stalled.
    fn is_stalled(&self) -> bool {
        let busy = self.0.busy.load(Ordering::Relaxed);
        busy > 0 && self.0.stalled.load(Ordering::Relaxed) >= busy
    }

    /// How much it is missed when it is asked to leave, and for how long that has been so; `None` while something goes on.
    pub(super) fn standing(&self) -> Option<(Standing, Duration)> {
        let standing = match self.0.busy.load(Ordering::Relaxed) {
            0 if self.0.parting.load(Ordering::Relaxed) => Standing::Parting,
            0 if !self.is_served() => Standing::Unserved,
            0 => Standing::Idle,
            _ if self.is_stalled() => Standing::Stalled,
            _ => return None,
        };
        Some((standing, self.quiet()))
    }

    /// Whether there was ever a request.
    pub(super) fn is_served(&self) -> bool {
        self.0.served.load(Ordering::Relaxed)
    }

    /// Asks the connection to leave, since another needs its place.
    pub(super) fn evict(&self) {
        if self.is_stalled() {
            self.ask(Leave::Stalled);
            self.0.pressure.clear(self.id());
        } else {
            self.ask(Leave::Evicted);
        }
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
                asked if asked == Leave::Stalled as u8 => return Leave::Stalled,
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
    pub(crate) async fn drive<P: Future>(&self, protocol: P, leave: impl FnOnce(Pin<&mut P>)) {
        let mut protocol = pin!(protocol);
        let why = {
            let mut leaving = pin!(self.leaving());
            poll_fn(|context| {
                if protocol.as_mut().poll(context).is_ready() {
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
        leave(protocol.as_mut());
        let last = match why {
            Leave::Old => self.0.stay.age_grace,
            _ => None,
        };
        let last = last.and_then(|grace| Instant::now().checked_add(grace));
        // What is under way is finished: how long it may take is bounded by itself. A peer with nothing under way that does not
        // hang up is not waited for.
        loop {
            let parting = self.0.parting.load(Ordering::Relaxed);
            let farewell = match why {
                Leave::Stalled => ABRUPT,
                _ if parting || !self.is_served() => BRIEF,
                _ => FAREWELL,
            };
            let farewell = Instant::now() + farewell;
            let until = last.map_or(farewell, |last| last.min(farewell));
            if timeout_at(until, protocol.as_mut()).await.is_ok()
                || self.idle().is_some()
                || last.is_some_and(|last| last <= Instant::now())
            {
                return;
            }
        }
    }

    /// The same stream, of which every byte that is read is counted.
    pub(crate) fn listen_to(&self, stream: Stream) -> Stream {
        Box::new(Heard {
            stream,
            connection: self.clone(),
            is_bounded: false,
        })
    }

    /// The same, which is read no further ahead than is charged: once [`READ_AHEAD_BYTES`] have come, nothing does until
    /// whoever drives the connection asks whether it [`reads_on`](Self::reads_on).
    pub(crate) fn listen_ahead(&self, stream: Stream) -> Stream {
        Box::new(Heard {
            stream,
            connection: self.clone(),
            is_bounded: true,
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
pub(crate) struct Busy(Connection);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.settle();
        self.0.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How much a connection is missed that is asked to leave: the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It has had its last answer, and may still be sending.
    Parting,
    /// It has never asked for anything.
    Unserved,
    /// Its requests have stalled.
    Stalled,
    /// It has no request now.
    Idle,
}

/// A body of a connection has stalled.
pub(super) struct StalledBody<'a> {
    connection: &'a Connection,
    stalled: Stalled,
}

impl StalledBody<'_> {
    pub(super) fn is_told(&self) -> bool {
        self.stalled.is_told()
    }

    /// Ready once it is told to go, because others need its room or its place.
    pub(super) async fn told(&self) {
        self.stalled.told().await;
    }
}

impl Drop for StalledBody<'_> {
    fn drop(&mut self) {
        self.connection.0.stalled.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request of a connection waits for room.
pub(super) struct Waiting<'a> {
    connection: &'a Connection,
    wait: Wait,
}

impl Waiting<'_> {
    /// Waits for a moment; `false` when there is nothing to be waited for. `own` is a body that waits.
    pub(super) async fn a_moment(&self, wanted: usize, own: Option<&StalledBody<'_>>) -> bool {
        self.wait
            .a_moment(wanted, own.map(|own| &own.stalled))
            .await
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.connection.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A part of what the bodies of one connection may hold; given back when it is dropped.
pub(crate) struct Hold {
    connection: Connection,
    bytes: usize,
}

impl Hold {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Takes `more` bytes; `false` when so many are not left to this connection.
    #[must_use]
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let state = &*self.connection.0;
        let grown = state
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(more)
                    .filter(|held| *held <= state.allowance)
            })
            .is_ok();
        if grown {
            self.bytes += more;
            state.pressure.hold(more);
        }
        grown
    }

    /// Gives back `less` bytes.
    pub(crate) fn shrink(&mut self, less: usize) {
        let less = less.min(self.bytes);
        self.bytes -= less;
        self.connection.give_back(less);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.connection.give_back(self.bytes);
    }
}

/// A stream that is listened to.
struct Heard {
    stream: Stream,
    connection: Connection,
    is_bounded: bool,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let state = &*this.connection.0;
        let left = match this.is_bounded {
            true => READ_AHEAD_BYTES.saturating_sub(state.ahead.load(Ordering::Relaxed)),
            false => usize::MAX,
        };
        if left == 0 {
            // Who drives the connection reads on.
            state.is_full.store(true, Ordering::Relaxed);
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = if left < buffer.remaining() {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(left));
            let polled = Pin::new(&mut this.stream).poll_read(context, &mut part);
            let read = part.filled().len();
            buffer.advance(read);
            polled
        } else {
            Pin::new(&mut this.stream).poll_read(context, buffer)
        };
        let read = buffer.filled().len() - before;
        state.ahead.fetch_add(read, Ordering::Relaxed);
        state.heard.fetch_add(read as u64, Ordering::Relaxed);
        count(&state.counts.bytes, read as u64);
        polled
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
