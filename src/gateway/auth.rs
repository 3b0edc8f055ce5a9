//! Who shows which key.

use std::sync::Arc;

use axum::http::{HeaderMap, header};

use crate::error::{Denied, Error, Result};
use crate::policy::secret::{Digest, PREFIX};
use crate::policy::{Caller, Keys, Scope};

/// Where `anthropic` clients put their key, and those of Azure.
const OTHER_PLACES: [&str; 2] = ["x-api-key", "api-key"];

/// Whether keys are asked for, and which are valid.
///
/// Without it everybody is let in, and what he says of himself is ignored, as `RouteLLM`'s server does.
#[derive(Debug, Clone, Default)]
pub struct Auth {
    required: bool,
    admin: Option<Digest>,
    keys: Option<Arc<Keys>>,
}

impl Auth {
    /// Whether a key is `required`; the secret of the one that makes and revokes keys; the keys.
    ///
    /// # Errors
    /// [`Kind::Value`](crate::Kind::Value) for an admin key that is too short to be one.
    pub fn new(required: bool, admin: Option<&str>, keys: Option<Arc<Keys>>) -> Result<Self> {
        if admin.is_some_and(|admin| {
            admin.len() < 16 || admin.len() > 1_024 || !admin.bytes().all(|b| b.is_ascii_graphic())
        }) {
            return Err(Error::value("keys.admin: expected 16 characters or more, without spaces"));
        }
        Ok(Self { required, admin: admin.map(Digest::of), keys })
    }

    /// Whether a key is required.
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// The keys, where there are any.
    pub fn keys(&self) -> Option<&Arc<Keys>> {
        self.keys.as_ref()
    }

    /// Keys in memory would be lost with every reload: those of the server before are kept.
    pub fn inherit(&mut self, before: &Self) {
        if let (Some(keys), Some(old)) = (&mut self.keys, &before.keys)
            && keys.is_in_memory()
            && old.is_in_memory()
        {
            *keys = Arc::clone(old);
        }
    }

    /// Who asks for something of this scope; known before anything of the body is read.
    ///
    /// # Errors
    /// [`Kind::Denied`](crate::Kind::Denied): 401 `invalid_api_key` for a key that is missing, unknown, expired or revoked; 403
    /// `insufficient_scope` for one that is not made for this.
    pub fn caller(&self, headers: &HeaderMap, scope: Scope) -> Result<Caller> {
        let watches = matches!(scope, Scope::Metrics | Scope::Ui);
        let said = said(headers, watches);
        let secret = said.as_deref();
        if !self.required {
            // A key of ours is one: its limits hold, and a revoked one is told so. All else is another server's.
            let Some(secret) = secret.filter(|secret| secret.starts_with(PREFIX)) else { return Ok(Caller::default()) };
            return match &self.keys {
                Some(keys) => of_scope(keys.find(secret)?, scope),
                None => Ok(Caller::default()),
            };
        }
        let Some(secret) = secret.filter(|secret| !secret.is_empty()) else {
            return Err(unauthorized(
                "You didn't provide an API key. Send it in the header `Authorization: Bearer frk_...` or `x-api-key`.",
            ));
        };
        if watches && self.is_admin(secret) {
            return Ok(Caller::default());
        }
        match &self.keys {
            Some(keys) => of_scope(keys.find(secret)?, scope),
            None => Err(unauthorized("Incorrect API key provided: this server has no keys.")),
        }
    }

    /// Lets him pass who may make and revoke keys.
    ///
    /// # Errors
    /// 401 `invalid_api_key`; 403 `no_admin_key` where this server has none.
    pub fn admin(&self, headers: &HeaderMap) -> Result<()> {
        if self.admin.is_none() {
            let text = "This server has no admin key: give it one with `keys: {admin: env:...}` in its configuration.";
            return Err(Error::denied(Denied { status: 403, code: "no_admin_key", retry_after: None }, text));
        }
        match said(headers, false) {
            Some(secret) if self.is_admin(&secret) => Ok(()),
            _ => Err(unauthorized("Incorrect admin key provided.")),
        }
    }

    fn is_admin(&self, secret: &str) -> bool {
        self.admin.is_some_and(|admin| admin.is(&Digest::of(secret)))
    }
}

fn of_scope(key: Arc<crate::policy::Key>, scope: Scope) -> Result<Caller> {
    if key.scopes.has(scope) {
        return Ok(Caller { key: Some(key) });
    }
    let text = format!("This API key is not for `{}`; it is for: {}.", scope.name(), key.scopes.names().join(", "));
    Err(Error::denied(Denied { status: 403, code: "insufficient_scope", retry_after: None }, text))
}

/// The secret a request shows. A browser asks its user for a name and a password (`basic`): the password is the key.
fn said(headers: &HeaderMap, basic: bool) -> Option<String> {
    if let Some(value) = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()) {
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("bearer") {
            return Some(rest.trim().to_owned());
        }
        if basic && scheme.eq_ignore_ascii_case("basic") {
            let decoded = String::from_utf8(base64(rest.trim())?).ok()?;
            return decoded.split_once(':').map(|(_, password)| password.to_owned());
        }
    }
    let found = OTHER_PLACES.iter().find_map(|name| headers.get(*name))?;
    found.to_str().ok().map(|value| value.trim().to_owned())
}

fn base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut number, mut bits) = (0_u32, 0);
    for letter in text.bytes() {
        let six = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        number = (number << 6 | u32::from(six)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((number >> bits) as u8);
        }
    }
    Some(bytes)
}

fn unauthorized(text: &str) -> Error {
    Error::denied(Denied { status: 401, code: "invalid_api_key", retry_after: None }, text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::policy::keys::NewKey;

    const ADMIN: &str = "admin-admin-admin";

    fn with(name: &'static str, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_str(value).unwrap())])
    }

    fn status(result: &Result<Caller>) -> u16 {
        result.as_ref().map_or_else(|error| error.why_denied().unwrap().status, |_| 200)
    }

    #[test]
    fn a_key_is_found_wherever_clients_put_it() {
        let keys = Keys::open("memory:", true).unwrap();
        let (secret, _) = keys.create(NewKey { name: Some("ci".into()), ..NewKey::default() }).unwrap();
        let auth = Auth::new(true, Some(ADMIN), Some(keys)).unwrap();
        for headers in [
            with("authorization", &format!("Bearer {secret}")),
            with("authorization", &format!("bearer  {secret} ")),
            with("x-api-key", &secret),
            with("api-key", &secret),
        ] {
            assert_eq!(auth.caller(&headers, Scope::Chat).unwrap().key.unwrap().name, "ci");
            assert_eq!(status(&auth.caller(&headers, Scope::Ui)), 403);
        }
        for headers in [
            HeaderMap::new(),
            with("authorization", "Bearer"),
            with("authorization", "Bearer nonsense"),
            with("authorization", &secret),
            with("authorization", "Basic eDp5"),
            with("x-api-key", ""),
            with("x-api-key", ADMIN),
        ] {
            let result = auth.caller(&headers, Scope::Chat);
            assert_eq!(status(&result), 401, "{headers:?}");
            assert!(!result.unwrap_err().message().contains("nonsense"));
        }
    }

    #[test]
    fn the_admin_key_is_for_administration_and_for_looking_on() {
        let auth = Auth::new(true, Some(ADMIN), None).unwrap();
        let headers = with("authorization", &format!("Bearer {ADMIN}"));
        assert!(auth.admin(&headers).is_ok());
        assert_eq!(status(&auth.caller(&headers, Scope::Metrics)), 200);
        assert_eq!(status(&auth.caller(&headers, Scope::Chat)), 401);
        // "any:admin-admin-admin", as a browser sends it: never for what changes something.
        let browser = with("authorization", "Basic YW55OmFkbWluLWFkbWluLWFkbWlu");
        assert_eq!(status(&auth.caller(&browser, Scope::Ui)), 200);
        assert!(auth.admin(&browser).is_err());
        assert!(auth.admin(&HeaderMap::new()).is_err());
        let none = Auth::new(true, None, None).unwrap();
        assert_eq!(none.admin(&headers).unwrap_err().why_denied().unwrap().code, "no_admin_key");
        assert!(Auth::new(true, Some("short"), None).is_err());
        assert!(!format!("{auth:?}").contains(ADMIN));
    }

    #[test]
    fn without_keys_everybody_is_let_in_and_our_own_are_known() {
        let keys = Keys::open("memory:", true).unwrap();
        let (secret, _) = keys.create(NewKey::default()).unwrap();
        let auth = Auth::new(false, None, Some(Arc::clone(&keys))).unwrap();
        assert!(auth.caller(&with("authorization", "Bearer sk-whatever"), Scope::Chat).unwrap().key.is_none());
        let ours = with("authorization", &format!("Bearer {secret}"));
        assert!(auth.caller(&ours, Scope::Chat).unwrap().key.is_some());
        keys.revoke(&keys.list().unwrap()[0].id).unwrap();
        assert_eq!(status(&auth.caller(&ours, Scope::Chat)), 401);
    }
}
