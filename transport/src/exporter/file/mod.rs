//! Batches as OTLP JSON lines.
//!
//! [`FileExporter`] appends to a file, one request a line, and starts a new one when it has reached its size.
//! [`LinesExporter`] writes the same lines to any writer: to standard output, so that the next command of a pipe reads
//! them.
//!
//! OTLP file exporter specification: UTF-8, one `TracesData` a line, `\n` at its end, usually a name in `.jsonl`.

// A writer that is given lines.
mod lines;

// A file, and those before it.
mod rotation;

// Lines in files.
mod exporter;

pub use exporter::{FileExporter, FileExporterBuilder};
pub use lines::LinesExporter;
