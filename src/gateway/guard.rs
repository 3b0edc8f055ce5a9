//! What is turned away before it is looked at: names this server does not have, pages of others, addresses that are too long.
//!
//! A server without keys trusts whoever reaches it, and a browser on the same machine reaches it for any page its user opens. Two
//! things keep such pages out. A page of another name that was made to point here (DNS rebinding) still says that name in `Host`.
//! And a page of any other origin says so in `Origin`, which browsers do not let pages change.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, header};

use super::protocol::Protocol;
use super::protocol::anthropic::Anthropic;
use super::protocol::openai::OpenAi;
use super::protocol::responses::Responses;
use crate::error::{Denied, Error, Result};
use crate::providers::body::Fields;

/// The longest path with its query, in bytes.
const LONGEST_PATH: usize = 8_192;

/// Whose names and whose pages.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    hosts: Vec<String>,
    origins: Vec<String>,
    public: bool,
}

impl Guard {
    /// `hosts`: names this server is reached by, beside `localhost` and bare addresses; `*` for any. `origins`: whose pages may ask,
    /// such as `https://a.example`; `*` for any, which none can be with credentials.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for what is no name or no origin.
    pub fn new(hosts: Vec<String>, origins: Vec<String>) -> Result<Self> {
        let hosts: Vec<String> = hosts.into_iter().map(|host| host.trim().to_ascii_lowercase()).collect();
        if let Some(wrong) = hosts.iter().find(|host| host.is_empty() || host.contains(['/', ' ', '@'])) {
            return Err(Error::value(format!("server.hosts: expected names such as gateway.example, found {wrong:?}")));
        }
        let origins: Vec<String> =
            origins.into_iter().map(|origin| origin.trim().trim_end_matches('/').to_ascii_lowercase()).collect();
        let is_origin = |origin: &String| {
            let rest = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
            origin == "*" || rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', ' ', '@', '*']))
        };
        if let Some(wrong) = origins.iter().find(|origin| !is_origin(origin)) {
            return Err(Error::value(format!(
                "server.cors: expected origins such as https://a.example, found {wrong:?}"
            )));
        }
        Ok(Self { hosts, origins, public: false })
    }

    /// The same; `said`: it was said in words that it may listen where others reach it, even without keys.
    #[must_use]
    pub fn public(mut self, said: bool) -> Self {
        self.public = said;
        self
    }

    pub(super) fn is_public(&self) -> bool {
        self.public
    }

    /// Looks at the head of a request. Gives the origin whose page may read the answer, where one asks.
    ///
    /// # Errors
    /// The error that is the answer, or the answer to a browser that asks beforehand.
    pub(super) fn before(&self, request: &Request, keyless: bool) -> std::result::Result<Option<HeaderValue>, Answer> {
        let headers = request.headers();
        let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        if path > LONGEST_PATH {
            let text = format!("the address is longer than {LONGEST_PATH} bytes");
            return Err(Answer::Error(denied(414, "address_too_long", text)));
        }
        // An address with a name in it (`GET http://...`) counts more than the header.
        let host = request.uri().authority().map(|authority| authority.as_str().to_owned());
        let host = host
            .or_else(|| headers.get(header::HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()));
        if keyless && host.as_deref().is_some_and(|host| !self.is_ours(host)) {
            let text = "This server has no keys, so it answers only to localhost, to bare addresses, and to the names in \
                 `server: {hosts: [...]}` of its configuration. The header Host had another name.";
            return Err(Answer::Error(denied(421, "host_not_allowed", text)));
        }
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(None) };
        let allowed = self.allows(origin);
        if request.method() == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD) {
            return Err(Answer::Asked(allowed.then(|| origin.clone())));
        }
        let same = host.is_some_and(|host| is_same(origin, &host));
        if keyless && !allowed && !same {
            let text = "This server has no keys, so it answers no pages of other origins but those in `server: {cors: [...]}` \
                 of its configuration.";
            return Err(Answer::Error(denied(403, "origin_not_allowed", text)));
        }
        Ok(allowed.then(|| origin.clone()))
    }

    /// Whether a server without keys answers to this name. A bare address is nobody's name, so it cannot be made to point here.
    fn is_ours(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let local = name == "localhost" || name.ends_with(".localhost") || bare.parse::<IpAddr>().is_ok();
        local || self.hosts.iter().any(|ours| ours == "*" || *ours == name || *ours == host.to_ascii_lowercase())
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        self.origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin))
    }
}

/// What is answered without asking anybody else.
pub(super) enum Answer {
    Error(Error),
    /// A browser asks whether this origin may ask.
    Asked(Option<HeaderValue>),
}

/// The protocol in which errors of a path are told.
pub(super) fn spoken(path: &str) -> &'static dyn Protocol {
    match path {
        path if path == "/v1/messages" || path.starts_with("/v1/messages/") => &Anthropic,
        path if path == "/v1/responses" || path.starts_with("/v1/responses/") => &Responses,
        _ => &OpenAi,
    }
}

/// Lets a server listen on this name only if that is safe: for all to reach, it must ask for keys.
///
/// # Errors
/// [`Kind::Value`](crate::Kind::Value) for a public address without keys, unless that was `said` in words.
pub fn bindable(host: &str, keyed: bool, said: bool) -> Result<()> {
    if keyed || said {
        return Ok(());
    }
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let local = match bare.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => match (bare, 0).to_socket_addrs() {
            Ok(mut all) => all.all(|address| address.ip().is_loopback()),
            Err(_) => return Err(Error::value(format!("{host} is no address, and no name that has one"))),
        },
    };
    if local {
        return Ok(());
    }
    Err(Error::value(format!(
        "{host} can be reached by others, and this server asks for no keys, so anybody could spend your money. Require keys \
         (`keys: {{required: true}}`), listen on 127.0.0.1, or say --allow-public-without-key \
         (`server: {{allow_public_without_key: true}}`)"
    )))
}

/// Fields by which a caller would choose where a request is sent, and with whose key.
const ADDRESSES: [&str; 4] = ["api_base", "base_url", "api_key", "api_version"];

/// Refuses a request that wants to choose the provider's address or key: the server's own are not for others to send anywhere.
///
/// # Errors
/// [`Kind::Denied`](crate::Kind::Denied) with 400 `base_url_not_allowed`, naming the field.
pub(super) fn no_address(body: &[u8]) -> Result<()> {
    if !may_name(body) {
        return Ok(());
    }
    // It may be in a prompt; what counts is a field of the request itself.
    let Ok(fields) = Fields::read(body) else { return Ok(()) };
    let Some(field) = ADDRESSES.iter().find(|name| fields.has(name)) else { return Ok(()) };
    let text = format!(
        "`{field}` may not be chosen by callers of this server: models and where they are called are in its configuration."
    );
    Err(denied(400, "base_url_not_allowed", text))
}

/// Whether one of them may be spelt in `body`: no more than a look, since it is one at every request.
fn may_name(body: &[u8]) -> bool {
    static NAMES: OnceLock<Option<AhoCorasick>> = OnceLock::new();
    let names = NAMES.get_or_init(|| AhoCorasick::new(ADDRESSES.map(|name| format!("\"{name}\""))).ok());
    names.as_ref().is_none_or(|names| names.is_match(body))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Whether a page of this origin was loaded from this very server.
fn is_same(origin: &HeaderValue, host: &str) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    let rest = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    rest.is_some_and(|rest| rest.eq_ignore_ascii_case(host))
}

fn denied(status: u16, code: &'static str, text: impl Into<String>) -> Error {
    Error::denied(Denied { status, code, retry_after: None }, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::body::Body;

    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    fn looked(guard: &Guard, keyless: bool, headers: &[(&str, &str)]) -> std::result::Result<bool, u16> {
        match guard.before(&request("POST", "/v1/chat/completions", headers), keyless) {
            Ok(origin) => Ok(origin.is_some()),
            Err(Answer::Error(error)) => Err(error.why_denied().unwrap().status),
            Err(Answer::Asked(_)) => Err(0),
        }
    }

    #[test]
    fn without_keys_only_local_names_and_bare_addresses_are_answered() {
        let guard = Guard::new(vec!["Gateway".into()], vec![]).unwrap();
        for host in
            ["localhost", "localhost:6060", "127.0.0.1:6060", "[::1]:6060", "10.0.0.7", "x.localhost", "gateway:6060"]
        {
            assert_eq!(looked(&guard, true, &[("host", host)]), Ok(false), "{host}");
        }
        for host in
            ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:6060", "evil.example:6060", "", "[::1"]
        {
            assert_eq!(looked(&guard, true, &[("host", host)]).is_ok(), host == "[::1", "{host}");
            assert_eq!(looked(&guard, false, &[("host", host)]), Ok(false), "{host}: keys are enough");
        }
        let absolute = request("GET", "http://evil.example/health", &[("host", "localhost")]);
        assert!(guard.before(&absolute, true).is_err());
        assert_eq!(looked(&Guard::new(vec!["*".into()], vec![]).unwrap(), true, &[("host", "any.example")]), Ok(false));
    }

    #[test]
    fn without_keys_pages_of_others_are_refused() {
        let guard = Guard::new(vec![], vec!["https://a.example/".into()]).unwrap();
        let ask = |keyless, origin| looked(&guard, keyless, &[("host", "localhost:6060"), ("origin", origin)]);
        assert_eq!(ask(true, "https://a.example"), Ok(true));
        assert_eq!(ask(true, "http://localhost:6060"), Ok(false), "its own page");
        for origin in ["https://evil.example", "null", "http://localhost:6061", "https://a.example.evil"] {
            assert_eq!(ask(true, origin), Err(403), "{origin}");
            assert_eq!(ask(false, origin), Ok(false), "{origin}: the page has no key, and may not read the answer");
        }
    }

    #[test]
    fn names_and_origins_are_checked() {
        for wrong in ["a.example", "https://", "https://a/b", "https://*.example", "ftp://a"] {
            assert!(Guard::new(vec![], vec![wrong.into()]).is_err(), "{wrong}");
        }
        assert!(Guard::new(vec!["http://a".into()], vec![]).is_err());
        let long = format!("/{}", "a".repeat(9_000));
        assert!(Guard::default().before(&request("GET", &long, &[]), false).is_err());
    }

    #[test]
    fn public_addresses_need_keys_or_words() {
        for local in ["127.0.0.1", "localhost", "::1", "[::1]", "127.9.9.9"] {
            assert!(bindable(local, false, false).is_ok(), "{local}");
        }
        let error = bindable("name.invalid", false, false).unwrap_err();
        assert!(error.message().contains("no name that has one"), "{error}");
        for public in ["0.0.0.0", "::", "192.0.2.1"] {
            let error = bindable(public, false, false).unwrap_err();
            assert!(error.message().contains("--allow-public-without-key"), "{error}");
            assert!(bindable(public, true, false).is_ok() && bindable(public, false, true).is_ok());
        }
    }

    #[test]
    fn callers_choose_no_address() {
        let refused = |body: &str| no_address(body.as_bytes()).is_err();
        assert!(refused(r#"{"model":"a","api_base":"http://evil.example"}"#));
        assert!(refused(r#"{"model":"a", "base_url" : null}"#));
        assert!(refused(r#"{"api_key":"sk-1","messages":[]}"#));
        assert!(!refused(
            r#"{"model":"a","messages":[{"role":"user","content":"\"api_base\" is what? {\"api_key\":1}"}]}"#
        ));
        assert!(!refused(r#"{"model":"a","metadata":{"api_base":"x"}}"#));
        assert!(!refused("not JSON \"api_base\""));
    }
}
