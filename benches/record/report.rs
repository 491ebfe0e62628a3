//! The tables, as markdown on standard output.

use crate::{
    callgrind::Counts,
    peer::{Fate, Name},
    protocol::Mode,
    rounds::{Case, Figures, THREADS},
    validate::Reading,
};

/// Prints every table.
pub fn print(
    figures: &Figures,
    readings: &[Reading],
    instructions: Option<&Result<Counts, String>>,
) {
    println!("# What a span costs\n");
    println!(
        "Nanoseconds a span: medians of one interleaved run, minima in brackets. \"x\" is how many times dearer than \
         Spanwire. *Producer*: CPU of the recording threads; with one thread, the drain waits for the same core \
         meanwhile, and in \"drain beside\" it runs on the other one. *Wall*: the slowest recording thread's time for \
         each of its spans. *All*: CPU of all threads until drained, less an empty flush. Peers other than Spanwire \
         and the floor have not encoded then, except under \"recorded and encoded\"."
    );
    let counts = instructions.and_then(|outcome| outcome.as_ref().ok());
    for fate in Fate::ALL {
        fates(figures, fate, counts);
    }
    if let Some(Err(reason)) = instructions {
        println!("\nInstructions were not counted: {reason}.");
    }
    floods(figures);
    reading(readings);
}

/// Says how far the run can be trusted.
pub fn circumstances(others: &str) {
    println!(
        "\n{others} Above 0.1, figures of more than one thread mean little; ratios of one thread, and allocations, hold."
    );
}

fn fates(figures: &Figures, fate: Fate, counts: Option<&Counts>) {
    println!("\n## {}\n", capital(fate.name()));
    println!(
        "| span | threads | peer | producer | x | wall | all | x | allocations: producer | all | bytes: producer | all \
         | instructions | delivered |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for case in Case::of(fate) {
        let ours = figures.samples(
            Name::Spanwire,
            if fate == Fate::Encoded {
                Fate::Recorded
            } else {
                fate
            },
            case,
        );
        for name in Name::ALL {
            let Some(samples) = figures.samples(name, fate, case) else {
                continue;
            };
            let heap = samples.allocated().map_or_else(
                || "| | | ".into(),
                |heap| {
                    format!(
                        "{:.2} | {:.2} | {:.0} | {:.0}",
                        heap.count, heap.all_count, heap.bytes, heap.all_bytes
                    )
                },
            );
            let found = counts.and_then(|counts| {
                let here = (name, fate, case.shape);
                counts
                    .iter()
                    .find(|count| case.mode == Mode::Apart && (count.0, count.1, count.2) == here)
            });
            println!(
                "| {}{} | {} | {} | {:.1} ({:.0}) | {} | {:.0} | {:.0} | {} | {heap} | {} | {} |",
                case.shape.name(),
                if case.mode == Mode::Beside {
                    ", drain beside"
                } else {
                    ""
                },
                case.threads,
                name.word(),
                samples.cpu(),
                samples.cpu_min(),
                ratio(samples.cpu(), ours.map(|ours| ours.cpu())),
                samples.wall(),
                samples.all(),
                ratio(samples.all(), ours.map(|ours| ours.all())),
                found.map_or_else(String::new, |count| format!("{:.0}", count.3)),
                delivered(name, fate, samples.delivered()),
            );
        }
    }
}

/// The floor has no reader, and only recorded spans travel.
fn delivered(name: Name, fate: Fate, share: f64) -> String {
    if name == Name::Floor || !matches!(fate, Fate::Recorded | Fate::Encoded) {
        return String::new();
    }
    format!("{:.1} %", share * 100.0)
}

fn floods(figures: &Figures) {
    println!("\n## Flat out, root with 4 attributes, exporter that throws spans away\n");
    println!(
        "| peer | threads | spans a second | x one thread | CPU of all threads, ns a span made | not delivered |"
    );
    println!("|---|---|---|---|---|---|");
    for name in Name::ALL {
        for threads in THREADS {
            let Some(floods) = figures.floods(name, threads) else {
                continue;
            };
            let alone = figures
                .floods(name, 1)
                .map_or(f64::NAN, |alone| alone.rate());
            let missing = (floods.made - floods.delivered).max(0.0) / floods.made * 100.0;
            println!(
                "| {} | {threads} | {:.2} M | {:.2} | {:.0} | {} |",
                name.word(),
                floods.rate() / 1e6,
                floods.rate() / alone,
                floods.cpu(),
                if name == Name::Floor {
                    String::new()
                } else {
                    format!("{missing:.2} %")
                },
            );
        }
    }
}

fn reading(readings: &[Reading]) {
    println!("\n## Reading a request of 512 spans with 10 attributes\n");
    println!("| text | bytes a span | prost: decode, drop | Spanwire: validate | x |");
    println!("|---|---|---|---|---|");
    for reading in readings {
        println!(
            "| {:?} | {:.0} | {:.0} | {:.0} | {:.2} |",
            reading.text,
            reading.bytes,
            reading.decoded,
            reading.validated,
            reading.decoded / reading.validated,
        );
    }
}

fn ratio(theirs: f64, ours: Option<f64>) -> String {
    match ours {
        Some(ours) if ours > 0.0 => format!("{:.2}", theirs / ours),
        _ => String::new(),
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
