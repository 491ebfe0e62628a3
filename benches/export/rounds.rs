//! One run: every peer does every case in turn, round after round, so that all of them see the same noise.

use std::{
    env, fs, io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use spanwire_benches::{process::Process, sink::Mood, tally::Tally};
use spanwire_core::engine::Retry;

use crate::peers::Name;

/// Spans a second that every peer can make.
pub const CALM: u64 = 10_000;

/// Spans a second that are a lot.
pub const BUSY: u64 = 100_000;

/// How long a run takes, in milliseconds where nothing else is said.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    pub flood: u64,
    pub calm_rounds: usize,
    pub calm: u64,
    /// Spanwire before a server that takes 10 ms, and the others.
    pub far: [u64; 2],
    /// Spanwire before a server that is in trouble, and the others.
    pub trouble: [u64; 2],
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 7,
        flood: 800,
        calm_rounds: 5,
        calm: 3000,
        far: [30_000, 5000],
        trouble: [14_000, 4000],
    };

    /// For a smoke test: the figures are worth little.
    pub const QUICK: Self = Self {
        rounds: 1,
        flood: 200,
        calm_rounds: 1,
        calm: 500,
        far: [1000, 500],
        trouble: [1500, 500],
    };

    /// The same, with a server that is in trouble for so long before Spanwire.
    pub const fn with_trouble(self, seconds: u64) -> Self {
        Self {
            trouble: [seconds * 1000, self.trouble[1]],
            ..self
        }
    }

    /// What is for Spanwire, or for the others.
    pub const fn of(pair: [u64; 2], name: Name) -> u64 {
        match name {
            Name::Spanwire => pair[0],
            _ => pair[1],
        }
    }
}

/// Everything a run has measured.
#[derive(Default)]
pub struct Figures {
    pub floods: Vec<(Name, Vec<Flood>)>,
    pub calm: Vec<(Name, Vec<Offered>)>,
    pub far: Vec<(Name, Offered)>,
    pub troubles: Vec<(Name, Mood, Trouble)>,
}

/// Flat out.
pub struct Flood {
    pub made: f64,
    pub seconds: f64,
    /// CPU of the client, nanoseconds.
    pub cpu: f64,
    pub missing: f64,
    /// CPU of the producer while it records, nanoseconds.
    pub recording: f64,
}

/// Spans at a rate.
#[derive(Clone, Copy)]
pub struct Offered {
    pub seconds: f64,
    pub made: f64,
    /// CPU of the client, nanoseconds; less that of a client that makes none.
    pub cpu: f64,
    /// CPU of the producer while it records, nanoseconds a span.
    pub recording: f64,
    /// The most bytes resident above the start.
    pub resident: f64,
    /// Made, and not counted by the server after a flush.
    pub missing: f64,
}

/// What a server in trouble does to its client.
pub struct Trouble {
    pub before: Offered,
    pub during: Offered,
    /// For as long as a peer may take to recover; then for a while longer.
    pub after: [Offered; 2],
    /// Seconds from the end of the trouble to the first span that was counted. Infinite: none was.
    pub recovery: f64,
    /// What the peer says it has lost of what was made once it had had the time to recover.
    pub late: Option<f64>,
    /// Made and not counted over all of it, after a flush.
    pub missing: f64,
    /// What the peer says it has lost.
    pub told: Option<f64>,
}

impl Trouble {
    /// All spans that were made.
    pub fn made(&self) -> f64 {
        let after: f64 = self.after.iter().map(|offered| offered.made).sum();
        self.before.made + self.during.made + after
    }
}

/// The longest back-off that what was refused first may have come to after so many seconds, its jitter included.
pub fn interval(seconds: f64) -> f64 {
    let retry = Retry::default();
    let mut wait = retry.initial.as_secs_f64();
    let mut due = wait;
    while due < seconds {
        wait = (wait * f64::from(retry.multiplier_percent) / 100.0).min(retry.max.as_secs_f64());
        due += wait;
    }
    wait * (1.0 + f64::from(retry.jitter_percent) / 100.0)
}

/// Runs everything.
pub fn run(effort: Effort) -> io::Result<Figures> {
    let mut pairs = Vec::new();
    for name in Name::ALL {
        pairs.push(Pair::start(name)?);
    }
    let mut figures = Figures {
        floods: Name::ALL.map(|name| (name, Vec::new())).into(),
        calm: Name::LIBRARIES.map(|name| (name, Vec::new())).into(),
        ..Figures::default()
    };
    for round in 0..effort.calm_rounds {
        eprintln!("{CALM} spans a second, round {}", round + 1);
        for (name, samples) in &mut figures.calm {
            for pair in pairs.iter_mut().filter(|pair| pair.name == *name) {
                let idle = pair.offer(0, effort.calm)?;
                let mut offered = pair.offer_and_settle(CALM, effort.calm)?;
                offered.cpu = (offered.cpu - idle.cpu).max(0.0);
                samples.push(offered);
            }
        }
    }
    for round in 0..effort.rounds {
        eprintln!("flat out, round {}", round + 1);
        for (pair, (_, samples)) in pairs.iter_mut().zip(&mut figures.floods) {
            samples.push(pair.flood(effort.flood)?);
        }
    }
    for pair in pairs.iter_mut().filter(|pair| pair.name != Name::Raw) {
        eprintln!("a server 10 ms away: {}", pair.name.word());
        pair.mood(Mood::After(10))?;
        let offered = pair.offer_and_settle(BUSY, Effort::of(effort.far, pair.name))?;
        pair.mood(Mood::After(0))?;
        figures.far.push((pair.name, offered));
    }
    Ok(figures)
}

/// Runs what befalls the clients of servers that are in trouble.
pub fn troubles(effort: Effort) -> io::Result<Figures> {
    let mut figures = Figures::default();
    for mood in [Mood::Stuck, Mood::Refusing] {
        // fastrace keeps everything and asks for all the memory there is.
        for name in [Name::Spanwire, Name::OpenTelemetry] {
            eprintln!("a server that is {}: {}", mood.word(), name.word());
            let mut pair = Pair::start(name)?;
            let trouble = pair.trouble(mood, Effort::of(effort.trouble, name))?;
            figures.troubles.push((name, mood, trouble));
        }
    }
    Ok(figures)
}

/// A client and its server.
struct Pair {
    name: Name,
    tally: Tally,
    path: PathBuf,
    sink: Process,
    client: Process,
}

impl Pair {
    fn start(name: Name) -> io::Result<Self> {
        let number = name as usize;
        let path = env::temp_dir().join(format!("tally-{}-{number}", std::process::id()));
        let tally = Tally::create(&path)?;
        let words = path.to_string_lossy().into_owned();
        let mut sink = Process::start(&["--sink", &words])?;
        let port = sink.hear()?;
        let client = Process::start(&["--client", name.word(), &words, port.trim()])?;
        let mut pair = Self {
            name,
            tally,
            path,
            sink,
            client,
        };
        // It answers once its first spans have come to the server.
        pair.told("told")?;
        Ok(pair)
    }

    fn mood(&mut self, mood: Mood) -> io::Result<()> {
        self.sink.say(&mood.word())?;
        // It is heard by another thread than the one that answers.
        thread::sleep(Duration::from_millis(20));
        Ok(())
    }

    fn flood(&mut self, millis: u64) -> io::Result<Flood> {
        let answer = self.client.ask(&format!("flood {millis}"))?;
        let [made, seconds, cpu, missing, recording] = answer[..] else {
            return Err(io::Error::other("a flood is five numbers"));
        };
        Ok(Flood {
            made,
            seconds,
            cpu,
            missing,
            recording,
        })
    }

    fn offer(&mut self, rate: u64, millis: u64) -> io::Result<Offered> {
        self.begin_offer(rate, millis)?;
        self.end_offer(millis)
    }

    fn begin_offer(&mut self, rate: u64, millis: u64) -> io::Result<()> {
        self.client.say(&format!("offer {rate} {millis}"))
    }

    fn end_offer(&mut self, millis: u64) -> io::Result<Offered> {
        let answer = self.client.numbers()?;
        let [made, cpu, recording, resident] = answer[..] else {
            return Err(io::Error::other("an offer is four numbers"));
        };
        Ok(Offered {
            seconds: millis as f64 / 1e3,
            made,
            cpu,
            recording: recording / made.max(1.0),
            resident,
            missing: 0.0,
        })
    }

    fn offer_and_settle(&mut self, rate: u64, millis: u64) -> io::Result<Offered> {
        self.client.ask("lost")?;
        let before = self.tally.spans();
        let mut offered = self.offer(rate, millis)?;
        self.client.ask("lost")?;
        self.settle();
        offered.missing = offered.made - (self.tally.spans() - before) as f64;
        Ok(offered)
    }

    fn trouble(&mut self, mood: Mood, millis: u64) -> io::Result<Trouble> {
        self.settle();
        let start = self.tally.spans();
        let before = self.offer(BUSY, millis / 2)?;
        self.mood(mood)?;
        let during = self.offer(BUSY, millis)?;
        let stuck = self.tally.spans();
        let relief = Instant::now();
        self.sink.say(&Mood::After(0).word())?;
        // Spans go on to come: a client that has recovered takes them as before.
        let pause = (interval(during.seconds) * 1e3) as u64;
        self.begin_offer(BUSY, pause)?;
        let is_over = || relief.elapsed() >= Duration::from_millis(pause);
        while self.tally.spans() == stuck && !is_over() {
            thread::sleep(Duration::from_millis(1));
        }
        let recovery = match self.tally.spans() == stuck {
            true => f64::INFINITY,
            false => relief.elapsed().as_secs_f64(),
        };
        let pause = self.end_offer(pause)?;
        let early = self.told("told")?;
        let then = self.offer(BUSY, millis / 2)?;
        let told = self.told("lost")?;
        self.settle();
        let counted = (self.tally.spans() - start) as f64;
        let mut trouble = Trouble {
            missing: 0.0,
            late: told.zip(early).map(|(told, early)| told - early),
            told,
            before,
            during,
            after: [pause, then],
            recovery,
        };
        trouble.missing = trouble.made() - counted;
        Ok(trouble)
    }

    /// What the client says that it has lost so far.
    fn told(&mut self, request: &str) -> io::Result<Option<f64>> {
        let told = self.client.ask(request)?;
        Ok(told.first().copied().filter(|told| *told >= 0.0))
    }

    /// Waits until the server counts nothing more.
    fn settle(&self) {
        let mut last = self.tally.spans();
        loop {
            thread::sleep(Duration::from_millis(300));
            if self.tally.spans() == last {
                return;
            }
            last = self.tally.spans();
        }
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // Nobody else has a use for it.
        let _ = fs::remove_file(&self.path);
    }
}
