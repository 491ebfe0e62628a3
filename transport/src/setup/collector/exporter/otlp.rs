//! Exporters over the network.

use std::sync::Arc;

use super::{Outlet, policy, queue, waits};
use crate::compression::Compression;
use crate::config::Walk;
use crate::config::collector::{self, Authenticator, SendingQueue};
use crate::diagnostics::Chain;
use crate::headers::Headers;
use crate::setup::collector::Host;
#[cfg(feature = "tls")]
use crate::tls::ClientTls;

#[cfg(feature = "grpc")]
pub(super) fn grpc(
    id: &str,
    section: &collector::OtlpGrpcExporter,
    host: &Host,
    walk: &mut Walk,
) -> Option<Outlet> {
    use crate::exporter::grpc::{GrpcExporter, InvalidGrpcExporter};

    let before = walk.faults.len();
    let usual = collector::OtlpGrpcExporter::default();
    let unheeded = [
        (
            "read_buffer_size",
            section.read_buffer_size != usual.read_buffer_size,
        ),
        (
            "write_buffer_size",
            section.write_buffer_size != usual.write_buffer_size,
        ),
    ];
    for (key, _) in unheeded.iter().filter(|(_, changed)| *changed) {
        walk.within(key, |walk| {
            walk.warn("has no effect: a batch is sent from where it is")
        });
    }
    if section.wait_for_ready {
        walk.within("wait_for_ready", |walk| {
            walk.warn(
                "has no effect: an export waits for its connection as long as its timeout allows",
            );
        });
    }
    if section.balancer_name != usual.balancer_name {
        walk.within("balancer_name", |walk| {
            walk.warn("has no effect: there is one connection, to the first address that answers");
        });
    }
    if !section.authority.is_empty() {
        walk.within("authority", |walk| {
            walk.fault("is not supported: requests are for the host of the endpoint");
        });
    }
    authenticator(section.auth.as_ref(), walk);
    let mut builder = GrpcExporter::builder()
        .endpoint(&section.endpoint)
        .insecure(is_insecure(&section.tls))
        .headers(headers(&section.headers, walk))
        .compression(compression(&section.compression, walk))
        .concurrency(concurrency(section.sending_queue.as_ref(), walk))
        .timeout(section.timeout)
        .runtime(host.runtime.clone());
    if let Some(keepalive) = &section.keepalive {
        if keepalive.permit_without_stream {
            builder = builder.keepalive(keepalive.time, keepalive.timeout);
        } else {
            walk.within("keepalive", |walk| {
                walk.warn("has no effect without `permit_without_stream: true`: an export that gets no answer is noticed by its timeout");
            });
        }
    }
    if !section.user_agent.is_empty() {
        builder = builder.user_agent(&section.user_agent);
    }
    #[cfg(feature = "tls")]
    {
        builder = builder.tls(tls(&section.tls, walk));
    }
    let waits = waits(
        section.sending_queue.as_ref(),
        &section.retry_on_failure,
        section.timeout,
    );
    let policy = policy(&section.retry_on_failure, section.timeout, walk);
    let exporter = match builder.build() {
        Ok(exporter) => exporter,
        Err(error) => {
            let key = match error {
                #[cfg(feature = "tls")]
                InvalidGrpcExporter::Tls(_) => "tls",
                InvalidGrpcExporter::UserAgent => "user_agent",
                _ => "endpoint",
            };
            walk.within(key, |walk| walk.fault(said(&error, key)));
            return None;
        }
    };
    let name = id.to_owned();
    (walk.faults.len() == before).then(|| Outlet {
        id: id.into(),
        kind: "otlp_grpc_span_exporter",
        add: Arc::new(move |builder| {
            let exporter = exporter.clone();
            builder.shared_exporter_with(&name, policy, move || exporter.clone())
        }),
        waits,
        #[cfg(feature = "file")]
        file: None,
    })
}

#[cfg(feature = "http")]
pub(super) fn http(
    id: &str,
    section: &collector::OtlpHttpExporter,
    host: &Host,
    walk: &mut Walk,
) -> Option<Outlet> {
    use crate::exporter::http::{Encoding, HttpExporter, InvalidHttpExporter};
    use crate::proxy::Proxies;

    let before = walk.faults.len();
    authenticator(section.auth.as_ref(), walk);
    let mut builder = HttpExporter::builder()
        .proxies(match section.proxy_url.expose() {
            "" => Proxies::of_process(),
            url => Proxies::from_pairs([("HTTP_PROXY", url), ("HTTPS_PROXY", url)]),
        })
        .encoding(match &*section.encoding {
            "json" => Encoding::Json,
            _ => Encoding::Protobuf,
        })
        .insecure(is_insecure(&section.tls))
        .headers(headers(&section.headers, walk))
        .compression(compression(&section.compression, walk))
        .concurrency(concurrency(section.sending_queue.as_ref(), walk))
        .timeout(section.timeout)
        .runtime(host.runtime.clone());
    #[cfg(feature = "tls")]
    {
        builder = builder.tls(tls(&section.tls, walk));
    }
    let (key, url) = match &*section.traces_endpoint {
        "" => ("endpoint", &section.endpoint),
        _ => ("traces_endpoint", &section.traces_endpoint),
    };
    builder = match key {
        "endpoint" => builder.endpoint(url),
        _ => builder.traces_endpoint(url),
    };
    let waits = waits(
        section.sending_queue.as_ref(),
        &section.retry_on_failure,
        section.timeout,
    );
    let policy = policy(&section.retry_on_failure, section.timeout, walk);
    let exporter = match builder.build() {
        Ok(exporter) => exporter,
        Err(error) => {
            let key = match error {
                #[cfg(feature = "tls")]
                InvalidHttpExporter::Tls(_) => "tls",
                InvalidHttpExporter::Proxy(_) => "proxy_url",
                _ => key,
            };
            walk.within(key, |walk| walk.fault(said(&error, key)));
            return None;
        }
    };
    let name = id.to_owned();
    let kind = match &*section.encoding {
        "json" => "otlp_http_json_span_exporter",
        _ => "otlp_http_span_exporter",
    };
    (walk.faults.len() == before).then(|| Outlet {
        id: id.into(),
        kind,
        add: Arc::new(move |builder| {
            let exporter = exporter.clone();
            builder.shared_exporter_with(&name, policy, move || exporter.clone())
        }),
        waits,
        #[cfg(feature = "file")]
        file: None,
    })
}

/// What is wrong, without the key that leads there already.
fn said(error: &(dyn core::error::Error + 'static), key: &str) -> String {
    let text = Chain(error).to_string();
    let rest = text.strip_prefix(key);
    let rest = rest.or_else(|| text.strip_prefix("endpoint"));
    let rest = rest.unwrap_or(&text);
    rest.trim_start_matches([':', ' ']).into()
}

/// Without TLS, unless roots are given: `insecure: true` with a CA still uses TLS.
fn is_insecure(tls: &collector::ClientTls) -> bool {
    tls.insecure && tls.ca_file.is_empty() && tls.ca_pem.is_empty()
}

fn authenticator(section: Option<&Authenticator>, walk: &mut Walk) {
    if let Some(section) = section {
        walk.within("auth", |walk| {
            walk.within("authenticator", |walk| {
                walk.fault(format!(
                    "{:?} is not supported: say it in `headers`",
                    section.authenticator
                ));
            });
        });
    }
}

fn headers(section: &collector::Headers, walk: &mut Walk) -> Headers {
    let mut headers = Headers::new();
    walk.within("headers", |walk| {
        for (name, value) in &section.0 {
            if let Err(error) = headers.set(name, value.expose()) {
                walk.within(name, |walk| walk.fault(error.to_string()));
            }
        }
    });
    headers
}

fn compression(name: &str, walk: &mut Walk) -> Compression {
    match name {
        "" => Compression::None,
        name => name.parse().unwrap_or_else(|error| {
            walk.within("compression", |walk| walk.fault(format!("{error}")));
            Compression::None
        }),
    }
}

fn concurrency(section: Option<&SendingQueue>, walk: &mut Walk) -> usize {
    queue(section, walk);
    // Without a queue there are as many exports as there are requests; what the queue would allow is enough.
    let consumers = section.map_or(SendingQueue::default().num_consumers, |it| it.num_consumers);
    usize::try_from(consumers).unwrap_or(1)
}

#[cfg(feature = "tls")]
fn tls(section: &collector::ClientTls, walk: &mut Walk) -> ClientTls {
    let mut tls = ClientTls::new();
    walk.within("tls", |walk| {
        if section.include_system_ca_certs_pool
            && !(section.ca_file.is_empty() && section.ca_pem.is_empty())
        {
            walk.within("include_system_ca_certs_pool", |walk| {
                walk.fault("is not supported beside other roots: put all roots into one file");
            });
        }
        for (key, version, built) in [
            ("min_version", &section.min_version, "1.2"),
            ("max_version", &section.max_version, "1.3"),
        ] {
            if !version.is_empty() && version != built {
                walk.within(key, |walk| {
                    walk.fault(
                        "is not supported for a client, which speaks TLS 1.2 and 1.3: leave it out",
                    );
                });
            }
        }
        if !section.reload_interval.is_zero() {
            walk.within("reload_interval", |walk| {
                walk.warn("has no effect: files are read again when they change");
            });
        }
    });
    if !section.ca_file.is_empty() {
        tls = tls.roots_file(&section.ca_file);
    } else if !section.ca_pem.is_empty() {
        tls = tls.roots_pem(section.ca_pem.expose());
    }
    let (certificate, key) = (!section.cert_file.is_empty(), !section.key_file.is_empty());
    if certificate != key {
        walk.within("tls", |walk| {
            walk.fault("certificate and key have to be two files, or two texts");
        });
    } else if certificate {
        tls = tls.identity_files(&section.cert_file, &section.key_file);
    } else if !section.cert_pem.is_empty() {
        tls = tls.identity_pem(section.cert_pem.expose(), section.key_pem.expose());
    }
    if !section.server_name_override.is_empty() {
        tls = tls.server_name(&section.server_name_override);
    }
    tls
}
