//! A process as the system sees it.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use spanwire_benches::memory::high_water;

/// Looks every few milliseconds until it is asked what it has seen.
pub struct Watch {
    process: u32,
    descriptors: usize,
    ended: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    thread: JoinHandle<()>,
}

/// What was seen.
pub struct Most {
    /// The most bytes that ever were resident, as the kernel has it: pages of the program's file are in it.
    pub resident: f64,
    pub descriptors_before: usize,
    pub descriptors: usize,
}

impl Watch {
    pub fn start(process: u32) -> Self {
        let before = descriptors(process);
        let (ended, most) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let thread = thread::spawn({
            let (ended, most): (_, Arc<AtomicUsize>) = (ended.clone(), Arc::clone(&most));
            move || {
                while !ended.load(Relaxed) {
                    most.fetch_max(descriptors(process), Relaxed);
                    thread::sleep(Duration::from_millis(20));
                }
            }
        });
        Self {
            process,
            descriptors: before,
            ended,
            most,
            thread,
        }
    }

    pub fn descriptors_before(&self) -> usize {
        self.descriptors
    }

    pub fn end(self) -> Most {
        self.ended.store(true, Relaxed);
        // It does nothing that could panic.
        let _ = self.thread.join();
        Most {
            resident: high_water(self.process),
            descriptors_before: self.descriptors,
            descriptors: self.most.load(Relaxed),
        }
    }
}

/// Descriptors that a process has open.
pub fn descriptors(process: u32) -> usize {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, Iterator::count)
}
