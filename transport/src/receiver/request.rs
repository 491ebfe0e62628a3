//! One request, whatever protocol carries it: who may send, what is offered, what its client is told and how it is counted.

use core::time::Duration;
use std::borrow::Cow;

use http::StatusCode;
use spanwire_core::limiter::Buffer;
use spanwire_core::pipeline::{Delivered, Delivery, Intake, IntakeError};
use tokio::time::timeout;

use super::bearer::{BearerTokens, Gate, Pass};
use super::body::{Room, Trouble};
use super::tally::{Kind, Tally};
use crate::otlp::grpc::Code;

/// How requests are treated, in any protocol.
#[derive(Clone, Debug)]
pub(super) struct Treatment {
    pub(super) bearer: Option<BearerTokens>,
    /// What clients that are refused for now are told to wait.
    pub(super) retry_after: Duration,
    /// How long to wait for the export before the answer; `None`: not at all.
    pub(super) answer_after_export: Option<Duration>,
}

impl Default for Treatment {
    fn default() -> Self {
        Self {
            bearer: None,
            retry_after: Duration::from_secs(1),
            answer_after_export: None,
        }
    }
}

/// A bound on a time; zero is none.
pub(super) fn some(bound: Duration) -> Option<Duration> {
    Some(bound).filter(|bound| !bound.is_zero())
}

/// Where requests are offered.
pub(super) struct Counter {
    pub(super) intake: Intake,
    pub(super) retry_after: Duration,
    gate: Option<Gate>,
    answer_after_export: Option<Duration>,
}

impl Counter {
    pub(super) fn new(intake: Intake, treatment: Treatment) -> Self {
        Self {
            intake,
            retry_after: treatment.retry_after,
            gate: treatment.bearer.map(Gate::new),
            answer_after_export: treatment.answer_after_export,
        }
    }

    /// Whether who shows this in `authorization` may send.
    pub(super) fn check(&self, shown: Option<&[u8]>) -> Result<(), Refusal> {
        let pass = self.gate.as_ref().map(|gate| gate.check(shown));
        match pass {
            None | Some(Pass::Granted) => Ok(()),
            Some(Pass::Denied) => Err(Refusal::unauthenticated(match shown {
                Some(_) => "the bearer token is not known",
                None => "there is no bearer token",
            })),
            Some(Pass::Unknown) => Err(Refusal::for_now("bearer tokens can't be looked up now")),
        }
    }

    /// Offers a whole message. `left` is how long its client waits, and `room` what it keeps while it does.
    pub(super) fn offer(
        &self,
        message: Buffer,
        left: Option<Duration>,
        room: Option<Room>,
    ) -> Result<Taken, Refusal> {
        Ok(match self.answer_after_export {
            None => Taken::Admitted(self.intake.offer_buffer(message)?.spans()),
            Some(within) => {
                let within = left.map_or(within, |left| left.min(within));
                Taken::OnItsWay(self.intake.deliver(message)?, within, room)
            }
        })
    }
}

/// A request that was admitted.
pub(super) enum Taken {
    /// So many spans.
    Admitted(usize),
    /// Its client is to hear what becomes of it, within that time; as many may wait as there is room for.
    OnItsWay(Delivery, Duration, Option<Room>),
}

/// Counts what became of a request, and waits for its export where its client does.
pub(super) async fn settle(taken: Result<Taken, Refusal>, tally: Tally<'_>) -> Result<(), Refusal> {
    match taken {
        Ok(Taken::Admitted(spans)) => {
            tally.admitted(spans);
            Ok(())
        }
        Ok(Taken::OnItsWay(delivery, within, _room)) => {
            let awaited = tally.awaited(delivery.spans());
            let waited = wait(delivery, within).await;
            waited.inspect(|()| awaited.exported())
        }
        Err(refusal) => {
            tally.not_admitted(refusal.kind);
            Err(refusal)
        }
    }
}

/// Waits until every exporter is done with a request.
async fn wait(delivery: Delivery, within: Duration) -> Result<(), Refusal> {
    match timeout(within, delivery).await {
        Ok(Delivered::Exported) => Ok(()),
        Ok(Delivered::Rejected) => Err(Refusal::new(
            Code::Internal,
            "a server behind this one refused the spans for good",
        )),
        Ok(_) => Err(Refusal::for_now("the spans could not be exported")),
        // They may still be.
        Err(_) => Err(Refusal::new(
            Code::DeadlineExceeded,
            "the spans were not exported in time",
        )),
    }
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) message: Cow<'static, str>,
    /// Whether the same may be taken later.
    pub(super) again: bool,
    /// Under what it is counted.
    pub(super) kind: Kind,
    /// The status in HTTP; `None`: the one that the protocol has for the code.
    pub(super) status: Option<StatusCode>,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            again: false,
            kind: Kind::Rejected,
            status: None,
        }
    }

    /// One that is said in HTTP, for clients of any kind.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self {
            status: Some(status),
            ..self
        }
    }

    /// One that passes.
    pub(super) fn for_now(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            again: true,
            kind: Kind::Refused,
            ..Self::new(Code::Unavailable, message)
        }
    }

    fn unauthenticated(message: &'static str) -> Self {
        Self {
            kind: Kind::Unauthenticated,
            ..Self::new(Code::Unauthenticated, message)
        }
    }

    /// A body that is larger than any is let be.
    fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::ResourceExhausted, message)
    }
}

impl From<Trouble> for Refusal {
    fn from(trouble: Trouble) -> Self {
        let message = trouble.to_string();
        let kind = |kind, code| Self {
            kind,
            ..Self::new(code, message.clone())
        };
        match trouble {
            // In the words that clients know, and split by: gRPC has no code for it.
            Trouble::TooLarge { .. } | Trouble::Overgrown => Self::too_large(message),
            Trouble::NoRoom(_) | Trouble::Crowded => Self::for_now(message),
            Trouble::Stalled => Self {
                kind: Kind::Stalled,
                ..Self::for_now(message)
            },
            // In HTTP not 408, after which a client would not come again.
            Trouble::Slow => kind(Kind::Cut, Code::Unavailable),
            Trouble::Expired => kind(Kind::Cut, Code::DeadlineExceeded),
            Trouble::Abandoned => kind(Kind::Abandoned, Code::Cancelled),
            Trouble::Garbled { .. } => Self::new(Code::InvalidArgument, message),
        }
    }
}

impl From<IntakeError> for Refusal {
    fn from(error: IntakeError) -> Self {
        let message = error.to_string();
        match error {
            error if error.is_retryable() => Self::for_now(message),
            IntakeError::Invalid(_) => Self::new(Code::InvalidArgument, message),
            IntakeError::NoRoom(_) => Self::too_large(message),
            _ => Self::new(Code::Internal, message),
        }
    }
}
