//! Lines in files.

use core::time::Duration;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use spanwire_core::batch::Batch;
use spanwire_core::clock::Moment;
use spanwire_core::exporter::{Exporter, Outcome, Reply};

use super::lines::{late, write_line};
use super::rotation::{self, Log};

/// How long an export waits for another process that is writing to the same file.
const LOCK_WAIT: Duration = Duration::from_secs(1);

/// How long it waits before it looks again.
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// Settings of a [`FileExporter`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct FileExporterBuilder {
    path: PathBuf,
    max_bytes: u64,
    backups: u32,
    sync: bool,
    /// What is in the file is still to be removed. Clones know of one another's doing.
    stale: Arc<Mutex<bool>>,
}

impl FileExporterBuilder {
    /// The size at which a file is full, in bytes. Default: 100 MiB. A line that does not fit begins the next file; one
    /// that is larger than that has a file of its own. 0: never.
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// How many full files are kept beside the one that is written: `traces.jsonl.1` is the newest of them. Default: 3.
    /// 0: a full file is removed.
    pub const fn backups(mut self, files: u32) -> Self {
        self.backups = files;
        self
    }

    /// Whether a batch counts as exported only when the disk has it, not when the operating system has. Default: no.
    pub const fn sync(mut self, sync: bool) -> Self {
        self.sync = sync;
        self
    }

    /// Whether what is in the file is removed before the first line is written, rather than appended to. It happens once for
    /// all exporters that are built from these settings and from clones of them, and not before there is a line. Default: no.
    pub fn truncate(mut self, truncate: bool) -> Self {
        self.stale = Arc::new(Mutex::new(truncate));
        self
    }

    fn stale(&self) -> MutexGuard<'_, bool> {
        self.stale.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what is in the file now, unless a line was written already.
    #[cfg(feature = "config")]
    pub(crate) fn begin(&self) -> io::Result<()> {
        let mut stale = self.stale();
        if *stale {
            Log::open(&self.path)?.cut(0)?;
            *stale = false;
        }
        Ok(())
    }

    /// Keeps what is in the file.
    #[cfg(feature = "config")]
    pub(crate) fn go_on(&self) {
        *self.stale() = false;
    }

    /// Which file.
    #[cfg(feature = "config")]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file and closes it again, so that a path that can't be written is known at once.
    ///
    /// # Errors
    /// Those of the system.
    pub fn check(&self) -> io::Result<()> {
        Log::open(&self.path).map(drop)
    }

    /// The exporter. It opens the file with the first batch.
    #[must_use]
    pub fn build(self) -> FileExporter {
        FileExporter {
            settings: self,
            log: None,
        }
    }
}

/// Appends batches to a file as OTLP JSON lines, rotated by size.
///
/// - A batch is exported when the operating system has its whole line. A line that can't be written whole is taken
///   back, so that the file never holds half of one.
/// - A full disk, or any other failure that may pass, is answered with a retry: the batch waits within the memory
///   budget, and counts as lost when the lane gives up. A path that can't be a file that this process writes (no such
///   directory, no permission, a directory, a read-only file system) is answered with a rejection: waiting mends none of
///   these, and would hold back later spans. Each batch tries the path anew, so that a path that was mended is used.
/// - Several processes may share a file: each writes whole lines under a lock, and sees when another has rotated it.
///   The same goes for a file that a tool such as logrotate moves away.
///
/// It writes where it is called, so it has a thread of its own.
///
/// ```
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_transport::exporter::file::FileExporter;
///
/// let path = std::env::temp_dir().join(format!("spanwire-{}.jsonl", std::process::id()));
/// let file = FileExporter::builder(&path).max_bytes(1 << 20).backups(2);
/// file.check()?;
/// let pipeline = Pipeline::builder().exporter(move || file.clone().build()).build()?;
/// drop(pipeline.tracer("scope").start("GET"));
/// assert!(pipeline.shutdown(std::time::Duration::from_secs(10)).is_complete());
///
/// let line = std::fs::read_to_string(&path)?;
/// assert!(line.starts_with(r#"{"resourceSpans":["#) && line.contains(r#""name":"GET""#));
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct FileExporter {
    settings: FileExporterBuilder,
    log: Option<Log>,
}

impl FileExporter {
    /// Settings for this file, which is made when there is none, and appended to when there is one.
    pub fn builder(path: impl Into<PathBuf>) -> FileExporterBuilder {
        FileExporterBuilder {
            path: path.into(),
            max_bytes: 100 << 20,
            backups: 3,
            sync: false,
            stale: Arc::default(),
        }
    }

    /// The file that is written now.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.settings.path
    }

    fn write(&mut self, batch: &Batch, reply: &Reply) -> Result<(), Failure> {
        let path = &self.settings.path;
        let give_up = Instant::now() + LOCK_WAIT;
        loop {
            let log = match self.log.take() {
                Some(log) => log,
                None => Log::open(path)?,
            };
            let written = match log.lock()? {
                // The file may have been moved away: since the last line, or just before the lock was taken.
                Some(_lock) if log.is_at(path) => self.write_locked(&log, batch)?,
                Some(_lock) => Written::Elsewhere,
                None => Written::Busy,
            };
            match written {
                Written::Whole => {
                    self.log = Some(log);
                    return Ok(());
                }
                _ if reply.cancelled() || Instant::now() >= give_up => return Err(Failure::Busy),
                Written::Elsewhere => {}
                Written::Busy => {
                    self.log = Some(log);
                    thread::sleep(LOCK_LOOK);
                }
            }
        }
    }

    fn write_locked(&self, log: &Log, batch: &Batch) -> io::Result<Written> {
        let FileExporterBuilder {
            path,
            max_bytes,
            backups,
            sync,
            stale: _,
        } = &self.settings;
        {
            let mut stale = self.settings.stale();
            if *stale {
                log.cut(0)?;
                *stale = false;
            }
        }
        log.end_line()?;
        let before = log.len()?;
        log.append(|file| write_line(file, batch))?;
        let is_full = *max_bytes > 0 && log.len()? > *max_bytes;
        if is_full && before > 0 {
            // Its length is known only now. The line begins the next file.
            log.cut(before)?;
            rotation::rotate(path, *backups)?;
            return Ok(Written::Elsewhere);
        }
        if *sync {
            log.sync()?;
        }
        Ok(Written::Whole)
    }
}

enum Written {
    Whole,
    /// Not yet: the path leads to another file now.
    Elsewhere,
    /// Not yet: another process is writing.
    Busy,
}

impl Exporter for FileExporter {
    fn export(&mut self, batch: Batch, reply: Reply) {
        if reply.cancelled() {
            return late(batch, reply);
        }
        let written = self.write(&batch, &reply);
        drop(batch);
        reply.done(match written {
            Ok(()) => Outcome::Exported,
            Err(failure) => failure.outcome(self.path()),
        });
    }

    fn may_block(&self) -> bool {
        true
    }

    fn shutdown(&mut self, _: Moment) {
        if let Some(log) = self.log.take() {
            // The operating system has every line; whether the disk has them too was answered where it was asked for.
            let _ = log.sync();
        }
    }
}

/// Why a line was not written.
#[derive(Debug)]
enum Failure {
    Io(io::Error),
    /// Other processes have been at the file all the while.
    Busy,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Failure {
    fn outcome(&self, path: &Path) -> Outcome {
        let reason = format!("{}: {self}", path.display());
        match self {
            Self::Io(error) if is_final(error.kind()) => Outcome::rejected(reason),
            _ => Outcome::retry(reason),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Busy => f.write_str("other processes keep the file busy"),
        }
    }
}

/// Whether the path can't be a file that this process writes, however long it waits.
const fn is_final(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        ReadOnlyFilesystem, Unsupported,
    };
    matches!(
        kind,
        NotFound
            | PermissionDenied
            | NotADirectory
            | IsADirectory
            | ReadOnlyFilesystem
            | InvalidFilename
            | InvalidInput
            | Unsupported
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_retried_and_what_stays_is_not() {
        let outcome = |kind: io::ErrorKind| Failure::Io(kind.into()).outcome(Path::new("t.jsonl"));
        for kind in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::Interrupted,
            io::ErrorKind::Other,
        ] {
            assert!(matches!(
                outcome(kind),
                Outcome::Retry {
                    after: None,
                    possibly_stored: false,
                    ..
                }
            ));
        }
        for kind in [io::ErrorKind::NotFound, io::ErrorKind::PermissionDenied] {
            assert!(
                matches!(outcome(kind), Outcome::Rejected { .. }),
                "{kind:?}"
            );
        }
        let text = outcome(io::ErrorKind::StorageFull).to_string();
        assert_eq!(text, "not exported yet: t.jsonl: no storage space");
        assert!(matches!(
            Failure::Busy.outcome(Path::new("t")),
            Outcome::Retry { .. }
        ));
    }
}
