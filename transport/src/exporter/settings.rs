//! What exporters over every protocol are set to.

use core::time::Duration;

use http::HeaderValue;

use crate::compression::Compression;
use crate::endpoint::Endpoint;
use crate::headers::Headers;
use crate::otlp::{MAX_REQUEST, USER_AGENT};
use crate::runtime::Runtime;
#[cfg(feature = "tls")]
use crate::tls::{ClientTls, TlsError};

/// What every exporter is made of.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) endpoint: Endpoint,
    pub(super) insecure: bool,
    pub(super) headers: Headers,
    pub(super) compression: Compression,
    /// `None`: no limit but the reply's.
    pub(super) timeout: Option<Duration>,
    pub(super) max_request: usize,
    pub(super) concurrency: usize,
    pub(super) user_agent: String,
    pub(super) runtime: Runtime,
    pub(super) under_tls: bool,
    #[cfg(feature = "tls")]
    pub(super) tls: ClientTls,
}

/// What is wrong with it.
pub(super) enum Fault {
    #[cfg(not(feature = "tls"))]
    NoTls,
    #[cfg(feature = "tls")]
    Tls(TlsError),
    UserAgent,
}

impl Shared {
    /// The defaults, with a server of this machine at this port.
    pub(super) fn new(port: u16) -> Self {
        Self {
            endpoint: Endpoint::local(port),
            insecure: false,
            headers: Headers::new(),
            compression: Compression::None,
            timeout: Some(Duration::from_secs(10)),
            max_request: MAX_REQUEST,
            concurrency: 4,
            user_agent: USER_AGENT.into(),
            runtime: Runtime::own(),
            under_tls: false,
            #[cfg(feature = "tls")]
            tls: ClientTls::new(),
        }
    }

    /// Validates all but what stands in the endpoint's path.
    pub(super) fn check(&mut self, endpoint: Endpoint) -> Result<(), Fault> {
        if HeaderValue::from_str(&self.user_agent).is_err() {
            return Err(Fault::UserAgent);
        }
        self.under_tls = endpoint.tls().unwrap_or(!self.insecure);
        #[cfg(not(feature = "tls"))]
        if self.under_tls {
            return Err(Fault::NoTls);
        }
        #[cfg(feature = "tls")]
        if self.under_tls {
            self.tls.check(endpoint.host()).map_err(Fault::Tls)?;
        }
        self.endpoint = endpoint;
        Ok(())
    }
}

/// The methods of a builder whose field `settings.shared` is a [`Shared`].
macro_rules! shared_methods {
    () => {
        /// Whether an endpoint that does not say so itself, with a host and a port alone, is spoken to in the clear. Default: no,
        /// under TLS.
        pub fn insecure(mut self, insecure: bool) -> Self {
            self.settings.shared.insecure = insecure;
            self
        }

        /// What is sent along with every request. Default: nothing.
        pub fn headers(mut self, headers: $crate::headers::Headers) -> Self {
            self.settings.shared.headers = headers;
            self
        }

        /// How requests are compressed. Default: not at all.
        ///
        /// The memory for it is taken from the pipeline's working reserve; where that has no room, a request is sent as it
        /// is.
        pub fn compression(mut self, compression: $crate::compression::Compression) -> Self {
            self.settings.shared.compression = compression;
            self
        }

        /// How long one export may take, connecting included; zero: as long as the pipeline waits. Default: 10 s.
        pub fn timeout(mut self, timeout: core::time::Duration) -> Self {
            self.settings.shared.timeout = Some(timeout).filter(|timeout| !timeout.is_zero());
            self
        }

        /// The most bytes of a request before compression; a batch that is larger is split. At least 1. Default: 64 MiB.
        pub fn max_request_bytes(mut self, bytes: usize) -> Self {
            self.settings.shared.max_request = bytes.max(1);
            self
        }

        /// How many exports may be under way at once; at least 1. Default: 4.
        pub fn concurrency(mut self, exports: usize) -> Self {
            self.settings.shared.concurrency = exports.max(1);
            self
        }

        /// A product to put before this exporter's own in the header `user-agent`: `"node-agent/1.2"`.
        pub fn user_agent(mut self, product: &str) -> Self {
            self.settings.shared.user_agent =
                format!("{} {}", product.trim(), $crate::otlp::USER_AGENT);
            self
        }

        /// What runs the network. Default: [`Runtime::own`](crate::runtime::Runtime::own).
        pub fn runtime(mut self, runtime: $crate::runtime::Runtime) -> Self {
            self.settings.shared.runtime = runtime;
            self
        }

        /// Who is trusted, and what is shown, where the endpoint is spoken to under TLS. Default: the roots of the system, and
        /// nothing.
        #[cfg(feature = "tls")]
        pub fn tls(mut self, tls: $crate::tls::ClientTls) -> Self {
            self.settings.shared.tls = tls;
            self
        }
    };
}

pub(super) use shared_methods;
