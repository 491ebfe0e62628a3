//! Batches as text for people, in the shape of the Collector's debug exporter.
//!
//! Each batch first says how much is in it. [`Verbosity::Normal`] adds a line for each span,
//! [`Verbosity::Detailed`] everything that is known of it. Of the batches of one second only the first few and then
//! every n-th are shown; how many were not is told with the next that is. A batch that is not shown counts as exported:
//! nothing else was to become of it.
//!
//! Control characters in what is shown are escaped, so that a neighbour's span can neither move the cursor of a terminal
//! nor forge a line.

use core::fmt;
use core::str::FromStr;
use std::io::{self, BufWriter, Write};
use std::time::{Instant, SystemTime};

use spanwire_core::batch::Batch;
use spanwire_core::exporter::{Exporter, Outcome, Reply};

// Which batches are shown.
mod sampling;

// Time as the Collector spells it.
mod time;

// A batch as text.
mod text;

use self::sampling::Sampling;
use self::text::{Detailed, Normal};
use self::time::Stamp;
use crate::calendar::unix_nanos;
use crate::otlp::runs::runs;

/// How much of a batch is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[non_exhaustive]
pub enum Verbosity {
    /// How many resources and spans are in it. The default.
    #[default]
    Basic,
    /// And a line for each resource, scope and span.
    Normal,
    /// And everything that is known of them.
    Detailed,
}

impl FromStr for Verbosity {
    type Err = InvalidVerbosity;

    /// Reads `basic`, `normal` or `detailed`, in any case.
    fn from_str(text: &str) -> Result<Self, InvalidVerbosity> {
        [
            ("basic", Self::Basic),
            ("normal", Self::Normal),
            ("detailed", Self::Detailed),
        ]
        .into_iter()
        .find(|(name, _)| text.eq_ignore_ascii_case(name))
        .map(|(_, verbosity)| verbosity)
        .ok_or(InvalidVerbosity)
    }
}

/// A text that is no [`Verbosity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidVerbosity;

impl fmt::Display for InvalidVerbosity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("verbosity is none of basic, normal, detailed")
    }
}

impl core::error::Error for InvalidVerbosity {}

/// Shows batches to people.
///
/// It writes where it is called, so it has a thread of its own. A batch that can't be written is rejected, and its
/// spans are counted as lost.
///
/// ```
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_transport::exporter::debug::{DebugExporter, Verbosity};
///
/// let pipeline = Pipeline::builder()
///     .exporter(|| DebugExporter::stderr().verbosity(Verbosity::Normal))
///     .build()?;
/// # drop(pipeline);
/// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
/// ```
#[derive(Debug)]
pub struct DebugExporter<W> {
    out: W,
    write: fn(&mut W, &Shown<'_>) -> io::Result<()>,
    verbosity: Verbosity,
    sampling: Sampling,
}

impl DebugExporter<io::Stderr> {
    /// Shows batches on standard error, which is locked for one batch at a time: whatever else the program says there comes
    /// between batches.
    #[must_use]
    pub fn stderr() -> Self {
        Self {
            write: |out, shown| shown.write_to(out.lock()),
            ..Self::new(io::stderr())
        }
    }
}

impl DebugExporter<io::Stdout> {
    /// Shows batches on standard output, which is locked for one batch at a time.
    #[must_use]
    pub fn stdout() -> Self {
        Self {
            write: |out, shown| shown.write_to(out.lock()),
            ..Self::new(io::stdout())
        }
    }
}

impl<W: Write> DebugExporter<W> {
    /// Shows batches to this writer, which need not be buffered.
    #[must_use]
    pub fn new(out: W) -> Self {
        Self {
            out,
            write: |out, shown| shown.write_to(out),
            verbosity: Verbosity::default(),
            sampling: Sampling::new(2, 1),
        }
    }

    /// How much of a batch is shown. Default: [`Verbosity::Basic`].
    #[must_use]
    pub const fn verbosity(mut self, verbosity: Verbosity) -> Self {
        self.verbosity = verbosity;
        self
    }

    /// How many batches of each second are shown before any is left out. Default: 2.
    #[must_use]
    pub const fn sampling_initial(mut self, batches: u32) -> Self {
        self.sampling.initial = batches;
        self
    }

    /// Of the batches of a second after the initial ones, every how many-th is shown. 1, the default: each; 0: none.
    #[must_use]
    pub const fn sampling_thereafter(mut self, every: u32) -> Self {
        self.sampling.thereafter = every;
        self
    }

    fn show(&mut self, batch: &Batch) -> io::Result<()> {
        let shown = Shown {
            batch,
            verbosity: self.verbosity,
            batches_not_shown: self.sampling.not_shown(),
        };
        (self.write)(&mut self.out, &shown)
    }
}

/// A batch, as it is shown.
struct Shown<'a> {
    batch: &'a Batch,
    verbosity: Verbosity,
    batches_not_shown: u64,
}

impl Shown<'_> {
    fn write_to(&self, out: impl Write) -> io::Result<()> {
        let batch = self.batch;
        let mut out = BufWriter::with_capacity(16 << 10, out);
        let now = Stamp(unix_nanos(SystemTime::now()));
        let resources = runs(batch).count();
        write!(
            out,
            "{now}\tinfo\tTraces\t{{\"resource spans\": {resources}, \"spans\": {}",
            batch.spans()
        )?;
        match self.batches_not_shown {
            0 => out.write_all(b"}\n")?,
            count => writeln!(out, ", \"batches not shown\": {count}}}")?,
        }
        match self.verbosity {
            Verbosity::Basic => {}
            Verbosity::Normal => write!(out, "{now}\tinfo\t{}", Normal(batch))?,
            Verbosity::Detailed => write!(out, "{now}\tinfo\t{}", Detailed(batch))?,
        }
        out.flush()
    }
}

impl<W: Write + Send> Exporter for DebugExporter<W> {
    fn export(&mut self, batch: Batch, reply: Reply) {
        let shown = if self.sampling.admits(Instant::now()) {
            self.show(&batch)
        } else {
            Ok(())
        };
        drop(batch);
        reply.done(match shown {
            Ok(()) => Outcome::Exported,
            // Whoever read along has gone; what was shown in part would be shown twice.
            Err(error) => Outcome::rejected(format!("debug output failed: {error}")),
        });
    }

    fn may_block(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
