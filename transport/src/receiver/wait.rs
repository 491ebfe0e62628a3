//! When a sender is answered.

use core::time::Duration;

use spanwire_core::limiter::Buffer;
use spanwire_core::pipeline::{Delivered, Delivery, Intake, IntakeError};
use tokio::time::timeout;

use crate::otlp::grpc::Code;

/// What a sender waits for, at most for so long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wait {
    /// That its spans are admitted.
    #[default]
    Admission,
    /// That processors have passed them on. They are admitted, so it hears no worse where that takes longer.
    Processors(Duration),
    /// That every exporter has sent them.
    Export(Duration),
}

/// A request that was admitted.
pub(super) enum Taken {
    /// So many spans.
    Admitted(usize),
    /// Its sender is to hear what becomes of it.
    OnItsWay(Delivery, Wait),
}

/// Why a sender hears that its spans went wrong after they were admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// A server behind this one has refused the spans, and given this for a reason.
    Rejected(Option<Code>),
    /// Sending them again changes nothing.
    ForGood(&'static str),
    ForNow(&'static str),
    /// It is not known in time what became of them.
    NotInTime(&'static str),
}

impl Wait {
    /// Offers a request, whose sender waits no longer than for `left`.
    pub(super) fn offer(
        self,
        intake: &Intake,
        request: Buffer,
        left: Option<Duration>,
    ) -> Result<Taken, IntakeError> {
        let at_most = |within: Duration| left.map_or(within, |left| left.min(within));
        Ok(match self {
            Self::Admission => Taken::Admitted(intake.offer_buffer(request)?.spans()),
            Self::Processors(within) => {
                Taken::OnItsWay(intake.screen(request)?, Self::Processors(at_most(within)))
            }
            Self::Export(within) => {
                Taken::OnItsWay(intake.deliver(request)?, Self::Export(at_most(within)))
            }
        })
    }

    /// What a sender hears who waits for a delivery.
    pub(super) async fn hear(self, delivery: Delivery) -> Result<(), Mishap> {
        let within = match self {
            Self::Admission => return Ok(()),
            Self::Processors(within) | Self::Export(within) => within,
        };
        match timeout(within, delivery).await {
            Ok(Delivered::Exported | Delivered::Passed) => Ok(()),
            Ok(Delivered::Rejected { code }) => {
                let code = code.and_then(|code| Code::from_number(code.get().into()));
                Err(Mishap::Rejected(code))
            }
            Ok(Delivered::Failed) => Err(Mishap::ForGood(
                "a condition of a processor can't be computed of these spans",
            )),
            Ok(_) => Err(Mishap::ForNow("the spans could not be exported")),
            Err(_) if matches!(self, Self::Processors(_)) => Ok(()),
            // They may still be.
            Err(_) => Err(Mishap::NotInTime("the spans were not exported in time")),
        }
    }
}
