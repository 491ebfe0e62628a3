//! What a lane remembers of attempts that failed.

use alloc::borrow::Cow;

use crate::exporter::Outcome;

/// Attempts that failed, and what was said of the last.
#[derive(Default)]
pub(super) struct Trouble {
    failures: u64,
    /// How often a lane that failed did well again.
    recoveries: u64,
    /// The last attempt failed.
    fails: bool,
    said: Option<Cow<'static, str>>,
}

impl Trouble {
    /// Takes note of how an attempt ended.
    pub(super) fn note(&mut self, outcome: &Outcome) {
        let failed = *outcome != Outcome::Exported;
        if failed {
            self.failures += 1;
            self.said = Some(describe(outcome));
        } else if self.fails {
            self.recoveries += 1;
        }
        self.fails = failed;
    }

    /// Takes note that attempts were cut off.
    pub(super) fn cut_off(&mut self) {
        self.said = Some("no answer before the end of the shutdown".into());
    }

    /// Attempts that failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// A number that changes with each failure and each recovery.
    pub(super) fn turns(&self) -> u64 {
        self.failures.wrapping_add(self.recoveries)
    }

    /// Whether the last attempt failed.
    pub(super) fn fails(&self) -> bool {
        self.fails
    }

    /// What the exporter said when it last failed.
    pub(super) fn said(&self) -> Option<&Cow<'static, str>> {
        self.said.as_ref()
    }
}

fn describe(outcome: &Outcome) -> Cow<'static, str> {
    match outcome {
        Outcome::Partial { message: text, .. }
        | Outcome::Retry { reason: text, .. }
        | Outcome::Rejected { reason: text, .. } => text.clone(),
        other => Cow::Owned(alloc::format!("{other}")),
    }
}
