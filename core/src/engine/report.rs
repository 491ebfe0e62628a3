//! The account of every lane, and the reports of flush and close.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use crate::stats::Dropped;

macro_rules! id {
    ($(#[$doc:meta])* $id:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $id(usize);

        impl $id {
            pub(super) const fn new(index: usize) -> Self {
                Self(index)
            }

            /// The number, from 0, in the order in which they were added.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id!(
    /// One exporter of an engine.
    ExporterId
);
id!(
    /// One pipeline of an engine.
    PipelineId
);
id!(
    /// One lane of an engine, counted over all pipelines.
    LaneId
);
id!(
    /// One flush of an engine.
    FlushId
);

/// Every span a lane was given, counted out: in spans, since the engine was built.
///
/// `admitted = filtered + dropped + exported + buffered + in_flight`, after every call of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct LaneAccount {
    /// Let in through the doors of the lane's pipeline.
    pub admitted: u64,
    /// Taken out by processors, as they were asked to.
    pub filtered: u64,
    /// Lost, by reason.
    pub dropped: Dropped,
    /// Arrived.
    pub exported: u64,
    /// Waiting in the log or in a stage.
    pub buffered: u64,
    /// In the exporter's hands, or waiting to be sent again.
    pub in_flight: u64,
    /// The part of `in_flight` that waits to be sent again.
    pub retrying: u64,
    /// Sent again although the server may have stored them before. Counted once for each such sending.
    pub possibly_duplicated: u64,
    /// Answers, in batches, that came after the engine had stopped waiting for them.
    pub late_replies: u64,
    /// Attempts after the first, in batches.
    pub retries: u64,
    /// Attempts that ended with less than every span arrived, in batches.
    pub failures: u64,
}

impl LaneAccount {
    /// Whether every admitted span is accounted for.
    #[must_use]
    pub fn balances(&self) -> bool {
        let parts = [
            self.filtered,
            self.dropped.total(),
            self.exported,
            self.buffered,
            self.in_flight,
        ];
        let sum = parts.iter().fold(0u64, |sum, part| sum.wrapping_add(*part));
        sum == self.admitted && self.retrying <= self.in_flight
    }
}

/// One lane in a [`Report`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LaneReport {
    /// Which lane.
    pub lane: LaneId,
    /// The pipeline it belongs to.
    pub pipeline: PipelineId,
    /// Where it leads.
    pub exporter: ExporterId,
    /// Its account since the engine was built.
    pub account: LaneAccount,
    /// Spans dropped between the call and this report.
    pub lost: u64,
    /// Spans not settled when the deadline came. Of a flush, these include spans that came after the call.
    pub unsettled: u64,
    /// Whether the last attempt that was answered failed.
    pub failing: bool,
    /// What the exporter said when it last failed.
    pub last_failure: Option<Cow<'static, str>>,
}

/// How a flush or a close ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// All lanes, in order.
    pub lanes: Vec<LaneReport>,
    /// The deadline came first.
    pub timed_out: bool,
}

impl Report {
    /// Whether every span covered by the call has been exported, or filtered as asked: none was lost meanwhile, none is
    /// left.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.timed_out && self.lost() == 0 && self.unsettled() == 0
    }

    /// Spans dropped between the call and this report, summed over the lanes.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.lost).sum()
    }

    /// Spans not settled when the deadline came, summed over the lanes.
    #[must_use]
    pub fn unsettled(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.unsettled).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_complete() {
            return f.write_str("complete");
        }
        write!(
            f,
            "{} spans lost, {} not settled",
            self.lost(),
            self.unsettled()
        )?;
        if self.timed_out {
            f.write_str(" by the deadline")?;
        }
        let failure = self
            .lanes
            .iter()
            .find_map(|lane| lane.last_failure.as_ref());
        match failure {
            Some(failure) => write!(f, ": {failure}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;
    use crate::stats::DropReason;

    #[test]
    fn an_account_with_a_span_missing_does_not_balance() {
        let mut account = LaneAccount {
            admitted: 10,
            filtered: 1,
            exported: 4,
            buffered: 2,
            in_flight: 2,
            ..LaneAccount::default()
        };
        assert!(!account.balances());
        account.dropped.add(DropReason::Rejected, 1);
        assert!(account.balances());
    }

    #[test]
    fn a_report_never_says_complete_about_lost_spans() {
        let lane = LaneReport {
            lane: LaneId::new(0),
            pipeline: PipelineId::new(0),
            exporter: ExporterId::new(0),
            account: LaneAccount::default(),
            lost: 0,
            unsettled: 0,
            failing: false,
            last_failure: None,
        };
        let report = |lost, unsettled, timed_out| Report {
            lanes: [LaneReport {
                lost,
                unsettled,
                ..lane.clone()
            }]
            .into(),
            timed_out,
        };
        assert!(report(0, 0, false).is_complete());
        assert!(!report(1, 0, false).is_complete());
        assert!(!report(0, 1, false).is_complete());
        assert!(!report(0, 0, true).is_complete());
        let text = report(3, 2, true).to_string();
        assert_eq!(text, "3 spans lost, 2 not settled by the deadline");
    }
}
