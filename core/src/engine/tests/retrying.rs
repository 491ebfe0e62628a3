//! What is tried again, when, and for how long.

use super::*;

fn failed_at_zero(outcome: Outcome) -> Bench {
    let mut bench = Bench::plain();
    bench.offer(own(8));
    bench.export(after(0.0)).answer(outcome);
    bench
}

#[test]
fn a_batch_comes_again_as_the_kubelet_would_send_it() {
    let mut bench = failed_at_zero(busy());
    // 5 s, 7.5 s, 11.25 s, 16.875 s; the next would be 65.9 s after the first.
    let mut now = 0.0;
    for due in [5.0, 12.5, 23.75, 40.625] {
        assert_eq!(bench.waits(after(now)), Some(after(due)));
        now = due;
        bench.export(after(due)).answer(busy());
    }
    assert_eq!(bench.waits(after(40.625)), None);
    assert_eq!(bench.dropped(DropReason::RetriesExhausted), 8);
    assert_eq!(bench.account(LANE).retries, 4);
}

#[test]
fn what_the_server_asks_for_is_the_least() {
    let wait = |seconds| Outcome::Retry {
        after: Some(Duration::from_secs(seconds)),
        possibly_stored: false,
        reason: "busy".into(),
    };
    let mut bench = failed_at_zero(wait(20));
    assert_eq!(bench.waits(after(0.0)), Some(after(20.0)));
    let mut bench = failed_at_zero(wait(1));
    assert_eq!(bench.waits(after(0.0)), Some(after(5.0)));
    let mut bench = failed_at_zero(wait(61));
    assert_eq!(bench.waits(after(0.0)), None);
    assert_eq!(bench.dropped(DropReason::RetriesExhausted), 8);
}

#[test]
fn a_batch_that_may_have_been_stored_counts_when_it_is_sent_again() {
    let mut bench = failed_at_zero(Outcome::Retry {
        after: None,
        possibly_stored: true,
        reason: "connection reset".into(),
    });
    bench.waits(after(0.0));
    assert_eq!(bench.account(LANE).possibly_duplicated, 0);
    let attempt = bench.export(after(5.0));
    assert_eq!(bench.account(LANE).possibly_duplicated, 8);
    attempt.answer(busy());
    bench.waits(after(5.0));
    bench.export(after(12.5)).answer(Outcome::Exported);
    assert_eq!(bench.account(LANE).possibly_duplicated, 8);
}

#[test]
fn after_the_timeout_a_retry_waits_for_the_first_attempt_to_be_gone() {
    let mut bench = Bench::plain();
    bench.offer(own(8));
    let Attempt { batch, reply, .. } = bench.export(after(0.0));
    assert_eq!(reply.deadline(), Some(after(30.0)));
    assert_eq!(bench.waits(after(0.0)), Some(after(30.0)));
    assert!(!reply.cancelled());
    bench.waits(after(30.0));
    assert!(reply.cancelled());
    assert_eq!(bench.account(LANE).in_flight, 8);
    // Back-off is long over, and the exporter still has the batch.
    assert!(bench.exports(after(50.0)).is_none());
    drop(batch);
    assert!(bench.exports(after(50.0)).is_none());
    // A late answer settles nothing.
    reply.done(Outcome::Exported);
    let again = bench.export(after(50.0));
    assert_eq!(again.batch.spans(), 8);
    let account = bench.account(LANE);
    assert_eq!(
        (
            account.late_replies,
            account.possibly_duplicated,
            account.exported
        ),
        (1, 8, 0)
    );
}

#[test]
fn rejected_is_final_in_whole_and_in_part() {
    let mut bench = failed_at_zero(Outcome::rejected("permission denied"));
    assert_eq!(bench.waits(after(0.0)), None);
    assert_eq!(bench.dropped(DropReason::Rejected), 8);
    for (said, counted) in [(0, 0), (3, 3), (8, 8), (u64::MAX, 8)] {
        let mut bench = failed_at_zero(Outcome::Partial {
            rejected: said,
            message: "too old".into(),
        });
        assert_eq!(bench.waits(after(0.0)), None);
        assert_eq!(bench.dropped(DropReason::PartiallyRejected), counted);
        assert_eq!(bench.account(LANE).exported, 8 - counted);
    }
}

#[test]
fn a_reply_that_is_dropped_is_a_failure() {
    let mut bench = Bench::plain();
    bench.offer(own(8));
    drop(bench.export(after(0.0)));
    assert_eq!(bench.waits(after(0.0)), None);
    assert_eq!(bench.dropped(DropReason::Unanswered), 8);
}

#[test]
fn a_batch_that_is_too_large_is_cut_by_the_limit_it_was_told() {
    let mut bench = Bench::plain();
    bench.offer(own(100));
    let attempt = bench.export(after(0.0));
    attempt.answer(Outcome::TooLarge { limit: Some(5000) });
    let mut sizes = Vec::new();
    let mut attempts = Vec::new();
    while let Some(attempt) = bench.exports(after(0.0)) {
        assert!(attempt.batch.encoded_len() <= 5000);
        sizes.push(attempt.batch.spans());
        attempts.push(attempt);
    }
    assert_eq!(sizes.iter().sum::<usize>(), 100);
    assert_eq!(sizes.len(), 3);
    for attempt in attempts {
        attempt.answer(Outcome::Exported);
    }
    assert_eq!(bench.waits(after(0.0)), None);
    assert_eq!(bench.account(LANE).exported, 100);
    assert_eq!(bench.engine.bytes(PIPELINE), 0);
    // The lane remembers.
    for _ in 0..100 {
        bench.offer(own(1));
    }
    assert!(bench.export(after(0.0)).batch.encoded_len() <= 5000);
}

#[test]
fn without_a_hint_a_batch_is_halved_and_at_most_eight_pieces_are_made() {
    let mut bench = Bench::plain();
    bench.offer(own(100));
    bench
        .export(after(0.0))
        .answer(Outcome::TooLarge { limit: None });
    let half = bench.export(after(0.0));
    assert!((45..=55).contains(&half.batch.spans()));
    let mut bench = Bench::new(|pipeline, _, exporter| {
        exporter.concurrency = 100;
        pipeline
    });
    bench.offer(own(100));
    bench
        .export(after(0.0))
        .answer(Outcome::TooLarge { limit: Some(1) });
    let mut attempts = Vec::new();
    while let Some(attempt) = bench.exports(after(0.0)) {
        attempts.push(attempt);
    }
    assert_eq!(attempts.len(), 8);
}

#[test]
fn one_span_that_is_too_large_is_dropped() {
    let mut bench = Bench::plain();
    bench.offer(own(1));
    bench
        .export(after(0.0))
        .answer(Outcome::TooLarge { limit: None });
    assert_eq!(bench.waits(after(0.0)), None);
    assert_eq!(bench.dropped(DropReason::TooLarge), 1);
}

#[test]
fn pieces_inherit_the_time_their_parent_took() {
    let mut bench = failed_at_zero(busy());
    bench.waits(after(0.0));
    bench
        .export(after(5.0))
        .answer(Outcome::TooLarge { limit: None });
    // Second failure of each half: 7.5 s, as for the whole.
    let halves = [bench.export(after(6.0)), bench.export(after(6.0))];
    assert_eq!(halves[0].batch.spans() + halves[1].batch.spans(), 8);
    for half in halves {
        half.answer(busy());
    }
    assert_eq!(bench.waits(after(6.0)), Some(after(13.5)));
    // 60 s after the first attempt of the whole nothing is tried again.
    for due in [13.5, 24.75, 41.625] {
        for _ in 0..2 {
            bench.export(after(due)).answer(busy());
        }
        bench.waits(after(due));
    }
    assert_eq!(bench.waits(after(41.625)), None);
    assert_eq!(bench.dropped(DropReason::RetriesExhausted), 8);
}

#[test]
fn a_flush_ends_back_off_but_not_what_the_server_asked_for() {
    let mut bench = failed_at_zero(busy());
    bench.waits(after(0.0));
    bench.engine.flush(after(30.0));
    bench.export(after(0.1)).answer(busy());
    // Once; a sink that is down is not hammered.
    assert!(bench.exports(after(0.2)).is_none());
    let mut bench = failed_at_zero(Outcome::Retry {
        after: Some(Duration::from_secs(3)),
        possibly_stored: false,
        reason: "busy".into(),
    });
    bench.waits(after(0.0));
    bench.engine.flush(after(30.0));
    assert_eq!(bench.waits(after(0.1)), Some(after(3.0)));
    bench.export(after(3.0)).answer(Outcome::Exported);
    assert!(bench.flushed(after(3.0)).unwrap().is_complete());
}

#[test]
fn a_close_tries_each_batch_once_more() {
    let mut bench = failed_at_zero(busy());
    bench.waits(after(0.0));
    bench.engine.close(after(30.0));
    bench.export(after(0.1)).answer(busy());
    let Step::Closed(report) = bench.engine.poll(after(0.1)) else {
        panic!("not closed")
    };
    assert!(!report.timed_out && !report.is_complete());
    assert_eq!(report.lost(), 8);
    assert_eq!(bench.dropped(DropReason::RetriesExhausted), 8);
}

#[test]
fn a_close_does_not_wait_for_what_the_server_puts_off_beyond_it() {
    let mut bench = failed_at_zero(Outcome::Retry {
        after: Some(Duration::from_secs(40)),
        possibly_stored: false,
        reason: "busy".into(),
    });
    bench.waits(after(0.0));
    bench.engine.close(after(30.0));
    assert!(matches!(bench.engine.poll(after(0.1)), Step::Closed(_)));
    assert_eq!(bench.dropped(DropReason::ShutdownDeadline), 8);
}

#[test]
fn a_batch_in_flight_when_the_close_comes_is_tried_once_more() {
    let mut bench = Bench::plain();
    bench.offer(own(8));
    let attempt = bench.export(after(0.0));
    bench.engine.close(after(30.0));
    attempt.answer(busy());
    bench.export(after(0.1)).answer(Outcome::Exported);
    let Step::Closed(report) = bench.engine.poll(after(0.1)) else {
        panic!("not closed")
    };
    assert!(report.is_complete());
}

#[test]
fn an_attempt_that_the_end_of_a_close_cuts_off_was_short_of_time_and_not_of_retries() {
    let mut bench = Bench::plain();
    bench.offer(own(8));
    bench.engine.close(after(1.0));
    let cut_off = bench.export(after(0.0));
    let Step::Closed(report) = bench.engine.poll(after(1.0)) else {
        panic!("not closed")
    };
    assert!(report.timed_out);
    assert_eq!(bench.dropped(DropReason::ShutdownDeadline), 8);
    let said = report.lanes[0].last_failure.as_deref();
    assert_eq!(said, Some("no answer before the end of the shutdown"));
    assert!(cut_off.reply.cancelled());

    // A timeout of its own, before the close ends, was its last chance.
    let mut bench = Bench::new(|pipeline, _, exporter| {
        exporter.timeout = Some(Duration::from_secs(1));
        pipeline
    });
    bench.offer(own(8));
    bench.engine.close(after(30.0));
    let _silent = bench.export(after(0.0));
    assert!(matches!(bench.engine.poll(after(1.0)), Step::Closed(_)));
    assert_eq!(bench.dropped(DropReason::RetriesExhausted), 8);
}

#[test]
fn the_same_seed_gives_the_same_waits() {
    let waits = |seed| {
        let limiter = MemoryLimiter::builder(32 << 20).build().unwrap();
        let mut builder = Engine::builder(&limiter);
        builder.seed(seed);
        let exporter = builder.exporter(ExporterSettings::default());
        builder.pipeline(
            PipelineSettings::new(1 << 20)
                .door(Door::Own)
                .lane(lane_to(exporter)),
        );
        let mut bench = Bench {
            engine: builder.build().unwrap(),
        };
        bench.offer(own(1));
        bench.export(after(0.0)).answer(busy());
        bench.waits(after(0.0))
    };
    assert_eq!(waits(1), waits(1));
    assert_ne!(waits(1), waits(2));
}
