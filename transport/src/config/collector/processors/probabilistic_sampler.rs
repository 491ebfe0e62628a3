//! A share of the traces.

use spanwire_core::processor;

use super::made::made;
use crate::config::fault::InvalidConfig;
use crate::config::keys::{Keys, Section, Walk};

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
        if !self.sampling_percentage.is_finite() {
            walk.fault(format!(
                "sampling rate is invalid: {}%",
                self.sampling_percentage
            ));
        } else if self.sampling_percentage < 0.0 {
            walk.fault(format!(
                "sampling rate is negative: {}%",
                self.sampling_percentage
            ));
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
        match sampler {
            Ok(sampler) => Some(sampler.with_precision(digits).fail_closed(self.fail_closed)),
            Err(_) => {
                if self.sampling_percentage > 0.0 && self.sampling_percentage.is_finite() {
                    walk.fault(format!(
                        "sampling rate is too small: {}%",
                        self.sampling_percentage
                    ));
                }
                None
            }
        }
    }
}
