//! What a span costs, beside the peers: `cargo bench -p spanwire-benches --bench record`.
//!
//! It fails where a goal is missed. Flags, after `--`: `--quick` for a smoke test, `--callgrind` for instructions a span; with
//! either, times and rates decide nothing.

#![allow(unreachable_pub, reason = "a program has no outside")]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "it runs on an operating system"
)]

mod callgrind;
mod hand;
mod peer;
mod peers;
mod protocol;
mod report;
mod rounds;
mod samples;
mod validate;
mod verdict;
mod worker;

use std::io;

use spanwire_benches::{
    alloc::Counting,
    cpu::Neighbours,
    goal::{self, Deciding},
    words::{self, unknown},
};

use peer::{Fate, Name, Shape};
use rounds::Effort;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

fn main() -> io::Result<()> {
    let words = words::all();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--worker", name, fate] => {
            let (name, fate) = peer(name, fate)?;
            worker::run(name, fate);
        }
        ["--once", name, fate, shape] => {
            let (name, fate) = peer(name, fate)?;
            let shape = Shape::from_word(shape).ok_or_else(unknown)?;
            worker::run_once(name, fate, shape, rounds::BATCH);
        }
        _ => {
            let quick = words::ask_for_a_smoke_test(&words);
            compare(quick, words.contains(&"--callgrind"))?;
        }
    }
    Ok(())
}

fn compare(quick: bool, callgrind: bool) -> io::Result<()> {
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    // Who counts instructions asks for no times.
    let deciding = if quick || callgrind {
        Deciding::NotByTheClock
    } else {
        Deciding::All
    };
    let neighbours = Neighbours::watch();
    let figures = rounds::run(effort)?;
    let others = neighbours.told();
    let readings = validate::run(effort.rounds);
    let instructions = callgrind.then(|| callgrind::run(quick));
    report::print(&figures, &readings, instructions.as_ref());
    let outcome = goal::print(verdict::goals(&figures, &readings), deciding);
    report::circumstances(&others);
    outcome
}

fn peer(name: &str, fate: &str) -> io::Result<(Name, Fate)> {
    let name = Name::from_word(name).ok_or_else(unknown)?;
    let fate = Fate::from_word(fate).ok_or_else(unknown)?;
    Ok((name, fate))
}
