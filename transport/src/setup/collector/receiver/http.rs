//! OTLP over HTTP.

use core::time::Duration;

use super::shared::{self, Listens};
use super::{Answer, Serve};
use crate::config::Walk;
use crate::config::collector::HttpServer;
use crate::headers::Headers;
use crate::receiver::http::{Cors, HttpReceiver, HttpReceiverBuilder};
use crate::receiver::inflate::Coding;
use crate::receiver::listener::Listener;
use crate::setup::collector::Host;

/// What a section asks for.
pub(super) fn serve(
    section: &HttpServer,
    answer: Answer,
    asked: &[String],
    host: &Host,
    walk: &mut Walk,
) -> Option<Serve> {
    let before = walk.faults.len();
    shared::authenticator(section.auth.as_ref(), walk);
    let kept = shared::Kept::of(asked, section.include_metadata, walk);
    let encodings = encodings(&section.compression_algorithms, walk);
    if !section.write_timeout.is_zero() {
        walk.within("write_timeout", |walk| {
            walk.warn("has no effect: answers are small, and a connection that takes none is cut");
        });
    }
    let endpoint = shared::endpoint(&section.endpoint, &section.transport, walk);
    let mut headers = Headers::new();
    walk.within("response_headers", |walk| {
        for (name, value) in &section.response_headers.0 {
            if let Err(error) = headers.set(name, value.expose()) {
                walk.within(name, |walk| walk.fault(error.to_string()));
            }
        }
    });
    let mut builder = HttpReceiver::builder()
        .endpoint(endpoint)
        .traces_url_path(&section.traces_url_path)
        .keep_alives(section.keep_alives_enabled)
        .response_headers(headers)
        .runtime(host.runtime.clone());
    if let Some(bytes) = usize::try_from(section.max_request_body_size)
        .ok()
        .filter(|bytes| *bytes > 0)
    {
        builder = builder.max_request_body_size(bytes);
    }
    if !section.read_timeout.is_zero() {
        builder = builder.read_timeout(section.read_timeout);
    }
    if !section.read_header_timeout.is_zero() {
        builder = builder.read_header_timeout(section.read_header_timeout);
    }
    if !section.idle_timeout.is_zero() {
        builder = builder.idle_timeout(section.idle_timeout);
    }
    if let Some(section) = &section.cors {
        let mut cors = Cors::new();
        for origin in &section.allowed_origins {
            cors = cors.allow_origin(origin);
        }
        for header in &section.allowed_headers {
            cors = cors.allow_header(header);
        }
        for header in &section.exposed_headers {
            cors = cors.expose_header(header);
        }
        if let Some(seconds) = u64::try_from(section.max_age).ok().filter(|age| *age > 0) {
            cors = cors.max_age(Duration::from_secs(seconds));
        }
        builder = builder.cors(cors);
    }
    if let Some(names) = encodings {
        builder = builder.content_encodings(names);
    }
    builder = shared::treated!(builder, section, kept, answer, walk);
    (walk.faults.len() == before).then(|| shared::serving(builder, HttpReceiverBuilder::serve))
}

/// What a list asks for; `None` where it is the Collector's own, which stands for all that is built in.
fn encodings<'a>(asked: &'a [String], walk: &mut Walk) -> Option<&'a [String]> {
    if asked == HttpServer::default().compression_algorithms {
        return None;
    }
    walk.within("compression_algorithms", |walk| {
        for (index, name) in asked.iter().enumerate() {
            if Coding::from_name(name).is_none() {
                let built = Coding::NAMES.replace(',', ", ");
                walk.within(&index.to_string(), |walk| {
                    walk.fault(format!(
                        "{name:?} is not supported; accepted: \"\" and {built}"
                    ));
                });
            }
        }
        if asked.is_empty() {
            walk.fault("leaves no request that could be taken");
        }
    });
    Some(asked)
}

impl Listens for HttpReceiver {
    fn listener(&self) -> &Listener {
        Self::listener(self)
    }
}
