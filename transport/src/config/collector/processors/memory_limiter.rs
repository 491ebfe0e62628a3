//! The budget.

use core::time::Duration;
use std::io;
use std::path::Path;

use super::cgroup::Memory;
use crate::config::keys::{Keys, Section, Walk};

const NO_INTERVAL: &str = "'check_interval' must be greater than zero";

/// The `memory_limiter` processor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MemoryLimiter {
    /// Has to be more than 0, though what is counted is exact at all times.
    pub check_interval: Duration,
    /// The limit in MiB; goes before the percentage.
    pub limit_mib: u32,
    /// How far below it data is refused; 0: a fifth of the limit.
    pub spike_limit_mib: u32,
    /// The limit in percent of the memory there is: that of the cgroup, v2 or v1, or of the machine.
    pub limit_percentage: u32,
    /// How far below it data is refused.
    pub spike_limit_percentage: u32,
    /// Accepted; nothing here collects garbage.
    pub min_gc_interval_when_soft_limited: Duration,
    /// Accepted; nothing here collects garbage.
    pub min_gc_interval_when_hard_limited: Duration,
    /// Accepted; nothing here collects garbage.
    pub max_gc_interval_when_soft_limited: Duration,
    /// Accepted; nothing here collects garbage.
    pub max_gc_interval_when_hard_limited: Duration,
}

impl Default for MemoryLimiter {
    fn default() -> Self {
        Self {
            check_interval: Duration::ZERO,
            limit_mib: 0,
            spike_limit_mib: 0,
            limit_percentage: 0,
            spike_limit_percentage: 0,
            min_gc_interval_when_soft_limited: Duration::from_secs(10),
            min_gc_interval_when_hard_limited: Duration::ZERO,
            max_gc_interval_when_soft_limited: Duration::from_secs(30),
            max_gc_interval_when_hard_limited: Duration::from_secs(30),
        }
    }
}

impl Section for MemoryLimiter {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.time("check_interval", &mut self.check_interval, NO_INTERVAL);
        keys.key("limit_mib", &mut self.limit_mib);
        keys.key("spike_limit_mib", &mut self.spike_limit_mib);
        keys.key("limit_percentage", &mut self.limit_percentage);
        keys.key("spike_limit_percentage", &mut self.spike_limit_percentage);
        keys.key(
            "min_gc_interval_when_soft_limited",
            &mut self.min_gc_interval_when_soft_limited,
        );
        keys.key(
            "min_gc_interval_when_hard_limited",
            &mut self.min_gc_interval_when_hard_limited,
        );
        keys.key(
            "max_gc_interval_when_soft_limited",
            &mut self.max_gc_interval_when_soft_limited,
        );
        keys.key(
            "max_gc_interval_when_hard_limited",
            &mut self.max_gc_interval_when_hard_limited,
        );
    }

    fn check(&self, walk: &mut Walk) {
        if self.check_interval.is_zero() {
            walk.fault(NO_INTERVAL);
        }
        if self.min_gc_interval_when_soft_limited < self.min_gc_interval_when_hard_limited {
            walk.fault("'min_gc_interval_when_soft_limited' should be larger than 'min_gc_interval_when_hard_limited'");
        }
        let [soft, hard] = [
            (
                "soft",
                self.min_gc_interval_when_soft_limited,
                self.max_gc_interval_when_soft_limited,
            ),
            (
                "hard",
                self.min_gc_interval_when_hard_limited,
                self.max_gc_interval_when_hard_limited,
            ),
        ];
        for (which, min, max) in [soft, hard] {
            if !max.is_zero() && max < min {
                walk.fault(format!("'max_gc_interval_when_{which}_limited' must be at least 'min_gc_interval_when_{which}_limited', or 0"));
            }
        }
        if !soft.2.is_zero() && soft.2 < hard.2 {
            walk.fault("'max_gc_interval_when_soft_limited' should be larger than 'max_gc_interval_when_hard_limited'");
        }
        if self.limit_mib == 0 && self.limit_percentage == 0 {
            walk.fault("'limit_mib' or 'limit_percentage' must be greater than zero");
        }
        if self.limit_percentage > 100 || self.spike_limit_percentage > 100 {
            walk.fault("'limit_percentage' and 'spike_limit_percentage' must be at most 100");
        }
        if self.limit_mib > 0 && self.spike_limit_mib >= self.limit_mib {
            walk.fault("'spike_limit_mib' must be smaller than 'limit_mib'");
        }
        if self.limit_mib == 0
            && self.limit_percentage > 0
            && self.spike_limit_percentage >= self.limit_percentage
        {
            walk.fault("'spike_limit_percentage' must be smaller than 'limit_percentage'");
        }
    }
}

impl MemoryLimiter {
    /// Limit and spike in bytes on a machine, or in a cgroup, of `total` bytes. A spike of 0 is a fifth of the limit.
    #[must_use]
    pub fn bytes(&self, total: u64) -> (u64, u64) {
        let share = |percent: u32| (u128::from(total) * u128::from(percent) / 100) as u64;
        let (limit, spike) = if self.limit_mib > 0 {
            (
                u64::from(self.limit_mib) << 20,
                u64::from(self.spike_limit_mib) << 20,
            )
        } else {
            (
                share(self.limit_percentage),
                share(self.spike_limit_percentage),
            )
        };
        (limit, if spike == 0 { limit / 5 } else { spike })
    }

    /// Limit and spike in bytes in this process: in percent of the memory of its cgroup or of the machine.
    ///
    /// # Errors
    ///
    /// Those of reading what the system says about memory; none for a limit in MiB.
    pub fn bytes_here(&self) -> io::Result<(u64, u64)> {
        if self.limit_mib > 0 {
            return Ok(self.bytes(0));
        }
        Memory::under(Path::new("/")).map(|memory| self.bytes(memory.bytes))
    }
}
