//! What a server says, and what became of a request that it says nothing about.

use core::pin::Pin;
use std::time::SystemTime;

use http::{HeaderMap, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use spanwire_core::exporter::Outcome;

use crate::exporter::call::chain;
use crate::otlp::http::{status_message, verdict};
use crate::otlp::json::read::{read_response, read_status};
use crate::otlp::{MAX_RESPONSE, outcome_of_response, printable};

/// Why there is no body to read.
enum NoBody {
    TooLong,
    Broken(String),
}

/// Reads an answer to its end. The flag says whether the connection can be used again.
pub(super) async fn read(response: Response<Incoming>) -> (Outcome, bool) {
    let (parts, body) = response.into_parts();
    let status = parts.status.as_u16();
    let body = read_body(body).await;
    let reusable = body.is_ok();
    let retry_after = parts
        .headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok());
    let kind = Kind::of(&parts.headers);
    // A failure is one by its status, whatever is to be read beside it.
    let message = match &body {
        Ok(body) if !parts.status.is_success() => kind.message(body),
        _ => String::new(),
    };
    let outcome = match verdict(status, retry_after, &message, SystemTime::now()) {
        Some(outcome) => outcome,
        None => match body {
            Ok(body) => kind.outcome(&body),
            Err(NoBody::TooLong) => {
                Outcome::rejected(format!("the answer is longer than {MAX_RESPONSE} bytes"))
            }
            // It may have said that spans were rejected.
            Err(NoBody::Broken(reason)) => Outcome::Retry {
                after: None,
                possibly_stored: true,
                reason: reason.into(),
            },
        },
    };
    (outcome, reusable)
}

async fn read_body(mut body: Incoming) -> Result<Vec<u8>, NoBody> {
    let mut bytes = Vec::new();
    while let Some(frame) = core::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| NoBody::Broken(chain(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > MAX_RESPONSE {
            return Err(NoBody::TooLong);
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// How the body of an answer is to be read. What stands between us and a server may answer in its own way.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Protobuf,
    Json,
    Text,
    Other,
}

impl Kind {
    fn of(headers: &HeaderMap) -> Self {
        let Some(value) = headers.get(header::CONTENT_TYPE) else {
            return Self::Other;
        };
        let value = value.as_bytes();
        let media = value.split(|&byte| byte == b';').next().unwrap_or_default();
        let is = |name: &str| media.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        if is("application/x-protobuf") || is("application/protobuf") {
            Self::Protobuf
        } else if is("application/json") {
            Self::Json
        } else if is("text/plain") {
            Self::Text
        } else {
            Self::Other
        }
    }

    /// What a successful answer means.
    fn outcome(self, body: &[u8]) -> Outcome {
        let mut bytes = Vec::new();
        match self {
            _ if body.is_empty() => Outcome::Exported,
            Self::Protobuf => outcome_of_response(body),
            Self::Json if read_response(body, &mut bytes).is_ok() => outcome_of_response(&bytes),
            // The server has said that it took the batch.
            Self::Json | Self::Text | Self::Other => Outcome::Partial {
                rejected: 0,
                message: "the answer is no ExportTraceServiceResponse".into(),
            },
        }
    }

    /// What a failure says in words.
    fn message(self, body: &[u8]) -> String {
        let mut bytes = Vec::new();
        match self {
            Self::Protobuf => status_message(body).unwrap_or_default(),
            Self::Json if read_status(body, &mut bytes).is_ok() => {
                status_message(&bytes).unwrap_or_default()
            }
            Self::Text => printable(&String::from_utf8_lossy(body)),
            Self::Json | Self::Other => String::new(),
        }
    }
}
