//! Bytes that segments may fill: whatever door they came in through, or by door.

use super::settings::door_index;
use crate::limiter::Door;

/// So many bytes, for both doors together or for each of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowance {
    Whole(usize),
    /// By door.
    Split([usize; 2]),
}

impl Allowance {
    /// What is left for this door where so much is filled, by door.
    pub(super) fn left(self, door: Door, filled: [usize; 2]) -> usize {
        let (most, filled) = match self {
            Self::Whole(most) => (most, filled[0].saturating_add(filled[1])),
            Self::Split(most) => (most[door_index(door)], filled[door_index(door)]),
        };
        most.saturating_sub(filled)
    }

    /// What is left of all of it.
    pub(super) fn after(self, filled: [usize; 2]) -> Self {
        match self {
            Self::Whole(_) => Self::Whole(self.left(Door::Own, filled)),
            Self::Split(_) => {
                Self::Split([Door::Own, Door::Neighbours].map(|door| self.left(door, filled)))
            }
        }
    }

    /// The most for this door, where nothing is filled.
    pub(super) fn most(self, door: Door) -> usize {
        self.left(door, [0; 2])
    }

    /// For both doors together.
    pub(super) fn total(self) -> usize {
        match self {
            Self::Whole(most) => most,
            Self::Split([own, neighbours]) => own.saturating_add(neighbours),
        }
    }

    /// What one of so many gets.
    pub(super) fn divided(self, by: usize) -> Self {
        let by = by.max(1);
        match self {
            Self::Whole(most) => Self::Whole(most / by),
            Self::Split(most) => Self::Split(most.map(|most| most / by)),
        }
    }

    /// Takes bytes off for this door. `false`, and nothing, when there are not so many.
    pub(super) fn take(&mut self, door: Door, bytes: usize) -> bool {
        let of_door = self.of_mut(door);
        match of_door.checked_sub(bytes) {
            Some(left) => {
                *of_door = left;
                true
            }
            None => false,
        }
    }

    /// Adds bytes for this door.
    pub(super) fn give(&mut self, door: Door, bytes: usize) {
        let of_door = self.of_mut(door);
        *of_door = of_door.saturating_add(bytes);
    }

    fn of_mut(&mut self, door: Door) -> &mut usize {
        match self {
            Self::Whole(most) => most,
            Self::Split(most) => &mut most[door_index(door)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_doors_share_the_whole_and_have_their_parts() {
        let whole = Allowance::Whole(100);
        assert_eq!(whole.left(Door::Own, [30, 50]), 20);
        assert_eq!(whole.left(Door::Neighbours, [30, 80]), 0);
        let split = Allowance::Split([60, 40]);
        assert_eq!(split.left(Door::Own, [30, 50]), 30);
        assert_eq!(split.left(Door::Neighbours, [30, 50]), 0);
        assert_eq!(split.after([10, 10]), Allowance::Split([50, 30]));
        assert_eq!((whole.total(), split.total()), (100, 100));
        assert_eq!(split.divided(0), split);
    }

    #[test]
    fn what_is_taken_is_there_and_comes_back() {
        let mut split = Allowance::Split([60, 40]);
        assert!(!split.take(Door::Neighbours, 41));
        assert!(split.take(Door::Neighbours, 40));
        assert!(split.take(Door::Own, 60));
        split.give(Door::Neighbours, 5);
        assert_eq!(split, Allowance::Split([0, 5]));
    }
}
