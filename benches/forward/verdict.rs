//! The goals, each with its figure from this run.

use crate::{
    relays::{Coding, MEMORY, Name},
    report::{MEBIBYTE, find},
    rounds::Case,
};

#[derive(Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// A figure, and what it has to reach.
pub struct Goal {
    what: String,
    figure: f64,
    bound: Bound,
}

impl Goal {
    pub fn new(what: impl Into<String>, figure: f64, bound: Bound) -> Self {
        Self {
            what: what.into(),
            figure,
            bound,
        }
    }
}

/// Prints the goals of a relay that does its work.
pub fn print(cases: &[Case]) {
    let goals = goals(cases).into_iter();
    print_goals(goals.map(|(what, figure, bound)| Goal::new(what, figure, bound)));
}

/// Prints goals; how many are not met. A figure that is missing is not met.
pub fn print_goals(goals: impl IntoIterator<Item = Goal>) -> usize {
    println!("\n## Goals\n");
    println!("| goal | bound | figure | |");
    println!("|---|---|---|---|");
    let mut missed = 0;
    for Goal {
        what,
        figure,
        bound,
    } in goals
    {
        let (met, bound) = match bound {
            AtLeast(bound) => (figure >= bound, format!(">= {bound:.3}")),
            AtMost(bound) => (figure <= bound, format!("<= {bound:.3}")),
        };
        let verdict = if met { "met" } else { "**not met**" };
        println!("| {what} | {bound} | {figure:.3} | {verdict} |");
        missed += usize::from(!met);
    }
    missed
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
