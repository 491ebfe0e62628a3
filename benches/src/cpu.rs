//! Processor time, and which core runs what.

use std::{fs, io, sync::OnceLock, time::Instant};

/// Nanoseconds of processor time this thread has used. Reading it is a system call, about 200 ns.
#[must_use]
pub fn thread_nanos() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// Nanoseconds of processor time all threads of the process have used.
#[must_use]
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

/// Watches what the rest of the machine does meanwhile.
#[derive(Debug)]
pub struct Neighbours {
    since: Instant,
    busy: f64,
    own: f64,
}

impl Neighbours {
    /// From now on.
    #[must_use]
    pub fn watch() -> Self {
        Self {
            since: Instant::now(),
            busy: machine_seconds(),
            own: own_seconds(),
        }
    }

    /// Cores kept busy by others since then. Processes of ours count as ours once they have ended.
    fn cores(&self) -> f64 {
        let others = (machine_seconds() - self.busy) - (own_seconds() - self.own);
        others.max(0.0) / self.since.elapsed().as_secs_f64()
    }

    /// That in words: how far the run can be trusted.
    #[must_use]
    pub fn told(&self) -> String {
        format!(
            "Other processes kept {:.2} cores busy while this ran.",
            self.cores()
        )
    }
}

/// Seconds all cores were busy since the machine started.
fn machine_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let times = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1);
    let times: Vec<f64> = times.filter_map(|ticks| ticks.parse().ok()).collect();
    // user, nice, system, idle, iowait, irq, softirq, in hundredths of a second.
    let busy = [0, 1, 2, 5, 6].iter().filter_map(|&field| times.get(field));
    busy.sum::<f64>() / 100.0
}

/// Seconds of processor time of this process and its ended children.
fn own_seconds() -> f64 {
    let seconds = |who| {
        // SAFETY: `rusage` is made of integers, for which zero is a value.
        let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
        // SAFETY: `usage` is a valid place for one `rusage`.
        unsafe { libc::getrusage(who, &raw mut usage) };
        let sum = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
        sum(usage.ru_utime) + sum(usage.ru_stime)
    };
    seconds(libc::RUSAGE_SELF) + seconds(libc::RUSAGE_CHILDREN)
}

/// The cores this process may use, as it was when it started: a thread that was moved to one core sees only that one.
#[must_use]
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// Where a thread may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this one only, counted from zero.
    Core(usize),
    /// Where the scheduler likes.
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
