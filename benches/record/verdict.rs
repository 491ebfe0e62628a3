//! The goals, each with its figure from this run.

use spanwire_benches::{
    goal::{
        Bound::{AtLeast, AtMost},
        Goal,
    },
    payload::Attributes,
    request::Text,
};

use crate::{
    peer::{Fate, Name, Shape},
    protocol::Mode,
    rounds::{Case, Figures},
    samples::Samples,
    validate::Reading,
};

const FOUR: Shape = Shape::Root(Attributes::Four);
const TEN: Shape = Shape::Root(Attributes::Ten);

/// Those that no busy machine moves are counts: what is lost, and allocations.
pub fn goals(figures: &Figures, readings: &[Reading]) -> Vec<Goal> {
    let run = Run(figures);
    let count = |what, figure, bound| Goal::new(what, figure, bound);
    let times = |what, figure, bound| Goal::new(what, figure, bound).by_the_clock();
    let mut goals = vec![
        count(
            "recorded, in batches: smallest share of a batch that arrived",
            run.delivered(),
            AtLeast(1.0),
        ),
        count(
            "root, 4 attributes, 1 event: allocations on the producer",
            run.allocations(Fate::Recorded, FOUR),
            AtMost(0.0),
        ),
        times(
            "... times faster than the SDK, drain idle",
            run.cpu(Name::OpenTelemetry, Fate::Recorded, FOUR)
                / run.cpu(Name::Spanwire, Fate::Recorded, FOUR),
            AtLeast(3.7),
        ),
        times(
            "... times faster than the SDK, drain running beside",
            run.beside(Name::OpenTelemetry) / run.beside(Name::Spanwire),
            AtLeast(8.0),
        ),
        times(
            "... times faster than fastrace",
            run.cpu(Name::Fastrace, Fate::Recorded, FOUR)
                / run.cpu(Name::Spanwire, Fate::Recorded, FOUR),
            AtLeast(2.6),
        ),
        times(
            "... times the floor",
            run.cpu(Name::Spanwire, Fate::Recorded, FOUR)
                / run.cpu(Name::Floor, Fate::Recorded, FOUR),
            AtMost(2.5),
        ),
        times(
            "root, 10 attributes, CPU of all threads until the request is bytes: times less than the SDK",
            run.all(Name::OpenTelemetry, Fate::Encoded, TEN)
                / run.all(Name::Spanwire, Fate::Recorded, TEN),
            AtLeast(12.0),
        ),
        times(
            "bare child under a local parent: times fastrace",
            run.cpu(Name::Spanwire, Fate::Recorded, Shape::Family)
                / run.cpu(Name::Fastrace, Fate::Recorded, Shape::Family),
            AtMost(1.0),
        ),
        count(
            "not sampled, 10 attributes: allocations on the producer",
            run.allocations(Fate::NotSampled, TEN),
            AtMost(0.0),
        ),
        times(
            "not sampled, bare root: times cheaper than the SDK",
            run.cpu(Name::OpenTelemetry, Fate::NotSampled, Shape::Bare)
                / run.cpu(Name::Spanwire, Fate::NotSampled, Shape::Bare),
            AtLeast(8.0),
        ),
        times(
            "not sampled, bare child: times cheaper than the SDK",
            run.cpu(Name::OpenTelemetry, Fate::NotSampled, Shape::Family)
                / run.cpu(Name::Spanwire, Fate::NotSampled, Shape::Family),
            AtLeast(16.0),
        ),
        times(
            "flat out, 2 threads: times the spans a second of one",
            run.scaling(2),
            AtLeast(1.8),
        ),
        times(
            "flat out, 32 threads: times the spans a second of one",
            run.scaling(32),
            AtLeast(1.7),
        ),
        count(
            "flat out, 32 threads: spans dropped",
            run.dropped(32),
            AtMost(0.0),
        ),
        count(
            "spans started on one thread and ended on another: allocations of both",
            figures
                .handed_over
                .map_or(f64::NAN, |(_, allocations)| allocations),
            AtMost(0.0),
        ),
    ];
    for reading in readings {
        let (what, bound) = match reading.text {
            Text::Ascii => (
                "validate a request, ASCII: times faster than prost decodes it",
                6.0,
            ),
            Text::NonAscii => (
                "validate a request, non-ASCII: times faster than prost decodes it",
                3.5,
            ),
        };
        let figure = reading.decoded / reading.validated;
        goals.push(times(what, figure, AtLeast(bound)));
    }
    goals
}

/// The figures goals are made of. Not a number when there is none.
struct Run<'a>(&'a Figures);

impl Run<'_> {
    fn alone(&self, name: Name, fate: Fate, shape: Shape, figure: impl Fn(&Samples) -> f64) -> f64 {
        let samples = self.0.samples(name, fate, Case::alone(shape, Mode::Apart));
        samples.map_or(f64::NAN, figure)
    }

    fn cpu(&self, name: Name, fate: Fate, shape: Shape) -> f64 {
        self.alone(name, fate, shape, Samples::cpu)
    }

    fn all(&self, name: Name, fate: Fate, shape: Shape) -> f64 {
        self.alone(name, fate, shape, Samples::all)
    }

    fn beside(&self, name: Name) -> f64 {
        let samples = self
            .0
            .samples(name, Fate::Recorded, Case::alone(FOUR, Mode::Beside));
        samples.map_or(f64::NAN, Samples::cpu)
    }

    fn allocations(&self, fate: Fate, shape: Shape) -> f64 {
        self.alone(Name::Spanwire, fate, shape, |samples| {
            samples.allocated().map_or(f64::NAN, |heap| heap.count)
        })
    }

    fn delivered(&self) -> f64 {
        let ours = (self.0.samples.iter())
            .filter(|entry| (entry.0, entry.1) == (Name::Spanwire, Fate::Recorded));
        ours.map(|entry| entry.3.delivered())
            .fold(f64::NAN, f64::min)
    }

    fn scaling(&self, threads: usize) -> f64 {
        let rate = |threads| {
            self.0
                .floods(Name::Spanwire, threads)
                .map_or(f64::NAN, |floods| floods.rate())
        };
        rate(threads) / rate(1)
    }

    fn dropped(&self, threads: usize) -> f64 {
        let floods = self.0.floods(Name::Spanwire, threads);
        floods.map_or(f64::NAN, |floods| floods.made - floods.delivered)
    }
}
