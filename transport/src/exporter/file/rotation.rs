//! A file that lines are appended to, and those it was before.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The name of the `number`-th backup: `traces.jsonl.1` is the newest.
pub(super) fn backup(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

/// Makes way for a new file: the file becomes the first backup, each backup the next, the last one goes.
pub(super) fn rotate(path: &Path, backups: u32) -> io::Result<()> {
    if backups == 0 {
        return gone_is_fine(fs::remove_file(path));
    }
    // Down to the first that is missing, none behind it has to move.
    let last = (1..backups)
        .find(|number| !backup(path, *number).exists())
        .unwrap_or(backups);
    for number in (1..last).rev() {
        gone_is_fine(fs::rename(backup(path, number), backup(path, number + 1)))?;
    }
    gone_is_fine(fs::rename(path, backup(path, 1)))
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// The open file.
#[derive(Debug)]
pub(super) struct Log {
    file: File,
}

impl Log {
    /// Opens the file, and makes it if there is none.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true).read(true);
        let file = options.open(path)?;
        // A directory can't be opened so; what else is no file (a pipe, a device) can't be cut back.
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(Self { file })
    }

    /// Keeps other processes that write lines to the same file away until the lock is dropped. `None`: one of them is
    /// writing now.
    pub(super) fn lock(&self) -> io::Result<Option<Lock<'_>>> {
        match self.file.try_lock() {
            Ok(()) => Ok(Some(Lock(Some(&self.file)))),
            Err(TryLockError::WouldBlock) => Ok(None),
            // Some file systems have no locks: there, whoever shares a file is on his own.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Some(Lock(None)))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Whether the path still leads to this file. Another process may have rotated it.
    pub(super) fn is_at(&self, path: &Path) -> bool {
        let (Ok(here), Ok(there)) = (self.file.metadata(), fs::metadata(path)) else {
            return false;
        };
        same_file(&here, &there)
    }

    pub(super) fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Ends a line that somebody left without an end, so that the next one begins on its own.
    pub(super) fn end_line(&self) -> io::Result<()> {
        if self.len()? == 0 {
            return Ok(());
        }
        let mut file = &self.file;
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last == *b"\n" {
            return Ok(());
        }
        file.write_all(b"\n")
    }

    /// Appends what `write` writes, or nothing: on failure the file is cut back to what it was.
    pub(super) fn append(&self, write: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let len = self.len()?;
        write(&self.file).inspect_err(|_| {
            // If this fails too, the next line begins with the end of this one.
            let _ = self.cut(len);
        })
    }

    /// Takes back what was appended behind `len`.
    pub(super) fn cut(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    /// Waits until the disk has what was written.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Other processes are kept away.
pub(super) struct Lock<'a>(Option<&'a File>);

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0 {
            // It goes with the file at the latest.
            let _ = file.unlock();
        }
    }
}

#[cfg(unix)]
fn same_file(here: &fs::Metadata, there: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (here.dev(), here.ino()) == (there.dev(), there.ino())
}

/// Where files have no numbers, an open one can't be moved away.
#[cfg(not(unix))]
fn same_file(_: &fs::Metadata, there: &fs::Metadata) -> bool {
    there.is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("spanwire-{}-{name}", std::process::id()))
    }

    #[test]
    fn a_line_that_fails_half_way_leaves_nothing_behind() {
        let path = path("half");
        let log = Log::open(&path).unwrap();
        log.append(|mut file| file.write_all(b"one\n")).unwrap();
        let full = log.append(|mut file| {
            file.write_all(b"tw")?;
            Err(io::ErrorKind::StorageFull.into())
        });
        assert_eq!(full.unwrap_err().kind(), io::ErrorKind::StorageFull);
        log.append(|mut file| file.write_all(b"three\n")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\nthree\n");
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn one_lock_keeps_out_another() {
        let path = path("lock");
        let (one, two) = (Log::open(&path).unwrap(), Log::open(&path).unwrap());
        let held = one.lock().unwrap().unwrap();
        assert!(two.lock().unwrap().is_none());
        drop(held);
        assert!(two.lock().unwrap().is_some());
        fs::remove_file(path).unwrap();
    }
}
