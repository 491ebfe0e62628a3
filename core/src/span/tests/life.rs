use super::*;

#[test]
fn children_are_of_the_current_span() {
    use crate::current::{self, InSpan};
    let world = world(SpanLimits::DEFAULT);
    let root = world.tracer.start("root");
    assert!(!current::context().is_valid());
    let ids = root.in_scope(|| {
        let child = world.tracer.start("child");
        let apart = world.tracer.span("apart").root().start();
        assert_ne!(apart.context().trace_id(), root.context().trace_id());
        let entered = child.enter();
        let grandchild = world.tracer.start("grandchild");
        assert_eq!(current::context().span_id(), child.context().span_id());
        drop(entered);
        [child.context().clone(), grandchild.context().clone()]
    });
    assert!(
        ids.iter()
            .all(|context| context.trace_id() == root.context().trace_id())
    );
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        root.in_scope(|| panic!("planted"))
    }));
    assert!(caught.is_err() && !current::context().is_valid());

    let id = root.context().span_id();
    let mut future = std::boxed::Box::pin(
        async {
            let mut first = true;
            core::future::poll_fn(|_| {
                assert_eq!(current::context().span_id(), id);
                if core::mem::take(&mut first) {
                    core::task::Poll::Pending
                } else {
                    core::task::Poll::Ready(())
                }
            })
            .await;
        }
        .in_span(root),
    );
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    assert!(!current::context().is_valid());
    assert!(future.as_mut().poll(&mut context).is_ready());
    assert!(future.span().is_none(), "the span ended with the future");
    let spans = world.spans();
    assert_eq!(spans.len(), 4);
    let grandchild = spans.iter().find(|span| span.name == "grandchild").unwrap();
    assert_eq!(grandchild.parent_span_id, ids[0].span_id().to_bytes());
}

/// Scenario: a thread that has recorded before is silenced twice, inside a span.
#[test]
fn a_silenced_thread_starts_nothing() {
    use crate::current;

    let world = world(SpanLimits::DEFAULT);
    let root = world.tracer.start("root");
    let _entered = root.enter();
    let attributes = [KeyValue::new("k", "v")];
    let starts = || {
        [
            world.tracer.start("child"),
            world.tracer.span("root").root().start(),
            world.tracer.span("told").child_of(root.context()).start(),
            world
                .tracer
                .span("owned")
                .attributes(&attributes)
                .start_owned(),
        ]
    };
    assert!(starts().iter().all(Span::is_recording));
    let quiet = current::suppress();
    let quieter = current::suppress();
    for _ in 0..2 {
        for span in starts() {
            assert!(!span.is_recording() && !span.context().is_valid());
        }
    }
    drop(quieter);
    assert!(starts().iter().all(|span| !span.is_recording()));
    drop(quiet);
    let heard = starts();
    assert!(heard.iter().all(Span::is_recording));
    assert_eq!(heard[0].context().trace_id(), root.context().trace_id());
    drop(heard);
    let account = world.recorder.account();
    assert_eq!((account.started, account.not_sampled), (9, 0));
}

#[test]
fn an_invalid_context_is_that_of_no_span() {
    use crate::current;

    let world = world(SpanLimits::DEFAULT);
    let half = SpanContext::INVALID.with_span_id(SpanId::from_bytes([7; 8]));
    let _entered = current::enter(half.clone());
    assert_eq!(current::context(), SpanContext::INVALID);
    drop(world.tracer.start("current"));
    drop(world.tracer.span("told").child_of(&half).start());
    for span in world.spans() {
        assert_eq!(span.parent_span_id, [0; 0], "{}", span.name);
    }
}

#[test]
fn owned_spans_borrow_nothing() {
    let world = world(SpanLimits::DEFAULT);
    let span = {
        let name = format!("made {}", 1);
        world.tracer.span(&name).start_owned()
    };
    thread::spawn(move || span.end()).join().unwrap();
    assert_eq!(world.spans()[0].name, "made 1");
}

#[test]
fn spans_end_in_thread_local_destructors() {
    struct Last(core::cell::RefCell<Option<OwnedSpan>>);
    impl Drop for Last {
        fn drop(&mut self) {
            if let Some(mut span) = self.0.take() {
                span.set_attribute("k", "v");
            }
        }
    }
    std::thread_local!(static LAST: Last = const { Last(core::cell::RefCell::new(None)) });
    let world = world(SpanLimits::DEFAULT);
    for _ in 0..3 {
        thread::scope(|scope| {
            scope.spawn(|| {
                LAST.with(|last| {
                    *last.0.borrow_mut() = Some(world.tracer.span("late").start_owned())
                });
                world.tracer.start("early").set_attribute("k", "v");
            });
        });
    }
    // Thread-local destructors run before a scoped thread is joined, not before its scope sees it done.
    while world.recorder.account().live() > 0 {
        thread::yield_now();
    }
    assert_eq!(world.spans().len(), 6);
}

#[test]
fn the_account_closes() {
    let world = world(SpanLimits::DEFAULT);
    let held: Vec<_> = (0..10).map(|_| world.tracer.start("held")).collect();
    let mut made = 0;
    while world.recorder.account().dropped.total() == 0 {
        // Children: roots would be thinned out.
        let mut span = world
            .tracer
            .span("child")
            .child_of(held[0].context())
            .start();
        span.set_attribute("filler", &"x".repeat(200));
        made += 1;
    }
    let account = world.recorder.account();
    assert_eq!((account.started, account.live()), (10 + made, 10));
    assert_eq!(account.dropped.get(DropReason::RingFull), 1);
    assert_eq!(account.admitted + 1, made);
    drop(held);
    assert_eq!(world.recorder.account().live(), 0);
}

#[test]
fn roots_are_thinned_consistently_when_the_ring_fills() {
    let world = world(SpanLimits::DEFAULT);
    let parent = world.tracer.start("held");
    let ids: Vec<_> = (0..2000_u32)
        .map(|n| {
            TraceId::from_bytes((u128::from(n.wrapping_mul(0x9e37_79b9)) << 96 | 1).to_be_bytes())
        })
        .collect();
    let mut kept = ids.len();
    let mut levels = 0;
    let mut before: Vec<bool> = vec![true; ids.len()];
    loop {
        let now: Vec<bool> = ids.iter().map(|id| !world.recorder.thins(*id)).collect();
        assert!(
            now.iter().zip(&before).all(|(now, before)| !now | before),
            "kept at a higher load, not at a lower"
        );
        let count = now.iter().filter(|kept| **kept).count();
        levels += usize::from(count < kept);
        kept = count;
        before = now;
        let used = world.recorder.ring().used_blocks();
        if used == world.recorder.ring().blocks() {
            break;
        }
        world
            .tracer
            .span("child")
            .child_of(parent.context())
            .start()
            .set_attribute("x", &"x".repeat(2000));
    }
    assert_eq!(kept, 0, "with no block free no root starts");
    assert!(levels >= 4, "{levels}");
    let root = world.tracer.start("root");
    assert!(!root.is_recording());
    assert_eq!(world.recorder.account().not_sampled_overload, 1);
    // The sampler here keeps whatever it is asked about, and is not asked about a piece of that trace.
    let child = world.tracer.span("child").child_of(root.context()).start();
    assert!(!child.is_recording());
    assert_eq!(child.context().trace_id(), root.context().trace_id());
    assert_eq!(world.recorder.account().not_sampled_overload, 2);
    // Of a trace that began elsewhere, and of one whose root was kept, nothing is thinned.
    let elsewhere = root.context().clone().with_remote(true);
    for kept in [&elsewhere, parent.context()] {
        let child = world.tracer.span("child").child_of(kept).start();
        assert!(child.is_recording());
    }
}

/// The span of the OpenTelemetry specification's benchmark.
#[test]
fn ten_attributes_of_twenty_characters_fit_one_page() {
    let world = world(SpanLimits::DEFAULT);
    let mut span = world.tracer.start("name");
    for n in 0..10 {
        let key = format!("a.key.of.the.span.{n:02}");
        assert_eq!(key.len(), 20);
        span.set_attribute(&key, "twenty characters...");
    }
    assert_eq!(world.recorder.pages().in_use(), 1);
    drop(span);
    assert_eq!(world.spans()[0].attributes.len(), 10);
}
