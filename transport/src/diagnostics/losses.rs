//! Spans that are lost, and exports that fail.

use spanwire_core::engine::LaneReport;
use spanwire_core::pipeline::Stats;
use spanwire_core::stats::{DropReason, Dropped};

use super::{Diagnostics, Level};

/// Tells people that exports fail, that spans are lost and why, and that exports arrive again: an observer of a pipeline,
/// which [`Setup`](crate::setup::Setup) adds by itself.
///
/// - An export that failed is a warning of the component `exporter/0`, with what the exporter said; the number is that of the
///   exporter, in the order in which they were added.
/// - A lost span is an error of its exporter, or of `pipeline` where it came to none, with the
///   [reason](spanwire_core::stats::DropReason::as_str) as it stands in the metrics.
/// - That exports arrive again is told once, with the number of those that had failed.
///
/// Each is told when it happens first, and then once a minute at most, with the number of those kept back.
///
/// ```
/// use spanwire_core::pipeline::Pipeline;
/// use spanwire_core::testing::InMemoryExporter;
/// use spanwire_transport::diagnostics::{Diagnostics, Losses};
///
/// let diagnostics = Diagnostics::stderr();
/// let pipeline = Pipeline::builder()
///     .observer(move || {
///         let mut losses = Losses::new(diagnostics.clone());
///         move |stats| losses.tell(stats)
///     })
///     .exporter(InMemoryExporter::new)
///     .build()?;
/// # Ok::<(), spanwire_core::pipeline::InvalidPipeline>(())
/// ```
#[derive(Debug)]
pub struct Losses {
    diagnostics: Diagnostics,
    own: Dropped,
    turned_away: u64,
    lanes: Vec<Lane>,
}

/// What has been told of a lane.
#[derive(Debug, Default)]
struct Lane {
    dropped: Dropped,
    failures: u64,
    /// How many had failed when the lane last did well.
    before: u64,
    is_told: bool,
}

impl Losses {
    /// Tells these. Nothing has been lost so far.
    #[must_use]
    pub fn new(diagnostics: Diagnostics) -> Self {
        Self {
            diagnostics,
            own: Dropped::default(),
            turned_away: 0,
            lanes: Vec::new(),
        }
    }

    /// Tells what has changed since the last call.
    pub fn tell(&mut self, stats: &Stats) {
        let mut own = stats.own.dropped;
        own.add(DropReason::Overwritten, stats.own.overwritten);
        lost(&self.diagnostics, "pipeline", &self.own, &own);
        self.own = own;
        let turned_away = stats.neighbours.turned_away;
        self.diagnostics.say_times(
            turned_away.saturating_sub(self.turned_away),
            Level::Error,
            "pipeline",
            format_args!("a span of a neighbour was lost: there was no room for it after all"),
        );
        self.turned_away = turned_away;
        if self.lanes.len() < stats.lanes.len() {
            self.lanes.resize_with(stats.lanes.len(), Lane::default);
        }
        for (lane, report) in self.lanes.iter_mut().zip(&stats.lanes) {
            lane.tell(&self.diagnostics, report);
        }
    }
}

impl Lane {
    fn tell(&mut self, diagnostics: &Diagnostics, report: &LaneReport) {
        let component = format!("exporter/{}", report.exporter);
        let failures = report.account.failures;
        let more = failures.saturating_sub(self.failures);
        self.failures = failures;
        if more > 0 {
            self.is_told = true;
            let said = report.last_failure.as_deref().unwrap_or_default();
            let message = format_args!("an export failed: {said}");
            diagnostics.say_times(more, Level::Warn, &component, message);
        }
        lost(
            diagnostics,
            &component,
            &self.dropped,
            &report.account.dropped,
        );
        self.dropped = report.account.dropped;
        if self.is_told && !report.failing {
            self.is_told = false;
            let failed = failures.saturating_sub(self.before);
            let message = format_args!("exports arrive again, after {failed} that failed");
            diagnostics.say(Level::Info, &component, message);
            self.before = failures;
        }
    }
}

/// Tells each reason that lost more than it had before.
fn lost(diagnostics: &Diagnostics, component: &str, before: &Dropped, now: &Dropped) {
    for (reason, count) in now.iter() {
        let more = count.saturating_sub(before.get(reason));
        let message = format_args!("a span was lost: {reason}");
        diagnostics.say_times(more, Level::Error, component, message);
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use spanwire_core::batch::Batch;
    use spanwire_core::engine::Retry;
    use spanwire_core::exporter::{Exporter, Outcome, Reply};
    use spanwire_core::pipeline::{Pipeline, PipelineBuilder};
    use spanwire_core::sampler::AlwaysOn;
    use spanwire_core::testing::InMemoryExporter;

    use super::*;

    type Heard = Arc<Mutex<Vec<String>>>;

    fn watched(diagnostics: &Diagnostics) -> PipelineBuilder {
        let diagnostics = diagnostics.clone();
        Pipeline::builder().observer(move || {
            let mut losses = Losses::new(diagnostics.clone());
            move |stats: &Stats| losses.tell(stats)
        })
    }

    fn listening() -> (Diagnostics, Heard) {
        let heard = Heard::default();
        let list = heard.clone();
        let diagnostics = Diagnostics::new(move |said| {
            list.lock().unwrap().push(format!("{} {said}", said.level));
        });
        (diagnostics, heard)
    }

    fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Scenario: a server refuses several times what it takes later.
    /// Guarantees: one warning, the number of those kept back, and one word of the recovery with the number of all.
    #[test]
    fn an_exporter_that_fails_is_told_once_and_its_recovery_too() {
        let (diagnostics, heard) = listening();
        let kept = InMemoryExporter::new();
        for _ in 0..5 {
            kept.answer_next(Outcome::retry("connection refused"));
        }
        let exporter = kept.clone();
        let pipeline = watched(&diagnostics)
            .schedule_delay(Duration::from_millis(1))
            .retry(Retry {
                initial: Duration::from_millis(300),
                multiplier_percent: 100,
                ..Retry::default()
            })
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        let tracer = pipeline.tracer("test");
        tracer.start("span").end();
        wait_for("the first failure is told at once", || {
            !heard.lock().unwrap().is_empty()
        });
        assert_eq!(kept.span_count(), 0);
        wait_for("the span arrives", || kept.span_count() == 1);
        assert!(pipeline.shutdown(Duration::from_secs(60)).is_complete());
        let expected = [
            "warn exporter/0: an export failed: connection refused",
            "info exporter/0: exports arrive again, after 5 that failed",
        ];
        assert_eq!(*heard.lock().unwrap(), expected);
        assert_eq!(diagnostics.suppressed(), 4);
    }

    #[test]
    fn what_a_server_rejects_is_told_with_the_reason_and_counted() {
        let (diagnostics, heard) = listening();
        let kept = InMemoryExporter::new();
        kept.answer_next(Outcome::rejected("no token"));
        let exporter = kept.clone();
        let pipeline = watched(&diagnostics)
            .exporter(move || exporter.clone())
            .build()
            .unwrap();
        let tracer = pipeline.tracer("test");
        (0..3).for_each(|_| tracer.start("span").end());
        let _ = pipeline.shutdown(Duration::from_secs(60));
        let expected = [
            "warn exporter/0: an export failed: no token",
            "error exporter/0: a span was lost: rejected (2 more like this since it was last said)",
        ];
        assert_eq!(*heard.lock().unwrap(), expected);
    }

    /// Keeps what it is given, and says nothing.
    #[derive(Default)]
    struct Stuck(Vec<(Batch, Reply)>);

    impl Exporter for Stuck {
        fn export(&mut self, batch: Batch, reply: Reply) {
            self.0.push((batch, reply));
        }
    }

    #[test]
    fn what_never_comes_to_an_exporter_is_told_too() {
        let (diagnostics, heard) = listening();
        let pipeline = watched(&diagnostics)
            .memory_limit(1 << 20)
            .sampler(AlwaysOn)
            .exporter(Stuck::default)
            .build()
            .unwrap();
        let tracer = pipeline.tracer("test");
        let parent = tracer.start("parent");
        wait_for("the ring is full", || {
            // Children are not thinned.
            (0..10_000).for_each(|_| {
                tracer
                    .span("child")
                    .child_of(parent.context())
                    .start()
                    .end()
            });
            pipeline.stats().own.dropped.get(DropReason::RingFull) > 0
        });
        parent.end();
        let report = pipeline.shutdown(Duration::from_millis(10));
        let heard = heard.lock().unwrap();
        let said = |what: &str| heard.iter().any(|said| said.starts_with(what));
        assert!(
            said("error pipeline: a span was lost: ring_full"),
            "{heard:?}"
        );
        assert!(
            said("error exporter/0: a span was lost: shutdown_deadline"),
            "{heard:?}"
        );
        let told = heard.len() as u64 + diagnostics.suppressed();
        assert!(told >= report.own().dropped.total(), "{heard:?}");
    }

    #[test]
    fn who_has_lost_nothing_hears_nothing() {
        let (diagnostics, heard) = listening();
        let pipeline = watched(&diagnostics)
            .exporter(InMemoryExporter::new)
            .build()
            .unwrap();
        let tracer = pipeline.tracer("test");
        (0..1000).for_each(|_| tracer.start("span").end());
        assert!(pipeline.shutdown(Duration::from_secs(60)).is_complete());
        assert_eq!(*heard.lock().unwrap(), [""; 0]);
    }
}
