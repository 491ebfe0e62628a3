//! How a batch gets into an exporter's hands: in place, or through a thread of its own.

use alloc::boxed::Box;
use alloc::format;
use core::cell::Cell;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::mpsc::{Sender, channel};
use std::{thread, thread_local};

use crate::batch::Batch;
use crate::clock::Moment;
use crate::current;
use crate::exporter::{Exporter, Reply};

thread_local!(static OF_A_PIPELINE: Cell<bool> = const { Cell::new(false) });

/// Whether this thread belongs to a pipeline: it must not wait for one.
pub(crate) fn is_pipeline_thread() -> bool {
    OF_A_PIPELINE.try_with(Cell::get).unwrap_or(false)
}

pub(super) fn mark_pipeline_thread() {
    let _ = OF_A_PIPELINE.try_with(|mark| mark.set(true));
}

/// One exporter.
pub(super) enum Hands {
    Here(Box<dyn Exporter>),
    Thread(Sender<Errand>),
}

pub(super) enum Errand {
    Export(Batch, Reply),
    Shutdown(Moment),
}

impl Hands {
    pub(super) fn of(number: usize, exporter: Box<dyn Exporter>) -> Result<Self, std::io::Error> {
        if !exporter.may_block() {
            return Ok(Self::Here(exporter));
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
                    return;
                }
            }
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
    }

    fn send(&mut self, errand: Errand) -> bool {
        match self {
            Self::Here(exporter) => run(&mut **exporter, errand),
            // The thread takes errands for as long as there is a sender; it ends only after its last one.
            Self::Thread(errands) => errands.send(errand).is_ok(),
        }
    }
}

/// Runs an exporter. `false` when it panicked; a reply that it dropped in doing so says so too.
fn run(exporter: &mut dyn Exporter, errand: Errand) -> bool {
    let run = AssertUnwindSafe(|| match errand {
        Errand::Export(batch, reply) => exporter.export(batch, reply),
        Errand::Shutdown(deadline) => exporter.shutdown(deadline),
    });
    catch_unwind(run).is_ok()
}
