//! What has happened, over all worlds.

use std::collections::BTreeMap;

use spanwire_core::stats::DropReason;

/// How often something happened, over all worlds.
#[derive(Debug, Default)]
pub(crate) struct Reached(BTreeMap<&'static str, u64>);

impl Reached {
    pub(crate) fn add(&mut self, what: &'static str, times: u64) {
        *self.0.entry(what).or_default() += times;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (what, times) in &other.0 {
            self.add(what, *times);
        }
    }

    /// Everything this simulation is there for has happened at least once.
    pub(crate) fn check(&self) {
        let in_engine = [
            DropReason::TooLarge,
            DropReason::LaneLag,
            DropReason::Overwritten,
            DropReason::Rejected,
            DropReason::PartiallyRejected,
            DropReason::RetriesExhausted,
            DropReason::Unanswered,
            DropReason::Panicked,
            DropReason::NoRoom,
            DropReason::ShutdownDeadline,
        ];
        let others = [
            "exported",
            "filtered",
            "refused",
            "retries",
            "splits",
            "duplicates",
            "late replies",
            "flushes complete",
            "flushes with loss",
            "flushes too late",
            "closes complete",
            "closes too late",
            "memory came back",
        ];
        for what in in_engine.iter().map(|reason| reason.as_str()).chain(others) {
            assert!(
                self.0.get(what).is_some_and(|times| *times > 0),
                "never reached: {what}"
            );
        }
    }
}
