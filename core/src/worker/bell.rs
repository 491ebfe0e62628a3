//! What wakes the worker, and nothing else.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use core::time::Duration;
use std::sync::OnceLock;
use std::thread::{self, Thread};

use crate::recorder::Wake;

/// The worker is awake.
const AWAKE: usize = 0;
/// It sleeps, and knows of no open block.
const IDLE: usize = 1;
/// It sleeps, until a block is due at the latest. Above it: it sleeps on while so many more blocks are sealed.
const DOZING: usize = 2;

/// What the worker sleeps for, beside those who wait for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sleep {
    /// Until a block is opened, or sealed.
    Idle,
    /// Until one block more than this is sealed; it wakes by itself before any block is due.
    Dozing { blocks: usize },
}

impl Sleep {
    const fn state(self) -> usize {
        match self {
            Self::Idle => IDLE,
            Self::Dozing { blocks } => DOZING.saturating_add(blocks),
        }
    }
}

/// Wakes the worker if it sleeps.
///
/// The worker says that it goes to sleep, and looks once more whether it was rung for; who rings says so, and looks
/// whether the worker sleeps. A full fence stands between on both sides, so at least one sees the other.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: AtomicBool,
    state: AtomicUsize,
    thread: OnceLock<Thread>,
    /// How often the worker woke; for tests.
    wakes: AtomicUsize,
}

impl Bell {
    /// Says whom to wake. Once.
    pub(super) fn belongs_to(&self, thread: Thread) {
        let _ = self.thread.set(thread);
        // What was rung before nobody was there to hear.
        self.ring();
    }

    /// Forgets what was rung for: the worker is about to look.
    pub(super) fn listen(&self) {
        self.rung.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// Sleeps for as long as this, or until rung for.
    pub(super) fn sleep(&self, nap: Option<Duration>, sleep: Sleep) {
        self.state.store(sleep.state(), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !self.rung.load(Ordering::Relaxed) {
            match nap {
                Some(nap) => thread::park_timeout(nap),
                None => thread::park(),
            }
            self.wakes.fetch_add(1, Ordering::Relaxed);
        }
        self.state.store(AWAKE, Ordering::Relaxed);
    }

    /// Wakes the worker, or keeps it from going to sleep.
    pub(crate) fn ring(&self) {
        self.rung.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if self.state.load(Ordering::Relaxed) != AWAKE
            && self.state.swap(AWAKE, Ordering::Relaxed) != AWAKE
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    /// Wakes the worker for someone who waits for its answer.
    ///
    /// Whoever rang before may not have come to wake it yet; nobody who waits depends on that thread's turn.
    pub(super) fn call(&self) {
        self.ring();
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    /// How often the worker woke from sleep.
    pub(crate) fn wakes(&self) -> usize {
        self.wakes.load(Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn opened(&self) {
        fence(Ordering::SeqCst);
        // A worker that dozes wakes before this block is due: it waits for an older one.
        if self.state.load(Ordering::Relaxed) < DOZING {
            self.ring();
        }
    }

    fn sealed(&self) {
        fence(Ordering::SeqCst);
        let more = |state| (state > DOZING).then(|| state - 1);
        let counted = self
            .state
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        if counted.is_err() {
            self.ring();
        }
    }

    /// The worker is awake and waits for a processor, and this thread has one: where more threads record than there are
    /// processors, each would fill blocks for its whole turn before the worker has one. It costs one system call, as
    /// waking does.
    fn crowded(&self) {
        self.ring();
        thread::yield_now();
    }
}

impl alloc::task::Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.ring();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ring();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a worker that sleeps like this is woken.
    fn is_woken(sleep: Sleep, wake: impl Fn(&Bell)) -> bool {
        let bell = Bell::default();
        bell.listen();
        bell.state.store(sleep.state(), Ordering::Relaxed);
        wake(&bell);
        bell.rung.load(Ordering::Relaxed)
    }

    #[test]
    fn a_worker_that_waits_for_company_sleeps_through_so_many_blocks() {
        let seal = |times: usize| move |bell: &Bell| (0..times).for_each(|_| bell.sealed());
        let dozing = |blocks| Sleep::Dozing { blocks };
        assert!(!is_woken(dozing(3), seal(3)));
        assert!(is_woken(dozing(3), seal(4)));
        assert!(is_woken(dozing(0), seal(1)));
        assert!(is_woken(Sleep::Idle, seal(1)));
        assert!(!is_woken(dozing(3), Bell::opened));
        assert!(!is_woken(dozing(0), Bell::opened));
        assert!(is_woken(Sleep::Idle, Bell::opened));
        assert!(is_woken(dozing(9), Bell::ring), "an answer");
    }

    #[test]
    fn what_is_sealed_while_the_worker_is_awake_keeps_it_awake() {
        let bell = Bell::default();
        bell.listen();
        bell.sealed();
        assert!(bell.rung.load(Ordering::Relaxed));
    }
}
