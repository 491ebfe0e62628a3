//! Processor time, and which core runs what.

use std::{fs, io};

/// Nanoseconds of processor time this thread has used. Reading it is a system call, about 200 ns.
pub fn thread_nanos() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Nanoseconds of processor time all threads of the process have used.
pub fn process_nanos() -> u64 {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for one `timespec`.
    let outcome = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(
        outcome,
        0,
        "a clock of the process cannot be read: {}",
        io::Error::last_os_error()
    );
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Where a thread may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Core(usize),
    Anywhere,
}

/// Moves the calling thread.
pub fn pin_this_thread(place: Place) {
    pin(0, place);
}

/// Moves every thread of the process, those of the peers too.
pub fn pin_all_threads(place: Place) {
    let Ok(threads) = fs::read_dir("/proc/self/task") else {
        return;
    };
    for thread in threads.flatten() {
        if let Some(id) = thread
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            pin(id, place);
        }
    }
}

/// A thread that ended meanwhile cannot be moved, and need not be.
fn pin(thread: libc::pid_t, place: Place) {
    let mut bits = [0_u8; size_of::<libc::cpu_set_t>()];
    for core in 0..cores() {
        if place == Place::Anywhere || place == Place::Core(core) {
            bits[core / 8] |= 1 << (core % 8);
        }
    }
    // SAFETY: the mask is as long as it is said to be; the kernel only reads it.
    unsafe { libc::sched_setaffinity(thread, bits.len(), bits.as_ptr().cast()) };
}
