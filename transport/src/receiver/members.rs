//! Which connections there are, what they are charged, and who leaves for another.

use core::cmp::Reverse;
use core::task::Waker;
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use spanwire_core::limiter::{Account, OVERHEAD, Permit};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::connection::{Connection, Standing};
use super::pressure::{BODY_STALL, Membership, Need};
use super::stats::{Counts, count};

/// How long a connection has to be idle before it can be asked to leave for another.
const SETTLED: Duration = Duration::from_secs(1);

/// The same for one that has not said anything yet.
const SILENT: Duration = Duration::from_millis(50);

/// How long until another is asked when one does not go.
const NEXT: Duration = Duration::from_millis(100);

/// The most that leave at once for others, where newcomers come one after the other.
const MOST_LEAVING: usize = 8;

/// How often it is looked whether there is room again.
const LOOK: Duration = Duration::from_millis(20);

/// Shared by a listener and its connections.
pub(super) struct Members {
    live: Mutex<Live>,
    /// A member has gone, or the time is over.
    pub(super) changed: Condvar,
    /// The same, for who accepts.
    freed: Notify,
    pub(super) stop: Notify,
    pub(super) counts: Arc<Counts>,
    pub(super) share: Membership,
    /// Why nobody accepts.
    failure: OnceLock<String>,
}

#[derive(Default)]
pub(super) struct Live {
    pub(super) stopping: bool,
    pub(super) expired: bool,
    /// Who accepts, and connections.
    pub(super) count: usize,
    pub(super) connections: BTreeMap<u64, Connection>,
    next: u64,
    /// Bytes charged for connections.
    charged: usize,
    /// When an idle connection was last asked to leave for another.
    evicted: Option<Instant>,
    /// How many leave at once, and when that was last not enough.
    leaving: usize,
    crowded: Option<Instant>,
    pub(super) wakers: Vec<Waker>,
}

impl Members {
    pub(super) fn new(counts: Arc<Counts>, share: Membership) -> Arc<Self> {
        Arc::new(Self {
            live: Mutex::default(),
            changed: Condvar::new(),
            freed: Notify::new(),
            stop: Notify::new(),
            counts,
            share,
            failure: OnceLock::new(),
        })
    }

    /// Nobody accepts, and that is why.
    pub(super) fn fail(&self, why: String) {
        count(&self.counts.accept_failures, 1);
        // The first reason stays.
        let _ = self.failure.set(why);
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    pub(super) fn live(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells who waits for the end that something has changed.
    pub(super) fn tell(&self, mut live: MutexGuard<'_, Live>) {
        let wakers = core::mem::take(&mut live.wakers);
        drop(live);
        self.changed.notify_all();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Who accepts: a stop waits for it as well.
    pub(super) fn acceptor(self: &Arc<Self>) -> Member {
        self.live().count += 1;
        Member {
            members: self.clone(),
            connection: None,
        }
    }

    /// A connection that is charged `bytes` while it is there, if there is a place for it: one of `most`, in what connections
    /// may take. Where there is none, somebody is asked to leave. `Err` when a stop has begun.
    pub(super) fn admit(
        self: &Arc<Self>,
        account: &Account,
        bytes: usize,
        most: usize,
        connection: impl FnOnce() -> Connection,
    ) -> Result<Option<(Connection, Member)>, Stopping> {
        let charge = bytes + OVERHEAD;
        let pressure = self.share.pressure();
        let mut live = self.live();
        if live.stopping {
            return Err(Stopping);
        }
        // However small its part, a receiver has one connection.
        let part = pressure.part(account.limit()).max(charge);
        if live.connections.len() >= most || live.charged.saturating_add(charge) > part {
            self.make_room(&mut live);
            return Ok(None);
        }
        // Who is here already comes first.
        let granted =
            (!pressure.is_wanted_by_less(Need::Large)).then(|| account.acquire(bytes).ok());
        let Some(permit) = granted.flatten() else {
            pressure.reclaim(charge, None);
            return Ok(None);
        };
        let connection = connection();
        let number = live.next;
        live.next += 1;
        live.count += 1;
        live.charged += charge;
        live.connections.insert(number, connection.clone());
        count(&self.counts.open, 1);
        drop(live);
        let member = Member {
            members: self.clone(),
            connection: Some((number, permit)),
        };
        Ok(Some((connection, member)))
    }

    /// Waits until there may be a place.
    pub(super) async fn freed(&self) {
        // Connections say when they go; other memory comes back without a word.
        let _ = timeout(LOOK, self.freed.notified()).await;
    }

    /// Asks one to leave, and twice as many as before while there are others in line: they can't be counted, and each that is
    /// waited for by itself takes its time.
    fn make_room(&self, live: &mut Live) {
        let again = live.crowded.is_some_and(|at| at.elapsed() < SETTLED);
        live.leaving = if again { 2 * live.leaving } else { 1 };
        live.leaving = live.leaving.min(MOST_LEAVING);
        live.crowded = Some(Instant::now());
        for _ in live.count_leaving()..live.leaving {
            if !self.evict(live) {
                return;
            }
        }
    }

    /// Asks a connection to leave that is missed least: one that has its last answer, or has asked for nothing yet, then one
    /// whose requests have stalled, then the one that was idle longest. Who sends now and then keeps its place.
    /// `false` where nobody is to.
    pub(super) fn evict(&self, live: &mut Live) -> bool {
        let connections = || live.connections.values();
        let leaving = live.count_leaving();
        if leaving >= MOST_LEAVING {
            return false;
        }
        let quiet = || {
            let staying = connections().filter(|one| !one.is_asked());
            staying.filter_map(|one| {
                one.standing()
                    .map(|(standing, quiet)| (standing, quiet, one))
            })
        };
        let settled = |standing: Standing, quiet: Duration, one: &Connection| match standing {
            Standing::Stalled => true,
            Standing::Parting => quiet >= BODY_STALL,
            Standing::Unserved if !one.is_open() => quiet >= SILENT,
            Standing::Unserved | Standing::Idle => quiet >= SETTLED,
        };
        let first = quiet()
            .filter(|(standing, quiet, one)| settled(*standing, *quiet, one))
            .min_by_key(|(standing, quiet, _)| (*standing, Reverse(*quiet)));
        let Some((standing, _, one)) = first else {
            return false;
        };
        if standing == Standing::Idle {
            // One that has never asked for anything will do, in a moment; and so does one that is about to go.
            let unserved = quiet().any(|(standing, ..)| standing == Standing::Unserved);
            let lately = live.evicted.is_some_and(|at| at.elapsed() < NEXT);
            if unserved || (lately && leaving > 0) {
                return false;
            }
        }
        one.evict();
        count(&self.counts.evicted, 1);
        if standing == Standing::Idle {
            live.evicted = Some(Instant::now());
        }
        true
    }
}

impl Live {
    /// Connections that were asked to leave, and have not yet.
    fn count_leaving(&self) -> usize {
        let connections = self.connections.values();
        connections.filter(|one| one.is_asked()).count()
    }
}

/// A stop has begun.
pub(super) struct Stopping;

/// What a stop waits for.
pub(super) struct Member {
    members: Arc<Members>,
    /// The connection, and what it is charged.
    connection: Option<(u64, Permit)>,
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut live = self.members.live();
        live.count = live.count.saturating_sub(1);
        if let Some((number, permit)) = self.connection.take() {
            live.connections.remove(&number);
            live.charged = live.charged.saturating_sub(permit.bytes() + OVERHEAD);
            self.members.counts.open.fetch_sub(1, Ordering::Relaxed);
        }
        self.members.tell(live);
        self.members.freed.notify_one();
    }
}
