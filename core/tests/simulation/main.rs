//! The engine among faults, in invented time.
//!
//! A seed makes a world: pipelines, stages, lanes, and sinks that are slow, refuse, take a part, panic, say nothing, answer
//! late, answer twice, or find every batch too large. Bursts come through both doors, hours pass at once, flush and close
//! come at any time. After every step all accounts must balance, and no log may keep more than it was given.
//!
//! `SPANWIRE_SIM_SEEDS=100000` tries more seeds; `SPANWIRE_SIM_SEED=17` replays one and tells what happens.
#![cfg(feature = "std")]

mod races;
mod reached;
mod rng;
mod sink;
mod spans;
mod stage;
mod world;

use std::panic::{self, AssertUnwindSafe};

use reached::Reached;
use world::World;

const SEEDS: u64 = 2000;

#[test]
fn accounts_balance_whatever_happens() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = number("SPANWIRE_SIM_SEED") {
        World::new(seed, true).live();
        return;
    }
    stage::silence_planned_panics();
    let mut reached = Reached::default();
    for seed in 0..number("SPANWIRE_SIM_SEEDS").unwrap_or(SEEDS) {
        match panic::catch_unwind(AssertUnwindSafe(|| World::new(seed, false).live())) {
            Ok(more) => reached.merge(&more),
            Err(cause) => {
                eprintln!("seed {seed} failed; replay it with SPANWIRE_SIM_SEED={seed}");
                panic::resume_unwind(cause);
            }
        }
    }
    // A simulation that no longer reaches a fault proves nothing about it.
    println!("{reached:#?}");
    reached.check();
}
