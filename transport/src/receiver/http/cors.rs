//! Requests from the pages of other origins. Fetch standard, "HTTP CORS protocol".

use core::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};

/// Headers that pages may send without being allowed to by name: what the Collector allows when nothing is set.
const ALWAYS: [&str; 4] = ["accept", "content-type", "origin", "x-requested-with"];

/// Which web pages may send spans, as the Collector's `cors` has it.
///
/// A browser asks before a page of another origin sends OTLP; a receiver without this answers that it may not. Nothing
/// here keeps anybody else from sending: that takes a token.
///
/// ```
/// use core::time::Duration;
/// use spanwire_transport::receiver::http::Cors;
///
/// let cors = Cors::new()
///     .allow_origin("https://*.example.com")
///     .allow_header("X-Tenant")
///     .max_age(Duration::from_secs(7200));
/// # let _ = cors;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "settings do nothing by themselves"]
pub struct Cors {
    origins: Vec<String>,
    headers: Vec<String>,
    exposed: Vec<String>,
    max_age: Option<Duration>,
}

impl Cors {
    /// No page may.
    pub fn new() -> Self {
        Self::default()
    }

    /// Pages of this origin may: `https://app.example.com`. One `*` in it stands for any text, so that
    /// `https://*.example.com` is every origin below that name, and `*` is every page there is.
    pub fn allow_origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into().to_ascii_lowercase());
        self
    }

    /// Pages may send this header; `*` is every header. Default: `Accept`, `Content-Type`, `Origin` and
    /// `X-Requested-With`, which may be sent in any case.
    pub fn allow_header(mut self, name: impl Into<String>) -> Self {
        self.headers.push(name.into().to_ascii_lowercase());
        self
    }

    /// Pages may read this header of an answer. Default: none beside those that every page may read.
    pub fn expose_header(mut self, name: impl Into<String>) -> Self {
        self.exposed.push(name.into());
        self
    }

    /// How long a browser may remember what it was told, in whole seconds. Default: what the browser makes of it, which is
    /// 5 s. Fetch standard, `Access-Control-Max-Age`.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The first setting that no browser would understand.
    pub(super) fn fault(&self) -> Option<String> {
        let twice = |origin: &&String| origin.matches('*').count() > 1;
        if let Some(origin) = self.origins.iter().find(twice) {
            return Some(format!(
                "allowed origin '{}' has more than one *",
                origin.escape_debug()
            ));
        }
        let names = self.headers.iter().chain(&self.exposed);
        names
            .filter(|name| *name != "*")
            .find(|name| http::HeaderName::from_bytes(name.as_bytes()).is_err())
            .map(|name| format!("header name '{}' is not valid", name.escape_debug()))
    }

    fn is_any(&self) -> bool {
        self.origins.iter().any(|origin| origin == "*")
    }

    fn allows_origin(&self, origin: &str) -> bool {
        let origin = origin.to_ascii_lowercase();
        self.origins
            .iter()
            .any(|allowed| match allowed.split_once('*') {
                None => *allowed == origin,
                Some((start, end)) => origin
                    .strip_prefix(start)
                    .is_some_and(|rest| rest.ends_with(end)),
            })
    }

    fn allows_header(&self, name: &str) -> bool {
        let name = name.trim().to_ascii_lowercase();
        ALWAYS.contains(&&*name)
            || self
                .headers
                .iter()
                .any(|known| *known == name || known == "*")
    }

    /// What is said about origins in the answer to a request that is not a preflight: in its headers, whether it succeeds
    /// or fails.
    pub(super) fn label(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = self.origin_of(request) else {
            return;
        };
        self.admit(origin, answer);
        if !self.exposed.is_empty()
            && let Ok(names) = HeaderValue::from_str(&self.exposed.join(", "))
        {
            answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names);
        }
    }

    /// What a browser is told that asks before it sends. Without a word about the origin the page may not.
    pub(super) fn preflight(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        answer.append(
            VARY,
            HeaderValue::from_static(
                "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
            ),
        );
        let Some(origin) = self.origin_of(request) else {
            return;
        };
        if request
            .get(ACCESS_CONTROL_REQUEST_METHOD)
            .is_none_or(|method| method != "POST")
        {
            return;
        }
        let wanted: Vec<_> = request
            .get_all(ACCESS_CONTROL_REQUEST_HEADERS)
            .iter()
            .collect();
        let known = |names: &&HeaderValue| match names.to_str() {
            Ok(names) => names
                .split(',')
                .all(|name| name.trim().is_empty() || self.allows_header(name)),
            Err(_) => false,
        };
        if !wanted.iter().all(known) {
            return;
        }
        self.admit(origin, answer);
        answer.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static("POST"),
        );
        for names in wanted {
            answer.append(ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
        }
        if let Some(age) = self.max_age {
            answer.insert(ACCESS_CONTROL_MAX_AGE, age.as_secs().into());
        }
    }

    fn origin_of<'a>(&self, request: &'a HeaderMap) -> Option<&'a HeaderValue> {
        let origin = request.get(ORIGIN)?;
        origin
            .to_str()
            .is_ok_and(|origin| self.allows_origin(origin))
            .then_some(origin)
    }

    fn admit(&self, origin: &HeaderValue, answer: &mut HeaderMap) {
        if self.is_any() {
            // No browser takes credentials together with it.
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            return;
        }
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
    }
}

/// Whether a browser asks what a page may send.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_str(value).unwrap(),
                )
            })
            .collect()
    }

    fn text(headers: &HeaderMap) -> String {
        let mut connections: Vec<_> = headers
            .iter()
            .filter(|(name, _)| *name != VARY)
            .map(|(name, value)| {
                let name = name.as_str().trim_start_matches("access-control-");
                format!("{name}: {}", value.to_str().unwrap())
            })
            .collect();
        connections.sort();
        connections.join("; ")
    }

    #[test]
    fn origins_are_whole_or_have_one_star() {
        for (allowed, origin, fits) in [
            ("https://a.example", "https://a.example", true),
            ("https://a.example", "HTTPS://A.EXAMPLE", true),
            ("HTTPS://a.example", "https://a.example", true),
            ("https://a.example", "https://a.example:8443", false),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "https://a.example.evil", false),
            ("https://*.example", "https://a.example", true),
            ("https://*.example", "https://a.b.example", true),
            ("https://*.example", "https://example", false),
            ("https://*.example", "https://a.example.evil", false),
            // The text before the star and the text after it do not share letters.
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("*", "null", true),
        ] {
            let cors = Cors::new().allow_origin(allowed);
            assert_eq!(cors.allows_origin(origin), fits, "{allowed} {origin}");
        }
        assert!(!Cors::new().allows_origin("https://a.example"));
    }

    #[test]
    fn what_a_browser_is_told_before_it_sends() {
        let one = Cors::new().allow_origin("https://*.example");
        let more = one
            .clone()
            .allow_header("X-Tenant")
            .max_age(Duration::from_secs(7200));
        let every = Cors::new().allow_origin("*").allow_header("*");
        let origin = ("origin", "https://a.example");
        let post = ("access-control-request-method", "POST");
        let wants = |names| ("access-control-request-headers", names);
        let admitted =
            "allow-credentials: true; allow-methods: POST; allow-origin: https://a.example";
        let tenant = "allow-credentials: true; allow-headers: content-type,x-tenant; \
            allow-methods: POST; allow-origin: https://a.example; max-age: 7200";
        let any = "allow-headers: x-a; allow-methods: POST; allow-origin: *";
        type Pairs<'a> = &'a [(&'static str, &'a str)];
        let table: &[(&Cors, Pairs<'_>, &str)] = &[
            (&one, &[origin, post], admitted),
            (&one, &[post], ""),
            (&one, &[("origin", "https://evil"), post], ""),
            (
                &one,
                &[origin, ("access-control-request-method", "PUT")],
                "",
            ),
            (&one, &[origin, post, wants("content-type,x-tenant")], ""),
            (
                &more,
                &[origin, post, wants("content-type,x-tenant")],
                tenant,
            ),
            (&every, &[origin, post, wants("x-a")], any),
        ];
        for (cors, request, wanted) in table {
            let mut answer = HeaderMap::new();
            cors.preflight(&headers(request), &mut answer);
            assert_eq!(text(&answer), *wanted, "{request:?}");
            assert!(answer.contains_key(VARY), "caches keep origins apart");
        }
    }

    #[test]
    fn an_answer_says_who_may_read_it() {
        let cors = Cors::new()
            .allow_origin("https://a.example")
            .expose_header("Retry-After");
        for (request, wanted) in [
            (
                &[("origin", "https://a.example")][..],
                "allow-credentials: true; allow-origin: https://a.example; expose-headers: Retry-After",
            ),
            (&[("origin", "https://evil")], ""),
            (&[], ""),
        ] {
            let mut answer = HeaderMap::new();
            cors.label(&headers(request), &mut answer);
            assert_eq!(text(&answer), wanted);
            assert!(answer.contains_key(VARY));
        }
    }

    #[test]
    fn only_options_with_a_question_is_a_preflight() {
        let asks = headers(&[("access-control-request-method", "POST")]);
        assert!(is_preflight(&Method::OPTIONS, &asks));
        assert!(!is_preflight(&Method::POST, &asks));
        assert!(!is_preflight(&Method::OPTIONS, &HeaderMap::new()));
    }

    #[test]
    fn faults_are_named() {
        let fault = |cors: Cors| cors.fault().unwrap_or_default();
        assert_eq!(
            fault(Cors::new().allow_origin("https://*.*")),
            "allowed origin 'https://*.*' has more than one *"
        );
        assert_eq!(
            fault(Cors::new().allow_header("x y")),
            "header name 'x y' is not valid"
        );
        assert_eq!(fault(Cors::new().allow_origin("*").allow_header("*")), "");
    }
}
