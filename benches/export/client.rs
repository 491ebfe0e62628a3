//! The process of one peer: makes spans as it is told on its standard input, and answers with numbers.

use std::{
    io::{self, BufRead, Write},
    thread,
    time::{Duration, Instant},
};

use spanwire_benches::{
    cpu::{self, Place},
    memory,
    tally::Tally,
};

use crate::peers::{self, Name, Peer};

/// Spans that are offered at a rate come in handfuls this far apart: few wake-ups, and fewer spans than the SDK queues.
const TICK: Duration = Duration::from_millis(10);

/// How long a producer waits before it looks at the window again.
const LOOK: Duration = Duration::from_millis(1);

/// What becomes of spans after the last one was made.
const SETTLE: Duration = Duration::from_secs(15);

pub fn run(name: Name, tally: &str, port: u16) -> io::Result<()> {
    let tally = Tally::open(tally)?;
    let own = resident();
    let client = Client {
        peer: peers::build(name, port),
        name,
        tally,
        own,
    };
    // The first spans open connections and fill caches.
    client.peer.record(client.name.chunk());
    client.peer.flush();
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<u64>().ok());
        let answer = match (words.first().copied(), number(1), number(2)) {
            (Some("flood"), Some(millis), _) => client.flood(Duration::from_millis(millis)),
            (Some("offer"), Some(rate), Some(millis)) => {
                client.offer(rate, Duration::from_millis(millis))
            }
            (Some("lost"), ..) => client.lost(),
            (Some("told"), ..) => client.told(),
            _ => return Err(io::Error::other(format!("unknown: {line}"))),
        };
        let words: Vec<String> = answer.iter().map(f64::to_string).collect();
        println!("{}", words.join(" "));
        io::stdout().flush()?;
    }
    // Not by returning: a peer may wait for a server that is gone.
    std::process::exit(0);
}

struct Client {
    peer: &'static dyn Peer,
    name: Name,
    tally: Tally,
    /// Resident before the peer was set up, in bytes.
    own: f64,
}

impl Client {
    /// Flat out, for so long; then until the server has counted them. Spans made, seconds until the last was counted, CPU
    /// of the process in nanoseconds, spans that were not counted, CPU of the producer while it records.
    fn flood(&self, length: Duration) -> Vec<f64> {
        self.spread();
        let before = self.tally.spans();
        let began = Instant::now();
        let cpu = cpu::process_nanos();
        let mut made = 0;
        let mut recording = 0;
        while began.elapsed() < length {
            if made - (self.tally.spans() - before) + self.name.chunk() as u64 > self.name.window()
            {
                self.peer.nudge();
                thread::sleep(LOOK);
                continue;
            }
            let start = cpu::thread_nanos();
            self.peer.record(self.name.chunk());
            recording += cpu::thread_nanos() - start;
            made += self.name.chunk() as u64;
        }
        self.peer.flush();
        let last = self.await_count(before + made);
        let cpu = cpu::process_nanos() - cpu;
        let missing = (before + made).saturating_sub(self.tally.spans());
        vec![
            made as f64,
            (last - began).as_secs_f64(),
            cpu as f64,
            missing as f64,
            recording as f64,
        ]
    }

    /// A rate, for so long. Spans made, CPU of the process in nanoseconds, of the producer while it records, the most
    /// bytes resident above the start.
    fn offer(&self, rate: u64, length: Duration) -> Vec<f64> {
        self.spread();
        let began = Instant::now();
        let cpu = cpu::process_nanos();
        let mut recording = 0;
        let mut made = 0_u64;
        let mut most = 0.0_f64;
        for tick in 1.. {
            let due = TICK * tick;
            if due > length {
                break;
            }
            thread::sleep((began + due).saturating_duration_since(Instant::now()));
            let all = (rate as u128 * due.as_millis() / 1000) as u64;
            let start = cpu::thread_nanos();
            self.peer.record((all - made) as usize);
            recording += cpu::thread_nanos() - start;
            made = all;
            if tick % 50 == 0 {
                most = most.max(resident() - self.own);
            }
        }
        let cpu = cpu::process_nanos() - cpu;
        vec![made as f64, cpu as f64, recording as f64, most]
    }

    /// Flushes; then what the peer says it has lost since the start, or -1.
    fn lost(&self) -> Vec<f64> {
        self.peer.flush();
        self.told()
    }

    /// What the peer says it has lost since the start, or -1.
    fn told(&self) -> Vec<f64> {
        vec![self.peer.lost().map_or(-1.0, |lost| lost as f64)]
    }

    /// When the server had counted so many, or does not count any more.
    fn await_count(&self, goal: u64) -> Instant {
        let began = Instant::now();
        let mut last = (self.tally.spans(), began);
        while last.0 < goal && last.1.elapsed() < Duration::from_secs(2) && began.elapsed() < SETTLE
        {
            thread::sleep(LOOK);
            let now = self.tally.spans();
            if now != last.0 {
                last = (now, Instant::now());
            }
        }
        last.1
    }

    /// The producer on one core, everything else of the process on the other: some systems keep threads together on one
    /// core for longer than a flood lasts, and it is not their scheduler that is measured.
    fn spread(&self) {
        cpu::pin_all_threads(Place::Core(cpu::cores() - 1));
        cpu::pin_this_thread(Place::Core(0));
    }
}

/// Bytes resident in this process.
fn resident() -> f64 {
    memory::resident(std::process::id())
}
