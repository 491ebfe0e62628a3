//! Who a server is, and who we are.
//!
//! rustls over ring. Files are looked at before each new connection and read again when they have changed, so that a
//! renewed certificate needs no restart; connections that stand go on.

use core::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::headers::Stamp;

/// How a client trusts, and what it shows of itself.
///
/// By default the roots of the system are trusted (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), and nothing is
/// shown.
///
/// ```
/// use spanwire_transport::tls::ClientTls;
///
/// let tls = ClientTls::new()
///     .roots_file("/etc/collector/ca.pem")
///     .identity_files("/etc/agent/tls.crt", "/etc/agent/tls.key");
/// # let _ = tls;
/// ```
#[derive(Clone, Default)]
#[must_use = "settings do nothing by themselves"]
pub struct ClientTls {
    roots: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
}

/// Certificates or a key, as PEM.
#[derive(Clone)]
enum Pem {
    Text(Arc<[u8]>),
    File(PathBuf),
}

impl ClientTls {
    /// Trusts the roots of the system, and shows no certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates in a PEM file, and no others.
    pub fn roots_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.roots = Some(Pem::File(path.into()));
        self
    }

    /// Trusts the certificates in a PEM text, and no others.
    pub fn roots_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots = Some(Pem::Text(pem.as_ref().into()));
        self
    }

    /// Shows the certificate chain in one PEM file, with the private key in another, or the same.
    pub fn identity_files(
        mut self,
        certificates: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.identity = Some((Pem::File(certificates.into()), Pem::File(key.into())));
        self
    }

    /// Shows the certificate chain in a PEM text, with the private key in another.
    pub fn identity_pem(mut self, certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        self.identity = Some((
            Pem::Text(certificates.as_ref().into()),
            Pem::Text(key.as_ref().into()),
        ));
        self
    }

    /// The name that the server's certificate has to be for. Default: the host of the endpoint.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Reads what is given once, to tell of what is wrong before anything is sent to `host`. The roots of the system are
    /// left for the first connection.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file, or the name, at fault.
    pub fn check(&self, host: &str) -> Result<(), TlsError> {
        self.name_of(host)?;
        if self.roots.is_some() || self.identity.is_some() {
            self.config(&[])?;
        }
        Ok(())
    }

    fn name_of(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = self.server_name.as_deref().unwrap_or(host);
        ServerName::try_from(name.to_owned())
            .map_err(|error| TlsError::new(format!("server name '{name}'"), error))
    }

    fn config(&self, alpn: &[&[u8]]) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new("protocol versions", error))?
            .with_root_certificates(self.root_store()?);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let chain = certificates.certificates("client certificate")?;
                let key = key.key()?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| TlsError::new("client certificate and key", error))?
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn root_store(&self) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        match &self.roots {
            Some(pem) => {
                for certificate in pem.certificates("trusted roots")? {
                    store
                        .add(certificate)
                        .map_err(|error| TlsError::new(pem.name("trusted roots"), error))?;
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                // Some that can't be read, among many, are no reason to trust nobody.
                store.add_parsable_certificates(found.certs);
                if store.is_empty() {
                    let why = found
                        .errors
                        .first()
                        .map_or_else(|| "the system has none".to_string(), ToString::to_string);
                    return Err(TlsError::new("trusted roots", why));
                }
            }
        }
        Ok(store)
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        self.roots
            .iter()
            .chain(identity)
            .filter_map(|pem| match pem {
                Pem::File(path) => Some(path),
                Pem::Text(_) => None,
            })
    }
}

impl Pem {
    /// What an error calls it.
    fn name(&self, what: &str) -> String {
        match self {
            Self::Text(_) => what.into(),
            Self::File(path) => format!("{what} {}", path.display()),
        }
    }

    fn certificates(&self, what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found = match self {
            Self::Text(text) => CertificateDer::pem_slice_iter(text).collect(),
            Self::File(path) => CertificateDer::pem_file_iter(path).and_then(Iterator::collect),
        };
        let found: Vec<_> = found.map_err(|error| TlsError::new(self.name(what), error))?;
        if found.is_empty() {
            return Err(TlsError::new(self.name(what), "no certificate in it"));
        }
        Ok(found)
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        match self {
            Self::Text(text) => PrivateKeyDer::from_pem_slice(text),
            Self::File(path) => PrivateKeyDer::from_pem_file(path),
        }
        .map_err(|error| TlsError::new(self.name("client key"), error))
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("<hidden>"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientTls")
            .field("roots", &self.roots)
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .finish()
    }
}

/// Why there can be no TLS. Names what is at fault, and shows none of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsError {
    what: String,
    why: String,
}

impl TlsError {
    fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self {
            what: what.into(),
            why: why.to_string(),
        }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl core::error::Error for TlsError {}

/// [`ClientTls`] as its files are now. Belongs to one exporter in one process.
#[cfg(feature = "runtime")]
pub(crate) struct CurrentTls {
    settings: ClientTls,
    alpn: &'static [&'static [u8]],
    known: Mutex<Option<Known>>,
}

/// What the files looked like, and what they made.
#[cfg(feature = "runtime")]
struct Known {
    stamps: Vec<Option<Stamp>>,
    config: Arc<ClientConfig>,
}

#[cfg(feature = "runtime")]
impl CurrentTls {
    pub(crate) fn new(settings: ClientTls, alpn: &'static [&'static [u8]]) -> Self {
        Self {
            settings,
            alpn,
            known: Mutex::new(None),
        }
    }

    /// What a new connection uses.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, TlsError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken before the files are read: a write in between is seen at the next connection.
        let stamps: Vec<_> = self
            .settings
            .files()
            .map(|path| Stamp::of(path).ok())
            .collect();
        if let Some(known) = &*known
            && known.stamps == stamps
        {
            return Ok(known.config.clone());
        }
        let config = Arc::new(self.settings.config(self.alpn)?);
        *known = Some(Known {
            stamps,
            config: config.clone(),
        });
        Ok(config)
    }

    /// The name to ask the server for.
    pub(crate) fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        self.settings.name_of(host)
    }
}
