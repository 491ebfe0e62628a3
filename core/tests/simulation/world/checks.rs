//! What must hold after every step.

use super::*;

impl World {
    /// The three laws, and the bound.
    pub(super) fn check(&self) {
        let pending = |door: Door| -> u64 {
            let at_door = self.pending.iter().filter(|segment| segment.door() == door);
            at_door.map(|segment| segment.spans() as u64).sum()
        };
        let mut limit = 0;
        for pipeline in &self.pipelines {
            for door in [Door::Own, Door::Neighbours] {
                let admitted = self.engine.admitted(pipeline.id, door);
                if pipeline.doors[index(door)] {
                    let others = pending(door) + self.refused[index(door)];
                    assert_eq!(self.born[index(door)], others + admitted, "door {door:?}");
                } else {
                    assert_eq!(admitted, 0);
                }
            }
            let bytes = self.engine.bytes(pipeline.id);
            assert!(bytes <= pipeline.limit, "{bytes} of {}", pipeline.limit);
            limit += pipeline.limit;
        }
        for (lane, book) in self.engine.lanes().zip(&self.lanes) {
            let account = self.engine.account(lane).expect("a lane");
            assert!(account.balances(), "lane {lane}: {account:?}");
            let pipeline = self.pipelines[book.pipeline].id;
            let doors = [Door::Own, Door::Neighbours];
            let admitted: u64 = doors
                .into_iter()
                .map(|door| self.engine.admitted(pipeline, door))
                .sum();
            assert_eq!(account.admitted, admitted);
        }
        // What is really there, whatever the engine thinks.
        let in_engine = self.alive.bytes() - self.pending_bytes();
        assert!(
            in_engine <= limit || !self.whole,
            "{in_engine} bytes alive, {limit} allowed"
        );
        let usage = self.limiter.usage();
        assert!(usage.in_use <= usage.budget);
    }

    /// The engine's counts against this world's own.
    pub(super) fn check_books(&self) {
        for (lane, book) in self.engine.lanes().zip(&self.lanes) {
            let account = self.engine.account(lane).expect("a lane");
            assert_eq!(
                account.exported, book.exported_count,
                "lane {lane} exported"
            );
            assert_eq!(
                account.possibly_duplicated, book.duplicates,
                "lane {lane} duplicates"
            );
            for reason in [
                DropReason::Rejected,
                DropReason::PartiallyRejected,
                DropReason::Unanswered,
                DropReason::TooLarge,
            ] {
                let expected = book.dropped.get(&reason).copied().unwrap_or_default();
                assert_eq!(
                    account.dropped.get(reason),
                    expected,
                    "lane {lane} {reason}"
                );
            }
            // A processor may have panicked too.
            let panicked = book
                .dropped
                .get(&DropReason::Panicked)
                .copied()
                .unwrap_or_default();
            assert!(account.dropped.get(DropReason::Panicked) >= panicked);
        }
    }
}
