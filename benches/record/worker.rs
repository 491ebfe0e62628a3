//! The process of one peer: does what the orchestrator asks on its standard input, and answers with numbers.
//!
//! Each peer has a process of its own, since some are global, and since the idle threads of one would be in the way of
//! another.

use std::{
    io::{self, BufRead, Write},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

use spanwire_benches::{
    alloc::Allocated,
    cpu::{self, Place},
};

use crate::{
    ALLOCATOR,
    peer::{FAMILY, Fate, Name, Peer, Shape},
    peers,
    protocol::{Mode, Request},
};

/// Answers until standard input ends.
pub fn run(name: Name, fate: Fate) {
    let mut bench = Bench::new(peers::build(name, fate), fate);
    for line in io::stdin().lock().lines() {
        let line = line.expect("standard input is a pipe of text");
        let request = Request::parse(&line).expect("the orchestrator speaks the same version");
        let answer = bench.answer(&request);
        let words: Vec<String> = answer.iter().map(f64::to_string).collect();
        println!("{}", words.join(" "));
        io::stdout().flush().expect("the orchestrator listens");
    }
    // Not by returning: a peer whose exporter is blocked would wait for it.
    std::process::exit(0);
}

/// How long a clock is given to learn the rate of a counter.
const CALIBRATION: Duration = Duration::from_secs(2);

/// Runs one batch after a warm-up. The orchestrator has callgrind collect only what happens inside [`measured_batch`].
pub fn run_once(name: Name, fate: Fate, shape: Shape, spans: usize) {
    let peer = peers::build(name, fate);
    peer.record(shape, spans);
    if fate != Fate::Full {
        peer.drain();
    }
    // Valgrind reads clocks slowly: only after a while is a clock that learns its rate sure of it.
    thread::sleep(CALIBRATION);
    peer.record(shape, spans);
    if fate != Fate::Full {
        peer.drain();
    }
    measured_batch(peer, shape, spans);
    std::process::exit(0);
}

#[inline(never)]
fn measured_batch(peer: &dyn Peer, shape: Shape, spans: usize) {
    peer.record(shape, spans);
}

struct Bench {
    peer: &'static dyn Peer,
    fate: Fate,
    producers: Vec<Sender<Job>>,
    done: (Sender<Done>, Receiver<Done>),
}

/// What a producer thread is asked to do.
struct Job {
    shape: Shape,
    spans: usize,
    place: Place,
    start: Arc<Barrier>,
    /// Batches follow one another until this is set.
    until: Option<Arc<AtomicBool>>,
}

/// What it did.
struct Done {
    spans: u64,
    cpu: f64,
    began: Instant,
    ended: Instant,
    allocated: Allocated,
}

impl Bench {
    fn new(peer: &'static dyn Peer, fate: Fate) -> Self {
        Self {
            peer,
            fate,
            producers: Vec::new(),
            done: channel(),
        }
    }

    fn answer(&mut self, request: &Request) -> Vec<f64> {
        match *request {
            Request::Time {
                shape,
                threads,
                mode,
                spans,
                batches,
            } => self.time(shape, threads, mode, spans, batches),
            Request::Allocations { shape, spans } => self.allocations(shape, spans),
            Request::Flood {
                shape,
                threads,
                millis,
            } => self.flood(shape, threads, Duration::from_millis(millis)),
            Request::HandOver { spans } => self.hand_over(spans),
        }
    }

    /// Four numbers a batch: producer CPU, producer wall time, CPU of all threads until drained, each in nanoseconds
    /// over the whole batch, and spans delivered.
    fn time(
        &mut self,
        shape: Shape,
        threads: usize,
        mode: Mode,
        spans: usize,
        batches: usize,
    ) -> Vec<f64> {
        let others = match mode {
            Mode::Apart => Place::Core(0),
            Mode::Beside => Place::Core(cpu::cores() - 1),
            Mode::Free => Place::Anywhere,
        };
        let own = if mode == Mode::Free {
            others
        } else {
            Place::Core(0)
        };
        cpu::pin_all_threads(others);
        let mut answer = Vec::new();
        for _ in 0..batches {
            let delivered = self.peer.delivered();
            let process = cpu::process_nanos();
            let done = self.batch(shape, threads, spans / threads, own);
            self.drain();
            let process = cpu::process_nanos() - process;
            answer.push(done.iter().map(|done| done.cpu).sum());
            answer.push(slowest(&done));
            answer.push(process as f64);
            answer.push((self.peer.delivered() - delivered) as f64);
        }
        cpu::pin_all_threads(Place::Anywhere);
        answer
    }

    /// Allocations and bytes of the producer, then of all threads until drained.
    fn allocations(&mut self, shape: Shape, spans: usize) -> Vec<f64> {
        for _ in 0..8 {
            self.batch(shape, 1, spans, Place::Anywhere);
            self.drain();
        }
        ALLOCATOR.watch(true);
        let before = ALLOCATOR.all_threads();
        let own = self.batch(shape, 1, spans, Place::Anywhere)[0].allocated;
        self.drain();
        let all = ALLOCATOR.all_threads() - before;
        ALLOCATOR.watch(false);
        [own.count, own.bytes, all.count, all.bytes]
            .map(|count| count as f64)
            .to_vec()
    }

    /// Spans made, spans delivered, wall time and CPU of all threads, flat out.
    fn flood(&mut self, shape: Shape, threads: usize, time: Duration) -> Vec<f64> {
        self.drain();
        let delivered = self.peer.delivered();
        let until = Arc::new(AtomicBool::new(false));
        let process = cpu::process_nanos();
        let start = self.post(shape, threads, 4 * FAMILY, spread, Some(&until));
        start.wait();
        thread::sleep(time);
        until.store(true, Relaxed);
        let done = self.collect(threads);
        let made: u64 = done.iter().map(|done| done.spans).sum();
        // The producers' own times: this thread may have waited for a core before it slept.
        let began = done.iter().map(|done| done.began).min();
        let ended = done.iter().map(|done| done.ended).max();
        let wall = ended
            .zip(began)
            .map_or(time, |(ended, began)| ended - began);
        self.drain();
        let process = cpu::process_nanos() - process;
        let delivered = self.peer.delivered() - delivered;
        vec![
            made as f64,
            delivered as f64,
            wall.as_nanos() as f64,
            process as f64,
        ]
    }

    /// Allocations of both threads while spans go from one to the other, or nothing when the peer was not taught to.
    fn hand_over(&self, spans: usize) -> Vec<f64> {
        let allocations = self.peer.hand_over(spans, &|| ALLOCATOR.watch(true));
        ALLOCATOR.watch(false);
        allocations.map(|count| count as f64).into_iter().collect()
    }

    fn batch(&mut self, shape: Shape, threads: usize, spans: usize, place: Place) -> Vec<Done> {
        let start = self.post(shape, threads, spans, |_| place, None);
        start.wait();
        self.collect(threads)
    }

    /// Wakes the producers. They start when the caller has waited at the barrier too.
    fn post(
        &mut self,
        shape: Shape,
        threads: usize,
        spans: usize,
        place: impl Fn(usize) -> Place,
        until: Option<&Arc<AtomicBool>>,
    ) -> Arc<Barrier> {
        while self.producers.len() < threads {
            let (sender, jobs) = channel();
            let (peer, done) = (self.peer, self.done.0.clone());
            thread::spawn(move || produce(peer, &jobs, &done));
            self.producers.push(sender);
        }
        let start = Arc::new(Barrier::new(threads + 1));
        for (number, producer) in self.producers[..threads].iter().enumerate() {
            let job = Job {
                shape,
                spans,
                place: place(number),
                start: start.clone(),
                until: until.cloned(),
            };
            producer.send(job).expect("a producer outlives its jobs");
        }
        start
    }

    fn collect(&self, threads: usize) -> Vec<Done> {
        self.done.1.iter().take(threads).collect()
    }

    /// A full queue stays full.
    fn drain(&self) {
        if self.fate != Fate::Full {
            self.peer.drain();
        }
    }
}

/// One core after the other: some systems keep threads together on one core for longer than a flood lasts, and it is not
/// their scheduler that is measured.
fn spread(number: usize) -> Place {
    Place::Core(number % cpu::cores())
}

/// Wall time of the producer that took longest, in nanoseconds.
fn slowest(done: &[Done]) -> f64 {
    let times = done.iter().map(|done| done.ended - done.began);
    times.max().unwrap_or_default().as_nanos() as f64
}

fn produce(peer: &dyn Peer, jobs: &Receiver<Job>, done: &Sender<Done>) {
    for job in jobs {
        cpu::pin_this_thread(job.place);
        job.start.wait();
        let allocated = ALLOCATOR.this_thread();
        let began = Instant::now();
        let cpu = cpu::thread_nanos();
        let mut spans = 0;
        loop {
            measured_batch(peer, job.shape, job.spans);
            spans += job.spans as u64;
            if job.until.as_ref().is_none_or(|until| until.load(Relaxed)) {
                break;
            }
        }
        let cpu = cpu::thread_nanos() - cpu;
        let ended = Instant::now();
        let allocated = ALLOCATOR.this_thread() - allocated;
        let answer = Done {
            spans,
            cpu: cpu as f64,
            began,
            ended,
            allocated,
        };
        done.send(answer).expect("the bench outlives its producers");
    }
}
