//! The goals, each with its figure from this run.

use crate::{
    relays::{Coding, MEMORY, Name},
    report::{MEBIBYTE, find},
    rounds::Case,
};

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// Prints the goals. A figure that is missing is not met.
pub fn print(cases: &[Case]) {
    println!("\n## Goals\n");
    println!("| goal | bound | figure | |");
    println!("|---|---|---|---|");
    for (what, figure, bound) in goals(cases) {
        let (met, bound) = match bound {
            AtLeast(bound) => (figure >= bound, format!(">= {bound:.3}")),
            AtMost(bound) => (figure <= bound, format!("<= {bound:.3}")),
        };
        let verdict = if met { "met" } else { "**not met**" };
        println!("| {what} | {bound} | {figure:.3} | {verdict} |");
    }
}

fn goals(cases: &[Case]) -> Vec<(&'static str, f64, Bound)> {
    let plain =
        |name, of: &dyn Fn(&Case) -> f64| find(cases, name, Coding::Plain).map_or(f64::NAN, of);
    let cpu = |name| plain(name, &Case::cpu);
    let ours = Name::Spanwire;
    vec![
        (
            "pass-through: CPU a span, times less than tonic + prost",
            cpu(Name::Naive) / cpu(ours),
            AtLeast(5.0),
        ),
        ("pass-through: CPU a span, us", cpu(ours) / 1e3, AtMost(0.5)),
        (
            "pass-through: allocations a span",
            plain(ours, &|case| {
                case.median(|flood| flood.allocations / flood.sent)
            }),
            AtMost(0.2),
        ),
        (
            "pass-through: resident, MiB",
            plain(ours, &Case::resident) / MEBIBYTE,
            AtMost(MEMORY as f64 / MEBIBYTE + 16.0),
        ),
        (
            "pass-through: spans refused or missing",
            plain(ours, &|case| {
                case.sum(|flood| flood.refused + flood.missing)
            }),
            AtMost(0.0),
        ),
        (
            "an attribute on the resource: times the CPU of pass-through",
            cpu(Name::SpanwireEdits) / cpu(ours),
            AtMost(1.15),
        ),
    ]
}
