//! How a batch gets into an exporter's hands: in place, or through a thread of its own.

use alloc::boxed::Box;
use alloc::format;
use core::cell::Cell;
use std::sync::mpsc::{Sender, channel};
use std::{thread, thread_local};

use super::guard::contained;
use crate::batch::Batch;
use crate::clock::Moment;
use crate::exporter::{Exporter, Reply};
use crate::{current, fork};

thread_local! {
    /// The process in which this thread belongs to a pipeline. In a forked child the thread is the child's own.
    static OF_A_PIPELINE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Whether this thread belongs to a pipeline: it must not wait for one.
pub(crate) fn is_pipeline_thread() -> bool {
    let process = OF_A_PIPELINE.try_with(Cell::get).unwrap_or(None);
    process == Some(fork::generation())
}

pub(super) fn mark_pipeline_thread() {
    let _ = OF_A_PIPELINE.try_with(|mark| mark.set(Some(fork::generation())));
}

/// One exporter.
pub(super) enum Hands {
    /// `None` once it has ended.
    Here(Option<Box<dyn Exporter>>),
    Thread(Sender<Errand>),
}

pub(super) enum Errand {
    Export(Batch, Reply),
    Shutdown(Moment),
}

impl Hands {
    pub(super) fn of(number: usize, exporter: Box<dyn Exporter>) -> Result<Self, std::io::Error> {
        if !exporter.may_block() {
            return Ok(Self::Here(Some(exporter)));
        }
        let (errands, inbox) = channel();
        let name = format!("spanwire-exp{number}");
        thread::Builder::new().name(name).spawn(move || {
            let _quiet = current::suppress();
            mark_pipeline_thread();
            let mut exporter = exporter;
            for errand in inbox {
                let last = matches!(errand, Errand::Shutdown(_));
                run(&mut *exporter, errand);
                if last {
                    break;
                }
            }
            contained(|| drop(exporter));
        })?;
        Ok(Self::Thread(errands))
    }

    /// Starts an export. `false` when the exporter panicked before it had answered.
    pub(super) fn export(&mut self, batch: Batch, reply: Reply) -> bool {
        self.send(Errand::Export(batch, reply))
    }

    /// Ends the exporter.
    pub(super) fn shutdown(&mut self, deadline: Moment) {
        self.send(Errand::Shutdown(deadline));
        if let Self::Here(exporter) = self {
            let exporter = exporter.take();
            contained(|| drop(exporter));
        }
    }

    fn send(&mut self, errand: Errand) -> bool {
        match self {
            Self::Here(Some(exporter)) => run(&mut **exporter, errand),
            Self::Here(None) => false,
            // The thread takes errands for as long as there is a sender; it ends only after its last one.
            Self::Thread(errands) => errands.send(errand).is_ok(),
        }
    }
}

/// Runs an exporter. `false` when it panicked; a reply that it dropped in doing so says so too.
fn run(exporter: &mut dyn Exporter, errand: Errand) -> bool {
    let run = || match errand {
        Errand::Export(batch, reply) => exporter.export(batch, reply),
        Errand::Shutdown(deadline) => exporter.shutdown(deadline),
    };
    contained(run).is_some()
}
