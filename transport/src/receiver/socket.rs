//! The sockets that a receiver listens on.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
#[cfg(unix)]
use std::path::{Path, PathBuf};

use socket2::SockRef;

use crate::dial::Connection as Stream;
use crate::endpoint::{Address, Endpoint, InvalidEndpoint};

/// How many connections wait to be accepted; the system's own bound, as `net.core.somaxconn` under Linux, is below it or holds too.
/// One that finds no room among them thinks itself open, and waits for seconds until the system tries again: a node whose
/// agent restarts has all its clients back at once.
const BACKLOG: i32 = 1024;

/// Where to listen, from the text of a setting: `host:port`, where port 0 stands for any that is free, `unix:/path` or
/// `unix-abstract:name`.
pub(crate) fn address(text: &str) -> Result<Address, InvalidEndpoint> {
    let any = text.strip_suffix(":0");
    let parsed: Endpoint = match any {
        Some(host) => format!("{host}:1").parse()?,
        None => text.parse()?,
    };
    match parsed.address() {
        // Whether there is TLS is said by its own setting.
        Address::Tcp { .. } if parsed.tls().is_some() || parsed.path() != "/" => {
            Err(InvalidEndpoint::Scheme {
                scheme: text.split(':').next().unwrap_or_default().into(),
            })
        }
        Address::Tcp { host, port } => Ok(Address::Tcp {
            host: host.clone(),
            port: any.map_or(*port, |_| 0),
        }),
        socket => Ok(socket.clone()),
    }
}

/// A socket that is bound, and not yet part of a runtime.
pub(crate) enum Bound {
    Tcp(std::net::TcpListener),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixListener, Option<SocketFile>),
}

impl Bound {
    pub(crate) fn bind(address: &Address) -> io::Result<Self> {
        let bound = match address {
            Address::Tcp { host, port } => {
                let mut found: Vec<_> = (host.as_str(), *port).to_socket_addrs()?.collect();
                // Of a name's addresses the one that most clients try: `localhost` is 127.0.0.1.
                found.sort_by_key(SocketAddr::is_ipv6);
                Self::Tcp(std::net::TcpListener::bind(&found[..])?)
            }
            #[cfg(unix)]
            Address::Unix(path) => {
                let (listener, file) = bind_file(path)?;
                Self::Unix(listener, Some(file))
            }
            #[cfg(any(target_os = "linux", target_os = "android"))]
            Address::UnixAbstract(name) => {
                #[cfg(target_os = "android")]
                use std::os::android::net::SocketAddrExt;
                #[cfg(target_os = "linux")]
                use std::os::linux::net::SocketAddrExt;
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                let listener = std::os::unix::net::UnixListener::bind_addr(&address)?;
                Self::Unix(listener, None)
            }
            #[cfg(not(any(target_os = "linux", target_os = "android")))]
            Address::UnixAbstract(_) => return Err(io::ErrorKind::Unsupported.into()),
            #[cfg(not(unix))]
            Address::Unix(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        let socket = match &bound {
            Self::Tcp(listener) => SockRef::from(listener),
            #[cfg(unix)]
            Self::Unix(listener, _) => SockRef::from(listener),
        };
        // The standard library has it listen with a shorter queue; to listen again changes no more than that.
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(bound)
    }

    /// The address of IP that it is bound to; `None` for a Unix domain socket.
    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            #[cfg(unix)]
            Self::Unix(..) => None,
        }
    }

    /// The same as part of the runtime that this is called in.
    pub(crate) fn open(self) -> io::Result<Open> {
        match self {
            Self::Tcp(listener) => tokio::net::TcpListener::from_std(listener).map(Open::Tcp),
            #[cfg(unix)]
            Self::Unix(listener, file) => {
                let listener = tokio::net::UnixListener::from_std(listener)?;
                Ok(Open::Unix(listener, file))
            }
        }
    }
}

/// A socket that is listened on. Dropped, it is closed, and its file is gone.
pub(crate) enum Open {
    Tcp(tokio::net::TcpListener),
    #[cfg(unix)]
    Unix(
        tokio::net::UnixListener,
        #[allow(dead_code, reason = "removed when it is dropped")] Option<SocketFile>,
    ),
}

impl Open {
    /// A connection, and the address of IP that it comes from.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // An answer is written whole; waiting for more to send would only delay it.
                stream.set_nodelay(true)?;
                Ok((Box::new(stream), Some(peer.ip().to_canonical())))
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => Ok((Box::new(listener.accept().await?.0), None)),
        }
    }
}

/// The file of a Unix domain socket. Dropped, it is removed, unless another was put in its place.
#[cfg(unix)]
pub(crate) struct SocketFile {
    path: PathBuf,
    id: Option<(u64, u64)>,
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.id.is_some() && id_of(&self.path) == self.id {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Device and number of a file.
#[cfg(unix)]
fn id_of(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// Binds a path. A socket that is there already and that nobody answers on is what a process left that was killed; it is
/// replaced. Anything else is left alone.
#[cfg(unix)]
fn bind_file(path: &Path) -> io::Result<(std::os::unix::net::UnixListener, SocketFile)> {
    use std::os::unix::fs::FileTypeExt;
    use std::os::unix::net::{UnixListener, UnixStream};

    let listener = match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let is_socket =
                std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
            if !is_socket {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "there is a file in its place that is no socket",
                ));
            }
            match UnixStream::connect(path) {
                Err(none) if none.kind() == io::ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)?;
                    UnixListener::bind(path)?
                }
                _ => {
                    return Err(io::Error::new(
                        error.kind(),
                        "another process listens on it",
                    ));
                }
            }
        }
        bound => bound?,
    };
    let file = SocketFile {
        path: path.into(),
        id: id_of(path),
    };
    Ok((listener, file))
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port_or_a_socket() {
        for (text, host, port) in [
            ("127.0.0.1:4317", "127.0.0.1", 4317),
            ("localhost:0", "localhost", 0),
            ("[::1]:0", "::1", 0),
            ("0.0.0.0:4318", "0.0.0.0", 4318),
        ] {
            let wanted = Address::Tcp {
                host: host.into(),
                port,
            };
            assert_eq!(address(text), Ok(wanted), "{text}");
        }
        for (text, why) in [
            ("", "endpoint is empty"),
            (":4317", "endpoint has no host"),
            (":0", "endpoint has no host"),
            (
                "localhost",
                "endpoint host 'localhost' has no port after it",
            ),
            (
                "localhost:99999",
                "endpoint port '99999' is no number from 1 to 65535",
            ),
            (
                "unix:run",
                "endpoint socket 'run' is neither an absolute path of a file nor a name",
            ),
        ] {
            assert_eq!(address(text).unwrap_err().to_string(), why, "{text}");
        }
        assert!(address("http://127.0.0.1:4317").is_err());
        assert!(address("https://127.0.0.1:0").is_err());
    }

    #[test]
    fn many_clients_come_at_once_and_none_is_kept_waiting() {
        let bounded_by = std::fs::read_to_string("/proc/sys/net/core/somaxconn");
        let most = bounded_by.map_or(128, |most| most.trim().parse::<usize>().unwrap());
        let bound = Bound::bind(&address("127.0.0.1:0").unwrap()).unwrap();
        let address = bound.local_addr().unwrap();
        // Nobody accepts them.
        let clients: Vec<_> = (0..most.min(400))
            .map(|number| {
                std::net::TcpStream::connect_timeout(&address, Duration::from_millis(900))
                    .unwrap_or_else(|error| panic!("{number}: {error}"))
            })
            .collect();
        drop(clients);
    }

    #[cfg(unix)]
    #[test]
    fn a_stale_socket_is_replaced_and_another_file_is_not() {
        let path = std::env::temp_dir().join(format!("spanwire-socket-{}", std::process::id()));
        let address = Address::Unix(path.clone());
        let _ = std::fs::remove_file(&path);

        // Left behind: the file is there, and nobody listens.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let bound = Bound::bind(&address).unwrap();
        let taken = Bound::bind(&address).err().unwrap();
        assert_eq!(taken.to_string(), "another process listens on it");
        drop(bound);
        assert!(!path.exists(), "the file goes with its socket");

        // Another's file in its place stays.
        let bound = Bound::bind(&address).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "mine").unwrap();
        drop(bound);
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        assert!(Bound::bind(&address).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        std::fs::remove_file(&path).unwrap();
    }
}
