//! Who needs room in a share, and who is in the way.
//!
//! The receivers on one share of the memory know of each other: together their connections take a third of it at most, each
//! receiver's the same part. A body that has said nothing for [`BODY_STALL`], or for [`FIRST_BODY_STALL`], can be told to go:
//! the longest silent first, and only while a request finds no room, or a newcomer no place.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use spanwire_core::limiter::Account;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// How long a body may say nothing before it can be told to go, so that a request that finds no room has its bytes, or a
/// newcomer the place of its connection.
pub const BODY_STALL: Duration = Duration::from_millis(250);

/// The same on a connection of which no body has come to its end yet: nobody who comes is kept waiting for long by a crowd that
/// only begins. It is more than a round trip between nodes takes.
pub const FIRST_BODY_STALL: Duration = Duration::from_millis(100);

/// How long a request waits for room while bodies that are on their way hold it: until they are here, or have stalled and are
/// told to go.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often it looks again; what is not a body comes back without a word.
const LOOK: Duration = Duration::from_millis(10);

/// The part of a share that connections may take.
const CONNECTIONS_PART: usize = 3;

/// The part of a share that bodies on their way have to hold for a request to wait for them.
const BODIES_PART: usize = 8;

/// How much is asked for. Who asks for less is served before who asks for more, so that large bodies cost small ones
/// nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Need {
    /// A request beside its body, or one of a few spans.
    Small,
    /// What a body begins with.
    Usual,
    Large,
}

impl Need {
    /// From the bytes.
    pub(super) const fn of(bytes: usize) -> Self {
        if bytes <= SMALL {
            Self::Small
        } else if bytes <= USUAL {
            Self::Usual
        } else {
            Self::Large
        }
    }
}

/// The most bytes of a small need, and of a usual one.
const SMALL: usize = 16 << 10;
const USUAL: usize = 64 << 10;

/// The shares that receivers stand on.
static ALL: Mutex<Vec<Weak<Pressure>>> = Mutex::new(Vec::new());

/// What the receivers on one share know of each other.
pub(super) struct Pressure {
    account: Account,
    receivers: AtomicUsize,
    /// Bytes held by requests and bodies that are not admitted yet.
    arriving: AtomicUsize,
    /// Who waits for room, by need.
    waiting: [AtomicUsize; 3],
    stalled: Mutex<Stalls>,
    /// A body that had stalled is gone, or has gone on.
    freed: Notify,
}

#[derive(Default)]
struct Stalls {
    /// In the order in which they stalled.
    waiting: BTreeMap<u64, Arc<Stall>>,
    next: u64,
}

/// A body that says nothing.
struct Stall {
    /// Which connection it is on.
    connection: usize,
    /// The least bytes that it holds.
    bytes: usize,
    told: AtomicBool,
    notify: Notify,
}

impl Stall {
    /// Tells it to go; `false` where it was told before.
    fn tell(&self) -> bool {
        let first = !self.told.swap(true, Ordering::Relaxed);
        self.notify.notify_one();
        first
    }
}

impl Pressure {
    /// What receivers on this share have in common.
    pub(super) fn on(account: &Account) -> Arc<Self> {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|known| known.strong_count() > 0);
        let known = all.iter().filter_map(Weak::upgrade);
        if let Some(known) = known
            .into_iter()
            .find(|known| known.account.is_same(account))
        {
            return known;
        }
        let new = Arc::new(Self {
            account: account.clone(),
            receivers: AtomicUsize::new(0),
            arriving: AtomicUsize::new(0),
            waiting: [const { AtomicUsize::new(0) }; 3],
            stalled: Mutex::default(),
            freed: Notify::new(),
        });
        all.push(Arc::downgrade(&new));
        new
    }

    /// One more receiver, until what is returned is dropped.
    pub(super) fn join(self: &Arc<Self>) -> Membership {
        self.receivers.fetch_add(1, Ordering::Relaxed);
        Membership(self.clone())
    }

    /// The bytes that the connections of one receiver may take of a share of `limit` bytes.
    pub(super) fn part(&self, limit: usize) -> usize {
        limit / CONNECTIONS_PART / self.receivers.load(Ordering::Relaxed).max(1)
    }

    /// Bodies hold so many bytes more.
    pub(super) fn hold(&self, more: usize) {
        self.arriving.fetch_add(more, Ordering::Relaxed);
    }

    /// Bodies hold so many bytes less.
    pub(super) fn release(&self, less: usize) {
        self.arriving.fetch_sub(less, Ordering::Relaxed);
    }

    fn stalls(&self) -> MutexGuard<'_, Stalls> {
        self.stalled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A body of `connection` that holds `bytes` at least says nothing, until what is returned is dropped.
    pub(super) fn stall(self: &Arc<Self>, connection: usize, bytes: usize) -> Stalled {
        let stall = Arc::new(Stall {
            connection,
            bytes,
            told: AtomicBool::new(false),
            notify: Notify::new(),
        });
        let mut stalls = self.stalls();
        let number = stalls.next;
        stalls.next += 1;
        stalls.waiting.insert(number, stall.clone());
        drop(stalls);
        Stalled {
            pressure: self.clone(),
            number,
            stall,
        }
    }

    /// Tells the bodies of a connection that say nothing to go.
    pub(super) fn clear(&self, connection: usize) {
        for stall in self.stalls().waiting.values() {
            if stall.connection == connection {
                stall.tell();
            }
        }
    }

    /// Tells those that have said nothing for longest to go, but for `own`, until they hold as much as is wanted. Returns
    /// whether there are any that go.
    pub(super) fn reclaim(&self, wanted: usize, own: Option<&Stalled>) -> bool {
        let stalls = self.stalls();
        let mut going = 0;
        for (number, stall) in &stalls.waiting {
            if going >= wanted {
                break;
            }
            if own.is_none_or(|own| own.number != *number) {
                stall.tell();
                going += stall.bytes;
            }
        }
        going > 0
    }

    /// Whether somebody waits who needs less.
    pub(super) fn is_wanted_by_less(&self, need: Need) -> bool {
        let less = self.waiting.iter().take(need as usize);
        less.into_iter()
            .any(|waiting| waiting.load(Ordering::Relaxed) > 0)
    }

    fn waiting(&self, need: Need) -> Option<&AtomicUsize> {
        self.waiting.get(need as usize)
    }

    /// Begins to wait for room.
    pub(super) fn wait(self: &Arc<Self>, need: Need) -> Wait {
        if let Some(waiting) = self.waiting(need) {
            waiting.fetch_add(1, Ordering::Relaxed);
        }
        Wait {
            pressure: self.clone(),
            need,
            until: Instant::now() + PATIENCE,
        }
    }
}

/// Somebody waits for room, for `PATIENCE` at most, and only for what bodies hold that are on their way.
pub(super) struct Wait {
    pressure: Arc<Pressure>,
    need: Need,
    until: Instant,
}

impl Wait {
    /// Tells bodies that have stalled to go, but for `own`, and waits for a moment. `false` when there is nothing to be
    /// waited for any longer; what the pipeline holds is not.
    pub(super) async fn a_moment(&self, wanted: usize, own: Option<&Stalled>) -> bool {
        let pressure = &*self.pressure;
        let freed = pressure.freed.notified();
        let now = Instant::now();
        // What is above the soft limit has to go as well.
        let account = &pressure.account;
        let above = account.in_use().saturating_sub(account.soft_limit());
        let goes = pressure.reclaim(wanted + above, own);
        let most = pressure.account.limit() / BODIES_PART;
        let comes = pressure.arriving.load(Ordering::Relaxed) >= most;
        if now >= self.until || !(goes || comes) {
            return false;
        }
        let _ = timeout_at(self.until.min(now + LOOK), freed).await;
        true
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(waiting) = self.pressure.waiting(self.need) {
            waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A receiver is on a share.
pub(super) struct Membership(Arc<Pressure>);

impl Membership {
    pub(super) fn pressure(&self) -> &Arc<Pressure> {
        &self.0
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.receivers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A body has stalled.
pub(super) struct Stalled {
    pressure: Arc<Pressure>,
    number: u64,
    stall: Arc<Stall>,
}

impl Stalled {
    pub(super) fn is_told(&self) -> bool {
        self.stall.told.load(Ordering::Relaxed)
    }

    /// Ready once it is told to go.
    pub(super) async fn told(&self) {
        while !self.is_told() {
            self.stall.notify.notified().await;
        }
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        self.pressure.stalls().waiting.remove(&self.number);
        self.pressure.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use spanwire_core::limiter::{Door, MemoryLimiter, Permit, Refused};

    use super::*;

    const MIB: usize = 1 << 20;

    fn account() -> Account {
        let limiter = MemoryLimiter::builder(12 * MIB)
            .reserve(0)
            .neighbours(12 * MIB)
            .build()
            .unwrap();
        limiter.door(Door::Neighbours)
    }

    /// What is granted in a while.
    async fn room(pressure: &Arc<Pressure>, bytes: usize) -> Result<Permit, Refused> {
        let wait = pressure.wait(Need::of(bytes));
        loop {
            match pressure.account.acquire(bytes) {
                Err(refused) if refused.is_retryable() && wait.a_moment(bytes, None).await => {}
                settled => return settled,
            }
        }
    }

    #[test]
    fn receivers_on_one_share_divide_what_connections_may_take() {
        let (one, other) = (account(), account());
        let first = Pressure::on(&one).join();
        assert_eq!(first.pressure().part(one.limit()), 4 * MIB);
        let second = Pressure::on(&one).join();
        let elsewhere = Pressure::on(&other).join();
        assert_eq!(first.pressure().part(one.limit()), 2 * MIB);
        assert_eq!(elsewhere.pressure().part(other.limit()), 4 * MIB);
        drop(second);
        assert_eq!(first.pressure().part(one.limit()), 4 * MIB);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_said_nothing_for_longest_makes_room_and_nobody_else_does() {
        let account = account();
        let pressure = Pressure::on(&account);
        let body = account.acquire(6 * MIB).unwrap();
        let other = account.acquire(5 * MIB).unwrap();
        let longest = pressure.stall(1, 6 * MIB);
        let also = pressure.stall(2, 5 * MIB);
        let going = async {
            longest.told().await;
            drop(body);
            drop(longest);
        };
        let wanted = room(&pressure, MIB);
        let (granted, ()) = tokio::join!(wanted, going);
        assert!(granted.is_ok());
        assert!(!also.stall.told.load(Ordering::Relaxed));
        drop((granted, other));
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_pipeline_holds_is_not_waited_for() {
        let account = account();
        let pressure = Pressure::on(&account);
        let _log = account.acquire(11 * MIB).unwrap();
        let begun = Instant::now();
        assert!(room(&pressure, MIB).await.is_err());
        assert!(begun.elapsed().is_zero());
        // Bodies that are on their way are, for a while.
        pressure.hold(6 * MIB);
        assert!(room(&pressure, MIB).await.is_err());
        assert!(begun.elapsed() >= PATIENCE);
        // More than there is can't be had by waiting.
        let begun = Instant::now();
        assert!(room(&pressure, 13 * MIB).await.is_err());
        assert!(begun.elapsed().is_zero());
    }

    #[test]
    fn who_needs_more_lets_others_go_first() {
        let pressure = Pressure::on(&account());
        let wants = |need| pressure.is_wanted_by_less(need);
        let small = pressure.wait(Need::of(6 << 10));
        let usual = pressure.wait(Need::of(64 << 10));
        let all = [Need::Small, Need::Usual, Need::Large];
        assert_eq!(all.map(wants), [false, true, true]);
        drop(small);
        assert_eq!(all.map(wants), [false, false, true]);
        drop(usual);
        assert_eq!(all.map(wants), [false; 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_has_to_go_takes_its_bodies_along() {
        let account = account();
        let pressure = Pressure::on(&account);
        let (one, other) = (pressure.stall(1, MIB), pressure.stall(2, MIB));
        pressure.clear(1);
        one.told().await;
        assert!(!other.stall.told.load(Ordering::Relaxed));
    }
}
