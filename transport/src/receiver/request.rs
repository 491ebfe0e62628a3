//! One request, whatever protocol carries it: who may send, what is offered, what its client is told and how it is counted.

use core::time::Duration;
use std::borrow::Cow;

use http::StatusCode;
use spanwire_core::batch::ClientInfo;
use spanwire_core::limiter::Buffer;
use spanwire_core::pipeline::{Intake, IntakeError};

use super::bearer::{BearerTokens, Gate, Pass};
use super::body::Trouble;
use super::client::{Head, Kept};
use super::tally::{Kind, Tally};
use super::wait::{Mishap, Taken, Wait};
use crate::diagnostics::Chain;
use crate::otlp::grpc::Code;

/// How requests are treated, in any protocol.
#[derive(Clone, Debug)]
pub(super) struct Treatment {
    pub(super) bearer: Option<BearerTokens>,
    /// What clients that are refused for now are told to wait.
    pub(super) retry_after: Duration,
    pub(super) wait: Wait,
    pub(super) kept: Kept,
}

impl Default for Treatment {
    fn default() -> Self {
        Self {
            bearer: None,
            retry_after: Duration::from_secs(1),
            wait: Wait::Admission,
            kept: Kept::default(),
        }
    }
}

/// A bound on a time; zero is none.
pub(super) fn some(bound: Duration) -> Option<Duration> {
    Some(bound).filter(|bound| !bound.is_zero())
}

/// Where requests are offered.
pub(super) struct Admission {
    pub(super) intake: Intake,
    pub(super) retry_after: Duration,
    gate: Option<Gate>,
    wait: Wait,
    kept: Kept,
}

impl Admission {
    pub(super) fn new(intake: Intake, treatment: Treatment) -> Self {
        Self {
            intake,
            retry_after: treatment.retry_after,
            gate: treatment.bearer.map(Gate::new),
            wait: treatment.wait,
            kept: treatment.kept,
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

    /// What is kept of who sends.
    pub(super) fn client(&self, head: &Head<'_>) -> Result<Option<ClientInfo>, Refusal> {
        Ok(self.kept.of(head, || self.intake.account())?)
    }

    /// Offers a whole message. `left` is how long its client waits.
    pub(super) fn offer(
        &self,
        client: Option<ClientInfo>,
        message: Buffer,
        left: Option<Duration>,
    ) -> Result<Taken, Refusal> {
        let of_client = client.map(|client| self.intake.clone().with_client(client));
        let intake = of_client.as_ref().unwrap_or(&self.intake);
        Ok(self.wait.offer(intake, message, left)?)
    }
}

/// Counts what became of a request, and waits for what its client waits for.
pub(super) async fn settle(taken: Result<Taken, Refusal>, tally: Tally<'_>) -> Result<(), Refusal> {
    match taken {
        Ok(Taken::Admitted(spans)) => {
            tally.admitted(spans);
            Ok(())
        }
        Ok(Taken::OnItsWay(delivery, wait)) => {
            let awaited = tally.awaited(delivery.spans());
            let waited = wait.hear(delivery).await.map_err(Refusal::from);
            waited.inspect(|()| awaited.exported())
        }
        Err(refusal) => {
            tally.not_admitted(refusal.kind);
            Err(refusal)
        }
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
    /// The body is too large: HTTP has a status for that beside the one of the code.
    pub(super) is_too_large: bool,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            again: false,
            kind: Kind::Rejected,
            status: None,
            is_too_large: false,
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
    pub(super) fn too_large(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            is_too_large: true,
            ..Self::new(Code::ResourceExhausted, message)
        }
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
            Trouble::Slow => Self {
                kind: Kind::Cut,
                ..Self::for_now(message)
            },
            // Nothing of it was taken, and the network may be quicker next time.
            Trouble::Expired => Self {
                again: true,
                ..kind(Kind::Cut, Code::DeadlineExceeded)
            },
            Trouble::Abandoned => kind(Kind::Abandoned, Code::Cancelled),
            Trouble::Garbled { .. } => Self::new(Code::InvalidArgument, message),
        }
    }
}

impl From<Mishap> for Refusal {
    fn from(mishap: Mishap) -> Self {
        match mishap {
            // The status of the server unchanged, as the Collector has it.
            Mishap::Rejected(code) => Self::new(
                code.unwrap_or(Code::Internal),
                "a server behind this one refused the spans for good",
            ),
            Mishap::ForGood(why) => Self::new(Code::Internal, why),
            Mishap::ForNow(why) => Self::for_now(why),
            Mishap::NotInTime(why) => Self::new(Code::DeadlineExceeded, why),
        }
    }
}

impl From<IntakeError> for Refusal {
    fn from(error: IntakeError) -> Self {
        let message = Chain(&error).to_string();
        match error {
            error if error.is_retryable() => Self::for_now(message),
            IntakeError::Invalid(_) => Self::new(Code::InvalidArgument, message),
            IntakeError::NoRoom(_) => Self::too_large(message),
            _ => Self::new(Code::Internal, message),
        }
    }
}
