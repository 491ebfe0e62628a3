//! Context as header text: W3C, B3 and Jaeger, both ways.
//!
//! A [`Propagator`] reads a [`Context`] out of a carrier through [`Extractor`] and writes one into a carrier through
//! [`Injector`]. Parsing allocates nothing but room for a trace state of more than 30 bytes and for baggage; injecting
//! allocates nothing. A header that can't be read leaves the context as it was. OpenTelemetry context specification,
//! "Propagators API".
//!
//! ```
//! use spanwire_core::propagation::{Context, Propagator, STANDARD};
//!
//! let request = [
//!     ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
//!     ("tracestate", "ot=th:8"),
//!     ("baggage", "user=alice"),
//! ];
//! let mut context = Context::EMPTY;
//! STANDARD.extract(&request, &mut context);
//! assert!(context.span_context().is_sampled());
//! assert_eq!(context.span_context().trace_state().get("ot"), Some("th:8"));
//! assert!(context.baggage().get("user").unwrap() == "alice");
//!
//! let mut onward = Vec::<(String, String)>::new();
//! STANDARD.inject(&context, &mut onward);
//! assert_eq!(onward.len(), 3);
//! ```

mod b3;
mod baggage;
mod carrier;
mod composite;
mod envelope;
mod environment;
mod hex;
mod jaeger;
mod line;
mod trace_context;

pub use b3::B3;
pub use baggage::BaggageHeader;
pub use carrier::{Extractor, Injector};
pub use composite::{Composite, STANDARD, by_name};
pub use envelope::{Context, SamplingRequest};
pub use environment::EnvironmentName;
#[cfg(feature = "std")]
pub use environment::process::Environment;
pub use jaeger::Jaeger;
pub use trace_context::{InvalidTraceParent, TraceContext, TraceParent};

/// Reads and writes one format of headers.
///
/// OpenTelemetry context specification, "TextMap Propagator".
pub trait Propagator: Send + Sync {
    /// Reads what the carrier holds into `into`. What is missing or malformed leaves `into` as it was.
    fn extract(&self, carrier: &dyn Extractor, into: &mut Context);

    /// Writes what the context holds into the carrier. Parts that are empty or invalid are not written.
    fn inject(&self, context: &Context, carrier: &mut dyn Injector);

    /// Calls `each` with the names this propagator reads or sets, in lower case.
    ///
    /// Remove them before injecting into a carrier that was used before: injecting sets only what there is.
    fn fields(&self, each: &mut dyn FnMut(&'static str));
}

impl<P: Propagator + ?Sized> Propagator for &P {
    fn extract(&self, carrier: &dyn Extractor, into: &mut Context) {
        (**self).extract(carrier, into);
    }

    fn inject(&self, context: &Context, carrier: &mut dyn Injector) {
        (**self).inject(context, carrier);
    }

    fn fields(&self, each: &mut dyn FnMut(&'static str)) {
        (**self).fields(each);
    }
}
