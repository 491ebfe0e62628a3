//! Receivers, processors and extensions, and their settings.

use core::time::Duration;

use super::super::keys::{Keys, Section, Walk};
use super::net::{GrpcServer, HttpServer, check_port};
use super::secret::Literal;

/// What an OTLP receiver speaks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Protocols {
    /// OTLP/gRPC.
    pub grpc: Option<GrpcServer>,
    /// OTLP/HTTP.
    pub http: Option<HttpServer>,
}

impl Section for Protocols {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("grpc", &mut self.grpc);
        keys.key("http", &mut self.http);
    }
}

/// The `otlp` receiver.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct OtlpReceiver {
    /// At least one of them.
    pub protocols: Protocols,
}

impl Section for OtlpReceiver {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("protocols", &mut self.protocols);
    }

    fn check(&self, walk: &mut Walk) {
        if self.protocols.grpc.is_none() && self.protocols.http.is_none() {
            walk.fault("must specify at least one protocol when using the OTLP receiver");
        }
    }
}

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
    /// The limit in percent of the memory there is.
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
        keys.key("check_interval", &mut self.check_interval);
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
            walk.fault("'check_interval' must be greater than zero");
        }
        if self.min_gc_interval_when_soft_limited < self.min_gc_interval_when_hard_limited {
            walk.fault("'min_gc_interval_when_soft_limited' should be larger than 'min_gc_interval_when_hard_limited'");
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
}

/// The `batch` processor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Batch {
    /// Spans after which a batch is sent; 0: at once.
    pub send_batch_size: u32,
    /// Most spans in a batch; 0: any number.
    pub send_batch_max_size: u32,
    /// After how long a batch is sent; 0: at once.
    pub timeout: Duration,
    /// Metadata of which each value gets batches of its own.
    pub metadata_keys: Vec<String>,
    /// Most values at a time.
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
        keys.key("timeout", &mut self.timeout);
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
    }
}

/// One change of attributes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Action {
    /// The attribute.
    pub key: String,
    /// `insert`, `update`, `upsert`, `delete`, `hash`, `extract` or `convert`, in any case.
    pub action: String,
    /// The new value.
    pub value: Option<Literal>,
    /// The attribute whose value it is.
    pub from_attribute: String,
    /// Where in the context its value is: `metadata.x`, `auth.x`, `client.address`.
    pub from_context: String,
    /// A regular expression.
    pub pattern: String,
    /// `int`, `double` or `string`.
    pub converted_type: String,
}

impl Section for Action {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("key", &mut self.key);
        keys.key("action", &mut self.action);
        keys.key("value", &mut self.value);
        keys.key("from_attribute", &mut self.from_attribute);
        keys.key("from_context", &mut self.from_context);
        keys.key("pattern", &mut self.pattern);
        keys.key("converted_type", &mut self.converted_type);
    }

    fn check(&self, walk: &mut Walk) {
        let action = self.action.to_ascii_lowercase();
        let sources = [
            self.value.is_some(),
            !self.from_attribute.is_empty(),
            !self.from_context.is_empty(),
        ];
        let sources = sources.into_iter().filter(|given| *given).count();
        let wrong = |walk: &mut Walk, what: &str| {
            walk.fault(format!("error creating AttrProc due to {what}"));
        };
        match action.as_str() {
            "insert" | "update" | "upsert" | "extract" | "convert" if self.key.is_empty() => {
                wrong(walk, "missing required field \"key\"");
            }
            "delete" | "hash" if self.key.is_empty() && self.pattern.is_empty() => {
                wrong(walk, "missing \"key\" or \"pattern\"");
            }
            "insert" | "update" | "upsert" if sources != 1 => {
                wrong(
                    walk,
                    "this action needs exactly one of \"value\", \"from_attribute\" and \"from_context\"",
                );
            }
            "extract" if self.pattern.is_empty() => {
                wrong(walk, "missing required field \"pattern\"")
            }
            "convert" if !["int", "double", "string"].contains(&self.converted_type.as_str()) => {
                wrong(walk, "\"converted_type\" has to be int, double or string");
            }
            "insert" | "update" | "upsert" | "delete" => {}
            "hash" | "extract" | "convert" => walk.within("action", |walk| {
                walk.fault(format!(
                    "`{action}` is not built yet; accepted: insert, update, upsert, delete"
                ));
            }),
            _ => walk.within("action", |walk| {
                walk.fault("unknown action; accepted: insert, update, upsert, delete");
            }),
        }
        for (name, given) in [
            ("from_attribute", &self.from_attribute),
            ("from_context", &self.from_context),
            ("pattern", &self.pattern),
        ] {
            if !given.is_empty() && !["hash", "extract", "convert"].contains(&action.as_str()) {
                walk.within(name, |walk| walk.fault("is not built yet"));
            }
        }
    }
}

/// The `resource` processor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Resource {
    /// Changes of the resource's attributes, in order.
    pub attributes: Vec<Action>,
}

impl Section for Resource {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("attributes", &mut self.attributes);
    }

    fn check(&self, walk: &mut Walk) {
        if self.attributes.is_empty() {
            walk.fault("missing required field \"attributes\"");
        }
    }
}

/// The `attributes` processor, of all spans.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct Attributes {
    /// Changes of the spans' attributes, in order.
    pub actions: Vec<Action>,
}

impl Section for Attributes {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("actions", &mut self.actions);
    }

    fn check(&self, walk: &mut Walk) {
        if self.actions.is_empty() {
            walk.fault("missing required field \"actions\"");
        }
    }
}

/// The `probabilistic_sampler` processor.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProbabilisticSampler {
    /// Share of the traces that is kept, in percent; 100 and more keeps all.
    pub sampling_percentage: f64,
    /// `equalizing` or `proportional`; the Collector's default `hash_seed` is not built.
    pub mode: String,
    /// Digits of the threshold: 1 to 14.
    pub sampling_precision: u32,
    /// Accepted; a trace state that is malformed counts as empty.
    pub fail_closed: bool,
}

impl Default for ProbabilisticSampler {
    fn default() -> Self {
        Self {
            sampling_percentage: 0.0,
            mode: String::new(),
            sampling_precision: 4,
            fail_closed: true,
        }
    }
}

impl Section for ProbabilisticSampler {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("sampling_percentage", &mut self.sampling_percentage);
        keys.key("mode", &mut self.mode);
        keys.key("sampling_precision", &mut self.sampling_precision);
        keys.key("fail_closed", &mut self.fail_closed);
    }

    fn check(&self, walk: &mut Walk) {
        if !self.sampling_percentage.is_finite() || self.sampling_percentage < 0.0 {
            walk.fault("sampling rate is negative or not a number");
        }
        if !(1..=14).contains(&self.sampling_precision) {
            walk.fault("sampling precision must be from 1 to 14");
        }
        if !["equalizing", "proportional"].contains(&self.mode.as_str()) {
            walk.within("mode", |walk| walk.fault("mode `hash_seed`, the default, is not built yet; accepted: equalizing, proportional"));
        }
    }
}

/// Bodies of answers; empty: JSON.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[derive(Default)]
pub struct ResponseBody {
    /// While it is ready.
    pub healthy: String,
    /// While it is not.
    pub unhealthy: String,
}

impl Section for ResponseBody {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("healthy", &mut self.healthy);
        keys.key("unhealthy", &mut self.unhealthy);
    }
}

/// The `health_check` extension.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// Where it listens.
    pub endpoint: String,
    /// Path of the answer.
    pub path: String,
    /// What it answers.
    pub response_body: Option<ResponseBody>,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            endpoint: "localhost:13133".into(),
            path: "/".into(),
            response_body: None,
        }
    }
}

impl Section for HealthCheck {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("endpoint", &mut self.endpoint);
        keys.key("path", &mut self.path);
        keys.key("response_body", &mut self.response_body);
    }

    fn check(&self, walk: &mut Walk) {
        check_port(walk, &self.endpoint);
        if !self.path.starts_with('/') {
            walk.fault("bad config: path must start with /");
        }
    }
}
