//! What trouble does to a relay: a server that is too slow, connections that come to nothing, streams that stall. Each on a
//! relay of its own, each bounded in time, each with what was seen.

mod client;
mod connections;
mod overload;
mod relay;
mod sink;
mod stalled;
mod watch;

pub use relay::run as run_relay;
pub use sink::run as run_sink;

use std::{
    future::Future,
    io,
    time::{Duration, Instant},
};

use spanwire_benches::{
    goal::{Bound, Goal},
    memory::MEBIBYTE,
    process::Process,
};
use tokio::task::LocalSet;

use relay::Account;
use watch::Watch;

/// What neighbours may fill of the budget, in MiB.
const NEIGHBOURS: usize = 32;

/// The same where a message may have 4 MiB: a connection holds an eighth of it at most, its window included.
const NEIGHBOURS_WITH_LARGE_MESSAGES: usize = 48;

/// What the relay has beside the neighbours' share, in MiB.
const OTHERS: usize = 32;

/// What a relay may take beside its budget.
const BESIDE: f64 = 16.0 * MEBIBYTE;

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Of more than the server can take.
    pub overload: Duration,
    /// How long connections that come to nothing are held, and streams stall.
    pub held: Duration,
}

impl Effort {
    pub const FULL: Self = Self {
        overload: Duration::from_secs(60),
        held: Duration::from_secs(10),
    };

    pub const QUICK: Self = Self {
        overload: Duration::from_secs(5),
        held: Duration::from_secs(2),
    };
}

/// Runs everything; the goals, each with its figure.
pub fn run(effort: Effort) -> io::Result<Vec<Goal>> {
    println!("# What trouble does to a relay\n");
    println!(
        "The relay, and the server it sends on to, are processes of their own; the server decodes every request and keeps \
         whose spans came, and how often."
    );
    let mut goals = Vec::new();
    goals.extend(overload::run(effort.overload)?);
    goals.extend(connections::run(effort.held)?);
    goals.extend(stalled::run(effort.held)?);
    Ok(goals)
}

/// A relay and the server it sends on to.
struct Chain {
    relay: Process,
    sink: Process,
    grpc: u16,
    http: u16,
}

impl Chain {
    /// Neighbours may fill so many MiB.
    fn start(neighbours: usize) -> io::Result<Self> {
        let mut sink = Process::start(&["--trouble-sink"])?;
        let to = sink.hear()?;
        let mut relay = Process::start(&["--trouble-relay", to.trim(), &neighbours.to_string()])?;
        let ports = relay.hear()?;
        let mut ports = ports.split_whitespace().map(str::parse);
        let mut port = || {
            let port = ports.next().and_then(Result::ok);
            port.ok_or_else(|| io::Error::other("a relay without a port"))
        };
        let (grpc, http) = (port()?, port()?);
        Ok(Self {
            relay,
            sink,
            grpc,
            http,
        })
    }

    /// Watches the relay from outside.
    fn watch(&self) -> Watch {
        Watch::start(self.relay.id())
    }

    fn account(&mut self) -> io::Result<Account> {
        Account::of(&self.relay.ask("account")?)
    }

    /// Until all that was admitted has been sent on; the account then.
    fn settle(&mut self) -> io::Result<Account> {
        Account::of(&self.relay.ask("flush")?)
    }

    fn arrived(&mut self) -> io::Result<sink::Arrived> {
        sink::Arrived::of(&self.sink.ask("arrived")?)
    }
}

/// Runs a future on this thread, for so long at most.
fn bounded<T>(most: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        match tokio::time::timeout(most, future).await {
            Ok(outcome) => outcome,
            Err(_) => Err(io::Error::other("out of time")),
        }
    })
}

/// What both the limiter and the system say of the relay's memory.
fn memory_goals(of: &'static str, account: &Account, watch: &watch::Most) -> Vec<Goal> {
    let goal = |what: &str, figure, bound| Goal::new(format!("{of}: {what}"), figure, bound);
    vec![
        goal(
            "budget in use at most, MiB",
            account.high_water / MEBIBYTE,
            Bound::AtMost(account.budget / MEBIBYTE),
        ),
        goal(
            "neighbours' share in use at most, MiB",
            account.neighbours_high_water / MEBIBYTE,
            Bound::AtMost(account.neighbours / MEBIBYTE),
        ),
        goal(
            "resident at the peak, the program itself included, MiB",
            watch.resident / MEBIBYTE,
            Bound::AtMost((account.budget + BESIDE) / MEBIBYTE),
        ),
    ]
}

/// Milliseconds since then.
fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
