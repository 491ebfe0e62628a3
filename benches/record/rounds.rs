//! One run: every peer does every case in turn, round after round, so that all of them see the same noise.

use std::{collections::BTreeMap, io};

use spanwire_benches::{payload::Attributes, process::Process};

use crate::{
    peer::{FAMILY, Fate, Name, Shape},
    protocol::{Mode, Request},
    samples::{Floods, Samples},
};

/// Spans a batch: whole families, and fewer than the 2048 the SDK's queue holds, so that nobody drops any.
pub const BATCH: usize = 20 * FAMILY;

/// How many threads produce.
pub const THREADS: [usize; 4] = [1, 2, 8, 32];

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    pub rounds: usize,
    pub batches: usize,
    pub floods: usize,
    pub flood_millis: u64,
    pub handed_over: usize,
}

impl Effort {
    pub const FULL: Self = Self {
        rounds: 21,
        batches: 4,
        floods: 5,
        flood_millis: 300,
        handed_over: 1_000_000,
    };

    /// For a smoke test: the figures are worth little.
    pub const QUICK: Self = Self {
        rounds: 3,
        batches: 2,
        floods: 1,
        flood_millis: 50,
        handed_over: 20_000,
    };
}

/// One line of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub shape: Shape,
    pub threads: usize,
    pub mode: Mode,
}

impl Case {
    pub const fn alone(shape: Shape, mode: Mode) -> Self {
        Self {
            shape,
            threads: 1,
            mode,
        }
    }

    /// The cases of a fate.
    pub fn of(fate: Fate) -> Vec<Self> {
        if fate == Fate::Encoded {
            return [Attributes::Four, Attributes::Ten]
                .map(|attributes| Self::alone(Shape::Root(attributes), Mode::Apart))
                .to_vec();
        }
        let mut cases = Shape::ALL
            .map(|shape| Self::alone(shape, Mode::Apart))
            .to_vec();
        for attributes in Attributes::ALL {
            let shape = Shape::Root(attributes);
            if fate == Fate::Recorded {
                cases.push(Self::alone(shape, Mode::Beside));
            }
            for threads in THREADS.into_iter().skip(1) {
                let mode = Mode::Free;
                cases.push(Self {
                    shape,
                    threads,
                    mode,
                });
            }
        }
        cases
    }
}

/// Everything a run has measured.
#[derive(Default)]
pub struct Figures {
    /// By peer, fate and case.
    pub samples: Vec<(Name, Fate, Case, Samples)>,
    /// Flat out, four attributes, by peer and threads.
    pub floods: Vec<(Name, usize, Floods)>,
    /// How many spans changed threads, and what the two threads allocated meanwhile.
    pub handed_over: Option<(usize, f64)>,
}

impl Figures {
    pub fn samples(&self, name: Name, fate: Fate, case: Case) -> Option<&Samples> {
        let found = self
            .samples
            .iter()
            .find(|entry| (entry.0, entry.1, entry.2) == (name, fate, case));
        found.map(|entry| &entry.3)
    }

    pub fn floods(&self, name: Name, threads: usize) -> Option<&Floods> {
        let found = self
            .floods
            .iter()
            .find(|entry| (entry.0, entry.1) == (name, threads));
        found.map(|entry| &entry.2)
    }
}

/// Runs everything.
pub fn run(effort: Effort) -> io::Result<Figures> {
    let mut workers = Vec::new();
    for fate in Fate::ALL {
        for name in Name::ALL.into_iter().filter(|name| name.knows(fate)) {
            workers.push(Worker::start(name, fate)?);
        }
    }
    let mut figures = Figures::default();
    for worker in &mut workers {
        for case in Case::of(worker.fate) {
            let mut samples = Samples::default();
            if case.threads == 1 && case.mode == Mode::Apart {
                let shape = case.shape;
                samples.allocations = worker.ask(&Request::Allocations {
                    shape,
                    spans: BATCH,
                })?;
            }
            figures
                .samples
                .push((worker.name, worker.fate, case, samples));
        }
    }
    for round in 0..effort.rounds {
        eprintln!("round {} of {}", round + 1, effort.rounds);
        interleave(&mut workers, &mut figures, effort.batches)?;
    }
    eprintln!("flat out");
    floods(&mut workers, &mut figures, effort)?;
    for worker in workers
        .iter_mut()
        .filter(|worker| worker.fate == Fate::Recorded)
    {
        let spans = effort.handed_over;
        if let [allocations] = worker.ask(&Request::HandOver { spans })?[..] {
            figures.handed_over = Some((spans, allocations));
        }
    }
    Ok(figures)
}

/// One round. Cases come first, then peers, so that the figures of a ratio are neighbours in time.
fn interleave(workers: &mut [Worker], figures: &mut Figures, batches: usize) -> io::Result<()> {
    for fate in Fate::ALL {
        for case in Case::of(fate) {
            for worker in workers.iter_mut().filter(|worker| worker.fate == fate) {
                let ask = |spans, batches| Request::Time {
                    shape: case.shape,
                    threads: case.threads,
                    mode: case.mode,
                    spans,
                    batches,
                };
                let full = worker.ask(&ask(BATCH, batches))?;
                let empty = worker.ask(&ask(0, batches))?;
                let spans = BATCH / case.threads * case.threads;
                let found = (figures.samples.iter_mut())
                    .find(|entry| (entry.0, entry.1, entry.2) == (worker.name, fate, case));
                if let Some((.., samples)) = found {
                    samples.add(&full, &empty, case.threads, spans);
                }
            }
        }
    }
    Ok(())
}

fn floods(workers: &mut [Worker], figures: &mut Figures, effort: Effort) -> io::Result<()> {
    let mut floods = BTreeMap::<(usize, usize), Floods>::new();
    for _ in 0..effort.floods {
        for threads in THREADS {
            for (index, worker) in workers.iter_mut().enumerate() {
                if worker.fate == Fate::Recorded {
                    let answer = worker.ask(&Request::Flood {
                        shape: Shape::Root(Attributes::Four),
                        threads,
                        millis: effort.flood_millis,
                    })?;
                    floods.entry((index, threads)).or_default().add(&answer);
                }
            }
        }
    }
    for ((index, threads), floods) in floods {
        figures.floods.push((workers[index].name, threads, floods));
    }
    Ok(())
}

/// A process of this program that plays one peer.
struct Worker {
    name: Name,
    fate: Fate,
    process: Process,
}

impl Worker {
    fn start(name: Name, fate: Fate) -> io::Result<Self> {
        Ok(Self {
            name,
            fate,
            process: Process::start(&["--worker", name.word(), fate.word()])?,
        })
    }

    fn ask(&mut self, request: &Request) -> io::Result<Vec<f64>> {
        let answer = self.process.ask(&request.to_string());
        answer.map_err(|error| {
            let (name, fate) = (self.name.word(), self.fate.word());
            io::Error::other(format!("{name}, {fate}, at {request}: {error}"))
        })
    }
}
