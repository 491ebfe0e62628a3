//! Lines to a writer.

use std::io::{self, BufWriter, Write};

use spanwire_core::batch::Batch;
use spanwire_core::clock::Moment;
use spanwire_core::exporter::{Exporter, Outcome, Reply};

use crate::otlp::json::Json;

/// Bytes gathered before they are written.
pub(super) const BUFFER: usize = 64 << 10;

/// Writes a line, and waits until `out` has taken all of it.
pub(super) fn write_line<W: Write>(out: W, batch: &Batch) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BUFFER, out);
    let written = Json::batch(batch)
        .write_to(&mut out)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    if written.is_err() {
        // What is still gathered belongs to a line that has failed.
        let _ = out.into_parts();
    }
    written
}

/// Lets a batch go that nobody waits for any more: it comes again, and is not to be written twice.
pub(super) fn late(batch: Batch, reply: Reply) {
    drop(batch);
    reply.done(Outcome::retry("out of time before the batch was written"));
}

/// Writes batches as OTLP JSON lines to a writer, such as standard output.
///
/// It writes where it is called, so it has a thread of its own. A batch that can't be written is rejected and its spans
/// are counted as lost: part of its line may be out, and sending it again would spoil the next.
///
/// ```
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_transport::exporter::file::LinesExporter;
///
/// let pipeline = Pipeline::builder().exporter(LinesExporter::stdout).build()?;
/// # drop(pipeline);
/// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
/// ```
#[derive(Debug)]
pub struct LinesExporter<W> {
    out: W,
    line: fn(&mut W, &Batch) -> io::Result<()>,
    /// The line before failed and may lack its end.
    torn: bool,
}

impl LinesExporter<io::Stdout> {
    /// Writes lines to standard output, which is locked for one line at a time: whatever else the program prints there comes
    /// between lines.
    #[must_use]
    pub fn stdout() -> Self {
        Self {
            line: |out, batch| write_line(out.lock(), batch),
            ..Self::new(io::stdout())
        }
    }
}

impl<W: Write> LinesExporter<W> {
    /// Writes lines to this writer, which need not be buffered.
    #[must_use]
    pub const fn new(out: W) -> Self {
        Self {
            out,
            line: |out, batch| write_line(out, batch),
            torn: false,
        }
    }

    fn write(&mut self, batch: &Batch) -> io::Result<()> {
        if self.torn {
            self.out.write_all(b"\n")?;
            self.torn = false;
        }
        (self.line)(&mut self.out, batch)
            .and_then(|()| self.out.flush())
            .inspect_err(|_| self.torn = true)
    }
}

impl<W: Write + Send> Exporter for LinesExporter<W> {
    fn export(&mut self, batch: Batch, reply: Reply) {
        if reply.cancelled() {
            return late(batch, reply);
        }
        let written = self.write(&batch);
        drop(batch);
        reply.done(match written {
            Ok(()) => Outcome::Exported,
            Err(error) => Outcome::rejected(format!("output failed: {error}")),
        });
    }

    fn may_block(&self) -> bool {
        true
    }

    fn shutdown(&mut self, _: Moment) {
        // Each line was flushed when it was written; a failure here loses none.
        let _ = self.out.flush();
    }
}
