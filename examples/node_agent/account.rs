//! What became of every span, as text.

use std::fmt;

use spanwire_core::pipeline::{Report, Stats};
use spanwire_core::stats::Dropped;

use crate::machine;

/// What is told at the end.
pub(crate) struct Account<'a> {
    pub(crate) report: &'a Report,
    pub(crate) stats: &'a Stats,
    /// Encoded bytes of the spans that went to the exporters.
    pub(crate) bytes: u64,
    /// Whether spans are to go anywhere.
    pub(crate) is_wanted: bool,
}

impl fmt::Display for Account<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let own = self.report.own();
        let not_sampled = own.not_sampled + own.not_sampled_overload;
        writeln!(
            f,
            "sampled    {} spans, {not_sampled} not sampled",
            own.started
        )?;
        let neighbours = self.report.neighbours();
        if neighbours.received > 0 {
            let (received, refused) = (neighbours.received, neighbours.refused);
            writeln!(f, "neighbours {received} spans, {refused} refused")?;
        }
        let mut dropped = own.dropped;
        for lane in self.report.lanes() {
            dropped.merge(&lane.account.dropped);
            let verb = match self.is_wanted {
                true => "exported  ",
                false => "discarded ",
            };
            write!(f, "{verb} {} spans", lane.account.exported)?;
            if !self.is_wanted {
                write!(f, ": OTEL_TRACES_EXPORTER is none")?;
            }
            if lane.account.retries > 0 {
                write!(f, ", {} batches tried again", lane.account.retries)?;
            }
            if lane.account.possibly_duplicated > 0 {
                let spans = lane.account.possibly_duplicated;
                write!(f, ", {spans} spans possibly twice")?;
            }
            if let Some(failure) = &lane.last_failure {
                write!(f, "; last failure: {failure}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "dropped    {}", Reasons(&dropped))?;
        if self.report.unsettled() > 0 {
            let spans = self.report.unsettled();
            writeln!(f, "unsettled  {spans} spans at the deadline")?;
        }
        writeln!(f, "bytes      {} of OTLP", self.bytes)?;
        write!(f, "memory    ")?;
        if let Some(memory) = self.stats.memory {
            let (most, budget) = (memory.high_water >> 10, memory.budget >> 10);
            write!(f, " {most} KiB of {budget} KiB for spans at most;")?;
        }
        match peak_kib() {
            Some(peak) => write!(f, " {peak} KiB resident at the peak"),
            None => write!(f, " resident peak not known"),
        }
    }
}

struct Reasons<'a>(&'a Dropped);

impl fmt::Display for Reasons<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} spans", self.0.total())?;
        for (reason, spans) in self.0.iter() {
            write!(f, ", {reason} {spans}")?;
        }
        Ok(())
    }
}

/// The most memory this process ever had resident, in KiB.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    machine::number(&status, "VmHWM")
}
