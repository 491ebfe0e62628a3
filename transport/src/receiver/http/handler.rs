//! One request, from its head to its answer.

use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body::Body;
use spanwire_core::batch::ClientInfo;
use spanwire_core::limiter::{Account, Buffer};
use spanwire_core::pipeline::IntakeError;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use super::answer::{self, Answer, Form};
use super::cors::{Cors, is_preflight};
use super::wire::Talk;
use crate::headers::CurrentHeaders;
use crate::otlp::grpc::Code;
use crate::otlp::json::read::read_request;
use crate::receiver::body::{Draft, Pace, Source, Trouble, in_a_while};
use crate::receiver::client;
use crate::receiver::connection::{Connection, Hold};
use crate::receiver::inflate::{Coding, Codings};
use crate::receiver::request::{Admission, Refusal, settle};
use crate::receiver::tally::{Kind, Tally};
use crate::receiver::wait::Taken;

/// The most bytes of a body that was refused that are read, and let go of, so that its connection can go on. What is longer
/// costs the client a new connection.
const MOST_PASSED_OVER: usize = 64 << 10;

/// The most bytes of JSON that are converted where they were read: a millisecond or so of work.
const MOST_CONVERTED_IN_PLACE: usize = 256 << 10;

/// The most texts that are longer and are converted at once.
const MOST_CONVERSIONS: usize = 2;

/// How requests are treated.
pub(super) struct Settings {
    pub(super) path: String,
    pub(super) max_request: usize,
    pub(super) read_timeout: Option<Duration>,
    pub(super) cors: Option<Cors>,
    pub(super) headers: CurrentHeaders,
    pub(super) codings: Codings,
}

/// Where requests are answered.
pub(super) struct Handler {
    admission: Admission,
    settings: Settings,
    /// Long texts that may be converted at once.
    conversions: Semaphore,
}

impl Handler {
    pub(super) fn new(admission: Admission, settings: Settings) -> Self {
        Self {
            admission,
            settings,
            conversions: Semaphore::new(MOST_CONVERSIONS),
        }
    }

    /// Answers a request.
    pub(super) async fn answer<B>(
        &self,
        request: Request<B>,
        connection: &Connection,
        talk: &Arc<Talk>,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (_busy, _answering) = (connection.begin(), talk.answer());
        let (head, mut body) = request.into_parts();
        let (method, headers) = (head.method, head.headers);
        if let Some(cors) = &self.settings.cors
            && is_preflight(&method, &headers)
        {
            let mut answer = answer::bare(StatusCode::NO_CONTENT);
            cors.preflight(&headers, answer.headers_mut());
            return self.signed(answer);
        }
        let mut tally = Tally::new(connection);
        tally.whole = body.is_end_stream();
        // A length that does not fit is too large, whatever it is.
        let length = body
            .size_hint()
            .exact()
            .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        tally.announced = length.unwrap_or(0);
        let judged = self.judge(head.uri.path(), &method, &headers);
        let judged = judged.and_then(|(form, coding)| {
            let client = self.admission.client(&client::Head {
                headers: &headers,
                authority: None,
                peer: connection.peer(),
            });
            let client = client.map_err(|refusal| (Some(form), refusal))?;
            Ok((form, coding, client))
        });
        let (form, taken) = match judged {
            Ok((form, coding, client)) => {
                let body = Arriving {
                    body: &mut body,
                    length,
                };
                let taken = self.export(form, coding, client, body, connection, &mut tally);
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
                let passes = small && !waits && may_go_on(refusal);
                !(passes && pass_over(&mut body, connection).await)
            }
            _ => false,
        };
        // Nothing is coming that would have to be read for the answer's sake.
        let stalled = matches!(&taken, Err(refusal) if refusal.kind == Kind::Stalled);
        let answer = match settle(taken, tally).await {
            Ok(()) => answer::taken(form.unwrap_or(Form::Protobuf)),
            Err(refusal) => answer::refused(&refusal, form, self.admission.retry_after),
        };
        let mut answer = self.signed(answer);
        if let Some(cors) = &self.settings.cors {
            cors.label(&headers, answer.headers_mut());
        }
        if in_the_way {
            if !stalled {
                talk.leave_unread();
            }
            connection.part();
            return answer::and_close(answer);
        }
        answer
    }

    /// With the headers that every answer has.
    fn signed(&self, mut answer: Answer) -> Answer {
        for (name, value) in self.settings.headers.read().flatten() {
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
        let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        self.admission
            .check(shown)
            .map_err(|refusal| (form, refusal))?;
        if path != self.settings.path {
            return Err((form, answer::not_found()));
        }
        if *method != Method::POST {
            return Err((form, answer::method_not_allowed()));
        }
        let form = form.ok_or_else(|| (None, answer::unsupported_media_type()))?;
        let mut codings = headers.get_all(CONTENT_ENCODING).iter();
        let coding = match (codings.next(), codings.next()) {
            (None, _) => Some(Coding::Identity),
            (Some(name), None) => name.to_str().ok().and_then(Coding::from_name),
            // Encoded more than once.
            (Some(_), Some(_)) => None,
        };
        let coding = coding.filter(|coding| self.settings.codings.take(*coding));
        coding.map(|coding| (form, coding)).ok_or_else(|| {
            let names: Vec<_> = headers
                .get_all(CONTENT_ENCODING)
                .iter()
                .map(|name| String::from_utf8_lossy(name.as_bytes()))
                .collect();
            let message = format!(
                "unsupported Content-Encoding: {}; supported: {}",
                names.join(", "),
                self.settings.codings.names()
            );
            (Some(form), Refusal::new(Code::InvalidArgument, message))
        })
    }

    /// Reads a body, and offers what is in it.
    async fn export<B>(
        &self,
        form: Form,
        coding: Coding,
        client: Option<ClientInfo>,
        body: Arriving<'_, B>,
        connection: &Connection,
        tally: &mut Tally<'_>,
    ) -> Result<Taken, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Some(account) = self.admission.intake.account() else {
            return Err(IntakeError::Closed.into());
        };
        let most = self.settings.max_request.min(match form {
            Form::Protobuf => connection.allowance(),
            // Its protobuf stands beside it.
            Form::Json => connection.allowance() / 2,
        });
        let begin = || Draft::begin(&account, connection, body.length, most);
        let mut draft = in_a_while(connection, body.length.unwrap_or(0), begin).await?;
        let pace = Pace::begin(self.settings.read_timeout);
        let mut source = Source::new(body.body, pace, connection);
        while let Some(piece) = source.next().await? {
            tally.received = source.received();
            draft.put_in_a_while(&piece, connection).await?;
        }
        tally.whole = true;
        let body = coding
            .decode(draft.finish(), &account, connection, most)
            .await?;
        let buffer = match form {
            // What the connection holds for it is given back once it is admitted.
            Form::Protobuf => body.0,
            Form::Json => self.converted(body, account, most).await?,
        };
        self.admission.offer(client, buffer, None)
    }

    /// The protobuf of a text. What takes long is done on a thread where it holds up nobody's connections.
    async fn converted(
        &self,
        text: (Buffer, Hold),
        account: Account,
        most: usize,
    ) -> Result<Buffer, Refusal> {
        if text.0.as_slice().len() <= MOST_CONVERTED_IN_PLACE {
            return protobuf(text, &account, most);
        }
        let turn = self.conversions.acquire().await;
        let converted = spawn_blocking(move || protobuf(text, &account, most)).await;
        drop(turn);
        converted.unwrap_or_else(|_| Err(Refusal::new(Code::Internal, "conversion has failed")))
    }
}

/// Whether the client may send something else on the same connection: one that is known, and as fast as it should be.
fn may_go_on(refusal: &Refusal) -> bool {
    matches!(refusal.kind, Kind::Refused | Kind::Rejected)
}

/// A body, and how long it says that it is.
struct Arriving<'a, B> {
    body: &'a mut B,
    length: Option<usize>,
}

/// Reads what is left of a body and lets go of it. Returns whether the end was reached, at the pace that bodies have.
async fn pass_over<B>(body: &mut B, connection: &Connection) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut rest = Source::new(body, Pace::begin(None), connection);
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
        return Err(Trouble::crowded(hold.connection()).into());
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
