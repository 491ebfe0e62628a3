//! What a span costs on its way through a relay: `cargo bench -p spanwire-benches --bench forward`.
//!
//! Requests of 512 spans with ten attributes come in over OTLP/gRPC and leave over OTLP/gRPC to a server in another process
//! that counts them and answers at once. Beside Spanwire runs what one writes first: tonic on both sides, prost structs in
//! between. It fails where a goal is missed. Flags, after `--`: `--quick` for a smoke test, whose figures are no evidence, so
//! that no goal decides.
//!
//! `-- --trouble` shows instead what trouble does to the relay: three times the spans that its server takes, for a minute; a
//! thousand connections that come to nothing; streams that stall near the end of a large message. It fails where a goal is
//! missed. With `--quick`, seconds of each: counts, bytes and descriptors decide then, times and rates do not.
//!
//! `-- --against PORT PROCESS` sends the same load to another relay, which listens on this port of 127.0.0.1, runs as this
//! process, and is told to send on to 127.0.0.1:14317, where the counting server is.

#![allow(unreachable_pub, reason = "a program has no outside")]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "it runs on an operating system"
)]

mod load;
mod relays;
mod report;
mod rounds;
mod trouble;
mod verdict;

use std::io;

use spanwire_benches::{
    alloc::Counting,
    cpu::Neighbours,
    goal::{self, Deciding},
    sink,
    words::{self, unknown},
};

use relays::{Coding, Name};
use rounds::Effort;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

fn main() -> io::Result<()> {
    let words = words::all();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let port = |word: &str| word.parse::<u16>().map_err(io::Error::other);
    let coding = |word: &str| Coding::from_word(word).ok_or_else(unknown);
    match words[..] {
        ["--sink", tally] => sink::run(tally, 0),
        ["--sink", tally, at] => sink::run(tally, port(at)?),
        ["--relay", name, word, to] => {
            let name = Name::from_word(name).ok_or_else(unknown)?;
            relays::run(name, coding(word)?, port(to)?)
        }
        ["--load", word, tally, to] => load::run(coding(word)?, tally, port(to)?),
        ["--trouble-sink"] => trouble::run_sink(),
        ["--trouble-relay", to, neighbours] => {
            trouble::run_relay(to, neighbours.parse().map_err(io::Error::other)?)
        }
        _ if words.contains(&"--trouble") => {
            let (effort, deciding) = if words.contains(&"--quick") {
                (trouble::Effort::QUICK, Deciding::NotByTheClock)
            } else {
                (trouble::Effort::FULL, Deciding::All)
            };
            let neighbours = Neighbours::watch();
            let goals = trouble::run(effort)?;
            let outcome = goal::print(goals, deciding);
            println!("\n{}", neighbours.told());
            outcome
        }
        ["--against", to, process, ..] => {
            let process = process.parse().map_err(io::Error::other)?;
            report::print_other(&rounds::run_other(port(to)?, process)?);
            Ok(())
        }
        _ => {
            let (effort, deciding) = if words::ask_for_a_smoke_test(&words) {
                (Effort::QUICK, Deciding::None)
            } else {
                (Effort::FULL, Deciding::All)
            };
            let neighbours = Neighbours::watch();
            let cases = rounds::run(effort)?;
            report::print(&cases);
            let outcome = goal::print(verdict::goals(&cases), deciding);
            println!("\n{}", neighbours.told());
            outcome
        }
    }
}
