//! Processors as their sections say.

use core::time::Duration;
use std::sync::Arc;

use spanwire_core::batch::{BatchLimits, Batcher};
use spanwire_core::pipeline::Branch;
use spanwire_core::processor::{
    Actions, AttributesProcessor, ProbabilisticSampler, ResourceProcessor,
};

use crate::config::Walk;
use crate::config::collector::{self, Action, Literal, Processor};

/// Adds stages to a branch, as often as it is asked to.
type Add = Arc<dyn Fn(Branch) -> Branch + Send + Sync>;

/// One processor, validated.
#[derive(Clone)]
pub(super) struct Step(Option<Add>);

impl Step {
    /// What a section asks for. What can't be had is told to `walk`.
    pub(super) fn new(processor: &Processor, walk: &mut Walk) -> Self {
        match processor {
            // Memory is granted at the door, before anything is read: there is nothing left to do here.
            Processor::MemoryLimiter(_) => Self(None),
            Processor::Batch(section) => batch(section, walk),
            Processor::Resource(section) => {
                let actions = actions(&section.attributes);
                Self::stage(move || ResourceProcessor::new(actions.clone()))
            }
            Processor::Attributes(section) => {
                let actions = actions(&section.actions);
                Self::stage(move || AttributesProcessor::new(actions.clone()))
            }
            Processor::ProbabilisticSampler(section) => sampler(section, walk),
        }
    }

    fn stage<S: Into<spanwire_core::engine::Stage>>(
        make: impl Fn() -> S + Clone + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(move |branch: Branch| {
            branch.stage(make.clone())
        })))
    }

    /// Adds it to a branch, after what is there.
    pub(super) fn add(&self, branch: Branch) -> Branch {
        match &self.0 {
            Some(add) => add(branch),
            None => branch,
        }
    }
}

fn batch(section: &collector::Batch, walk: &mut Walk) -> Step {
    if !section.metadata_keys.is_empty() {
        walk.within("metadata_keys", |walk| {
            walk.fault("is not built yet: spans are batched whoever sent them");
        });
    }
    // Without a size spans leave as they come; without a largest size, a batch ends where it is large enough.
    let at_once = section.send_batch_size == 0;
    let spans = match section.send_batch_max_size {
        0 => section.send_batch_size,
        most => most,
    };
    let limits = BatchLimits {
        spans: usize::try_from(spans).ok().filter(|spans| *spans > 0),
        age: if at_once {
            Duration::ZERO
        } else {
            section.timeout
        },
        ..BatchLimits::default()
    };
    let most = usize::try_from(section.send_batch_max_size).unwrap_or(usize::MAX);
    Step(Some(Arc::new(move |branch: Branch| {
        let branch = branch.stage(move || Batcher::new(limits));
        // Lanes cut their batches anew, and larger ones from a backlog.
        match most {
            0 => branch,
            most => branch.max_export_batch_size(most),
        }
    })))
}

fn actions(section: &[Action]) -> Actions {
    section.iter().fold(Actions::new(), |actions, action| {
        let key = &*action.key;
        let kind = action.action.to_ascii_lowercase();
        match (&*kind, &action.value) {
            ("delete", _) => actions.delete(key),
            (kind, Some(Literal::Bool(value))) => with(actions, kind, key, *value),
            (kind, Some(Literal::Int(value))) => with(actions, kind, key, *value),
            (kind, Some(Literal::Double(value))) => with(actions, kind, key, *value),
            (kind, Some(Literal::Text(value))) => with(actions, kind, key, value.as_str()),
            // A configuration that was checked has a value here.
            (_, None) => actions,
        }
    })
}

fn with<'a>(
    actions: Actions,
    kind: &str,
    key: &'a str,
    value: impl Into<spanwire_core::attribute::Value<'a>>,
) -> Actions {
    match kind {
        "insert" => actions.insert(key, value),
        "update" => actions.update(key, value),
        "upsert" => actions.upsert(key, value),
        // A configuration that was checked has no other.
        _ => actions,
    }
}

fn sampler(section: &collector::ProbabilisticSampler, walk: &mut Walk) -> Step {
    let ratio = (section.sampling_percentage / 100.0).min(1.0);
    let sampler = match &*section.mode {
        "proportional" => ProbabilisticSampler::proportional(ratio),
        _ => ProbabilisticSampler::equalizing(ratio),
    };
    match sampler {
        Ok(sampler) => {
            let digits = u8::try_from(section.sampling_precision).unwrap_or(u8::MAX);
            let sampler = sampler.with_precision(digits);
            Step::stage(move || sampler.clone())
        }
        Err(error) => {
            walk.within("sampling_percentage", |walk| walk.fault(error.to_string()));
            Step(None)
        }
    }
}
