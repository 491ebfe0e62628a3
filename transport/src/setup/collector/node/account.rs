//! What became of everything, at the end.

use core::fmt;

use spanwire_core::pipeline::Report;

/// How a [`Node`](super::Node) ended: what came in through each receiver, and what became of every span.
#[derive(Clone, Debug)]
#[must_use = "an account says whether spans were lost"]
pub struct NodeAccount {
    pub(super) report: Box<Report>,
    pub(super) received: Vec<Received>,
}

/// What came in through one receiver.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// Its id, such as `otlp/kubelet`.
    pub receiver: String,
    /// What was spoken: `grpc` or `http`.
    pub protocol: &'static str,
    /// What happened.
    #[cfg(feature = "listen")]
    pub stats: crate::receiver::ReceiverStats,
    /// Connections that were cut at the end, with what was under way on them: their clients will send that again.
    pub cut: usize,
}

impl NodeAccount {
    /// The pipelines' account.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The receivers, in the order of [`Node::listening`](super::Node::listening).
    #[must_use]
    pub fn received(&self) -> &[Received] {
        &self.received
    }

    /// Whether every span that was admitted, or had ended, was exported, or filtered as asked, and none was lost since the
    /// last flush.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.report.is_complete()
    }
}

impl fmt::Display for NodeAccount {
    /// A line for each receiver, the door for this program's own spans, and each lane.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for received in &self.received {
            let Received {
                receiver,
                protocol,
                cut,
                ..
            } = received;
            write!(f, "received   {receiver} {protocol}: ")?;
            #[cfg(feature = "listen")]
            {
                let stats = &received.stats;
                write!(f, "{} spans in {} requests", stats.spans, stats.admitted)?;
                for (count, what) in [
                    (stats.refused, "refused for now"),
                    (stats.rejected, "refused for good"),
                    (stats.unauthenticated, "without a token"),
                    (stats.cut, "cut for being slow"),
                    (stats.abandoned, "abandoned"),
                ] {
                    if count > 0 {
                        write!(f, ", {count} {what}")?;
                    }
                }
            }
            if *cut > 0 {
                write!(f, ", {cut} connections cut at the end")?;
            }
            writeln!(f)?;
        }
        let own = self.report.own();
        if own.started > 0 {
            write!(f, "own        {} spans sampled", own.started)?;
            reasons(f, own.dropped.total(), own.dropped.iter())?;
            writeln!(f)?;
        }
        for lane in self.report.lanes() {
            let account = &lane.account;
            write!(
                f,
                "exported   {} -> {}: {} of {} spans",
                self.report.branch_of(lane),
                self.report.exporter_of(lane),
                account.exported,
                account.admitted
            )?;
            if account.filtered > 0 {
                write!(f, ", {} filtered", account.filtered)?;
            }
            reasons(f, account.dropped.total(), account.dropped.iter())?;
            if lane.unsettled > 0 {
                write!(f, ", {} not settled in time", lane.unsettled)?;
            }
            if account.possibly_duplicated > 0 {
                write!(f, ", {} possibly twice", account.possibly_duplicated)?;
            }
            if let Some(failure) = &lane.last_failure {
                write!(f, "; last failure: {failure}")?;
            }
            writeln!(f)?;
        }
        match self.report.lost() + self.report.unsettled() {
            0 if self.is_complete() => write!(f, "lost       nothing"),
            0 => write!(f, "lost       not known: the time was over"),
            1 => write!(f, "lost       1 span"),
            spans => write!(f, "lost       {spans} spans"),
        }
    }
}

fn reasons(
    f: &mut fmt::Formatter<'_>,
    total: u64,
    each: impl Iterator<Item = (spanwire_core::stats::DropReason, u64)>,
) -> fmt::Result {
    if total == 0 {
        return Ok(());
    }
    write!(f, ", {total} dropped (")?;
    for (index, (reason, spans)) in each.filter(|(_, spans)| *spans > 0).enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{reason} {spans}")?;
    }
    f.write_str(")")
}
