//! How much memory there is, as `memory_limiter` says.

use spanwire_core::pipeline::PipelineBuilder;

use super::Host;
use crate::config::Walk;
use crate::config::collector::{Config, Processor};

/// What there is where no `memory_limiter` says.
pub(super) const DEFAULT: usize = 64 << 20;

/// For this program's own spans, unless it says how much: at most this, and an eighth of the limit.
const OWN: usize = 2 << 20;

/// A budget, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Budget {
    limit: usize,
    /// How far below the limit neighbours are refused; `None`: as the core has it.
    spike: Option<usize>,
    own: usize,
    /// The processor that says so.
    id: Option<String>,
}

impl Budget {
    /// The strictest of the limiters that pipelines use; there is one budget for all of them.
    pub(super) fn of(config: &Config, host: &Host, walk: &mut Walk) -> Self {
        let used = config
            .service
            .pipelines
            .values()
            .flat_map(|pipeline| &pipeline.processors);
        let mut strictest: Option<(u64, u64, String)> = None;
        let mut others = false;
        walk.within("processors", |walk| {
            for id in used {
                let Some(Processor::MemoryLimiter(section)) = config.processors.get(id) else {
                    continue;
                };
                let id = id.to_string();
                let (limit, spike) = match section.bytes_here() {
                    Ok(bytes) => bytes,
                    Err(error) => {
                        walk.within(&id, |walk| {
                            walk.within("limit_percentage", |walk| {
                                walk.fault(format!(
                                    "this system does not say how much memory there is ({error}): use `limit_mib`"
                                ));
                            });
                        });
                        continue;
                    }
                };
                match &strictest {
                    Some((_, _, known)) if *known == id => {}
                    Some((least, ..)) => {
                        others = true;
                        if limit < *least {
                            strictest = Some((limit, spike, id));
                        }
                    }
                    None => strictest = Some((limit, spike, id)),
                }
            }
            if let Some((_, _, id)) = strictest.as_ref().filter(|_| others) {
                walk.within(id, |walk| {
                    walk.warn("is the strictest limit, and so the limit of all pipelines: they share one budget");
                });
            }
        });
        let bytes = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let Some((limit, spike, id)) = strictest else {
            let limit = host.memory_limit;
            return Self {
                limit,
                spike: None,
                own: host.own_memory.unwrap_or(OWN.min(limit / 8)),
                id: None,
            };
        };
        let limit = bytes(limit);
        Self {
            limit,
            spike: Some(bytes(spike)),
            own: host.own_memory.unwrap_or(OWN.min(limit / 8)),
            id: Some(id),
        }
    }

    /// Tells a pipeline.
    pub(super) fn tell(&self, builder: PipelineBuilder) -> PipelineBuilder {
        let builder = builder.memory_limit(self.limit).own(self.own);
        match self.spike {
            Some(spike) => builder.neighbours_spike(spike),
            None => builder,
        }
    }

    /// The keys that lead to what says so.
    pub(super) fn path(&self) -> String {
        match &self.id {
            Some(id) => format!("processors::{id}"),
            None => "processors".into(),
        }
    }
}
