//! The body of a request, from its first byte to a buffer that is paid for.
//!
//! Below any codec: nothing is allocated for what was only announced. The first 64 KiB are granted when a body begins, and
//! after that it holds four times as much as has come at most, up to its length: the usual body is moved once as it grows.

use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use spanwire_core::limiter::{Account, Buffer, Permit, Refused};
use tokio::time::{Instant, timeout_at};

use super::connection::{BODY_GRACE, Connection, Hold, SLOWEST_BYTES_PER_SECOND};
use super::pressure::Need;

/// The first step of a permit.
const STEP: usize = 64 << 10;

/// Why a body is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It is, or says that it will be, larger than may be.
    TooLarge {
        /// What was found, or announced; `None` where that was not waited for.
        found: Option<usize>,
        most: usize,
        /// What was made of fewer bytes.
        decompressed: bool,
    },
    /// The share has no room for it now.
    NoRoom(Refused),
    /// Its connection holds as much as it may.
    Crowded,
    /// The same, of which all is its own.
    Overgrown,
    /// It comes too slowly.
    Slow,
    /// It has stalled, and others need the room that it holds.
    Stalled,
    /// Its client does not wait any longer.
    Expired,
    /// Its client went away, or took it back.
    Abandoned,
    /// It can't be decompressed.
    Garbled { coding: &'static str, why: String },
}

impl Trouble {
    /// A connection holds as much as it may.
    pub(super) fn crowded(connection: &Connection) -> Self {
        match connection.is_shared() {
            true => Self::Crowded,
            false => Self::Overgrown,
        }
    }

    /// What a share says, of which `most` bytes can ever be had.
    pub(super) fn of(refused: Refused, most: usize) -> Self {
        if refused.is_retryable() {
            Self::NoRoom(refused)
        } else {
            Self::TooLarge {
                found: Some(refused.wanted()),
                most,
                decompressed: false,
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge {
                found,
                most,
                decompressed,
            } => {
                f.write_str("received message ")?;
                if *decompressed {
                    f.write_str("after decompression ")?;
                }
                match found {
                    Some(found) => write!(f, "larger than max ({found} vs. {most})"),
                    None => write!(f, "larger than max {most}"),
                }
            }
            Self::NoRoom(refused) => write!(f, "no memory for the request: {refused}"),
            Self::Crowded => {
                f.write_str("requests of this connection hold as much memory as they may")
            }
            Self::Overgrown => f.write_str(
                "the body, and what it is decompressed or converted to, hold more memory than one connection may",
            ),
            Self::Slow => write!(
                f,
                "body is slower than {SLOWEST_BYTES_PER_SECOND} bytes a second"
            ),
            Self::Stalled => f.write_str("body has stalled while others need its room"),
            Self::Expired => f.write_str("the deadline of the request has passed"),
            Self::Abandoned => f.write_str("the client took the request back"),
            Self::Garbled { coding, why } => write!(f, "body is no {coding}: {why}"),
        }
    }
}

/// Bytes charged for a request beside its body, from its head to its answer: the state of its stream, and the future that
/// handles it.
const REQUEST: usize = 6 << 10;

/// Room for a request beside its body.
pub(crate) struct Room {
    _permit: Permit,
    _hold: Hold,
}

impl Room {
    /// Charges a request that has begun, in a while.
    pub(crate) async fn in_a_while(
        account: &Account,
        connection: &Connection,
    ) -> Result<Self, Trouble> {
        in_a_while(connection, REQUEST, || {
            Self::for_request(account, connection)
        })
        .await
    }

    fn for_request(account: &Account, connection: &Connection) -> Result<Self, Trouble> {
        let mut hold = connection.hold();
        if !hold.grow(REQUEST) {
            return Err(Trouble::crowded(connection));
        }
        let permit = account.acquire(REQUEST).map_err(Trouble::NoRoom)?;
        Ok(Self {
            _permit: permit,
            _hold: hold,
        })
    }
}

/// What `attempt` is granted, which needs so many bytes, now or in a while: where there is no room, bodies that have stalled
/// make some, and those that are on their way may. Who needs less comes first.
pub(crate) async fn in_a_while<T>(
    connection: &Connection,
    wanted: usize,
    mut attempt: impl FnMut() -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let need = Need::of(wanted);
    let mut waiting = None;
    loop {
        if !connection.is_wanted_by_less(need) {
            match attempt() {
                Err(Trouble::NoRoom(_)) => {}
                settled => return settled,
            }
        }
        if waiting.is_none() {
            waiting = connection.wait(need);
        }
        match &waiting {
            Some(waiting) if waiting.a_moment(wanted, None).await => {}
            _ => return attempt(),
        }
    }
}

/// What a body becomes: a buffer that grows as bytes come.
pub(crate) struct Draft {
    buffer: Buffer,
    hold: Hold,
    /// How long it is going to be, as far as somebody has said so.
    hint: Option<usize>,
    most: usize,
    decompressed: bool,
}

impl Draft {
    /// Whether a body of so many bytes can be taken now, of which `most` are accepted; nothing is charged for it. Returns how
    /// many are accepted on this connection.
    pub(crate) fn check(
        account: &Account,
        connection: &Connection,
        length: usize,
        most: usize,
    ) -> Result<usize, Trouble> {
        let most = most.min(connection.allowance());
        if length > most {
            return Err(Trouble::TooLarge {
                found: Some(length),
                most,
                decompressed: false,
            });
        }
        // More may be given back than is taken until the body is here; but what has no room now is better told so before it
        // is sent.
        if length > account.available()
            && let Err(refused) = account.acquire(length)
        {
            return Err(Trouble::of(refused, most));
        }
        Ok(most)
    }

    /// Begins a body of `length` bytes, where that is known, of which `most` are accepted. What is too large, or has no room
    /// now, is refused before anything of it is read.
    pub(crate) fn begin(
        account: &Account,
        connection: &Connection,
        length: Option<usize>,
        most: usize,
    ) -> Result<Self, Trouble> {
        let most = Self::check(account, connection, length.unwrap_or(0), most)?;
        Self::new(account, connection, length, most, false)
    }

    /// Begins what a body is decompressed to. `hint` is what the body says of itself, which binds nobody.
    pub(super) fn decompressed(
        account: &Account,
        connection: &Connection,
        hint: Option<usize>,
        most: usize,
    ) -> Result<Self, Trouble> {
        let most = most.min(connection.allowance());
        if let Some(hint) = hint.filter(|hint| *hint > most) {
            return Err(Trouble::TooLarge {
                found: Some(hint),
                most,
                decompressed: true,
            });
        }
        Self::new(account, connection, hint, most, true)
    }

    fn new(
        account: &Account,
        connection: &Connection,
        hint: Option<usize>,
        most: usize,
        decompressed: bool,
    ) -> Result<Self, Trouble> {
        let first = hint.unwrap_or(STEP).min(STEP).min(most);
        let mut hold = connection.hold();
        if !hold.grow(first) {
            return Err(Trouble::crowded(connection));
        }
        let permit = account
            .acquire(first)
            .map_err(|refused| Trouble::of(refused, most))?;
        Ok(Self {
            buffer: permit.into_buffer(),
            hold,
            hint,
            most,
            decompressed,
        })
    }

    /// The bytes so far.
    pub(crate) fn as_slice(&self) -> &[u8] {
        self.buffer.as_slice()
    }

    /// Appends what has come.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        let len = self.buffer.as_slice().len();
        let wanted = len.saturating_add(bytes.len());
        if wanted > self.most {
            return Err(Trouble::TooLarge {
                found: None,
                most: self.most,
                decompressed: self.decompressed,
            });
        }
        if bytes.len() > self.buffer.remaining() {
            let capacity = len + self.buffer.remaining();
            let end = self.hint.filter(|hint| *hint >= wanted);
            let end = end.unwrap_or(self.most);
            // Where so much is not to be had, a step may be.
            self.grow_to(capacity, capacity.saturating_mul(4).max(wanted).min(end))
                .or_else(|_| self.grow_to(capacity, wanted.saturating_add(STEP).min(end)))?;
        }
        if self.buffer.try_put(bytes) {
            Ok(())
        } else {
            Err(Trouble::Crowded)
        }
    }

    /// Appends what has come, in a while: as long as there is no room for it the body is one that has stalled.
    pub(crate) async fn put_in_a_while(
        &mut self,
        bytes: &[u8],
        connection: &Connection,
    ) -> Result<(), Trouble> {
        // Who needs less comes first, but what is granted already is nobody else's.
        let fits = bytes.len() <= self.buffer.remaining();
        if fits || !connection.is_wanted_by_less(Need::Large) {
            match self.put(bytes) {
                Err(Trouble::NoRoom(_)) => {}
                settled => return settled,
            }
        }
        let held = self.buffer.as_slice().len();
        let Some(waiting) = connection.wait(Need::Large) else {
            return self.put(bytes);
        };
        let stalled = connection.stall(held.max(STEP));
        while waiting.a_moment(held.max(STEP), Some(&stalled)).await {
            if stalled.is_told() {
                return Err(Trouble::Stalled);
            }
            if connection.is_wanted_by_less(Need::Large) {
                continue;
            }
            match self.put(bytes) {
                Err(Trouble::NoRoom(_)) => {}
                settled => return settled,
            }
        }
        self.put(bytes)
    }

    fn grow_to(&mut self, capacity: usize, next: usize) -> Result<(), Trouble> {
        let more = next.saturating_sub(capacity);
        if !self.hold.grow(more) {
            return Err(Trouble::crowded(self.hold.connection()));
        }
        self.buffer.grow(more).map_err(|refused| {
            self.hold.shrink(more);
            Trouble::of(refused, self.most)
        })
    }

    /// The whole body, in a buffer of its own size, and what its connection holds for it.
    pub(crate) fn finish(mut self) -> (Buffer, Hold) {
        self.buffer.shrink_to_fit();
        (self.buffer, self.hold)
    }
}

/// How fast a body has to come.
pub(crate) struct Pace {
    began: Instant,
    /// When the client stops waiting.
    deadline: Option<Instant>,
    received: usize,
}

impl Pace {
    /// From now on. `timeout` is how long the client waits.
    pub(crate) fn begin(timeout: Option<Duration>) -> Self {
        let began = Instant::now();
        Self {
            began,
            deadline: timeout.and_then(|timeout| began.checked_add(timeout)),
            received: 0,
        }
    }

    /// Whether the client has stopped waiting.
    pub(crate) fn is_expired(&self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }

    /// How much longer the client waits; `None`: it does not say.
    pub(crate) fn left(&self) -> Option<Duration> {
        let deadline = self.deadline?;
        Some(deadline.saturating_duration_since(Instant::now()))
    }

    /// When the next bytes have to be here.
    fn next_by(&self) -> Instant {
        self.began + allowed(self.received)
    }
}

/// How long a body of so many bytes may take.
fn allowed(received: usize) -> Duration {
    let whole = (received / SLOWEST_BYTES_PER_SECOND) as u64;
    let rest = (received % SLOWEST_BYTES_PER_SECOND) as u64 * 1_000_000_000
        / SLOWEST_BYTES_PER_SECOND as u64;
    BODY_GRACE + Duration::from_secs(whole) + Duration::from_nanos(rest)
}

/// Where a body comes from.
pub(crate) struct Source<'a, B> {
    body: B,
    pace: Pace,
    connection: &'a Connection,
}

impl<'a, B> Source<'a, B>
where
    B: Body<Data = Bytes> + Unpin,
{
    /// A body on this connection. After a while without a byte it can be told to go.
    pub(crate) fn new(body: B, pace: Pace, connection: &'a Connection) -> Self {
        Self {
            body,
            pace,
            connection,
        }
    }

    /// The next bytes; `None` after the last. What they took of the flow-control window is given back: they are to be copied
    /// and dropped before the next are asked for.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        loop {
            match self.frame().await? {
                None => {
                    self.connection.prove();
                    return Ok(None);
                }
                Some(Err(_)) => return Err(Trouble::Abandoned),
                Some(Ok(frame)) => {
                    // Trailers of a request mean nothing here.
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        self.pace.received = self.pace.received.saturating_add(data.len());
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    async fn frame(&mut self) -> Result<Option<Result<Frame<Bytes>, B::Error>>, Trouble> {
        let body = &mut self.body;
        let mut frame = pin!(poll_fn(|context| Pin::new(&mut *body).poll_frame(context)));
        // What is here already needs no clock.
        let here = poll_fn(|context| Poll::Ready(frame.as_mut().poll(context))).await;
        if let Poll::Ready(frame) = here {
            return Ok(frame);
        }
        let slow = self.pace.next_by();
        let until = self.pace.deadline.map_or(slow, |at| at.min(slow));
        let stall = Instant::now() + self.connection.stalls_after();
        if let Ok(frame) = timeout_at(until.min(stall), frame.as_mut()).await {
            return Ok(frame);
        }
        if stall < until {
            let stalled = self.connection.stall(self.pace.received.max(STEP));
            let mut told = pin!(stalled.told());
            let either = poll_fn(|context| {
                if let Poll::Ready(frame) = frame.as_mut().poll(context) {
                    return Poll::Ready(Ok(frame));
                }
                told.as_mut().poll(context).map(|()| Err(Trouble::Stalled))
            });
            if let Ok(settled) = timeout_at(until, either).await {
                return settled;
            }
        }
        Err(match self.pace.is_expired() {
            true => Trouble::Expired,
            false => Trouble::Slow,
        })
    }

    /// The bytes that have come.
    pub(crate) fn received(&self) -> usize {
        self.pace.received
    }

    /// How fast it came, for what is left to do.
    pub(crate) fn into_pace(self) -> Pace {
        self.pace
    }
}

#[cfg(test)]
pub(super) mod tests;
