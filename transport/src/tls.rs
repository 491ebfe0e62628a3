//! TLS for clients and servers: who the other side is, and who we are.
//!
//! rustls over ring. Files are looked at before each new connection and read again when they have changed, so that a
//! renewed certificate needs no restart; connections that stand go on.

use core::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

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
            .with_root_certificates(
                self.root_store()
                    .map_err(|error| error.of(TlsPart::Roots))?,
            );
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificates, key)) => {
                let of = |part| move |error: TlsError| error.of(part);
                let chain = certificates.certificates("client certificate");
                let chain = chain.map_err(of(TlsPart::Certificate))?;
                let key = key.key("client key").map_err(of(TlsPart::Key))?;
                builder
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| TlsError::new("client certificate and key", error))
                    .map_err(of(TlsPart::Certificate))?
            }
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn root_store(&self) -> Result<RootCertStore, TlsError> {
        match &self.roots {
            Some(pem) => pem.store("trusted roots"),
            None => {
                let mut store = RootCertStore::empty();
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
                Ok(store)
            }
        }
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identity = self.identity.iter().flat_map(|(chain, key)| [chain, key]);
        self.roots.iter().chain(identity).filter_map(Pem::path)
    }
}

/// What a server shows of itself, and whom it lets in.
///
/// Without [`client_roots_file`](Self::client_roots_file) or [`client_roots_pem`](Self::client_roots_pem) every client is let
/// in; with them, those alone that show a certificate of these roots.
///
/// Files are looked at before each new connection and read again when they have changed. While the new ones can't be
/// used, such as between the writes of a certificate and of its key, the last good ones are.
///
/// ```
/// use spanwire_transport::tls::{ServerTls, TlsVersion};
///
/// let tls = ServerTls::files("/etc/agent/tls.crt", "/etc/agent/tls.key")
///     .client_roots_file("/etc/agent/clients.pem")
///     .min_version(TlsVersion::Tls13);
/// # let _ = tls;
/// ```
#[derive(Clone)]
#[must_use = "settings do nothing by themselves"]
pub struct ServerTls {
    identity: (Pem, Pem),
    client_roots: Option<Pem>,
    min_version: TlsVersion,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246. The default of a server's least version, as in the Collector.
    #[default]
    Tls12,
    /// TLS 1.3, RFC 8446.
    Tls13,
}

impl ServerTls {
    /// Shows the certificate chain in one PEM file, with the private key in another, or the same.
    pub fn files(certificates: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::of(Pem::File(certificates.into()), Pem::File(key.into()))
    }

    /// Shows the certificate chain in a PEM text, with the private key in another.
    pub fn pem(certificates: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        Self::of(
            Pem::Text(certificates.as_ref().into()),
            Pem::Text(key.as_ref().into()),
        )
    }

    fn of(certificates: Pem, key: Pem) -> Self {
        Self {
            identity: (certificates, key),
            client_roots: None,
            min_version: TlsVersion::default(),
        }
    }

    /// Lets in those clients alone that show a certificate of the roots in a PEM file.
    pub fn client_roots_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.client_roots = Some(Pem::File(path.into()));
        self
    }

    /// Lets in those clients alone that show a certificate of the roots in a PEM text.
    pub fn client_roots_pem(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.client_roots = Some(Pem::Text(pem.as_ref().into()));
        self
    }

    /// The least version that is spoken. Default: TLS 1.2.
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Reads what is given once, to tell of what is wrong before anybody connects.
    ///
    /// # Errors
    ///
    /// [`TlsError`] names the file at fault.
    pub fn check(&self) -> Result<(), TlsError> {
        self.config(&[]).map(drop)
    }

    fn config(&self, alpn: &[&[u8]]) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions: &[_] = match self.min_version {
            TlsVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .map_err(|error| TlsError::new("protocol versions", error))?;
        let builder = match &self.client_roots {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let roots = Arc::new(pem.store("client roots")?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider)
                    .build()
                    .map_err(|error| TlsError::new(pem.name("client roots"), error))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let (certificates, key) = &self.identity;
        let chain = certificates.certificates("server certificate")?;
        let mut config = builder
            .with_single_cert(chain, key.key("server key")?)
            .map_err(|error| TlsError::new("server certificate and key", error))?;
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    #[cfg(feature = "listen")]
    fn files_given(&self) -> impl Iterator<Item = &PathBuf> {
        let (certificates, key) = &self.identity;
        [certificates, key]
            .into_iter()
            .chain(&self.client_roots)
            .filter_map(Pem::path)
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("identity", &self.identity)
            .field("client_roots", &self.client_roots)
            .field("min_version", &self.min_version)
            .finish()
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

    fn path(&self) -> Option<&PathBuf> {
        match self {
            Self::File(path) => Some(path),
            Self::Text(_) => None,
        }
    }

    fn store(&self, what: &str) -> Result<RootCertStore, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in self.certificates(what)? {
            store
                .add(certificate)
                .map_err(|error| TlsError::new(self.name(what), error))?;
        }
        Ok(store)
    }

    fn key(&self, what: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
        match self {
            Self::Text(text) => PrivateKeyDer::from_pem_slice(text),
            Self::File(path) => PrivateKeyDer::from_pem_file(path),
        }
        .map_err(|error| TlsError::new(self.name(what), error))
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
    part: TlsPart,
}

/// What of a client's settings is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TlsPart {
    Roots,
    Certificate,
    Key,
    /// Something else, such as a name.
    Other,
}

impl TlsError {
    fn new(what: impl Into<String>, why: impl fmt::Display) -> Self {
        Self {
            what: what.into(),
            why: why.to_string(),
            part: TlsPart::Other,
        }
    }

    fn of(self, part: TlsPart) -> Self {
        Self { part, ..self }
    }

    #[cfg_attr(
        not(any(feature = "grpc", feature = "http")),
        allow(dead_code, reason = "exporters alone have settings from variables")
    )]
    pub(crate) fn part(&self) -> TlsPart {
        self.part
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
    known: Mutex<Option<Known<ClientConfig>>>,
}

/// What the files looked like, and what they made.
#[cfg(feature = "runtime")]
struct Known<C> {
    stamps: Vec<Option<Stamp>>,
    config: Arc<C>,
}

#[cfg(feature = "runtime")]
fn stamps<'a>(files: impl Iterator<Item = &'a PathBuf>) -> Vec<Option<Stamp>> {
    files.map(|path| Stamp::of(path).ok()).collect()
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
        let stamps = stamps(self.settings.files());
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

/// [`ServerTls`] as its files are now. Belongs to one receiver.
#[cfg(feature = "listen")]
pub(crate) struct CurrentServerTls {
    settings: ServerTls,
    alpn: &'static [&'static [u8]],
    known: Mutex<Known<ServerConfig>>,
}

#[cfg(feature = "listen")]
impl CurrentServerTls {
    /// Reads the files.
    pub(crate) fn new(
        settings: ServerTls,
        alpn: &'static [&'static [u8]],
    ) -> Result<Self, TlsError> {
        let stamps = stamps(settings.files_given());
        let config = Arc::new(settings.config(alpn)?);
        Ok(Self {
            settings,
            alpn,
            known: Mutex::new(Known { stamps, config }),
        })
    }

    /// What a new connection uses: what the files make now, or what they made when they were last good.
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = stamps(self.settings.files_given());
        if known.stamps != stamps
            && let Ok(config) = self.settings.config(self.alpn)
        {
            // Files that are no good are read again at the next connection.
            *known = Known {
                stamps,
                config: Arc::new(config),
            };
        }
        known.config.clone()
    }
}
