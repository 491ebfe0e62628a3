//! The `tracing` settings of kubelet and the API server, with the validation that Kubernetes has for them.

use super::fault::{Fault, InvalidConfig};
use super::keys::{Keys, Section, Setting, Walk};
use super::yaml::{self, Node, Value};

/// Kubernetes' `TracingConfiguration`.
///
/// ```
/// use spanwire_transport::config::kubernetes::TracingConfiguration;
///
/// let file = "kind: KubeletConfiguration\ntracing:\n  endpoint: localhost:4317\n  samplingRatePerMillion: 10000\n";
/// let tracing = TracingConfiguration::from_kubelet(file)?.unwrap_or_default();
/// assert_eq!(tracing.sampling_rate_per_million, Some(10_000));
/// # Ok::<(), spanwire_transport::config::InvalidConfig>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracingConfiguration {
    /// The gRPC target of the collector, reached without TLS. Default: unset, which means `localhost:4317` or what the
    /// environment says.
    pub endpoint: Option<String>,
    /// Of a million root spans, how many are sampled: 0 to 1,000,000. Default: unset, which means none; spans with a
    /// sampled parent are recorded all the same.
    pub sampling_rate_per_million: Option<i32>,
}

impl Section for TracingConfiguration {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("endpoint", &mut self.endpoint);
        keys.key(
            "samplingRatePerMillion",
            &mut self.sampling_rate_per_million,
        );
    }

    fn check(&self, walk: &mut Walk) {
        if let Some(rate) = self.sampling_rate_per_million {
            walk.within("samplingRatePerMillion", |walk| {
                if rate < 0 {
                    walk.fault("sampling rate must be positive");
                } else if rate > 1_000_000 {
                    walk.fault(
                        "sampling rate per million must be less than or equal to one million",
                    );
                }
            });
        }
        if let Some(Err(message)) = self.endpoint.as_deref().map(check_endpoint) {
            walk.within("endpoint", |walk| walk.fault(message));
        }
    }
}

impl TracingConfiguration {
    /// The `tracing` stanza of a KubeletConfiguration file, whose other keys are not looked at; `None` when there is
    /// no stanza, which switches tracing off.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] when the text is not YAML, or for each setting that Kubernetes refuses.
    pub fn from_kubelet(text: &str) -> Result<Option<Self>, InvalidConfig> {
        let Some(document) = document(text, "KubeletConfiguration", KUBELET)? else {
            return Ok(None);
        };
        let Value::Map(entries) = &document.value else {
            return Err(Fault::new(&[], "expected a map").at(document.at).into());
        };
        let Some((_, node)) = entries.iter().find(|(key, _)| key.text == "tracing") else {
            return Ok(None);
        };
        if node.value == Value::Null {
            return Ok(None);
        }
        let mut tracing = Self::default();
        finish(&document, |walk| {
            walk.within("tracing", |walk| {
                tracing.read(node, walk);
                Setting::check(&mut tracing, walk);
            });
        })
        .map_err(|error| error.map(dotted))?;
        Ok(Some(tracing))
    }

    /// The API server's TracingConfiguration file.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] when the text is not YAML or of another kind, or for each setting that Kubernetes refuses.
    pub fn from_api_server(text: &str) -> Result<Self, InvalidConfig> {
        let mut file = File::default();
        if let Some(document) = document(text, "TracingConfiguration", API_SERVER)? {
            finish(&document, |walk| {
                file.read(&document, walk);
                Section::check(&file.tracing, walk);
            })
            .map_err(|error| error.map(|fault| dotted(fault.under(TRACING))))?;
        }
        Ok(file.tracing)
    }

    /// Checks settings that were made in code.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`] for each setting that Kubernetes refuses.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let mut walk = Walk::default();
        walk.within("tracing", |walk| Section::check(self, walk));
        if walk.faults.is_empty() {
            Ok(())
        } else {
            Err(InvalidConfig::new(walk.faults).map(dotted))
        }
    }

    /// The endpoint, if there is one: an empty one is none to the exporters of Kubernetes.
    pub(crate) fn target(&self) -> Option<&str> {
        self.endpoint.as_deref().filter(|target| !target.is_empty())
    }
}

/// Versions of the API that have the kinds of files.
const KUBELET: &[&str] = &["kubelet.config.k8s.io/v1beta1"];
const API_SERVER: &[&str] = &[
    "apiserver.config.k8s.io/v1",
    "apiserver.config.k8s.io/v1beta1",
    "apiserver.config.k8s.io/v1alpha1",
];

/// What Kubernetes calls the settings, wherever they stand.
const TRACING: &str = "tracing";

/// A path as Kubernetes writes it.
fn dotted(mut fault: Fault) -> Fault {
    fault.path = fault.path.replace("::", ".");
    fault
}

/// What is wrong with an endpoint that Kubernetes takes.
pub(crate) fn at_endpoint(why: &str) -> InvalidConfig {
    let path = [TRACING.into(), "endpoint".into()];
    InvalidConfig::from(Fault::new(&path, why)).map(dotted)
}

#[derive(Default)]
struct File {
    version: String,
    kind: String,
    tracing: TracingConfiguration,
}

impl Section for File {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.key("apiVersion", &mut self.version);
        keys.key("kind", &mut self.kind);
        self.tracing.keys(keys);
    }
}

/// Reads a document, and that it is of this kind and of one of these versions if it names any.
fn document(text: &str, kind: &str, versions: &[&str]) -> Result<Option<Node>, InvalidConfig> {
    let Some(document) = yaml::parse(text)? else {
        return Ok(None);
    };
    let Value::Map(entries) = &document.value else {
        return Ok(Some(document));
    };
    let of = |name: &str| entries.iter().find(|(key, _)| key.text == name);
    if let Some((_, node)) = of("kind")
        && node.value != Value::Text(kind.into())
    {
        let message = format!("expected a file of kind {kind}");
        return Err(Fault::new(&["kind".into()], message).at(node.at).into());
    }
    if let Some((_, node)) = of("apiVersion") {
        let version = match &node.value {
            Value::Text(version) => version.as_str(),
            _ => "",
        };
        if !versions.contains(&version) {
            let message = format!(
                "no kind \"{kind}\" is registered for version {version:?}; accepted: {}",
                versions.join(", ")
            );
            let fault = Fault::new(&["apiVersion".into()], message);
            return Err(fault.at(node.at).into());
        }
    }
    Ok(Some(document))
}

fn finish(document: &Node, inner: impl FnOnce(&mut Walk)) -> Result<(), InvalidConfig> {
    let mut walk = Walk::default();
    inner(&mut walk);
    if walk.faults.is_empty() {
        return Ok(());
    }
    let places = yaml::Places::of(document);
    let faults = walk.faults.into_iter().map(|fault| {
        let at = places.find(&fault.path);
        fault.at(at)
    });
    Err(InvalidConfig::new(faults.collect()))
}

/// What Kubernetes asks of an endpoint: a URL whose scheme, `dns` when there is none, is one of four.
fn check_endpoint(endpoint: &str) -> Result<(), String> {
    let url = if endpoint.contains("//") {
        endpoint.into()
    } else {
        format!("dns://{endpoint}")
    };
    let wrong = |what: &str| Err(format!("parse {url:?}: {what}"));
    if url.chars().any(|c| c.is_ascii_control()) {
        return wrong("net/url: invalid control character in URL");
    }
    let scheme = match url.split_once(':') {
        Some(("", _)) => return wrong("missing protocol scheme"),
        Some((before, _)) if before.starts_with(|c: char| c.is_ascii_alphabetic()) => {
            let is_scheme = before
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
            if is_scheme { before } else { "" }
        }
        Some((before, _))
            if before.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)) =>
        {
            return wrong("first path segment in URL cannot contain colon");
        }
        _ => "",
    };
    let (before, rest) = url.split_once("//").unwrap_or(("", &url));
    let (host, path) = rest
        .find(['/', '?', '#'])
        .map_or((rest, ""), |at| rest.split_at(at));
    // In a host only bytes beyond ASCII may be escaped, and a few signs; in a path all may.
    if let Some(escape) = bad_escape(before).or_else(|| bad_escape(path)) {
        return wrong(&format!("invalid URL escape {escape:?}"));
    }
    if let Some(at) = host.find('%') {
        let escape: String = host.chars().skip(at).take(3).collect();
        let digits = host.get(at + 1..at + 3);
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if byte.is_none_or(|byte| byte < 0x80) && digits != Some("25") {
            return wrong(&format!("invalid URL escape {escape:?}"));
        }
    }
    if host.contains([' ', '"', '<', '>', '\\', '^', '`', '{', '|', '}']) {
        return wrong("invalid character in host name");
    }
    if let Some(port) = port(host)
        && !port.bytes().all(|b| b.is_ascii_digit())
    {
        return wrong(&format!("invalid port {:?} after host", format!(":{port}")));
    }
    match scheme.to_ascii_lowercase().as_str() {
        "dns" | "unix" | "unix-abstract" => Ok(()),
        other => Err(format!(
            "unsupported scheme: {other}. Options are none, dns, unix, or unix-abstract. See https://github.com/grpc/grpc/blob/master/doc/naming.md"
        )),
    }
}

fn port(host: &str) -> Option<&str> {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match host.split_once(']') {
        Some((_, after)) => (!after.is_empty()).then(|| after.strip_prefix(':').unwrap_or(after)),
        None => host.rsplit_once(':').map(|(_, port)| port),
    }
}

fn bad_escape(text: &str) -> Option<String> {
    text.match_indices('%').find_map(|(at, _)| {
        let digits = text.get(at + 1..at + 3);
        let good = digits.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        (!good).then(|| {
            text.chars()
                .skip(text.get(..at).map_or(0, |t| t.chars().count()))
                .take(3)
                .collect()
        })
    })
}
