//! What a span costs until a server has counted it, beside the peers: `cargo bench -p spanwire-benches --bench export`.
//!
//! The benchmark of the OpenTelemetry specification: spans with ten attributes, keys and values of twenty characters,
//! over OTLP/gRPC to a server in another process that answers at once. Flags, after `--`: `--quick` for a smoke test;
//! `--trouble 60` for a server that is in trouble for a minute, and nothing else.

#![allow(unreachable_pub, reason = "a program has no outside")]
#![allow(
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "it runs on an operating system"
)]

mod client;
#[path = "../record/cpu.rs"]
mod cpu;
mod peers;
mod process;
mod report;
mod rounds;
mod sink;
mod tally;
mod verdict;

use std::{env, io};

use peers::Name;
use rounds::Effort;

fn main() -> io::Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["--sink", tally] => sink::run(tally, 0),
        ["--client", name, tally, port] => {
            let name = Name::from_word(name).ok_or_else(unknown)?;
            client::run(name, tally, port.parse().map_err(io::Error::other)?)
        }
        _ => {
            // `cargo bench` says `--bench`; `cargo test --benches` does not, and wants to know only whether it runs.
            let quick = words.contains(&"--quick") || !words.contains(&"--bench");
            let effort = if quick { Effort::QUICK } else { Effort::FULL };
            let trouble = words.iter().position(|word| *word == "--trouble");
            let neighbours = cpu::Neighbours::watch();
            match trouble {
                Some(at) => {
                    let seconds = words.get(at + 1).and_then(|word| word.parse().ok());
                    let seconds: u64 = seconds.filter(|it| *it > 0).ok_or_else(unknown)?;
                    let figures = rounds::troubles(effort.with_trouble(seconds))?;
                    report::print_troubles(&figures);
                    verdict::print(verdict::of_troubles(&figures));
                }
                None => {
                    let mut figures = rounds::run(effort)?;
                    figures.troubles = rounds::troubles(effort)?.troubles;
                    report::print(&figures, &effort);
                    report::print_troubles(&figures);
                    let mut goals = verdict::of_calm(&figures);
                    goals.extend(verdict::of_troubles(&figures));
                    verdict::print(goals);
                }
            }
            report::circumstances(neighbours.cores());
            Ok(())
        }
    }
}

fn unknown() -> io::Error {
    io::Error::other("a word this program does not know")
}
