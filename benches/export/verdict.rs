//! The goals, each with its figure from this run.

use crate::{
    peers::Name::{OpenTelemetry, Spanwire},
    report::{MEBIBYTE, cpu, rate, resident, share},
    rounds::{Figures, interval},
    sink::Mood,
};

/// What is to be reached, the figure, and how far it has to come.
pub type Goal = (String, f64, Bound);

#[derive(Clone, Copy)]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// Bytes of the default budget.
const BUDGET: f64 = 16.0;

/// Prints the goals. A figure that is missing is not met.
pub fn print(goals: Vec<Goal>) {
    println!("\n## Goals\n");
    println!("| goal | bound | figure | |");
    println!("|---|---|---|---|");
    for (what, figure, bound) in goals {
        let (met, bound) = match bound {
            AtLeast(bound) => (figure >= bound, format!(">= {bound:.2}")),
            AtMost(bound) => (figure <= bound, format!("<= {bound:.2}")),
        };
        let verdict = if met { "met" } else { "**not met**" };
        println!("| {what} | {bound} | {figure:.2} | {verdict} |");
    }
}

/// Before a server that is well.
pub fn of_calm(figures: &Figures) -> Vec<Goal> {
    let (ours, theirs) = (figures.floods(Spanwire), figures.floods(OpenTelemetry));
    let calm = [Spanwire, OpenTelemetry].map(|name| figures.calm(name));
    let missing = |name| {
        let floods = figures.floods(name).iter();
        floods.map(|flood| flood.missing).sum::<f64>()
    };
    let mut goals = vec![
        (
            "flat out: CPU a span, times less than opentelemetry-otlp".into(),
            cpu(theirs) / cpu(ours),
            AtLeast(10.0),
        ),
        (
            "flat out: CPU a span, us".into(),
            cpu(ours) / 1e3,
            AtMost(0.35),
        ),
        (
            "flat out: spans a second, times opentelemetry-otlp's".into(),
            rate(ours) / rate(theirs),
            AtLeast(8.0),
        ),
        (
            "flat out: spans lost".into(),
            missing(Spanwire),
            AtMost(0.0),
        ),
        (
            "10,000 spans a second: times less CPU than opentelemetry-otlp".into(),
            share(calm[1]) / share(calm[0]),
            AtLeast(8.0),
        ),
        (
            "10,000 spans a second: resident, MiB".into(),
            resident(calm[0]) / MEBIBYTE,
            AtMost(4.0),
        ),
        (
            "10,000 spans a second: resident, times opentelemetry-otlp's".into(),
            resident(calm[0]) / resident(calm[1]),
            AtMost(1.0),
        ),
    ];
    let far = figures.far.iter().find(|entry| entry.0 == Spanwire);
    goals.push((
        "100,000 spans a second, server 10 ms away: spans lost".into(),
        far.map_or(f64::NAN, |entry| entry.1.missing),
        AtMost(0.0),
    ));
    goals
}

/// Before servers that are in trouble.
pub fn of_troubles(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (_, mood, trouble) in figures.troubles.iter().filter(|entry| entry.0 == Spanwire) {
        let server = match mood {
            Mood::Stuck => "stuck server",
            _ => "refusing server",
        };
        goals.push((
            format!("{server}: resident, MiB"),
            trouble.during.resident / MEBIBYTE,
            AtMost(BUDGET + 2.0),
        ));
        goals.push((
            format!("{server}: cost of recording, times the cost before"),
            trouble.during.recording / trouble.before.recording,
            AtMost(1.1),
        ));
        goals.push((
            format!("{server}: recovery, s"),
            trouble.recovery,
            AtMost(interval(trouble.during.seconds)),
        ));
        goals.push((
            format!("{server}: spans lost after one back-off interval"),
            trouble.late.unwrap_or(f64::NAN),
            AtMost(0.0),
        ));
        goals.push((
            format!("{server}: spans lost of which nothing is told"),
            (trouble.missing - trouble.told.unwrap_or(0.0)).abs(),
            AtMost(0.0),
        ));
    }
    goals
}
