//! Processed segments in order, and how far each lane has come.
//!
//! A lane is a cursor: what lies behind it is the lane's own business, what lies ahead is its backlog. An entry has one
//! holder for each lane that has not settled it: the cursor that has not passed it yet, then the attempt that carries
//! it. With the last holder it is gone, and its bytes with it, wherever in the log it stands. What it stands for is let
//! go earlier: by the last cursor that passes it. Attempts have what they carry.

use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::{AddAssign, SubAssign};

use super::settings::door_index;
use crate::limiter::Door;

/// What a segment stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Load {
    /// The bytes of memory kept.
    pub(super) bytes: usize,
    /// The bytes to be sent.
    pub(super) len: usize,
    /// The spans in them.
    pub(super) spans: u64,
}

impl AddAssign for Load {
    fn add_assign(&mut self, more: Self) {
        self.bytes += more.bytes;
        self.len += more.len;
        self.spans += more.spans;
    }
}

impl SubAssign for Load {
    fn sub_assign(&mut self, less: Self) {
        self.bytes -= less.bytes;
        self.len -= less.len;
        self.spans -= less.spans;
    }
}

/// The log of one pipeline.
pub(super) struct Log<T> {
    entries: BTreeMap<u64, Entry<T>>,
    /// The position of the next entry.
    end: u64,
    lanes: Vec<Cursor>,
    /// By door: the bytes of all entries, each counted once.
    bytes: [usize; 2],
}

struct Entry<T> {
    /// Until every cursor has passed it.
    item: Option<T>,
    load: Load,
    door: Door,
    /// Cursors that have not passed it.
    ahead: usize,
    holders: usize,
}

impl<T: Clone> Entry<T> {
    /// A cursor passes it, and takes what it needs.
    fn pass(&mut self) -> Option<T> {
        self.ahead = self.ahead.saturating_sub(1);
        match self.ahead {
            0 => self.item.take(),
            _ => self.item.clone(),
        }
    }
}

struct Cursor {
    position: u64,
    backlog: Load,
}

impl<T: Clone> Log<T> {
    /// An empty log with this many cursors.
    pub(super) fn new(lanes: usize) -> Self {
        let cursor = || Cursor {
            position: 0,
            backlog: Load::default(),
        };
        Self {
            entries: BTreeMap::new(),
            end: 0,
            lanes: vec![(); lanes].into_iter().map(|()| cursor()).collect(),
            bytes: [0; 2],
        }
    }

    /// The position the next entry will have.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// By door: the bytes of all entries that some lane has not settled.
    pub(super) fn bytes(&self) -> [usize; 2] {
        self.bytes
    }

    /// What the lane has not taken yet.
    pub(super) fn backlog(&self, lane: usize) -> Load {
        self.lanes
            .get(lane)
            .map_or(Load::default(), |cursor| cursor.backlog)
    }

    /// The position of the first entry the lane has not taken yet.
    pub(super) fn cursor(&self, lane: usize) -> u64 {
        self.lanes
            .get(lane)
            .map_or(self.end, |cursor| cursor.position)
    }

    /// Appends an entry, ahead of every cursor.
    pub(super) fn push(&mut self, item: T, load: Load, door: Door) {
        let holders = self.lanes.len();
        if holders == 0 {
            return;
        }
        for cursor in &mut self.lanes {
            cursor.backlog += load;
        }
        self.bytes[door_index(door)] += load.bytes;
        self.entries.insert(
            self.end,
            Entry {
                item: Some(item),
                load,
                door,
                ahead: holders,
                holders,
            },
        );
        self.end += 1;
    }

    /// The lane's next entry.
    pub(super) fn peek(&self, lane: usize) -> Option<(&T, Load)> {
        let entry = self.entries.get(&self.cursor(lane))?;
        Some((entry.item.as_ref()?, entry.load))
    }

    /// Moves the lane past its next entry, which it goes on to hold.
    pub(super) fn take(&mut self, lane: usize) -> Option<(u64, T, Load)> {
        let cursor = self.lanes.get_mut(lane)?;
        let position = cursor.position;
        let entry = self.entries.get_mut(&position)?;
        let item = entry.pass()?;
        cursor.position += 1;
        cursor.backlog -= entry.load;
        Some((position, item, entry.load))
    }

    /// Moves the lane past its next entry, which it lets go.
    pub(super) fn skip(&mut self, lane: usize) -> Option<Load> {
        let cursor = self.lanes.get_mut(lane)?;
        let position = cursor.position;
        let entry = self.entries.get_mut(&position)?;
        drop(entry.pass());
        let load = entry.load;
        cursor.position += 1;
        cursor.backlog -= load;
        self.release(position);
        Some(load)
    }

    /// One holder less for the entry at `position`.
    pub(super) fn release(&mut self, position: u64) {
        let Some(entry) = self.entries.get_mut(&position) else {
            return;
        };
        entry.holders -= 1;
        if entry.holders == 0 {
            self.bytes[door_index(entry.door)] -= entry.load.bytes;
            self.entries.remove(&position);
        }
    }

    /// The lane furthest behind, if another one is ahead of it and skipping the entries between the two frees memory.
    pub(super) fn laggard(&self) -> Option<usize> {
        let (lane, last) = self
            .lanes
            .iter()
            .enumerate()
            .min_by_key(|(_, cursor)| cursor.position)?;
        let next = self
            .lanes
            .iter()
            .map(|cursor| cursor.position)
            .filter(|position| *position > last.position)
            .min()?;
        self.entries
            .range(last.position..next)
            .any(|(_, entry)| entry.holders == 1)
            .then_some(lane)
    }

    /// Whether some lane has entries it has not taken.
    pub(super) fn has_backlog(&self) -> bool {
        self.lanes.iter().any(|cursor| cursor.position < self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Load = Load {
        bytes: 1,
        len: 1,
        spans: 1,
    };

    fn log(lanes: usize, entries: usize) -> Log<usize> {
        let mut log = Log::new(lanes);
        for n in 0..entries {
            log.push(n, ONE, Door::Own);
        }
        log
    }

    #[test]
    fn an_entry_goes_with_its_last_holder() {
        let mut log = log(2, 2);
        let (first, item, _) = log.take(0).unwrap();
        assert_eq!((first, item), (0, 0));
        assert_eq!(log.skip(1), Some(ONE));
        assert_eq!(log.bytes(), [2, 0]);
        log.release(first);
        assert_eq!(log.bytes(), [1, 0]);
        assert_eq!(log.backlog(0), ONE);
        assert_eq!(log.backlog(1), ONE);
    }

    #[test]
    fn an_attempt_that_lasts_keeps_only_its_own_entries() {
        let mut log = log(1, 100);
        let (stuck, ..) = log.take(0).unwrap();
        for _ in 1..100 {
            let (position, ..) = log.take(0).unwrap();
            log.release(position);
        }
        assert_eq!(log.bytes(), [1, 0]);
        assert_eq!(log.entries.len(), 1);
        log.release(stuck);
        assert_eq!(log.bytes(), [0, 0]);
        assert!(!log.has_backlog());
    }

    #[test]
    fn what_every_cursor_has_passed_is_let_go_before_its_holders_are() {
        let item = alloc::sync::Arc::new(());
        let mut log = Log::new(2);
        log.push(item.clone(), ONE, Door::Own);
        log.push(item.clone(), ONE, Door::Own);
        let (first, taken, _) = log.take(0).unwrap();
        drop(taken);
        assert_eq!(alloc::sync::Arc::strong_count(&item), 3, "the other lane's");
        drop(log.take(1).unwrap());
        assert_eq!(alloc::sync::Arc::strong_count(&item), 2);
        assert_eq!(log.bytes(), [2, 0], "the attempts still count");
        log.skip(0);
        log.skip(1);
        assert_eq!(alloc::sync::Arc::strong_count(&item), 1);
        log.release(first);
        log.release(first);
        assert_eq!(log.bytes(), [0, 0]);
    }

    #[test]
    fn only_a_lane_with_another_ahead_of_it_lags() {
        let mut log = log(2, 3);
        assert_eq!(log.laggard(), None);
        let (position, ..) = log.take(1).unwrap();
        // What the other lane still holds is not freed by skipping.
        assert_eq!(log.laggard(), None);
        log.release(position);
        assert_eq!(log.laggard(), Some(0));
        log.skip(0);
        assert_eq!(log.laggard(), None);
        assert!(log.has_backlog());
    }

    #[test]
    fn an_empty_log_has_nothing_to_give() {
        let mut log = log(1, 0);
        assert!(log.peek(0).is_none());
        assert!(log.take(0).is_none());
        assert!(log.skip(0).is_none());
        assert!(log.peek(7).is_none());
        assert_eq!(log.laggard(), None);
        log.release(12);
    }
}
