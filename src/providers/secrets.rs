//! What is sent and must not be seen again: blanked out of error answers, since some servers repeat it there.

use bytes::Bytes;
use reqwest::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use secrecy::ExposeSecret;

use super::types::{Answer, Endpoint};

/// Values shorter than this are placeholders ("k", "-").
const SHORTEST: usize = 4;
/// So are these; hiding them would blank out ordinary text.
const PLACEHOLDERS: [&str; 12] = [
    "none",
    "null",
    "test",
    "dummy",
    "empty",
    "fake",
    "token",
    "no-key",
    "not-needed",
    "ollama",
    "your-key",
    "api-key",
];
/// A shorter one is hidden only where it stands alone: "open" is a part of "openai".
const LONG: usize = 8;
/// A body may quote a body that quotes a body.
const DEEPEST_QUOTE: usize = 4;
const HIDDEN: &str = "[key]";

/// The key, the values of extra headers and of the query, each in the spellings that survive as plain text.
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Those of one endpoint.
    pub fn of(endpoint: &Endpoint) -> Self {
        let mut plain: Vec<String> = Vec::new();
        plain.extend(endpoint.key.iter().map(|key| key.expose_secret().to_owned()));
        for (name, value) in &endpoint.headers {
            if ![ACCEPT, CONTENT_TYPE, USER_AGENT].contains(name) {
                let value = String::from_utf8_lossy(value.as_bytes());
                // "Bearer TOKEN" is told without its first word as often as with it.
                plain.extend(value.split_once(' ').map(|(_, token)| token.to_owned()));
                plain.push(value.into_owned());
            }
        }
        let query = endpoint.base.query_pairs().filter(|(name, _)| name != "api-version");
        plain.extend(query.map(|(_, value)| value.into_owned()));
        plain.retain(|secret| {
            secret.len() >= SHORTEST && !PLACEHOLDERS.iter().any(|known| secret.eq_ignore_ascii_case(known))
        });
        let mut all = Vec::new();
        for secret in plain {
            let mut url = endpoint.base.clone();
            url.set_query(None);
            url.query_pairs_mut().append_key_only(&secret);
            all.extend([secret.replace('/', r"\/"), url.query().unwrap_or_default().to_owned(), secret]);
        }
        // The longest first, or a part would leave the rest of the whole in sight.
        all.sort_unstable_by_key(|secret| (std::cmp::Reverse(secret.len()), secret.clone()));
        all.dedup();
        Self(all)
    }

    /// `answer` without them, in headers and body.
    pub fn hide(&self, mut answer: Answer) -> Answer {
        for (_, value) in &mut answer.headers {
            *value = self.hide_text(value);
        }
        answer.body = self.hide_body(answer.body);
        answer
    }

    /// `text` without them.
    pub fn hide_text(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            // What is cut out are whole characters.
            let clean = replaced(text.as_bytes(), secret.as_bytes());
            clean.and_then(|clean| String::from_utf8(clean).ok()).unwrap_or(text)
        })
    }

    fn hide_body(&self, mut body: Bytes) -> Bytes {
        for secret in &self.0 {
            if let Some(clean) = replaced(&body, secret.as_bytes()) {
                body = clean.into();
            }
        }
        // JSON has many spellings for one text: what a reader would see after undoing them counts as well.
        let mut read = unescaped(&body);
        for _ in 1..DEEPEST_QUOTE {
            let Some(text) = read else { return body };
            if self.0.iter().any(|secret| find(&text, secret.as_bytes(), 0).is_some()) {
                return Bytes::from_static(br#"{"error":{"message":"[redacted]"}}"#);
            }
            read = unescaped(&text);
        }
        body
    }
}

/// Where a secret stands in `text`, from `start` on.
fn find(text: &[u8], secret: &[u8], start: usize) -> Option<usize> {
    let is_word = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let alone = |at: usize| {
        let before = at.checked_sub(1).and_then(|before| text.get(before));
        secret.len() >= LONG || !is_word(before) && !is_word(text.get(at + secret.len()))
    };
    let mut places = text.get(start..)?.windows(secret.len()).enumerate();
    places.find_map(|(at, window)| (window == secret && alone(start + at)).then_some(start + at))
}

/// `None` when `part` is not in it.
fn replaced(text: &[u8], part: &[u8]) -> Option<Vec<u8>> {
    let mut copied = 0;
    let mut clean = Vec::new();
    while let Some(at) = find(text, part, copied) {
        clean.extend_from_slice(&text[copied..at]);
        clean.extend_from_slice(HIDDEN.as_bytes());
        copied = at + part.len();
    }
    clean.extend_from_slice(&text[copied..]);
    (copied > 0).then_some(clean)
}

/// JSON's escapes undone wherever they stand; `None` when there are none.
fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text;
    let mut plain = Vec::with_capacity(text.len());
    while let Some(at) = rest.iter().position(|&byte| byte == b'\\') {
        plain.extend_from_slice(&rest[..at]);
        let (used, what) = escape(&rest[at..]);
        match what {
            Some(char) => plain.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
            None => plain.push(b'\\'),
        }
        rest = &rest[at + used..];
    }
    plain.extend_from_slice(rest);
    (rest.len() < text.len()).then_some(plain)
}

/// How long the escape is that `text` begins with, and what it stands for; `None` for a lone backslash.
fn escape(text: &[u8]) -> (usize, Option<char>) {
    let hex = || {
        let digits = std::str::from_utf8(text.get(2..6)?).ok().filter(|digits| !digits.starts_with('+'))?;
        char::from_u32(u32::from_str_radix(digits, 16).ok()?)
    };
    match text.get(1) {
        Some(b'u') => hex().map_or((1, None), |char| (6, Some(char))),
        Some(&byte @ (b'/' | b'"' | b'\\')) => (2, Some(char::from(byte))),
        _ => (1, None),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::providers::{Asked, resolve};

    const KEY: &str = "sk+a/b-1234567890";

    fn secrets() -> Secrets {
        let asked = Asked {
            api_base: Some("http://h:1/v1?code=azure%2Bfunction".into()),
            api_key: Some(KEY.to_owned().into()),
            headers: vec![
                ("api-key".into(), "other-secret".into()),
                ("authorization".into(), "Bearer third-secret".into()),
                ("accept".into(), "application/json".into()),
            ],
            query: vec![("token".into(), "fourth secret".into()), ("api-version".into(), "2024-02-01".into())],
            ..Asked::default()
        };
        Secrets::of(&resolve("openai/x", &asked, &|_| None).unwrap())
    }

    fn hidden(body: &[u8]) -> Bytes {
        let answer = Answer { status: 401, headers: Vec::new(), body: Bytes::copy_from_slice(body) };
        secrets().hide(answer).body
    }

    #[test]
    fn plain_spellings_are_cut_out() {
        for told in [
            KEY,
            r"sk+a\/b-1234567890",
            "sk%2Ba%2Fb-1234567890",
            "other-secret",
            "Bearer third-secret",
            "azure+function",
            "azure%2Bfunction",
            "fourth secret",
            "fourth+secret",
        ] {
            assert_eq!(hidden(format!("not {told}!").as_bytes()), "not [key]!", "{told}");
        }
        assert_eq!(hidden(b"not third-secret!"), "not [key]!");
        assert_eq!(hidden(&[b"\xff\x00 ", KEY.as_bytes()].concat()), &b"\xff\x00 [key]"[..]);
        let ordinary = br#"{"error":{"message":"no \u0064eployment for 2024-02-01 in application/json \ud800 \x"}}"#;
        assert_eq!(hidden(ordinary), &ordinary[..]);
    }

    #[test]
    fn a_key_behind_escapes_takes_the_body_with_it() {
        for told in [
            r#"{"error":{"message":"sk\u002ba/b-1234567890"}}"#,
            r#"{"error":{"message":"\ud800 s\u006b+a\/b-1234567890"}}"#,
            r#"{"error":{"message":"{\"m\":\"sk\\u002Ba\\/b-1234567890\"}"}}"#,
        ] {
            assert_eq!(hidden(told.as_bytes()), r#"{"error":{"message":"[redacted]"}}"#, "{told}");
        }
    }

    #[test]
    fn short_keys_are_hidden_where_they_stand_alone() {
        let hidden = |key: &str, told: &str| {
            let asked =
                Asked { api_base: Some("http://h:1".into()), api_key: Some(key.to_owned().into()), ..Asked::default() };
            let secrets = Secrets::of(&resolve("openai/x", &asked, &|_| None).unwrap());
            let answer = Answer { status: 401, headers: Vec::new(), body: Bytes::copy_from_slice(told.as_bytes()) };
            assert_eq!(secrets.hide_text(told), secrets.hide(answer).body, "{key}: {told}");
            secrets.hide_text(told)
        };
        assert_eq!(
            hidden("open", "key open (\"open\") of openai reopens: open"),
            "key [key] (\"[key]\") of openai reopens: [key]"
        );
        assert_eq!(hidden("k3y!xyz", "wrong k3y!xyz."), "wrong [key].");
        assert_eq!(hidden("1234567", "12345678 1234567"), "12345678 [key]");
        for placeholder in ["k", "-", "key", "none", "None", "null", "test", "EMPTY", "dummy", "ollama"] {
            let told = format!("say {placeholder} or ({placeholder})");
            assert_eq!(hidden(placeholder, &told), told);
        }
    }

    #[test]
    fn headers_are_looked_at() {
        let headers = vec![("location".to_owned(), "http://x/?k=sk%2Ba%2Fb-1234567890".to_owned())];
        let answer = Answer { status: 307, headers, body: Bytes::new() };
        assert_eq!(secrets().hide(answer).headers[0].1, "http://x/?k=[key]");
    }

    proptest! {
        #[test]
        fn no_spelling_of_json_shows_the_key(escaped in prop::collection::vec(any::<bool>(), KEY.len()), around in "\\PC{0,20}") {
            let told: String = KEY.chars().zip(escaped).map(|(char, escaped)| if escaped { format!("\\u{:04x}", char as u32) } else { char.to_string() }).collect();
            let around = serde_json::to_string(&around).unwrap();
            let body = format!(r#"{{"a":{around},"error":{{"message":"bad {told}"}}}}"#);
            let hidden: serde_json::Value = serde_json::from_slice(&hidden(body.as_bytes())).unwrap();
            prop_assert!(!hidden.to_string().contains(KEY) && !hidden["error"]["message"].as_str().unwrap().contains(KEY));
        }
    }
}
