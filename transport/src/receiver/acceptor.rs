//! Accepting connections.

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use spanwire_core::pipeline::Intake;
use tokio::time::sleep;

use super::connection::{Connection, Stay};
use super::members::{Member, Members};
use super::socket::{Bound, Open};
use super::stats::count;
use crate::dial::Connection as Stream;
use crate::runtime::{Executor, Runtime};
#[cfg(feature = "tls")]
use crate::tls::{CurrentServerTls, ServerTls};

/// What the bodies of a connection may hold at least.
const LEAST_ALLOWANCE: usize = 64 << 10;

/// How long to wait when the system gives no connection.
const PAUSE: Duration = Duration::from_millis(100);

/// What to listen on, and with what bounds.
#[derive(Clone, Debug)]
pub(crate) struct Listening {
    pub(crate) endpoint: String,
    pub(crate) max_connections: usize,
    /// Bytes charged for a connection, TLS aside.
    pub(crate) connection_bytes: usize,
    pub(crate) stay: Stay,
    pub(crate) runtime: Runtime,
    /// What may be agreed upon under TLS.
    #[cfg(feature = "tls")]
    pub(crate) alpn: &'static [&'static [u8]],
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<ServerTls>,
}

/// A future of a connection.
pub(crate) type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is spoken on a connection.
pub(crate) trait Protocol: Send + Sync + 'static {
    /// Speaks it, until the connection ends. The bytes that are read are for the connection to hear.
    fn serve(&self, stream: Stream, connection: Connection) -> Serving;
}

/// What a connection is charged, and what its bodies may hold beside that.
#[derive(Clone, Copy)]
pub(super) struct Charge {
    bytes: usize,
    allowance: usize,
}

impl Charge {
    /// For a share of so many bytes.
    fn of(share: usize, listening: &Listening) -> Self {
        let bytes = listening.connection_bytes;
        #[cfg(feature = "tls")]
        let bytes = match listening.tls {
            Some(_) => bytes + super::connection::TLS_BYTES,
            None => bytes,
        };
        Self {
            bytes,
            allowance: (share / 8).saturating_sub(bytes),
        }
    }

    /// The least share in which a connection has room for a body that is not small.
    pub(super) fn least_share(listening: &Listening) -> usize {
        (Self::of(0, listening).bytes + LEAST_ALLOWANCE) * 8
    }
}

/// Who accepts.
pub(super) struct Acceptor<P> {
    pub(super) listening: Listening,
    pub(super) stay: Arc<Stay>,
    pub(super) intake: Intake,
    pub(super) members: Arc<Members>,
    pub(super) executor: Executor,
    pub(super) protocol: Arc<P>,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Arc<CurrentServerTls>>,
}

impl<P: Protocol> Acceptor<P> {
    /// Accepts until a stop begins. Dropped before that, also unpolled, it says that nobody does.
    pub(super) async fn accept(self, bound: Bound, _member: Member, _watch: Watch) {
        // A runtime of a host that was built without I/O says so by a panic.
        let open = match catch_unwind(AssertUnwindSafe(|| bound.open())) {
            Ok(Ok(open)) => open,
            Ok(Err(error)) => return self.members.fail(error.to_string()),
            Err(_) => return self.members.fail("its runtime does no I/O".into()),
        };
        let mut work = pin!(self.accept_all(&open));
        let mut stop = pin!(self.members.stop.notified());
        poll_fn(|context| {
            if stop.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            work.as_mut().poll(context)
        })
        .await;
    }

    /// Accepts until it is dropped.
    async fn accept_all(&self, open: &Open) {
        let counts = &self.members.counts;
        loop {
            let (stream, peer) = match open.accept().await {
                Ok(stream) => stream,
                Err(error) => {
                    let gone = matches!(
                        error.kind(),
                        io::ErrorKind::ConnectionAborted
                            | io::ErrorKind::ConnectionReset
                            | io::ErrorKind::Interrupted
                            | io::ErrorKind::InvalidInput
                            | io::ErrorKind::NotConnected
                    );
                    if !gone {
                        // Out of descriptors, or of memory: asking again at once is in vain, and one fewer would help.
                        count(&counts.accept_failures, 1);
                        let _ = self.members.evict(&mut self.members.live());
                        sleep(PAUSE).await;
                    }
                    continue;
                }
            };
            let Some((connection, member)) = self.place(peer).await else {
                // The pipeline is shut down: the peer is to look elsewhere.
                continue;
            };
            count(&counts.accepted, 1);
            self.executor.spawn(self.serve(stream, connection, member));
        }
    }

    /// Waits until there is a place for another connection. `None` once the pipeline is shut down.
    async fn place(&self, peer: Option<IpAddr>) -> Option<(Connection, Member)> {
        loop {
            let account = self.intake.account()?;
            let charge = Charge::of(account.limit(), &self.listening);
            let connection = || {
                let pressure = self.members.share.pressure().clone();
                let counts = self.members.counts.clone();
                Connection::new(self.stay.clone(), counts, pressure, charge.allowance, peer)
            };
            let most = self.listening.max_connections;
            match self.members.admit(&account, charge.bytes, most, connection) {
                Err(_) => return None,
                Ok(Some(place)) => return Some(place),
                Ok(None) => self.members.freed().await,
            }
        }
    }

    /// Speaks TLS, where it is asked for, and the protocol.
    fn serve(&self, stream: Stream, connection: Connection, member: Member) -> Serving {
        let protocol = self.protocol.clone();
        #[cfg(feature = "tls")]
        let tls = self.tls.clone();
        Box::pin(async move {
            let _member = member;
            #[cfg(feature = "tls")]
            let stream = match tls {
                Some(tls) => {
                    let mut shaken = None;
                    let shaking = async { shaken = Some(shake_hands(tls, stream).await) };
                    connection.drive(shaking, |_| {}).await;
                    match shaken {
                        Some(Some(stream)) => stream,
                        Some(None) => {
                            count(&connection.counts().handshakes_failed, 1);
                            return;
                        }
                        // It was told to leave.
                        None => return,
                    }
                }
                None => stream,
            };
            protocol.serve(stream, connection).await;
        })
    }
}

/// Dropped before a stop has begun, it says that nobody accepts any more.
pub(super) struct Watch(pub(super) Arc<Members>);

impl Drop for Watch {
    fn drop(&mut self) {
        if self.0.live().stopping || self.0.failure().is_some() {
            return;
        }
        self.0.fail(match std::thread::panicking() {
            true => "it panicked".into(),
            false => "its runtime has ended".into(),
        });
    }
}

#[cfg(feature = "tls")]
async fn shake_hands(tls: Arc<CurrentServerTls>, stream: Stream) -> Option<Stream> {
    let config = tls.config();
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    let stream = acceptor.accept(stream).await.ok()?;
    Some(Box::new(stream))
}
