//! What a span costs, beside the peers: `cargo bench -p spanwire-benches --bench record`.
//!
//! Flags, after `--`: `--quick` for a smoke test, `--callgrind` for instructions a span.

#![allow(unreachable_pub, reason = "a program has no outside")]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "it runs on an operating system"
)]

mod alloc;
mod callgrind;
mod cpu;
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

use std::{env, io};

use peer::{Fate, Name, Shape};
use rounds::Effort;

#[global_allocator]
static ALLOCATOR: alloc::Counting = alloc::Counting;

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
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
            // `cargo bench` says `--bench`; `cargo test --benches` does not, and wants to know only whether it runs.
            let quick = words.contains(&"--quick") || !words.contains(&"--bench");
            compare(quick, words.contains(&"--callgrind"))?;
        }
    }
    Ok(())
}

fn compare(quick: bool, callgrind: bool) -> io::Result<()> {
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let neighbours = cpu::Neighbours::watch();
    let figures = rounds::run(effort)?;
    let others = neighbours.cores();
    let readings = validate::run(effort.rounds);
    let instructions = callgrind.then(|| callgrind::run(quick));
    report::print(&figures, &readings, instructions.as_ref());
    verdict::print(&figures, &readings);
    report::circumstances(others);
    Ok(())
}

fn peer(name: &str, fate: &str) -> io::Result<(Name, Fate)> {
    let name = Name::from_word(name).ok_or_else(unknown)?;
    let fate = Fate::from_word(fate).ok_or_else(unknown)?;
    Ok((name, fate))
}

fn unknown() -> io::Error {
    io::Error::other("a word this program does not know")
}
