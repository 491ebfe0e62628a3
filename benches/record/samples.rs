//! What was measured of one case, and what is made of it: medians and minima.

use spanwire_benches::figure::median;

/// The batches of one peer in one case. Times are nanoseconds a span.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// CPU of the producing threads.
    cpu: Vec<f64>,
    /// From first to last span on the slowest producing thread.
    wall: Vec<f64>,
    /// CPU of all threads until drained, whole batches.
    all: Vec<f64>,
    /// The same for a batch of no spans.
    idle: Vec<f64>,
    /// Spans delivered for each span made.
    delivered: Vec<f64>,
    spans: f64,
    /// Of a batch: allocations and bytes of the producer, then of all threads.
    pub allocations: Vec<f64>,
}

impl Samples {
    /// Adds the answers of a worker: `full` for batches of `spans` spans, `empty` for batches of none.
    pub fn add(&mut self, full: &[f64], empty: &[f64], threads: usize, spans: usize) {
        let spans = spans as f64;
        self.spans = spans;
        // What reading the clocks costs is in the empty batch too.
        let nothing = median(empty.chunks_exact(4).map(|batch| batch[0]));
        let pause = median(empty.chunks_exact(4).map(|batch| batch[1]));
        for batch in full.chunks_exact(4) {
            self.cpu.push((batch[0] - nothing).max(0.0) / spans);
            self.wall
                .push((batch[1] - pause).max(0.0) * threads as f64 / spans);
            self.all.push(batch[2]);
            self.delivered.push(batch[3] / spans);
        }
        self.idle
            .extend(empty.chunks_exact(4).map(|batch| batch[2]));
    }

    /// CPU of the producing threads, nanoseconds a span: median.
    pub fn cpu(&self) -> f64 {
        median(self.cpu.iter().copied())
    }

    /// CPU of the producing threads, nanoseconds a span: minimum.
    pub fn cpu_min(&self) -> f64 {
        self.cpu.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Wall time of a producing thread, nanoseconds a span of that thread: median.
    pub fn wall(&self) -> f64 {
        median(self.wall.iter().copied())
    }

    /// CPU of all threads until drained, less an empty batch, nanoseconds a span.
    pub fn all(&self) -> f64 {
        let idle = median(self.idle.iter().copied());
        (median(self.all.iter().copied()) - idle).max(0.0) / self.spans
    }

    /// The smallest share of a batch that reached the end of the road.
    pub fn delivered(&self) -> f64 {
        self.delivered.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// Allocations a span: of the producer, of all threads; then bytes of both. Unknown for most cases.
    pub fn allocated(&self) -> Option<Allocated> {
        let [count, bytes, all_count, all_bytes] = *self.allocations.first_chunk::<4>()?;
        let spans = self.spans;
        Some(Allocated {
            count: count / spans,
            bytes: bytes / spans,
            all_count: all_count / spans,
            all_bytes: all_bytes / spans,
        })
    }
}

/// Heap use a span.
#[derive(Clone, Copy, Debug)]
pub struct Allocated {
    pub count: f64,
    pub bytes: f64,
    pub all_count: f64,
    pub all_bytes: f64,
}

/// The runs of one peer flat out.
#[derive(Clone, Debug, Default)]
pub struct Floods {
    rates: Vec<f64>,
    pub made: f64,
    pub delivered: f64,
    cpu: Vec<f64>,
}

impl Floods {
    /// Adds the answer of a worker.
    pub fn add(&mut self, answer: &[f64]) {
        if let [made, delivered, wall, cpu] = *answer {
            self.rates.push(made / wall * 1e9);
            self.made += made;
            self.delivered += delivered;
            self.cpu.push(cpu / made);
        }
    }

    /// Spans a second: median.
    pub fn rate(&self) -> f64 {
        median(self.rates.iter().copied())
    }

    /// CPU of all threads, nanoseconds a span made: median.
    pub fn cpu(&self) -> f64 {
        median(self.cpu.iter().copied())
    }
}
