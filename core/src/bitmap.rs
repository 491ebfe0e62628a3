//! Sets of small numbers that threads share: claim one, give it back.
//!
//! A claim is one compare-and-swap of a bit, a release one `fetch_or`. Bits carry no order and no stale pointers, so
//! there is no ABA. The lowest number is claimed first: what is used stays dense.

use crate::sync::{AtomicUsize, Ordering};

/// The numbers in one word.
pub(crate) const WORD: usize = usize::BITS as usize;

/// A set over words that the caller keeps: number `n` is bit `n % WORD` of word `n / WORD`.
#[derive(Clone, Copy)]
pub(crate) struct Bitmap<'a>(pub(crate) &'a [AtomicUsize]);

impl Bitmap<'_> {
    /// Takes the lowest number out of the set. `None` when the set is empty.
    ///
    /// Acquires what [`insert`](Self::insert) of that number released.
    pub(crate) fn take_lowest(self) -> Option<usize> {
        for (at, word) in self.0.iter().enumerate() {
            let mut bits = word.load(Ordering::Relaxed);
            while bits != 0 {
                let rest = bits & (bits - 1);
                match word.compare_exchange_weak(bits, rest, Ordering::Acquire, Ordering::Relaxed) {
                    Ok(_) => return Some(at * WORD + bits.trailing_zeros() as usize),
                    Err(now) => bits = now,
                }
            }
        }
        None
    }

    /// Takes `number` out of the set; whether it was in.
    ///
    /// Acquires what [`insert`](Self::insert) of that number released.
    pub(crate) fn take(self, number: usize) -> bool {
        let bit = 1 << (number % WORD);
        self.0
            .get(number / WORD)
            .is_some_and(|word| word.fetch_and(!bit, Ordering::Acquire) & bit != 0)
    }

    /// Puts `number` into the set. Releases what its holder wrote.
    pub(crate) fn insert(self, number: usize) {
        if let Some(word) = self.0.get(number / WORD) {
            word.fetch_or(1 << (number % WORD), Ordering::Release);
        }
    }

    /// Calls `each` with every number seen in the set; others may come and go meanwhile.
    pub(crate) fn for_each(self, mut each: impl FnMut(usize)) {
        for (at, word) in self.0.iter().enumerate() {
            let mut bits = word.load(Ordering::Relaxed);
            while bits != 0 {
                each(at * WORD + bits.trailing_zeros() as usize);
                bits &= bits - 1;
            }
        }
    }

    /// How many numbers were seen in the set.
    pub(crate) fn count(self) -> usize {
        self.0
            .iter()
            .map(|word| word.load(Ordering::Relaxed).count_ones() as usize)
            .sum()
    }
}

/// The words for the numbers below `len`: in the set if `full`.
#[cfg(feature = "alloc")]
pub(crate) fn words(len: usize, full: bool) -> alloc::boxed::Box<[AtomicUsize]> {
    (0..len.div_ceil(WORD))
        .map(|at| AtomicUsize::new(if full { word(len, at) } else { 0 }))
        .collect()
}

/// Word `at` of the set that holds all numbers below `len`.
pub(crate) const fn word(len: usize, at: usize) -> usize {
    let below = len.saturating_sub(at * WORD);
    if below >= WORD {
        usize::MAX
    } else {
        (1 << below) - 1
    }
}

#[cfg(all(test, feature = "alloc", not(spanwire_loom)))]
mod tests {
    use std::vec::Vec;

    use super::*;

    #[test]
    fn every_number_is_claimed_once_lowest_first() {
        for len in [0, 1, 2, 3, 5, WORD - 1, WORD, WORD + 1, 3 * WORD] {
            let words = words(len, true);
            let set = Bitmap(&words);
            assert_eq!(set.count(), len);
            let taken: Vec<_> = core::iter::from_fn(|| set.take_lowest()).collect();
            assert_eq!(taken, (0..len).collect::<Vec<_>>());
            for number in (0..len).rev() {
                set.insert(number);
                assert!(set.take(number));
                assert!(!set.take(number));
                set.insert(number);
            }
            let mut seen = Vec::new();
            set.for_each(|number| seen.push(number));
            assert_eq!(seen, taken);
        }
        assert!(!Bitmap(&[]).take(7));
    }
}
