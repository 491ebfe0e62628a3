//! The doors of Spanwire: what moves the bytes of [`spanwire_core`] over sockets, files and runtimes.
//!
//! The modules stand in walking order: each knows only those above it.
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// What is said to people, and how often.
pub mod diagnostics;

// How a pipeline stands, in numbers for a scraper.
pub mod telemetry;

// What OTLP says beyond its messages.
pub mod otlp;

// What takes batches away.
pub mod exporter;

// Settings from outside, validated.
pub mod config;
