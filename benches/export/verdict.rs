//! The goals, each with its figure from this run.

use spanwire_benches::{
    goal::{
        Bound::{AtLeast, AtMost},
        Goal,
    },
    memory::MEBIBYTE,
    sink::Mood,
};

use crate::{
    peers::Name::{OpenTelemetry, Spanwire},
    report::{cpu, rate, resident, share},
    rounds::{Figures, interval},
};

/// Mebibytes of the default budget.
const BUDGET: f64 = 16.0;

/// Before a server that is well.
pub fn of_calm(figures: &Figures) -> Vec<Goal> {
    let (ours, theirs) = (figures.floods(Spanwire), figures.floods(OpenTelemetry));
    let calm = [Spanwire, OpenTelemetry].map(|name| figures.calm(name));
    let missing = |name| {
        let floods = figures.floods(name).iter();
        floods.map(|flood| flood.missing).sum::<f64>()
    };
    let far = figures.far.iter().find(|entry| entry.0 == Spanwire);
    vec![
        Goal::new(
            "flat out: CPU a span, times less than opentelemetry-otlp",
            cpu(theirs) / cpu(ours),
            AtLeast(10.0),
        )
        .by_the_clock(),
        Goal::new("flat out: CPU a span, us", cpu(ours) / 1e3, AtMost(0.35)).by_the_clock(),
        Goal::new(
            "flat out: spans a second, times opentelemetry-otlp's",
            rate(ours) / rate(theirs),
            AtLeast(8.0),
        )
        .by_the_clock(),
        Goal::new("flat out: spans lost", missing(Spanwire), AtMost(0.0)),
        Goal::new(
            "10,000 spans a second: times less CPU than opentelemetry-otlp",
            share(calm[1]) / share(calm[0]),
            AtLeast(8.0),
        )
        .by_the_clock(),
        Goal::new(
            "10,000 spans a second: resident, MiB",
            resident(calm[0]) / MEBIBYTE,
            AtMost(4.0),
        ),
        Goal::new(
            "10,000 spans a second: resident, times opentelemetry-otlp's",
            resident(calm[0]) / resident(calm[1]),
            AtMost(1.0),
        ),
        Goal::new(
            "100,000 spans a second, server 10 ms away: spans lost",
            far.map_or(f64::NAN, |entry| entry.1.missing),
            AtMost(0.0),
        ),
    ]
}

/// Before servers that are in trouble.
pub fn of_troubles(figures: &Figures) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (_, mood, trouble) in figures.troubles.iter().filter(|entry| entry.0 == Spanwire) {
        let server = match mood {
            Mood::Stuck => "stuck server",
            _ => "refusing server",
        };
        let goal =
            |what: &str, figure, bound| Goal::new(format!("{server}: {what}"), figure, bound);
        goals.extend([
            goal(
                "resident, MiB",
                trouble.during.resident / MEBIBYTE,
                AtMost(BUDGET + 2.0),
            ),
            goal(
                "cost of recording, times the cost before",
                trouble.during.recording / trouble.before.recording,
                AtMost(1.1),
            )
            .by_the_clock(),
            goal(
                "recovery, s",
                trouble.recovery,
                AtMost(interval(trouble.during.seconds)),
            )
            .by_the_clock(),
            goal(
                "spans lost after one back-off interval",
                trouble.late.unwrap_or(f64::NAN),
                AtMost(0.0),
            )
            .by_the_clock(),
            goal(
                "spans lost of which nothing is told",
                (trouble.missing - trouble.told.unwrap_or(0.0)).abs(),
                AtMost(0.0),
            ),
        ]);
    }
    goals
}
