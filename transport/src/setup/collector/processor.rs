//! Processors as their sections say.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use spanwire_core::batch::{BatchLimits, Batcher};
use spanwire_core::engine::Stage;
use spanwire_core::pipeline::Branch;

use super::Voice;
use crate::config::collector::{self, Processor};
use crate::config::{InvalidConfig, Walk};
use crate::diagnostics::Level;

/// Adds stages to a branch, as often as it is asked to.
type Add = Arc<dyn Fn(Branch) -> Branch + Send + Sync>;

/// One processor, validated.
#[derive(Clone)]
pub(super) struct Step {
    add: Option<Add>,
    /// Whether it holds spans back: who sends them is answered before they leave.
    pub(super) gathers: bool,
    /// Whether it fails on spans that it can't work on: who sends them is to hear so.
    pub(super) fails: bool,
    /// What it asks about senders, as receivers call it.
    pub(super) asks: Vec<String>,
}

impl Step {
    /// What a section asks for. What can't be had is told to `walk`, and what goes wrong later is said with `voice`.
    pub(super) fn new(id: &str, processor: &Processor, voice: &Voice, walk: &mut Walk) -> Self {
        match processor {
            // Memory is granted at the door, before anything is read: there is nothing left to do here.
            Processor::MemoryLimiter(_) => Self::nothing(),
            Processor::Batch(section) => batch(section),
            Processor::Resource(section) => {
                Self::stage(section.processor(), walk).asking(section.client_names())
            }
            Processor::Attributes(section) => {
                Self::stage(section.processor(), walk).asking(section.client_names())
            }
            Processor::Filter(section) => {
                let (voice, id) = (voice.clone(), id.to_owned());
                let tell = move |message: fmt::Arguments<'_>| {
                    voice.say(Level::Warn, format_args!("processors::{id}: {message}"));
                };
                Self {
                    fails: section.fails(),
                    ..Self::stage(section.processor_that_tells(tell), walk)
                }
            }
            Processor::ProbabilisticSampler(section) => Self::stage(section.processor(), walk),
        }
    }

    fn nothing() -> Self {
        Self {
            add: None,
            gathers: false,
            fails: false,
            asks: Vec::new(),
        }
    }

    fn asking(self, names: impl Iterator<Item = String>) -> Self {
        Self {
            asks: names.collect(),
            ..self
        }
    }

    fn stage<P: Into<Stage> + Clone + Send + Sync + 'static>(
        processor: Result<P, InvalidConfig>,
        walk: &mut Walk,
    ) -> Self {
        match processor {
            Ok(processor) => Self {
                add: Some(Arc::new(move |branch: Branch| {
                    let processor = processor.clone();
                    branch.stage(move || processor.clone())
                })),
                gathers: false,
                fails: false,
                asks: Vec::new(),
            },
            Err(error) => {
                for fault in error.faults() {
                    match &*fault.path {
                        "" => walk.fault(fault.message.as_str()),
                        path => walk.within(path, |walk| walk.fault(fault.message.as_str())),
                    }
                }
                Self::nothing()
            }
        }
    }

    /// Adds it to a branch, after what is there.
    pub(super) fn add(&self, branch: Branch) -> Branch {
        match &self.add {
            Some(add) => add(branch),
            None => branch,
        }
    }
}

fn batch(section: &collector::Batch) -> Step {
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
    Step {
        add: Some(Arc::new(move |branch: Branch| {
            let branch = branch.stage(move || Batcher::new(limits));
            // Lanes cut their batches anew, and larger ones from a backlog.
            match most {
                0 => branch,
                most => branch.max_export_batch_size(most),
            }
        })),
        gathers: true,
        fails: false,
        asks: Vec::new(),
    }
}
