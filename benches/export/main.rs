//! What a span costs until a server has counted it, beside the peers: `cargo bench -p spanwire-benches --bench export`.
//!
//! The benchmark of the OpenTelemetry specification: spans with ten attributes, keys and values of twenty characters,
//! over OTLP/gRPC to a server in another process that answers at once. It fails where a goal is missed. Flags, after `--`:
//! `--quick` for a smoke test, whose times and rates are no evidence, so that they decide nothing; `--trouble 60` for a server
//! that is in trouble for a minute, and nothing else.

#![allow(unreachable_pub, reason = "a program has no outside")]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "it runs on an operating system"
)]

mod client;
mod peers;
mod report;
mod rounds;
mod verdict;

use std::io;

use spanwire_benches::{
    cpu::Neighbours,
    goal::{self, Deciding},
    sink,
    words::{self, unknown},
};

use peers::Name;
use rounds::Effort;

fn main() -> io::Result<()> {
    let words = words::all();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--sink", tally] => sink::run(tally, 0),
        ["--client", name, tally, port] => {
            let name = Name::from_word(name).ok_or_else(unknown)?;
            client::run(name, tally, port.parse().map_err(io::Error::other)?)
        }
        _ => {
            let (effort, deciding) = if words::ask_for_a_smoke_test(&words) {
                (Effort::QUICK, Deciding::NotByTheClock)
            } else {
                (Effort::FULL, Deciding::All)
            };
            let trouble = words.iter().position(|word| *word == "--trouble");
            let neighbours = Neighbours::watch();
            let outcome = match trouble {
                Some(at) => {
                    let seconds = words.get(at + 1).and_then(|word| word.parse().ok());
                    let seconds: u64 = seconds.filter(|it| *it > 0).ok_or_else(unknown)?;
                    let figures = rounds::troubles(effort.with_trouble(seconds))?;
                    report::print_troubles(&figures);
                    goal::print(verdict::of_troubles(&figures), deciding)
                }
                None => {
                    let mut figures = rounds::run(effort)?;
                    figures.troubles = rounds::troubles(effort)?.troubles;
                    report::print(&figures, &effort);
                    report::print_troubles(&figures);
                    let mut goals = verdict::of_calm(&figures);
                    goals.extend(verdict::of_troubles(&figures));
                    goal::print(goals, deciding)
                }
            };
            println!("\n{}", neighbours.told());
            outcome
        }
    }
}
