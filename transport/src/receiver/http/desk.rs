//! One request, from its head to its answer.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body::Body;
use spanwire_core::batch::ClientInfo;
use spanwire_core::limiter::{Account, Buffer};
use spanwire_core::pipeline::{Intake, IntakeError};

use super::answer::{self, Answer, Form, Refusal};
use super::cors::{Cors, is_preflight};
use super::wire::Talk;
use crate::headers::CurrentHeaders;
use crate::otlp::grpc::Code;
use crate::otlp::json::read::read_request;
use crate::receiver::bearer::{Gate, Pass};
use crate::receiver::body::{Draft, Pace, Source, Trouble};
use crate::receiver::client::{self, Kept};
use crate::receiver::inflate::Coding;
use crate::receiver::line::{Hold, Line};
use crate::receiver::tally::Tally;
use crate::receiver::wait::{Taken, Wait};

/// The most bytes of a body that was refused that are read, and let go of, so that its connection can go on. What is longer
/// costs the client a new connection.
const MOST_PASSED_OVER: usize = 64 << 10;

/// How requests are treated.
pub(super) struct Manners {
    pub(super) path: String,
    pub(super) max_request: usize,
    pub(super) read_timeout: Option<Duration>,
    pub(super) retry_after: Duration,
    pub(super) wait: Wait,
    pub(super) gate: Option<Gate>,
    pub(super) kept: Kept,
    pub(super) cors: Option<Cors>,
    pub(super) headers: CurrentHeaders,
}

/// Where requests are answered.
pub(super) struct Desk {
    intake: Intake,
    manners: Manners,
}

impl Desk {
    pub(super) fn new(intake: Intake, manners: Manners) -> Self {
        Self { intake, manners }
    }

    /// Answers a request.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        line: &Line,
        talk: &Arc<Talk>,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (_busy, _answering) = (line.begin(), talk.answer());
        let (head, mut body) = request.into_parts();
        let (method, headers) = (head.method, head.headers);
        if let Some(cors) = &self.manners.cors
            && is_preflight(&method, &headers)
        {
            let mut answer = answer::bare(StatusCode::NO_CONTENT);
            cors.preflight(&headers, answer.headers_mut());
            return self.signed(answer);
        }
        let mut tally = Tally::new(line);
        tally.whole = body.is_end_stream();
        // A length that does not fit is too large, whatever it is.
        let length = body
            .size_hint()
            .exact()
            .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        tally.announced = length.unwrap_or(0);
        let judged = self.judge(head.uri.path(), &method, &headers);
        let judged = judged.and_then(|(form, coding)| {
            let client = self.client(&headers, line);
            let client = client.map_err(|refusal| (Some(form), refusal))?;
            Ok((form, coding, client))
        });
        let (form, taken) = match judged {
            Ok((form, coding, client)) => {
                let body = Arriving {
                    body: &mut body,
                    length,
                };
                let taken = self.export(form, coding, client, body, line, &mut tally);
                (Some(form), taken.await)
            }
            Err((form, refusal)) => (form, Err(refusal)),
        };
        // Not all of the body was looked at: it has to be gone before another request can come.
        let in_the_way = match &taken {
            Err(refusal) if !tally.whole => {
                let left = length.map(|length| length.saturating_sub(tally.received));
                let small = left.is_some_and(|left| left <= MOST_PASSED_OVER);
                let waits = headers.contains_key(EXPECT);
                let passes = small && !waits && refusal.may_go_on();
                !(passes && pass_over(&mut body).await)
            }
            _ => false,
        };
        let exported = match taken {
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
                tally.not_admitted(refusal.kind());
                Err(refusal)
            }
        };
        let answer = match exported {
            Ok(()) => answer::taken(form.unwrap_or(Form::Protobuf)),
            Err(refusal) => refusal.answer(form, self.manners.retry_after),
        };
        let mut answer = self.signed(answer);
        if let Some(cors) = &self.manners.cors {
            cors.label(&headers, answer.headers_mut());
        }
        if in_the_way {
            talk.leave_unread();
            return answer::and_close(answer);
        }
        answer
    }

    /// With the headers that every answer has.
    fn signed(&self, mut answer: Answer) -> Answer {
        for (name, value) in self.manners.headers.read().flatten() {
            // Both were checked by the same rules when they were set.
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(&value),
            ) {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }

    /// What a head asks for: an export in some form and coding, or else what is refused.
    fn judge(
        &self,
        path: &str,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(Form, Coding), (Option<Form>, Refusal)> {
        let form = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .and_then(Form::of);
        if let Some(gate) = &self.manners.gate {
            let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
            match gate.check(shown) {
                Pass::Granted => {}
                Pass::Denied => {
                    let why = match shown {
                        Some(_) => "the bearer token is not known",
                        None => "there is no bearer token",
                    };
                    return Err((form, Refusal::unauthenticated(why)));
                }
                Pass::Unknown => {
                    let why = "bearer tokens can't be looked up now";
                    return Err((form, Refusal::for_now(why)));
                }
            }
        }
        if path != self.manners.path {
            return Err((form, Refusal::not_found()));
        }
        if *method != Method::POST {
            return Err((form, Refusal::method_not_allowed()));
        }
        let form = form.ok_or_else(|| (None, Refusal::unsupported_media_type()))?;
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let coding = match (codings.next(), codings.next()) {
            (None, _) => Some(Coding::Identity),
            (Some(name), None) => name.to_str().ok().and_then(Coding::from_name),
            // Encoded more than once.
            (Some(_), Some(_)) => None,
        };
        coding.map(|coding| (form, coding)).ok_or_else(|| {
            let names: Vec<_> = headers
                .get_all(CONTENT_ENCODING)
                .iter()
                .map(|name| String::from_utf8_lossy(name.as_bytes()))
                .collect();
            let message = format!(
                "unsupported Content-Encoding: {}; supported: {}",
                names.join(", "),
                Coding::NAMES
            );
            (Some(form), Refusal::new(Code::InvalidArgument, message))
        })
    }

    /// What is kept of who sends.
    fn client(&self, headers: &HeaderMap, line: &Line) -> Result<Option<ClientInfo>, Refusal> {
        let head = client::Head {
            headers,
            authority: None,
            peer: line.peer(),
        };
        Ok(self.manners.kept.of(&head, || self.intake.account())?)
    }

    /// Reads a body, and offers what is in it.
    async fn export<B>(
        &self,
        form: Form,
        coding: Coding,
        client: Option<ClientInfo>,
        body: Arriving<'_, B>,
        line: &Line,
        tally: &mut Tally<'_>,
    ) -> Result<Taken, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Some(account) = self.intake.account() else {
            return Err(IntakeError::Closed.into());
        };
        let most = self.manners.max_request.min(match form {
            Form::Protobuf => line.allowance(),
            // Its protobuf stands beside it.
            Form::Json => line.allowance() / 2,
        });
        let mut draft = Draft::begin(&account, line, body.length, most)?;
        let mut source =
            Source::new(body.body, Pace::begin(self.manners.read_timeout)).within(&account, line);
        while let Some(piece) = source.next().await? {
            tally.received = source.received();
            draft.put(&piece)?;
        }
        tally.whole = true;
        let body = coding.decode(draft.finish(), &account, line, most).await?;
        let buffer = match form {
            // What the connection holds for it is given back once it is admitted.
            Form::Protobuf => body.0,
            Form::Json => protobuf(body, &account, most)?,
        };
        let of_client = client.map(|client| self.intake.clone().with_client(client));
        let intake = of_client.as_ref().unwrap_or(&self.intake);
        Ok(self.manners.wait.offer(intake, buffer, None)?)
    }
}

/// A body, and how long it says that it is.
struct Arriving<'a, B> {
    body: &'a mut B,
    length: Option<usize>,
}

/// Reads what is left of a body and lets go of it. Returns whether the end was reached, at the pace that bodies have.
async fn pass_over<B>(body: &mut B) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut rest = Source::new(body, Pace::begin(None));
    loop {
        match rest.next().await {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Writes the protobuf of a text, which is let go of. Both are held for a while, and then the protobuf alone.
fn protobuf(text: (Buffer, Hold), account: &Account, most: usize) -> Result<Buffer, Refusal> {
    let (text, mut hold) = text;
    let grant = |len| {
        account
            .acquire(len)
            .map_err(|refused| Trouble::of(refused, most))
    };
    // What is written is never longer than what is read.
    let len = text.as_slice().len();
    if !hold.grow(len) {
        return Err(Trouble::Crowded.into());
    }
    let paid = grant(len)?;
    let mut bytes = Vec::with_capacity(paid.bytes());
    read_request(text.as_slice(), &mut bytes).map_err(|invalid| {
        Refusal::new(
            Code::InvalidArgument,
            format!("malformed request: {invalid}"),
        )
    })?;
    drop(text);
    let mut buffer = grant(bytes.len())?.into_buffer();
    let fits = buffer.try_put(&bytes);
    debug_assert!(fits, "it was made for them");
    Ok(buffer)
}
