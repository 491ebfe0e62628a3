//! Gathering.

use core::time::Duration;

use crate::config::keys::{Keys, Section, Walk};

/// The `batch` processor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// Spans after which a batch is sent; 0: at once. Default: 8192.
    pub send_batch_size: u32,
    /// Most spans in a batch; 0, which is the default: any number.
    pub send_batch_max_size: u32,
    /// After how long a batch is sent; 0: at once. Default: 200 ms.
    pub timeout: Duration,
    /// Has to be empty, as it is by default. What is known about a sender stays with its spans through a batch, so that processors
    /// behind it need no keys for it; requests to a server are not kept apart by it.
    pub metadata_keys: Vec<String>,
    /// Most values of `metadata_keys` at a time, and so without effect. Default: 1000.
    pub metadata_cardinality_limit: u32,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            send_batch_size: 8192,
            send_batch_max_size: 0,
            timeout: Duration::from_millis(200),
            metadata_keys: Vec::new(),
            metadata_cardinality_limit: 1000,
        }
    }
}

impl Section for Batch {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("send_batch_size", &mut self.send_batch_size);
        keys.key("send_batch_max_size", &mut self.send_batch_max_size);
        let negative = "timeout must be greater or equal to 0";
        keys.time("timeout", &mut self.timeout, negative);
        keys.key("metadata_keys", &mut self.metadata_keys);
        keys.key(
            "metadata_cardinality_limit",
            &mut self.metadata_cardinality_limit,
        );
    }

    fn check(&self, walk: &mut Walk) {
        if self.send_batch_max_size > 0 && self.send_batch_max_size < self.send_batch_size {
            walk.fault("send_batch_max_size must be greater or equal to send_batch_size");
        }
        for (index, key) in self.metadata_keys.iter().enumerate() {
            if self
                .metadata_keys
                .iter()
                .take(index)
                .any(|other| other.eq_ignore_ascii_case(key))
            {
                walk.fault(format!(
                    "duplicate entry in metadata_keys: {key:?} (case-insensitive)"
                ));
            }
        }
        if !self.metadata_keys.is_empty() {
            walk.within("metadata_keys", |walk| {
                walk.fault(
                    "is not supported: requests to a server are not kept apart by who sent the spans; leave it out for `from_context` behind this batch, since what is known about senders stays with their spans",
                );
            });
        }
    }
}
