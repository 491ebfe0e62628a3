//! Listening, from the socket to the end.

use core::fmt;
use core::future::{Future, poll_fn};
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use spanwire_core::pipeline::Intake;
use tokio::time::sleep;

use super::acceptor::{Acceptor, Charge, Listening, Protocol, Watch};
use super::connection::Connection;
use super::members::{Live, Members};
use super::pressure::Pressure;
use super::socket::{self, Bound};
use super::stats::{Counts, ReceiverStats};
use crate::endpoint::InvalidEndpoint;
use crate::runtime::Spawner;
#[cfg(feature = "tls")]
use crate::tls::{CurrentServerTls, TlsError};

/// What listens. Dropped, it ends, and so does what is under way.
pub(crate) struct Listener {
    members: Arc<Members>,
    spawner: Arc<Spawner>,
    local_addr: Option<SocketAddr>,
}

impl Listener {
    /// Binds, and begins to accept.
    pub(crate) fn start(
        listening: Listening,
        intake: Intake,
        counts: Arc<Counts>,
        protocol: impl Protocol,
    ) -> Result<Self, ListenError> {
        let address = socket::address(&listening.endpoint).map_err(ListenError::Endpoint)?;
        #[cfg(feature = "tls")]
        let tls = match &listening.tls {
            Some(tls) => {
                let tls = CurrentServerTls::new(tls.clone(), listening.alpn);
                Some(Arc::new(tls.map_err(ListenError::Tls)?))
            }
            None => None,
        };
        let account = intake.account().ok_or(ListenError::Closed)?;
        let share = account.limit();
        let least = Charge::least_share(&listening);
        if share < least {
            return Err(ListenError::Share {
                bytes: share,
                least,
            });
        }
        let no_socket = |error: io::Error| ListenError::Bind {
            endpoint: listening.endpoint.clone(),
            why: error.to_string(),
        };
        let bound = Bound::bind(&address).map_err(no_socket)?;
        let local_addr = bound.local_addr();
        let members = Members::new(counts, Pressure::on(&account).join());
        let member = members.acceptor();
        let spawner = Arc::new(Spawner::new(&listening.runtime));
        let stay = Arc::new(listening.stay.clone());
        let acceptor = Acceptor {
            listening: listening.clone(),
            stay,
            intake,
            members: members.clone(),
            executor: spawner.executor(),
            protocol: Arc::new(protocol),
            #[cfg(feature = "tls")]
            tls,
        };
        spawner
            .spawn(acceptor.accept(bound, member, Watch(members.clone())))
            .map_err(no_socket)?;
        Ok(Self {
            members,
            spawner,
            local_addr,
        })
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.local_addr
    }

    /// Why nobody accepts, although the endpoint is bound.
    pub(crate) fn failure(&self) -> Option<&str> {
        self.members.failure()
    }

    pub(crate) fn stats(&self) -> ReceiverStats {
        self.members.counts.read()
    }

    /// Accepts no more, and tells every connection to finish what is under way and leave.
    fn begin_to_stop(&self) {
        let connections: Vec<Connection> = {
            let mut live = self.members.live();
            live.stopping = true;
            live.connections.values().cloned().collect()
        };
        self.members.stop.notify_one();
        for connection in connections {
            connection.stop();
        }
    }

    /// Comes to an end; waits on this thread. What is under way after `within` is cut.
    pub(crate) fn stop(&self, within: Duration) -> Stopped {
        self.begin_to_stop();
        let end = Instant::now().checked_add(within);
        let mut live = self.members.live();
        while live.count > 0 && !live.expired {
            live = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => break,
                Some(left) => {
                    let waited = self.members.changed.wait_timeout(live, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.members.changed.wait(live);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
        let stopped = Stopped::of(&live);
        drop(live);
        self.spawner.close();
        stopped
    }

    /// The same as a future, of any runtime.
    pub(crate) fn stop_async(
        &self,
        within: Duration,
    ) -> impl Future<Output = Stopped> + Send + use<> {
        self.begin_to_stop();
        let (members, spawner) = (self.members.clone(), self.spawner.clone());
        let clock = members.clone();
        let clocked = self.spawner.spawn(async move {
            sleep(within).await;
            let mut live = clock.live();
            live.expired = true;
            clock.tell(live);
        });
        if clocked.is_err() {
            self.members.live().expired = true;
        }
        async move {
            let stopped = poll_fn(|context| {
                let mut live = members.live();
                if live.count == 0 || live.expired {
                    return Poll::Ready(Stopped::of(&live));
                }
                if !live
                    .wakers
                    .iter()
                    .any(|waker| waker.will_wake(context.waker()))
                {
                    live.wakers.push(context.waker().clone());
                }
                Poll::Pending
            })
            .await;
            spawner.close();
            stopped
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.begin_to_stop();
        self.spawner.close();
    }
}

/// How a receiver came to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "it says whether requests were cut"]
#[non_exhaustive]
pub struct Stopped {
    /// Connections that were cut, with what was under way on them: their clients will send that again.
    pub cut: usize,
}

impl Stopped {
    fn of(live: &Live) -> Self {
        Self {
            cut: live.connections.len(),
        }
    }

    /// Whether everything that was under way was answered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.cut == 0
    }
}

/// Why a receiver can't listen. Names the setting at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListenError {
    /// The endpoint is none that can be listened on.
    Endpoint(InvalidEndpoint),
    /// The system does not give the endpoint.
    Bind {
        /// The endpoint, as it was set.
        endpoint: String,
        /// What the system said.
        why: String,
    },
    /// There can be no TLS as it is set.
    #[cfg(feature = "tls")]
    Tls(TlsError),
    /// The neighbours' share of the budget is too small for a connection and a body of 64 KiB in an eighth of it.
    Share {
        /// The bytes it has.
        bytes: usize,
        /// The bytes it needs.
        least: usize,
    },
    /// The pipeline is shut down.
    Closed,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(error) => error.fmt(f),
            Self::Bind { endpoint, why } => write!(f, "endpoint '{endpoint}': {why}"),
            #[cfg(feature = "tls")]
            Self::Tls(_) => f.write_str("tls"),
            Self::Share { bytes, least } => write!(
                f,
                "neighbours' share of the memory limit has {bytes} bytes, and a receiver needs {least}"
            ),
            Self::Closed => f.write_str("the pipeline is shut down"),
        }
    }
}

impl core::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            // Its words are ours.
            Self::Endpoint(error) => error.source(),
            #[cfg(feature = "tls")]
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
