//! Origins of spans, one for each process that a tracer was forked into.

use alloc::boxed::Box;
use alloc::sync::Arc;
use std::sync::OnceLock;

use crate::fork;
use crate::recorder::Origin;

/// How many forks a tracer follows, one inside the other. In deeper children its spans are not recorded.
const FORKS: usize = 8;

/// Builds the origin of a forked child, after the fork, when its first span starts.
pub(crate) type Rebuild = Box<dyn Fn() -> Option<Arc<Origin>> + Send + Sync>;

/// The origin of this process, and places for those of its children.
///
/// Each process writes a place that none of its ancestors touches, so a lock of such a place is never inherited held.
pub(super) struct Origins {
    first: Arc<Origin>,
    generation: usize,
    children: [OnceLock<Option<Arc<Origin>>>; FORKS],
    rebuild: Option<Rebuild>,
}

impl Origins {
    pub(super) fn new(first: Arc<Origin>, rebuild: Option<Rebuild>) -> Self {
        Self {
            first,
            generation: fork::generation(),
            children: [const { OnceLock::new() }; FORKS],
            rebuild,
        }
    }

    /// The origin of this process. `None` where there is none.
    pub(super) fn get(&self) -> Option<&Arc<Origin>> {
        if self.first.is_of_this_process() {
            Some(&self.first)
        } else {
            self.after()
        }
    }

    #[cold]
    fn after(&self) -> Option<&Arc<Origin>> {
        let forks = fork::generation().wrapping_sub(self.generation);
        let rebuild = self.rebuild.as_ref()?;
        let place = self.children.get(forks.checked_sub(1)?)?;
        let origin = place.get_or_init(rebuild).as_ref();
        origin.filter(|origin| origin.is_of_this_process())
    }
}
