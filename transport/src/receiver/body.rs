//! The body of a request, from its first byte to a buffer that is paid for.
//!
//! Below any codec: nothing is allocated for what was only announced. The first 64 KiB are granted when a body begins, and
//! after that it holds four times as much as has come at most, up to its length: the usual body is moved once as it grows.

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::time::Duration;

use bytes::Bytes;
use http_body::Body;
use spanwire_core::limiter::{Account, Buffer, Permit, Refused};
use tokio::time::{Instant, timeout_at};

use super::line::{GRACE, Hold, Line, SLOWEST, STALL};

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
    /// It comes too slowly.
    Slow,
    /// Its client does not wait any longer.
    Expired,
    /// Its client went away, or took it back.
    Abandoned,
    /// It can't be decompressed.
    Garbled { coding: &'static str, why: String },
}

impl Trouble {
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
            Self::Slow => write!(f, "body is slower than {SLOWEST} bytes a second"),
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
    /// Charges a request that has begun.
    pub(crate) fn for_request(account: &Account, line: &Line) -> Result<Self, Trouble> {
        let mut hold = line.hold();
        if !hold.grow(REQUEST) {
            return Err(Trouble::Crowded);
        }
        let permit = account.acquire(REQUEST).map_err(Trouble::NoRoom)?;
        Ok(Self {
            _permit: permit,
            _hold: hold,
        })
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
        line: &Line,
        length: usize,
        most: usize,
    ) -> Result<usize, Trouble> {
        let most = most.min(line.allowance());
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
        line: &Line,
        length: Option<usize>,
        most: usize,
    ) -> Result<Self, Trouble> {
        let most = Self::check(account, line, length.unwrap_or(0), most)?;
        Self::new(account, line, length, most, false)
    }

    /// Begins what a body is decompressed to. `hint` is what the body says of itself, which binds nobody.
    pub(super) fn decompressed(
        account: &Account,
        line: &Line,
        hint: Option<usize>,
        most: usize,
    ) -> Result<Self, Trouble> {
        let most = most.min(line.allowance());
        if let Some(hint) = hint.filter(|hint| *hint > most) {
            return Err(Trouble::TooLarge {
                found: Some(hint),
                most,
                decompressed: true,
            });
        }
        Self::new(account, line, hint, most, true)
    }

    fn new(
        account: &Account,
        line: &Line,
        hint: Option<usize>,
        most: usize,
        decompressed: bool,
    ) -> Result<Self, Trouble> {
        let first = hint.unwrap_or(STEP).min(STEP).min(most);
        let mut hold = line.hold();
        if !hold.grow(first) {
            return Err(Trouble::Crowded);
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

    fn grow_to(&mut self, capacity: usize, next: usize) -> Result<(), Trouble> {
        let more = next.saturating_sub(capacity);
        if !self.hold.grow(more) {
            return Err(Trouble::Crowded);
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
    let whole = (received / SLOWEST) as u64;
    let rest = (received % SLOWEST) as u64 * 1_000_000_000 / SLOWEST as u64;
    GRACE + Duration::from_secs(whole) + Duration::from_nanos(rest)
}

/// How often a body that says nothing is asked whether others need what it holds.
const LOOK: Duration = Duration::from_millis(250);

/// Where a body comes from.
pub(crate) struct Source<B> {
    body: B,
    pace: Pace,
    /// Who knows whether others need what the body holds.
    needs: Option<(Account, Line)>,
}

impl<B> Source<B>
where
    B: Body<Data = Bytes> + Unpin,
{
    pub(crate) fn new(body: B, pace: Pace) -> Self {
        Self {
            body,
            pace,
            needs: None,
        }
    }

    /// The same, which is cut after [`STALL`] without a byte while others need what it holds of this account and this
    /// connection.
    pub(crate) fn within(self, account: &Account, line: &Line) -> Self {
        Self {
            needs: Some((account.clone(), line.clone())),
            ..self
        }
    }

    fn is_in_the_way(&self) -> bool {
        let needs = self.needs.as_ref();
        needs.is_some_and(|(account, line)| {
            line.is_wanted()
                || account.limit().saturating_sub(account.in_use()) < account.limit() / 4
        })
    }

    /// The next bytes; `None` after the last. What they took of the flow-control window is given back: they are to be copied
    /// and dropped before the next are asked for.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Trouble> {
        let mut look = Instant::now() + STALL;
        loop {
            let slow = self.pace.next_by();
            let until = self.pace.deadline.map_or(slow, |at| at.min(slow));
            let body = &mut self.body;
            let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
            match timeout_at(until.min(look), frame).await {
                Err(_) if self.pace.is_expired() => return Err(Trouble::Expired),
                Err(_) if look < until && !self.is_in_the_way() => look = Instant::now() + LOOK,
                Err(_) => return Err(Trouble::Slow),
                Ok(None) => return Ok(None),
                Ok(Some(Err(_))) => return Err(Trouble::Abandoned),
                Ok(Some(Ok(frame))) => {
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
