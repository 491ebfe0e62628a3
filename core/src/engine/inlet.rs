//! What came in through the doors and no stage has seen yet.

use alloc::collections::VecDeque;

use super::log::Load;
use super::settings::door_index;
use crate::batch::Segment;

/// One queue for each door. Under backlog the doors take turns by bytes, so that neither starves the other.
#[derive(Default)]
pub(super) struct Inlet {
    queues: [VecDeque<(Segment, Load)>; 2],
    waiting: [Load; 2],
    /// Segments ever pushed, and ever popped.
    pushed: [u64; 2],
    popped: [u64; 2],
    /// Bytes popped while both doors had a backlog; a door that had none has no credit.
    served: [u64; 2],
}

impl Inlet {
    pub(super) fn push(&mut self, segment: Segment, load: Load) {
        let door = door_index(segment.door());
        let other = 1 - door;
        if self.queues[door].is_empty() {
            self.served[door] = self.served[door].max(self.served[other]);
        }
        self.waiting[door] += load;
        self.pushed[door] += 1;
        self.queues[door].push_back((segment, load));
    }

    /// The oldest segment of the door whose turn it is.
    pub(super) fn pop(&mut self) -> Option<(Segment, Load)> {
        let door = match [self.queues[0].is_empty(), self.queues[1].is_empty()] {
            [true, _] => 1,
            [_, true] => 0,
            _ => usize::from(self.served[1] < self.served[0]),
        };
        let (segment, load) = self.pop_from(door)?;
        self.served[door] = self.served[door].wrapping_add(load.bytes as u64);
        if self.queues[1 - door].is_empty() {
            self.served = [0; 2];
        }
        Some((segment, load))
    }

    /// The oldest segment of the door with more bytes.
    pub(super) fn pop_largest(&mut self) -> Option<(Segment, Load)> {
        let door = usize::from(self.waiting[1].bytes > self.waiting[0].bytes);
        self.pop_from(door)
    }

    fn pop_from(&mut self, door: usize) -> Option<(Segment, Load)> {
        let (segment, load) = self.queues[door].pop_front()?;
        self.waiting[door] -= load;
        self.popped[door] += 1;
        Some((segment, load))
    }

    /// What waits at each door.
    pub(super) fn waiting(&self) -> [Load; 2] {
        self.waiting
    }

    /// The positions after the last segment pushed.
    pub(super) fn end(&self) -> [u64; 2] {
        self.pushed
    }

    /// Whether every segment before these positions has been popped.
    pub(super) fn is_past(&self, positions: [u64; 2]) -> bool {
        self.popped
            .iter()
            .zip(positions)
            .all(|(popped, position)| *popped >= position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Head;
    use crate::clock::Moment;
    use crate::limiter::Door;

    fn push(inlet: &mut Inlet, door: Door, bytes: usize) {
        let segment = Segment::new(
            Head::default(),
            bytes::Bytes::new(),
            1,
            Moment::from_nanos(0),
            door,
        );
        let load = Load {
            bytes,
            len: bytes,
            spans: 1,
        };
        inlet.push(segment, load);
    }

    #[test]
    fn under_backlog_the_doors_take_turns_by_bytes() {
        let mut inlet = Inlet::default();
        for _ in 0..100 {
            push(&mut inlet, Door::Own, 10);
        }
        for _ in 0..10 {
            push(&mut inlet, Door::Neighbours, 100);
        }
        let mut bytes = [0_i64; 2];
        while inlet.waiting()[0].spans > 0 && inlet.waiting()[1].spans > 0 {
            let (segment, load) = inlet.pop().unwrap();
            bytes[door_index(segment.door())] += load.bytes as i64;
            assert!((bytes[0] - bytes[1]).abs() <= 100, "{bytes:?}");
        }
    }

    #[test]
    fn a_door_that_was_idle_has_no_credit() {
        let mut inlet = Inlet::default();
        for _ in 0..100 {
            push(&mut inlet, Door::Own, 10);
        }
        for _ in 0..50 {
            inlet.pop();
        }
        for _ in 0..50 {
            push(&mut inlet, Door::Neighbours, 10);
        }
        let mut own = 0;
        for _ in 0..20 {
            own += usize::from(inlet.pop().unwrap().0.door() == Door::Own);
        }
        assert_eq!(own, 10);
    }

    #[test]
    fn positions_are_past_once_popped() {
        let mut inlet = Inlet::default();
        push(&mut inlet, Door::Own, 1);
        push(&mut inlet, Door::Neighbours, 1);
        let end = inlet.end();
        push(&mut inlet, Door::Own, 1);
        assert!(!inlet.is_past(end));
        inlet.pop();
        assert!(!inlet.is_past(end));
        inlet.pop();
        assert!(inlet.is_past(end));
        assert!(inlet.pop().is_some());
        assert!(inlet.pop().is_none());
        assert!(inlet.pop_largest().is_none());
    }
}
