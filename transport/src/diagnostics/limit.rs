//! How often the same may be said. Time is an argument.

use core::hash::{BuildHasher, Hash};
use core::time::Duration;
use std::hash::RandomState;
use std::time::Instant;

use super::Level;

/// How long an equal message is kept back.
const PERIOD: Duration = Duration::from_secs(60);

/// The most messages told in a period.
const MOST: u32 = 30;

/// How many messages are remembered. Of more different ones, the one told longest ago is forgotten.
const ROOM: usize = 64;

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Tell { suppressed: u64 },
    Keep,
}

/// What has been said lately.
pub(super) struct Limit {
    hasher: RandomState,
    said: Vec<Said>,
    /// When the period began in which `told` messages were told.
    since: Option<Instant>,
    told: u32,
}

struct Said {
    hash: u64,
    /// When it was last told; never, if there were too many others.
    at: Option<Instant>,
    suppressed: u64,
}

impl Limit {
    pub(super) fn new() -> Self {
        Self {
            hasher: RandomState::new(),
            said: Vec::new(),
            since: None,
            told: 0,
        }
    }

    /// Judges a message that is said so many times at once.
    pub(super) fn admit(
        &mut self,
        message: (Level, &str, &str),
        times: u64,
        now: Instant,
    ) -> Verdict {
        let hash = self.hash(message);
        let passed = |since: Instant| now.saturating_duration_since(since) >= PERIOD;
        if self.since.is_none_or(passed) {
            self.since = Some(now);
            self.told = 0;
        }
        let full = self.told >= MOST;
        let said = match self.said.iter().position(|said| said.hash == hash) {
            Some(at) => at,
            None => self.remember(hash),
        };
        let Some(said) = self.said.get_mut(said) else {
            return Verdict::Keep;
        };
        if full || said.at.is_some_and(|at| !passed(at)) {
            said.suppressed = said.suppressed.saturating_add(times);
            return Verdict::Keep;
        }
        said.at = Some(now);
        self.told += 1;
        Verdict::Tell {
            suppressed: core::mem::take(&mut said.suppressed).saturating_add(times - 1),
        }
    }

    /// Makes room for a message that is new, and says where.
    fn remember(&mut self, hash: u64) -> usize {
        let new = Said {
            hash,
            at: None,
            suppressed: 0,
        };
        if self.said.len() < ROOM {
            self.said.push(new);
            return self.said.len() - 1;
        }
        let oldest = self.said.iter().enumerate().min_by_key(|(_, said)| said.at);
        let at = oldest.map_or(0, |(at, _)| at);
        if let Some(said) = self.said.get_mut(at) {
            *said = new;
        }
        at
    }

    fn hash(&self, message: impl Hash) -> u64 {
        self.hasher.hash_one(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TELL: Verdict = Verdict::Tell { suppressed: 0 };

    #[test]
    fn an_equal_message_is_told_again_after_a_minute_with_the_count() {
        let mut limit = Limit::new();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let message = (Level::Warn, "a", "b");
        let mut admit = |message, now| limit.admit(message, 1, now);
        assert_eq!(admit(message, at(0)), TELL);
        for second in 1..60 {
            assert_eq!(admit(message, at(second)), Verdict::Keep);
        }
        assert_eq!(admit(message, at(60)), Verdict::Tell { suppressed: 59 });
        assert_eq!(admit(message, at(61)), Verdict::Keep);
        assert_eq!(admit((Level::Warn, "a", "c"), at(61)), TELL);
        // Hashed apart from each other, not as one text.
        assert_eq!(admit((Level::Warn, "ab", ""), at(61)), TELL);
    }

    #[test]
    fn different_messages_are_thirty_a_minute() {
        let mut limit = Limit::new();
        let start = Instant::now();
        let told = |limit: &mut Limit, second| {
            let now = start + Duration::from_secs(second);
            let admit = |n: u32| limit.admit((Level::Warn, "a", &n.to_string()), 1, now);
            (0..1000)
                .map(admit)
                .filter(|verdict| *verdict != Verdict::Keep)
                .count()
        };
        assert_eq!(told(&mut limit, 0), 30);
        assert_eq!(told(&mut limit, 59), 0);
        assert_eq!(told(&mut limit, 60), 30);
        assert!(limit.said.len() <= ROOM);
    }
}
