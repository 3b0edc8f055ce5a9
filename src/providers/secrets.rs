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

    /// `text` without them, and without what looks like a key.
    pub fn hide_text(&self, text: &str) -> String {
        let text = self.0.iter().fold(text.to_owned(), |text, secret| {
            // What is cut out are whole characters.
            let clean = replaced(text.as_bytes(), secret.as_bytes());
            clean.and_then(|clean| String::from_utf8(clean).ok()).unwrap_or(text)
        });
        without_keys(&text)
    }

    fn hide_body(&self, mut body: Bytes) -> Bytes {
        for secret in &self.0 {
            if let Some(clean) = replaced(&body, secret.as_bytes()) {
                body = clean.into();
            }
        }
        if let Some(clean) = keys_cut(&body) {
            body = clean.into();
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

/// `text` without what looks like a key: one that is nobody's setting here may be somebody's all the same.
pub fn without_keys(text: &str) -> String {
    let clean = keys_cut(text.as_bytes());
    // What is cut out are whole characters.
    clean.and_then(|clean| String::from_utf8(clean).ok()).unwrap_or_else(|| text.to_owned())
}

/// `None` when there is nothing like a key in it.
fn keys_cut(text: &[u8]) -> Option<Vec<u8>> {
    let mut copied = 0;
    let mut clean = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let begins = at == 0 || !text[at - 1].is_ascii_alphanumeric();
        let found = begins.then(|| KEYS.iter().find_map(|shape| shape.length(&text[at..]))).flatten();
        let Some((before, length)) = found else {
            at += 1;
            continue;
        };
        clean.extend_from_slice(&text[copied..at + before]);
        clean.extend_from_slice(HIDDEN.as_bytes());
        at += before + length;
        copied = at;
    }
    clean.extend_from_slice(&text[copied..]);
    (copied > 0).then_some(clean)
}

/// What keys look like.
struct Shape {
    /// What they begin with.
    prefix: &'static [u8],
    /// Whether that is a part of the key.
    is_part: bool,
    /// So many letters without a digit are no word any more.
    word: usize,
}

const KEYS: [Shape; 3] = [
    Shape { prefix: b"sk-", is_part: true, word: 16 },
    Shape { prefix: b"frk_", is_part: true, word: 16 },
    Shape { prefix: b"bearer ", is_part: false, word: 24 },
];

impl Shape {
    /// What stays before the key that `text` begins with, and how long the key is.
    fn length(&self, text: &[u8]) -> Option<(usize, usize)> {
        let start = self.prefix.len();
        if !text.get(..start)?.eq_ignore_ascii_case(self.prefix) {
            return None;
        }
        let is_of_key = |byte: &&u8| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'-' | b'_' | b'*')
                || !self.is_part && b"./+~=".contains(byte)
        };
        let rest = &text[start..];
        let length = rest.iter().take_while(is_of_key).count();
        let has_digit = rest[..length].iter().any(u8::is_ascii_digit);
        let is_key = length >= self.word || length >= LONG && has_digit;
        let (before, from) = if self.is_part { (0, start) } else { (start, 0) };
        is_key.then_some((before, from + length))
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
    fn what_looks_like_a_key_is_hidden_whoever_it_belongs_to() {
        for (told, left) in [
            ("wrong sk-proj-abc123DEF456.", "wrong [key]."),
            ("(frk_AbCdEfGhIjKlMnOpQrSt)", "([key])"),
            ("Authorization: Bearer eyJhbGciOi1.x/y=", "Authorization: Bearer [key]"),
            ("sk-abcd1234 and SK-abcd1234", "[key] and [key]"),
            ("é sk-abcd1234 é", "é [key] é"),
        ] {
            assert_eq!(without_keys(told), left);
            assert_eq!(hidden(told.as_bytes()), left);
        }
        for told in ["a task-12345678 on disk-12345678", "sk-learn", "bearer authentication", "frk_", "Bearer", "risk"]
        {
            assert_eq!(without_keys(told), told);
        }
        let body = br#"{"error":{"message":"Incorrect key: sk-abcd1234\"efgh"}}"#;
        assert_eq!(hidden(body), r#"{"error":{"message":"Incorrect key: [key]\"efgh"}}"#);
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
