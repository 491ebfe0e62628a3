//! Whether the program is well, for who asks over HTTP: the probes of a Kubernetes pod, above all.
//!
//! Answers as the Collector's `health_check` extension: 200 once the program said that it is ready, 503 before and after,
//! whatever the method, with a line of JSON that says since when.
//!
//! It holds [`MOST_CONNECTIONS`] connections at most, for 5 s each and with 8 KiB of a request; when one more comes, the
//! oldest gives way. So it costs a few hundred KiB however it is treated, which are charged to no budget: a program that is
//! out of memory for spans still answers its probes.

use core::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::StatusCode;

pub use super::responder::MOST_CONNECTIONS;
use super::responder::{Answer, NOT_FOUND, PLAIN, Responder, answer};
use crate::endpoint::InvalidEndpoint;
use crate::receiver::socket;
use crate::runtime::Runtime;

// The text of an answer.
mod text;

use text::Text;

/// Says whether the program is well. A clone is another handle on the same word.
///
/// Not ready, until it says so.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<Option<Since>>>);

/// When the program became ready.
#[derive(Clone, Copy, Debug)]
struct Since {
    wall: SystemTime,
    moment: Instant,
}

impl Health {
    /// Of a program that is not ready yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The program is ready, from now on or from when it said so first.
    pub fn ready(&self) {
        self.since().get_or_insert_with(|| Since {
            wall: SystemTime::now(),
            moment: Instant::now(),
        });
    }

    /// The program is not ready any more.
    pub fn unavailable(&self) {
        *self.since() = None;
    }

    /// Whether the program is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.since().is_some()
    }

    fn since(&self) -> std::sync::MutexGuard<'_, Option<Since>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers who asks whether the program is well. Dropped, it answers no more.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use spanwire_transport::extension::health_check::HealthCheck;
///
/// let check = HealthCheck::builder().endpoint("127.0.0.1:0").start()?;
/// check.health().ready();
///
/// let mut probe = TcpStream::connect(check.local_addr().expect("it is of IP"))?;
/// probe.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")?;
/// let mut answer = String::new();
/// probe.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK"));
/// assert!(answer.contains(r#"{"status":"Server available","upSince":"#));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[must_use = "dropped, it answers no more"]
pub struct HealthCheck {
    health: Health,
    responder: Responder,
}

impl HealthCheck {
    /// Starts to build one.
    pub fn builder() -> HealthCheckBuilder {
        HealthCheckBuilder {
            endpoint: "127.0.0.1:13133".into(),
            path: "/".into(),
            bodies: [const { None }; 2],
            health: Health::new(),
            runtime: Runtime::own(),
        }
    }

    /// What it says is said here.
    #[must_use]
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Where it listens; `None` on a Unix domain socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.responder.local_addr()
    }
}

impl fmt::Debug for HealthCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthCheck")
            .field("local_addr", &self.local_addr())
            .field("health", &self.health)
            .finish_non_exhaustive()
    }
}

/// Builds a [`HealthCheck`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `start`"]
pub struct HealthCheckBuilder {
    endpoint: String,
    path: String,
    /// Instead of JSON: when it is not ready, and when it is.
    bodies: [Option<Bytes>; 2],
    health: Health,
    runtime: Runtime,
}

impl HealthCheckBuilder {
    /// Where to listen: `host:port`, where port 0 stands for any that is free, `unix:/path` or `unix-abstract:name`.
    /// Default: `127.0.0.1:13133`, which nobody reaches from outside. The kubelet's `httpGet` probes come from outside, so
    /// the Collector's manifests say `${env:MY_POD_IP}:13133`.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.endpoint = endpoint.into();
        self
    }

    /// The path that is answered; one that ends with `/` stands for all below it. Others get 404. Default: `/`, so all.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// What is said in the place of JSON when the program is ready, as plain text. The Collector's
    /// `response_body::healthy`.
    pub fn healthy_body(mut self, body: impl Into<String>) -> Self {
        let [_, healthy] = &mut self.bodies;
        *healthy = Some(body.into().into());
        self
    }

    /// The same for when it is not. The Collector's `response_body::unhealthy`.
    pub fn unhealthy_body(mut self, body: impl Into<String>) -> Self {
        let [unhealthy, _] = &mut self.bodies;
        *unhealthy = Some(body.into().into());
        self
    }

    /// Where the word comes from. Default: a handle of its own, see [`HealthCheck::health`].
    pub fn health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }

    /// What runs it. Default: [`Runtime::own`].
    pub fn runtime(mut self, runtime: Runtime) -> Self {
        self.runtime = runtime;
        self
    }

    /// Binds, and begins to answer.
    ///
    /// # Errors
    /// [`HealthCheckError`] names the setting at fault.
    pub fn start(self) -> Result<HealthCheck, HealthCheckError> {
        if !self.path.starts_with('/') {
            return Err(HealthCheckError::Path { path: self.path });
        }
        let address = socket::address(&self.endpoint).map_err(HealthCheckError::Endpoint)?;
        let answers = Answers {
            path: self.path,
            bodies: self.bodies,
            health: self.health.clone(),
        };
        let respond = move |request: &http::request::Parts| answers.answer(request.uri.path());
        let responder = Responder::start(&address, &self.runtime, respond);
        let responder = responder.map_err(|error| HealthCheckError::Bind {
            endpoint: self.endpoint.clone(),
            why: error.to_string(),
        })?;
        Ok(HealthCheck {
            health: self.health,
            responder,
        })
    }
}

/// Why a health check can't be started. Names the setting at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HealthCheckError {
    /// The endpoint is none.
    Endpoint(InvalidEndpoint),
    /// There can be no listening there.
    Bind {
        /// The endpoint.
        endpoint: String,
        /// What the system says.
        why: String,
    },
    /// The path does not begin with `/`.
    Path {
        /// The path.
        path: String,
    },
}

impl fmt::Display for HealthCheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::Bind { endpoint, why } => write!(f, "endpoint '{endpoint}': {why}"),
            Self::Path { path } => {
                write!(f, "path '{}' does not start with /", path.escape_debug())
            }
        }
    }
}

impl core::error::Error for HealthCheckError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Its words are ours.
            Self::Endpoint(error) => error.source(),
            _ => None,
        }
    }
}

/// What is answered.
struct Answers {
    path: String,
    bodies: [Option<Bytes>; 2],
    health: Health,
}

impl Answers {
    fn answer(&self, path: &str) -> Answer {
        // As Go's mux: a path that ends with a slash is a tree.
        let is_below = self.path.ends_with('/') && path.starts_with(&self.path);
        if !is_below && path != self.path {
            return answer(StatusCode::NOT_FOUND, PLAIN, NOT_FOUND.into());
        }
        let since = *self.health.since();
        let [unhealthy, healthy] = &self.bodies;
        let (status, body) = match since {
            Some(_) => (StatusCode::OK, healthy),
            None => (StatusCode::SERVICE_UNAVAILABLE, unhealthy),
        };
        match body {
            Some(body) => answer(status, PLAIN, body.clone()),
            None => {
                let up = since.map(|since| (since.wall, since.moment.elapsed()));
                answer(status, "application/json", Text(up).to_string().into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(path: &str) -> Answers {
        Answers {
            path: path.into(),
            bodies: [const { None }; 2],
            health: Health::new(),
        }
    }

    #[test]
    fn a_path_is_a_tree_when_it_ends_with_a_slash() {
        for (path, asked, found) in [
            ("/", "/", true),
            ("/", "/anything", true),
            ("/health", "/health", true),
            ("/health", "/health/", false),
            ("/health", "/", false),
            ("/health/", "/health/x", true),
            ("/health/", "/healthy", false),
        ] {
            let status = answers(path).answer(asked).status();
            assert_eq!(status != 404, found, "{path} {asked}");
        }
    }

    #[test]
    fn readiness_comes_and_goes() {
        let answers = answers("/");
        assert_eq!(answers.answer("/").status(), 503);
        answers.health.ready();
        assert!(answers.health.is_ready());
        assert_eq!(answers.answer("/").status(), 200);
        answers.health.unavailable();
        assert_eq!(answers.answer("/").status(), 503);
    }
}
