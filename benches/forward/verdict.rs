//! The goals of a relay that does its work, each with its figure from this run.

use spanwire_benches::{
    goal::{
        Bound::{AtLeast, AtMost},
        Goal,
    },
    memory::MEBIBYTE,
};

use crate::{
    relays::{Coding, MEMORY, Name},
    report::find,
    rounds::Case,
};

pub fn goals(cases: &[Case]) -> Vec<Goal> {
    let plain =
        |name, of: &dyn Fn(&Case) -> f64| find(cases, name, Coding::Plain).map_or(f64::NAN, of);
    let cpu = |name| plain(name, &Case::cpu);
    let ours = Name::Spanwire;
    vec![
        Goal::new(
            "pass-through: CPU a span, times less than tonic + prost",
            cpu(Name::Naive) / cpu(ours),
            AtLeast(5.0),
        )
        .by_the_clock(),
        Goal::new("pass-through: CPU a span, us", cpu(ours) / 1e3, AtMost(0.5)).by_the_clock(),
        Goal::new(
            "pass-through: allocations a span",
            plain(ours, &|case| {
                case.median(|flood| flood.allocations / flood.sent)
            }),
            AtMost(0.15),
        ),
        Goal::new(
            "pass-through: resident, MiB",
            plain(ours, &Case::resident) / MEBIBYTE,
            AtMost(MEMORY as f64 / MEBIBYTE + 16.0),
        ),
        Goal::new(
            "pass-through: spans refused or missing",
            plain(ours, &|case| {
                case.sum(|flood| flood.refused + flood.missing)
            }),
            AtMost(0.0),
        ),
        Goal::new(
            "an attribute on the resource: times the CPU of pass-through",
            cpu(Name::SpanwireEdits) / cpu(ours),
            AtMost(1.15),
        )
        .by_the_clock(),
    ]
}
