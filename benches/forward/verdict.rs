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
    by_the_clock: bool,
}

/// Which goals decide whether a run has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deciding {
    All,
    /// Counts and bytes. What was timed in seconds is no evidence.
    NotByTheClock,
    /// None: what was measured in a moment is no evidence.
    None,
}

impl Goal {
    pub fn new(what: impl Into<String>, figure: f64, bound: Bound) -> Self {
        Self {
            what: what.into(),
            figure,
            bound,
            by_the_clock: false,
        }
    }

    /// It is a time or a rate, which a busy machine moves.
    pub fn by_the_clock(self) -> Self {
        Self {
            by_the_clock: true,
            ..self
        }
    }
}

/// Prints the goals of a relay that does its work; how many of those that decide are not met.
pub fn print(cases: &[Case], deciding: Deciding) -> usize {
    let goals = goals(cases).into_iter();
    let goals = goals.map(|(what, figure, bound)| Goal::new(what, figure, bound));
    print_goals(goals, deciding)
}

/// Prints goals; how many of those that decide are not met. A figure that is missing is not met.
pub fn print_goals(goals: impl IntoIterator<Item = Goal>, deciding: Deciding) -> usize {
    println!("\n## Goals\n");
    match deciding {
        Deciding::All => {}
        Deciding::NotByTheClock => {
            println!("The run is short: times and rates are no evidence, and decide nothing.\n");
        }
        Deciding::None => {
            println!("The run is short: its figures are no evidence, and decide nothing.\n")
        }
    }
    println!("| goal | bound | figure | |");
    println!("|---|---|---|---|");
    let mut missed = 0;
    for Goal {
        what,
        figure,
        bound,
        by_the_clock,
    } in goals
    {
        let (met, bound) = match bound {
            AtLeast(bound) => (figure >= bound, format!(">= {bound:.3}")),
            AtMost(bound) => (figure <= bound, format!("<= {bound:.3}")),
        };
        let decides = match deciding {
            Deciding::All => true,
            Deciding::NotByTheClock => !by_the_clock,
            Deciding::None => false,
        };
        let verdict = match (met, decides) {
            (true, _) => "met",
            (false, true) => "**not met**",
            (false, false) => "not met, decides nothing",
        };
        println!("| {what} | {bound} | {figure:.3} | {verdict} |");
        missed += usize::from(!met && decides);
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
            AtMost(0.15),
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
