//! One run: every relay does every case in turn, round after round, so that all of them see the same noise.

use std::{
    env, fs, io,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use spanwire_benches::{memory::resident, process::Process, tally::Tally};

use crate::relays::{Coding, Name};

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    rounds: usize,
    flood_millis: u64,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 7,
        flood_millis: 1500,
    };

    /// For a smoke test: the figures are worth little.
    pub const QUICK: Self = Self {
        rounds: 1,
        flood_millis: 300,
    };
}

/// One flood through one relay.
#[derive(Clone, Copy, Debug)]
pub struct Flood {
    pub sent: f64,
    pub seconds: f64,
    pub refused: f64,
    /// Of a client's call, in microseconds.
    pub median: f64,
    pub p99: f64,
    pub missing: f64,
    /// CPU of the relay in nanoseconds.
    pub cpu: f64,
    /// Heap allocations of the relay.
    pub allocations: f64,
    /// The most bytes resident in the relay that are not pages of files, less those before the first flood.
    pub resident: f64,
}

impl Flood {
    /// What the client says of it.
    fn of(answer: &[f64]) -> io::Result<Self> {
        let &[sent, seconds, refused, median, p99, missing] = answer else {
            return Err(io::Error::other("a flood is six numbers"));
        };
        Ok(Self {
            sent,
            seconds,
            refused,
            median,
            p99,
            missing,
            cpu: f64::NAN,
            allocations: f64::NAN,
            resident: f64::NAN,
        })
    }
}

/// All floods through one relay.
pub struct Case {
    pub name: Name,
    pub coding: Coding,
    pub floods: Vec<Flood>,
}

/// Runs everything.
pub fn run(effort: Effort) -> io::Result<Vec<Case>> {
    let mut chains = Vec::new();
    for coding in Coding::ALL {
        for name in Name::ALL {
            chains.push(Chain::start(name, coding)?);
        }
    }
    let case = |chain: &Chain| Case {
        name: chain.name,
        coding: chain.coding,
        floods: Vec::new(),
    };
    let mut cases: Vec<Case> = chains.iter().map(case).collect();
    for round in 0..=effort.rounds {
        eprintln!("round {round} of {}", effort.rounds);
        for (chain, case) in chains.iter_mut().zip(&mut cases) {
            let flood = chain.flood(effort.flood_millis)?;
            // The first opens connections and fills caches.
            if round > 0 {
                case.floods.push(flood);
            }
        }
    }
    Ok(cases)
}

/// Where the server listens for a relay that is not of this program.
const AT: &str = "14317";

/// Floods through a relay that somebody else has started. What it allocates is not known.
pub fn run_other(to: u16, process: u32) -> io::Result<Vec<Flood>> {
    let path = env::temp_dir().join(format!("forward-{}", std::process::id()));
    Tally::create(&path)?;
    let words = path.to_string_lossy().into_owned();
    let mut sink = Process::start(&["--sink", &words, AT])?;
    sink.hear()?;
    let mut load = Process::start(&["--load", Coding::Plain.word(), &words, &to.to_string()])?;
    let own = resident(process);
    let mut floods = Vec::new();
    for round in 0..=Effort::FULL.rounds {
        eprintln!("round {round} of {}", Effort::FULL.rounds);
        let before = process_nanos(process);
        let (answer, resident) = flood(&mut load, Effort::FULL.flood_millis, process);
        let cpu = process_nanos(process) - before;
        let mut flood = Flood::of(&answer?)?;
        (flood.cpu, flood.resident) = (cpu, resident - own);
        if round > 0 {
            floods.push(flood);
        }
    }
    // Nobody else has a use for it.
    let _ = fs::remove_file(&path);
    Ok(floods)
}

/// Floods for so long; the answer, and the most bytes resident in the relay meanwhile.
fn flood(load: &mut Process, millis: u64, relay: u32) -> (io::Result<Vec<f64>>, f64) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = f64::NAN;
            while !done.load(Relaxed) {
                most = most.max(resident(relay));
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let answer = load.ask(&millis.to_string());
        done.store(true, Relaxed);
        (answer, watch.join().unwrap_or(f64::NAN))
    })
}

/// Nanoseconds of processor time of a process, in steps of ten milliseconds.
fn process_nanos(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name, in brackets, may hold anything. utime and stime are the 12th and 13th field after it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        * 1e7
}

/// A client, a relay and a server.
struct Chain {
    name: Name,
    coding: Coding,
    path: PathBuf,
    load: Process,
    relay: Process,
    /// Bytes resident in the relay before it had anything to do.
    own: f64,
    _sink: Process,
}

impl Chain {
    fn start(name: Name, coding: Coding) -> io::Result<Self> {
        let number = name as usize + coding as usize * Name::ALL.len();
        let path = env::temp_dir().join(format!("forward-{}-{number}", std::process::id()));
        Tally::create(&path)?;
        let words = path.to_string_lossy().into_owned();
        let mut sink = Process::start(&["--sink", &words])?;
        let to = sink.hear()?;
        let mut relay = Process::start(&["--relay", name.word(), coding.word(), to.trim()])?;
        let to = relay.hear()?;
        let load = Process::start(&["--load", coding.word(), &words, to.trim()])?;
        let own = resident(relay.id());
        Ok(Self {
            name,
            coding,
            path,
            load,
            relay,
            own,
            _sink: sink,
        })
    }

    fn flood(&mut self, millis: u64) -> io::Result<Flood> {
        let before = self.relay.ask("used")?;
        let (answer, resident) = flood(&mut self.load, millis, self.relay.id());
        let after = self.relay.ask("used")?;
        let ([cpu, allocations], [cpu_before, allocations_before]) = (&after[..], &before[..])
        else {
            return Err(io::Error::other("what was used is two numbers"));
        };
        Ok(Flood {
            cpu: cpu - cpu_before,
            allocations: allocations - allocations_before,
            resident: resident - self.own,
            ..Flood::of(&answer?)?
        })
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // Nobody else has a use for it.
        let _ = fs::remove_file(&self.path);
    }
}
