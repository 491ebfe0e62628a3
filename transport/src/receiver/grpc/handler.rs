//! One request, from its head to what the client is told.

use core::str;
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode, header};
use http_body::Body;
use spanwire_core::batch::ClientInfo;
use spanwire_core::limiter::Account;

use super::answer::{Answer, refused, taken};
use crate::otlp::grpc::Code;
use crate::otlp::{FRAME_PREFIX, GRPC_PATH};
use crate::receiver::body::{Draft, Pace, Room, Source, Trouble, in_a_while};
use crate::receiver::client;
use crate::receiver::connection::Connection;
use crate::receiver::inflate::Coding;
use crate::receiver::request::{Admission, Refusal, settle};
use crate::receiver::tally::Tally;
use crate::receiver::wait::Taken;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// What every request of a receiver is handled with.
pub(super) struct Handler {
    pub(super) admission: Admission,
    pub(super) max_message: usize,
}

/// What the head of a request says of the rest.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    coding: Coding,
    timeout: Option<Duration>,
    /// The bytes of the body, where it says so.
    length: Option<usize>,
}

impl Handler {
    /// Answers a request, and counts it.
    pub(super) async fn answer<B>(
        self: Arc<Self>,
        request: Request<B>,
        connection: Connection,
    ) -> Response<Answer>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let _busy = connection.begin();
        let mut tally = Tally::new(&connection);
        let (parts, body) = request.into_parts();
        let head = self.head(&parts);
        let client = self.admission.client(&client::Head {
            headers: &parts.headers,
            authority: parts.uri.authority().map(Authority::as_str),
            peer: connection.peer(),
        });
        tally.announced = length(&parts.headers).unwrap_or(0);
        // As large as its sender likes, and of no more use.
        drop(parts);
        let taken = match head.and_then(|head| Ok((head, client?))) {
            Ok((head, client)) => self.take(head, client, body, &connection, &mut tally).await,
            Err(refusal) => Err(refusal),
        };
        // As many may wait as there is room for.
        let (taken, _room) = match taken {
            Ok((taken, room)) => (Ok(taken), Some(room)),
            Err(refusal) => (Err(refusal), None),
        };
        match settle(taken, tally).await {
            Ok(()) => self::taken(),
            Err(refusal) => refused(&refusal, self.admission.retry_after),
        }
    }

    /// What can be said before anything of the body is read.
    fn head(&self, parts: &Parts) -> Result<Head, Refusal> {
        if parts.method != Method::POST {
            let message = format!("method {} is not POST", parts.method);
            return Err(Refusal::new(Code::Unimplemented, message)
                .with_status(StatusCode::METHOD_NOT_ALLOWED));
        }
        let content_type = parts.headers.get(header::CONTENT_TYPE);
        if !content_type.is_some_and(|value| is_grpc(value.as_bytes())) {
            let message = match content_type.map(|value| String::from_utf8_lossy(value.as_bytes()))
            {
                Some(value) => format!("content-type '{value}' is not application/grpc"),
                None => "there is no content-type".into(),
            };
            return Err(Refusal::new(Code::InvalidArgument, message)
                .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        let path = parts.uri.path();
        if path != GRPC_PATH {
            return Err(Refusal::new(
                Code::Unimplemented,
                format!("method {path} is not served here"),
            ));
        }
        let shown = parts.headers.get(header::AUTHORIZATION);
        self.admission.check(shown.map(|value| value.as_bytes()))?;
        let coding = match parts.headers.get(GRPC_ENCODING) {
            None => Coding::Identity,
            Some(value) => value
                .to_str()
                .ok()
                .and_then(Coding::from_name)
                .ok_or_else(|| {
                    let name = String::from_utf8_lossy(value.as_bytes());
                    let message = format!("grpc-encoding '{name}' is none of {}", Coding::NAMES);
                    Refusal::new(Code::Unimplemented, message)
                })?,
        };
        let timeout = match parts.headers.get(GRPC_TIMEOUT) {
            None => None,
            Some(value) => Some(timeout(value.as_bytes()).ok_or_else(|| {
                let text = String::from_utf8_lossy(value.as_bytes());
                Refusal::new(
                    Code::InvalidArgument,
                    format!("grpc-timeout '{text}' is no duration"),
                )
            })?),
        };
        Ok(Head {
            coding,
            timeout,
            length: length(&parts.headers),
        })
    }

    /// Reads the one message that a request has, and offers it.
    async fn take<B>(
        &self,
        head: Head,
        client: Option<ClientInfo>,
        body: B,
        connection: &Connection,
        tally: &mut Tally<'_>,
    ) -> Result<(Taken, Room), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let Some(account) = self.admission.intake.account() else {
            return Err(Refusal::for_now("the pipeline is shut down"));
        };
        let room = Room::in_a_while(&account, connection).await?;
        let mut source = Source::new(body, Pace::begin(head.timeout), connection);
        let read = self.read(&head, &mut source, &account, connection).await;
        tally.received = source.received();
        let (compressed, draft) = read?;
        tally.whole = true;
        let body = draft.finish();
        let coding = if compressed {
            head.coding
        } else {
            Coding::Identity
        };
        let (buffer, _hold) = coding
            .decode(body, &account, connection, self.max_message)
            .await?;
        let pace = source.into_pace();
        if pace.is_expired() {
            return Err(Trouble::Expired.into());
        }
        Ok((self.admission.offer(client, buffer, pace.left())?, room))
    }

    /// The message, and whether it is compressed.
    async fn read<B>(
        &self,
        head: &Head,
        source: &mut Source<'_, B>,
        account: &Account,
        connection: &Connection,
    ) -> Result<(bool, Draft), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let malformed = |message: &'static str| Refusal::new(Code::InvalidArgument, message);
        if let Some(length) = head.length {
            // What is too large, or has no room, need not even begin.
            let message = length.saturating_sub(FRAME_PREFIX);
            let check = || Draft::check(account, connection, message, self.max_message);
            in_a_while(connection, message, check).await?;
        }
        let mut prefix = [0; FRAME_PREFIX];
        let mut filled = 0;
        let mut message: Option<(bool, Draft, usize)> = None;
        while let Some(data) = source.next().await? {
            let mut data = &data[..];
            if message.is_none() {
                let (into, from) = (prefix.get_mut(filled..), data.len());
                let into = into.unwrap_or_default();
                let taken = into.len().min(from);
                let (start, rest) = data.split_at(taken);
                if let Some(into) = into.get_mut(..taken) {
                    into.copy_from_slice(start);
                }
                filled += taken;
                data = rest;
                if filled < FRAME_PREFIX {
                    continue;
                }
                let [flag, length @ ..] = prefix;
                let compressed = match flag {
                    0 => false,
                    1 if head.coding == Coding::Identity => {
                        // gRPC, "Compression": a message can't be compressed by nothing.
                        let why = "message is compressed, and there is no grpc-encoding";
                        return Err(Refusal::new(Code::Internal, why));
                    }
                    1 => true,
                    _ => return Err(malformed("message has a flag that is neither 0 nor 1")),
                };
                let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                let begin = || Draft::begin(account, connection, Some(length), self.max_message);
                let draft = in_a_while(connection, length, begin).await?;
                message = Some((compressed, draft, length));
            }
            if let Some((_, draft, length)) = &mut message {
                if data.len() > length.saturating_sub(draft.as_slice().len()) {
                    return Err(malformed("request has more than one message"));
                }
                draft.put_in_a_while(data, connection).await?;
            }
        }
        match message {
            Some((compressed, draft, length)) if draft.as_slice().len() == length => {
                Ok((compressed, draft))
            }
            Some(_) => Err(malformed("request ends inside its message")),
            None if filled > 0 => Err(malformed("request ends inside the prefix of its message")),
            None => Err(malformed("request has no message")),
        }
    }
}

/// `application/grpc`, or the same with `+proto` or parameters after it.
fn is_grpc(value: &[u8]) -> bool {
    let Some((start, rest)) = value.split_at_checked(b"application/grpc".len()) else {
        return false;
    };
    let rest = rest.trim_ascii_start();
    let subtype = rest
        .strip_prefix(b"+proto")
        .unwrap_or(rest)
        .trim_ascii_start();
    start.eq_ignore_ascii_case(b"application/grpc") && matches!(subtype.first(), None | Some(b';'))
}

/// Up to eight digits and a unit: gRPC over HTTP/2, "Timeout".
fn timeout(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// `content-length`, which clients of gRPC seldom send.
fn length(headers: &HeaderMap) -> Option<usize> {
    let value = headers.get(header::CONTENT_LENGTH)?;
    value.to_str().ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests;
