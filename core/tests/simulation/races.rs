//! A reply and the engine on two threads.

use std::task::Waker;
use std::thread;

use spanwire_core::exporter::{Outcome, Receipt, Ticket};

#[test]
fn an_answer_and_a_timeout_that_race_have_one_winner() {
    let text = "x".repeat(Receipt::TEXT_LIMIT);
    let (mut in_time, mut late) = (0, 0);
    for number in 0..500 {
        let (receipt, reply) =
            Receipt::new(Ticket::from_number(number), None, Waker::noop().clone());
        let hold = receipt.hold();
        let outcome = Outcome::rejected(text.clone());
        let sink = thread::spawn(move || {
            if number % 2 == 0 {
                thread::yield_now();
            }
            drop(hold);
            reply.done(outcome);
        });
        if number % 3 == 0 {
            thread::yield_now();
        }
        let cancelled = receipt.cancel();
        // Whoever sees the answer sees all of it.
        let seen = receipt.answer();
        assert!(seen.is_none_or(|seen| !cancelled && seen == Outcome::rejected(text.clone())));
        sink.join().expect("the sink does not panic");
        assert!(receipt.is_released());
        assert_eq!(receipt.answered_late(), cancelled);
        assert_eq!(receipt.answer().is_some(), !cancelled);
        if cancelled {
            late += 1;
        } else {
            in_time += 1;
        }
    }
    println!("{in_time} in time, {late} late");
}
