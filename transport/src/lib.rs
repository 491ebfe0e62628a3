//! The doors of Spanwire: what moves the bytes of [`spanwire_core`] over sockets, files and runtimes.
//!
//! No door is built yet. The core can be used alone with an exporter of your own: implement
//! [`spanwire_core::exporter::Exporter`].
#![forbid(unsafe_code)]
