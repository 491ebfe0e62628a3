//! OTLP over gRPC.

use super::shared::{self, Listens};
use super::{Answer, Serve};
use crate::config::Walk;
use crate::config::collector::{Config, GrpcServer};
use crate::receiver::grpc::{GrpcReceiver, GrpcReceiverBuilder};
use crate::receiver::listener::Listener;
use crate::setup::collector::Host;

/// What a section asks for.
pub(super) fn serve(
    section: &GrpcServer,
    answer: Answer,
    asked: &[String],
    host: &Host,
    config: &Config,
    walk: &mut Walk,
) -> Option<Serve> {
    let before = walk.faults.len();
    let usual = GrpcServer::default();
    for (key, changed) in [
        (
            "read_buffer_size",
            section.read_buffer_size != usual.read_buffer_size,
        ),
        (
            "write_buffer_size",
            section.write_buffer_size != usual.write_buffer_size,
        ),
    ] {
        if changed {
            walk.within(key, |walk| {
                walk.warn("has no effect: buffers are sized by the memory there is");
            });
        }
    }
    let tokens = shared::authenticator(section.auth.as_ref(), config, walk);
    let kept = shared::Kept::of(asked, section.include_metadata, walk);
    let endpoint = shared::endpoint(&section.endpoint, &section.transport, walk);
    let mut builder = GrpcReceiver::builder()
        .endpoint(endpoint)
        .runtime(host.runtime.clone());
    if let Some(mib) = usize::try_from(section.max_recv_msg_size_mib)
        .ok()
        .filter(|mib| *mib > 0)
    {
        builder = builder.max_message_size(mib << 20);
    }
    if section.max_concurrent_streams > 0 {
        builder = builder.max_concurrent_streams(section.max_concurrent_streams);
    }
    if let Some(keepalive) = &section.keepalive {
        walk.within("keepalive", |walk| {
            if keepalive.enforcement_policy.is_some() {
                walk.within("enforcement_policy", |walk| {
                    walk.warn("has no effect: a client that pings too often is not told to go");
                });
            }
        });
        if let Some(parameters) = &keepalive.server_parameters {
            builder = builder
                .max_connection_idle(parameters.max_connection_idle)
                .max_connection_age(parameters.max_connection_age)
                .max_connection_age_grace(parameters.max_connection_age_grace);
            if !parameters.time.is_zero() {
                builder = builder.keepalive_time(parameters.time);
            }
            if !parameters.timeout.is_zero() {
                builder = builder.keepalive_timeout(parameters.timeout);
            }
        }
    }
    if let Some(tokens) = tokens {
        builder = builder.bearer(tokens);
    }
    builder = shared::treated!(builder, section, kept, answer, walk);
    (walk.faults.len() == before).then(|| shared::serving(builder, GrpcReceiverBuilder::serve))
}

impl Listens for GrpcReceiver {
    fn listener(&self) -> &Listener {
        Self::listener(self)
    }
}
