//! Spanwire. (Filled in when the tracer is there.)

use crate::peer::{Fate, Peer, Shape};

pub fn build(_fate: Fate) -> &'static dyn Peer {
    &Absent
}

struct Absent;

impl Peer for Absent {
    fn record(&self, _shape: Shape, _spans: usize) {}

    fn drain(&self) {}

    fn delivered(&self) -> u64 {
        0
    }
}
