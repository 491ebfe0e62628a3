//! A share of the traces.

use spanwire_core::processor;

use super::made::made;
use crate::config::fault::InvalidConfig;
use crate::config::keys::{Keys, Section, Walk};

/// 2^-56: one trace in as many as there are values of randomness.
const SMALLEST_RATIO: f64 = 1.0 / (1_u64 << 56) as f64;

/// The least percentage of which hashing keeps anything, in single precision: one bucket of 16,384.
const ONE_BUCKET: f32 = 1.0 / 163.84;

/// The `probabilistic_sampler` processor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProbabilisticSampler {
    /// Share of the traces that is kept, in percent; 100 and more keeps all.
    pub sampling_percentage: f64,
    /// What trace ids are hashed with in the mode `hash_seed`.
    pub hash_seed: u32,
    /// `hash_seed`, `equalizing` or `proportional`; empty: `hash_seed`.
    pub mode: String,
    /// Digits of the threshold: 1 to 14.
    pub sampling_precision: u32,
    /// Whether spans that can't be decided upon consistently are left out; else they are kept as they are.
    pub fail_closed: bool,
    /// About logs; without effect.
    pub attribute_source: String,
    /// About logs; without effect.
    pub from_attribute: String,
    /// About logs; without effect.
    pub sampling_priority: String,
}

impl Default for ProbabilisticSampler {
    fn default() -> Self {
        Self {
            sampling_percentage: 0.0,
            hash_seed: 0,
            mode: String::new(),
            sampling_precision: 4,
            fail_closed: true,
            attribute_source: String::new(),
            from_attribute: String::new(),
            sampling_priority: String::new(),
        }
    }
}

impl Section for ProbabilisticSampler {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("sampling_percentage", &mut self.sampling_percentage);
        keys.key("hash_seed", &mut self.hash_seed);
        keys.key("mode", &mut self.mode);
        keys.key("sampling_precision", &mut self.sampling_precision);
        keys.key("fail_closed", &mut self.fail_closed);
        keys.key("attribute_source", &mut self.attribute_source);
        keys.key("from_attribute", &mut self.from_attribute);
        keys.key("sampling_priority", &mut self.sampling_priority);
    }

    fn check(&self, walk: &mut Walk) {
        self.make(walk);
        let percentage = self.sampling_percentage as f32;
        if ["", "hash_seed"].contains(&self.mode.as_str())
            && percentage > 0.0
            && percentage < ONE_BUCKET
        {
            walk.within("sampling_percentage", |walk| {
                walk.warn(
                    "keeps nothing: mode hash_seed counts in steps of 100 / 16384 percent; equalizing and proportional do not",
                );
            });
        }
        for (name, value) in [
            ("attribute_source", &self.attribute_source),
            ("from_attribute", &self.from_attribute),
            ("sampling_priority", &self.sampling_priority),
        ] {
            if !value.is_empty() {
                walk.within(name, |walk| {
                    walk.warn("has no effect: it is about logs");
                });
            }
        }
    }
}

impl ProbabilisticSampler {
    /// The processor that this describes.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] as the configuration's own check has it.
    pub fn processor(&self) -> Result<processor::ProbabilisticSampler, InvalidConfig> {
        // Without a processor there are faults.
        made(|walk| self.make(walk))
            .and_then(|made| made.ok_or_else(|| InvalidConfig::new(Vec::new())))
    }

    fn make(&self, walk: &mut Walk) -> Option<processor::ProbabilisticSampler> {
        // The Collector's precision: another one would keep other traces.
        let percentage = (self.sampling_percentage as f32).min(100.0);
        let given = self.sampling_percentage;
        let wrong = if !given.is_finite() {
            Some("invalid")
        } else if given < 0.0 {
            Some("negative")
        } else if given > 0.0 && given / 100.0 < SMALLEST_RATIO {
            Some("too small")
        } else {
            None
        };
        if let Some(wrong) = wrong {
            walk.fault(format!("sampling rate is {wrong}: {given:?}%"));
        }
        let digits = u8::try_from(self.sampling_precision).unwrap_or(u8::MAX);
        if !(1..=14).contains(&digits) {
            walk.fault("sampling precision must be from 1 to 14");
        }
        let ratio = f64::from(percentage) / 100.0;
        let sampler = match self.mode.as_str() {
            "" | "hash_seed" => {
                processor::ProbabilisticSampler::hashing(percentage, self.hash_seed)
            }
            "equalizing" => processor::ProbabilisticSampler::equalizing(ratio),
            "proportional" => processor::ProbabilisticSampler::proportional(ratio),
            other => {
                walk.within("mode", |walk| {
                    walk.fault(format!("unsupported sampler mode {other:?}; accepted: hash_seed, equalizing, proportional"));
                });
                return None;
            }
        };
        // What is wrong with the percentage has been said.
        let sampler = sampler.ok()?.with_precision(digits);
        Some(sampler.fail_closed(self.fail_closed))
    }
}
