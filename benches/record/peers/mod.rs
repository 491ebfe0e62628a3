//! One file a peer.

mod fastrace;
mod floor;
mod opentelemetry;
mod spanwire;
mod tracing;

use crate::peer::{Fate, Name, Peer};

/// Sets a peer up. A process does this once: some of them are global.
pub fn build(name: Name, fate: Fate) -> &'static dyn Peer {
    match name {
        Name::Spanwire => spanwire::build(fate),
        Name::Floor => Box::leak(Box::new(floor::Floor::default())),
        Name::OpenTelemetry => opentelemetry::build(fate),
        Name::Fastrace => fastrace::build(fate),
        Name::Tracing => tracing::build(fate),
    }
}
