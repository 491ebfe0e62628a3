//! What receivers of every protocol are told.

use core::error::Error;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use spanwire_core::pipeline::Intake;

use super::{Open, Serve};
use crate::config::Walk;
use crate::config::collector::{
    self, ADDRESS, Authenticator, ComponentId, Config, Extension, METADATA,
};
use crate::diagnostics::Chain;
use crate::endpoint::Endpoint;
use crate::receiver::listener::Listener;
use crate::receiver::{BearerTokens, ReceiverStats, Stopped};
#[cfg(feature = "tls")]
use crate::tls::{ServerTls, TlsVersion};

/// The endpoint as a listener reads it.
pub(in crate::setup::collector) fn endpoint(
    endpoint: &str,
    transport: &str,
    walk: &mut Walk,
) -> String {
    let text = match transport {
        "unix" if endpoint.starts_with('@') => {
            format!("unix-abstract:{}", endpoint.trim_start_matches('@'))
        }
        "unix" => format!("unix:{endpoint}"),
        // Go listens on every address when there is none.
        _ if endpoint.starts_with(':') => format!("0.0.0.0{endpoint}"),
        _ => endpoint.to_owned(),
    };
    walk.within("endpoint", |walk| {
        // A port of 0 is one that is free, and no place to send to.
        let port_0 = text.strip_suffix(":0").map(|host| format!("{host}:1"));
        if let Err(error) = port_0.as_ref().unwrap_or(&text).parse::<Endpoint>() {
            let error = error.to_string();
            walk.fault(error.strip_prefix("endpoint ").unwrap_or(&error));
        }
    });
    text
}

/// The tokens of which clients have to show one; `None` without an authenticator.
pub(super) fn authenticator(
    section: Option<&Authenticator>,
    config: &Config,
    walk: &mut Walk,
) -> Option<BearerTokens> {
    let name = &section?.authenticator;
    walk.within("auth", |walk| {
        walk.within("authenticator", |walk| {
            let id = name.parse::<ComponentId>().ok();
            let running = id.filter(|id| config.service.extensions.contains(id));
            let extension = running.and_then(|id| config.extensions.get(&id));
            let Some(Extension::BearerTokenAuth(section)) = extension else {
                walk.fault(format!(
                    "failed to resolve authenticator {name:?}: authenticator not found; accepted: a `bearertokenauth` of service::extensions"
                ));
                return None;
            };
            if !section.filename.is_empty() {
                return Some(BearerTokens::new().file(&section.filename));
            }
            let tokens = BearerTokens::new().token(section.token.expose());
            tokens.map_err(|error| walk.fault(error.to_string())).ok()
        })
    })
}

/// What is kept of a request for the processors that ask for it, and nothing else.
pub(super) struct Kept<'a> {
    pub(super) headers: Vec<&'a str>,
    pub(super) address: bool,
}

impl<'a> Kept<'a> {
    /// Of what is asked for, that which a receiver may keep: headers only with `include_metadata`.
    pub(super) fn of(asked: &'a [String], include_metadata: bool, walk: &mut Walk) -> Self {
        let headers = asked.iter().filter_map(|name| name.strip_prefix(METADATA));
        let headers: Vec<_> = headers.filter(|_| include_metadata).collect();
        if include_metadata && headers.is_empty() {
            walk.within("include_metadata", |walk| {
                walk.warn(
                    "has no effect: no processor behind it asks for metadata with `from_context`",
                );
            });
        }
        Self {
            headers,
            address: asked.iter().any(|name| name == ADDRESS),
        }
    }
}

/// `None` without TLS.
#[cfg(feature = "tls")]
pub(super) fn tls(section: Option<&collector::ServerTls>, walk: &mut Walk) -> Option<ServerTls> {
    let section = section?;
    walk.within("tls", |walk| {
        if !section.ca_file.is_empty() || !section.ca_pem.is_empty() {
            walk.within("ca_file", |walk| {
                walk.warn(
                    "has no effect on a server: `client_ca_file` says whose clients are let in",
                );
            });
        }
        if !section.reload_interval.is_zero() {
            walk.within("reload_interval", |walk| {
                walk.warn("has no effect: files are read again when they change");
            });
        }
        if !section.max_version.is_empty() && section.max_version != "1.3" {
            walk.within("max_version", |walk| {
                walk.fault("is not supported: TLS 1.3 is always spoken; leave it out");
            });
        }
        let tls = match (&*section.cert_file, &*section.key_file) {
            ("", "") => ServerTls::pem(section.cert_pem.expose(), section.key_pem.expose()),
            ("", _) | (_, "") => {
                walk.fault("certificate and key have to be two files, or two texts");
                return None;
            }
            (certificate, key) => ServerTls::files(certificate, key),
        };
        let tls = tls.min_version(match &*section.min_version {
            "1.3" => TlsVersion::Tls13,
            _ => TlsVersion::Tls12,
        });
        let tls = match &*section.client_ca_file {
            "" => tls,
            file => tls.client_roots_file(file),
        };
        if let Err(error) = tls.check() {
            walk.fault(error.to_string());
        }
        Some(tls)
    })
}

/// `None` without TLS.
#[cfg(not(feature = "tls"))]
pub(super) fn tls(section: Option<&collector::ServerTls>, walk: &mut Walk) -> Option<()> {
    section?;
    walk.within("tls", |walk| super::super::not_built_in("tls", walk));
    None
}

/// What receivers of every protocol are told, said to the builder of one.
macro_rules! treated {
    ($builder:expr, $section:expr, $kept:expr, $answer:expr, $walk:expr) => {{
        use $crate::setup::collector::receiver::Answer;
        let mut builder = $builder.keep_metadata($kept.headers);
        if $kept.address {
            builder = builder.keep_client_address();
        }
        builder = match $answer {
            Answer::AtOnce => builder,
            Answer::AfterProcessors(within) => builder.answer_after_processors(within),
            Answer::AfterExport(within) => builder.answer_after_export(within),
        };
        let tls = shared::tls($section.tls.as_ref(), $walk);
        #[cfg(feature = "tls")]
        if let Some(tls) = tls {
            builder = builder.tls(tls);
        }
        #[cfg(not(feature = "tls"))]
        let _: Option<()> = tls;
        builder
    }};
}

pub(super) use treated;

/// A receiver of any protocol.
pub(super) trait Listens: Send + Sync {
    fn listener(&self) -> &Listener;
}

impl<R: Listens> Open for R {
    fn local_addr(&self) -> Option<SocketAddr> {
        self.listener().local_addr()
    }

    fn failure(&self) -> Option<&str> {
        self.listener().failure()
    }

    fn stats(&self) -> ReceiverStats {
        self.listener().stats()
    }

    fn begin_to_stop(&self, within: Duration) {
        drop(self.listener().stop_async(within));
    }

    fn stop(&self, within: Duration) -> Stopped {
        self.listener().stop(within)
    }
}

/// What a builder serves whenever it is asked.
pub(super) fn serving<B, R, E>(builder: B, serve: fn(B, Intake) -> Result<R, E>) -> Serve
where
    B: Clone + Send + Sync + 'static,
    R: Listens + 'static,
    E: Error + 'static,
{
    Arc::new(move |intake| match serve(builder.clone(), intake) {
        Ok(receiver) => Ok(Box::new(receiver)),
        Err(error) => Err(Chain(&error).to_string()),
    })
}
