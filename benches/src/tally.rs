//! How many spans the server has counted, in memory that it shares with its client and with the orchestrator: reading it
//! costs the client no system call, and the server no answer.

use std::{
    fs::{File, OpenOptions},
    io,
    os::fd::AsRawFd,
    path::Path,
    ptr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// One page, kept until the process ends.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    counted: &'static AtomicU64,
}

impl Tally {
    /// A new one.
    ///
    /// # Errors
    ///
    /// There is a file of that name, or none can be made.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)?;
        file.set_len(4096)?;
        Self::of(&file)
    }

    /// The one that another process has created.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn open(path: &str) -> io::Result<Self> {
        Self::of(&OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn of(file: &File) -> io::Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses a place where nothing else is.
        let page = unsafe {
            libc::mmap(
                ptr::null_mut(),
                4096,
                access,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a page is aligned, long enough, zero at first, never unmapped, and touched as an atomic by everybody.
        let counted = unsafe { AtomicU64::from_ptr(page.cast()) };
        Ok(Self { counted })
    }

    /// Spans in all requests that were answered well.
    #[must_use]
    pub fn spans(self) -> u64 {
        self.counted.load(Relaxed)
    }

    /// So many more.
    pub fn add(self, spans: u64) {
        self.counted.fetch_add(spans, Relaxed);
    }
}
