//! Where spans are lost, in the words of the conventions.

use spanwire_core::engine::LaneAccount;
use spanwire_core::stats::{DropReason, Dropped};

/// Where a span is lost.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before it comes to a lane.
    Door,
    /// On a lane, before it is handed to the exporter.
    Queue,
    /// In the hands of the exporter, or after.
    Export,
}

/// Where this reason loses spans. A processor that panicked and a deadline that passed count where most of their spans
/// are: with the exporter.
pub(super) const fn stage(reason: DropReason) -> Stage {
    match reason {
        DropReason::RingFull
        | DropReason::Contended
        | DropReason::AfterShutdown
        | DropReason::Forked
        | DropReason::SpanTooLarge => Stage::Door,
        DropReason::LaneLag | DropReason::Overwritten | DropReason::NoRoom => Stage::Queue,
        _ => Stage::Export,
    }
}

pub(super) fn sum(account: &LaneAccount, at: Stage) -> u64 {
    let lost = |(reason, count)| if stage(reason) == at { count } else { 0 };
    account.dropped.iter().map(lost).sum()
}

/// Spans that have come to the exporter so far, whatever became of them.
pub(super) fn handed_over(account: &LaneAccount) -> u64 {
    account
        .exported
        .wrapping_add(account.in_flight)
        .wrapping_add(sum(account, Stage::Export))
}

/// Spans lost before export, under the words of the conventions where they have one. Zeros of those words are told
/// too, so that a rate has a start.
pub(super) fn before_export(door: &Dropped, lane: &LaneAccount) -> Vec<(&'static str, u64)> {
    let mut queue_full = 0;
    let mut already_shutdown = 0;
    let mut others = Vec::new();
    for (reason, count) in door.iter().chain(lane.dropped.iter()) {
        match reason {
            DropReason::RingFull
            | DropReason::Contended
            | DropReason::LaneLag
            | DropReason::Overwritten => queue_full += count,
            DropReason::AfterShutdown => already_shutdown += count,
            reason if stage(reason) == Stage::Export => {}
            reason => others.push((reason.as_str(), count)),
        }
    }
    let named = [
        ("queue_full", queue_full),
        ("already_shutdown", already_shutdown),
    ];
    named.into_iter().chain(others).collect()
}

/// Spans lost at export. What a server rejected, in part or as a whole, is `rejected`.
pub(super) fn at_export(dropped: &Dropped) -> Vec<(&'static str, u64)> {
    let mut rejected = 0;
    let mut others = Vec::new();
    for (reason, count) in dropped.iter() {
        match reason {
            DropReason::Rejected | DropReason::PartiallyRejected => rejected += count,
            reason if stage(reason) == Stage::Export => others.push((reason.as_str(), count)),
            _ => {}
        }
    }
    core::iter::once(("rejected", rejected))
        .chain(others)
        .collect()
}
