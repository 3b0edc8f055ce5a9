//! From a model string to an endpoint: `provider/model`, a bare name, or anything at an `api_base`.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::address::{self, Address};
use super::table::{OPENAI, PROVIDERS, Provider, Support};
use super::{Dialect, Endpoint};
use crate::error::{Error, Kind, Result};

/// What the caller says about an endpoint; it wins over the environment, which wins over the table.
#[derive(Default, Clone)]
pub struct Asked {
    /// Base URL, with or without `/v1` and a trailing slash.
    pub api_base: Option<String>,
    /// Key.
    pub api_key: Option<SecretString>,
    /// `OpenAI-Organization`.
    pub organization: Option<String>,
    /// Extra headers; they replace the ones made here.
    pub headers: Vec<(String, String)>,
    /// Extra query parameters, kept out of every message.
    pub query: Vec<(String, String)>,
    /// Protocol version (Azure's `api-version`, `anthropic-version`).
    pub api_version: Option<String>,
    /// The model behind a name that says nothing, such as an Azure deployment.
    pub base_model: Option<String>,
}

/// Finds provider, model id, URL and key for `model`; `env` reads one environment variable.
///
/// `FERROUTE_<PREFIX>` names a provider that is to be asked instead, at no address of the caller's: with
/// `FERROUTE_ANYSCALE=together_ai`, `anyscale/a/b` is `together_ai/a/b`, which the endpoint then has as its name.
///
/// # Errors
/// [`Kind::Name`] for a name that belongs to no provider, [`Kind::Unsupported`] for a provider whose dialect is not
/// built or whose service is closed, [`Kind::Value`] for a missing key, base URL or a value that cannot be sent.
pub fn resolve(model: &str, asked: &Asked, env: &dyn Fn(&str) -> Option<String>) -> Result<Endpoint> {
    if model.is_empty() {
        return Err(Error::value("the model name is empty: expected e.g. `openai/gpt-5-mini`"));
    }
    let given = asked.api_base.as_deref().filter(|base| !base.is_empty());
    let elsewhere = if given.is_none() { moved(model, env)? } else { None };
    let model = elsewhere.as_deref().unwrap_or(model);
    let (provider, id) = choose(model, given.is_some())?;
    let has_base = given.is_some() || provider.bases.iter().any(|name| env(name).is_some_and(|base| !base.is_empty()));
    match provider.support {
        Support::Spoken => {}
        Support::Later(instead) => return Err(not_built(provider, instead)),
        Support::Closed if has_base => {}
        Support::Closed => return Err(closed(provider, id)),
    }
    let variable = |names: &[&str]| names.iter().find_map(|name| env(name).filter(|value| !value.is_empty()));
    let from_env = || {
        provider.bases.iter().find_map(|&name| {
            let value = env(name).filter(|value| !value.is_empty())?;
            Some(if name == "OLLAMA_HOST" { address::ollama_host(&value) } else { value })
        })
    };
    let (base, is_ours) = match given.map(str::to_owned).or_else(from_env) {
        Some(base) => (base, false),
        None => (provider.base.ok_or_else(|| needs_base(provider))?.to_owned(), true),
    };
    let is_azure = provider.names[0] == "azure";
    let version = asked
        .api_version
        .clone()
        .or_else(|| if is_azure { variable(&["AZURE_API_VERSION", "OPENAI_API_VERSION"]) } else { None });
    let id = if provider.dialect == Dialect::Gemini { id.strip_prefix("models/").unwrap_or(id) } else { id };
    let Address { url, dialect, version } =
        address::settle(provider, id, &base, !is_ours, version.as_deref(), &asked.query)?;
    let mut headers = headers(provider, asked, given.is_some(), &variable)?;
    let mut key = match asked.api_key.clone().filter(|key| !key.expose_secret().is_empty()) {
        Some(key) => Some(key),
        None => variable(provider.keys).map(SecretString::from),
    };
    let token = match &key {
        // An Entra token given as the key.
        Some(given) if dialect == Dialect::Azure && is_jwt(given.expose_secret()) => key.take(),
        Some(_) => None,
        None => variable(provider.tokens).map(SecretString::from),
    };
    if let Some(token) = token
        && !headers.contains_key(AUTHORIZATION)
    {
        headers.insert(AUTHORIZATION, bearer(&token)?);
    }
    let has_own = [AUTHORIZATION.as_str(), "api-key", "x-api-key", "x-goog-api-key"];
    if key.is_none() && is_ours && !provider.keyless && !has_own.iter().any(|name| headers.contains_key(*name)) {
        return Err(needs_key(provider));
    }
    Ok(Endpoint {
        provider: provider.names[0],
        dialect,
        model: sent_id(provider, id, url.host_str()),
        base: url,
        key,
        name: model.to_owned(),
        base_model: asked.base_model.clone(),
        api_version: version,
        headers,
    })
}

/// `Authorization: Bearer ...`, kept out of sight.
///
/// # Errors
/// [`Kind::Value`] for a key that cannot be sent; it does not show it.
pub(super) fn bearer(key: &SecretString) -> Result<HeaderValue> {
    secret_value(&format!("Bearer {}", key.expose_secret()))
}

/// The value of a header that holds a key.
///
/// # Errors
/// As [`bearer`].
pub(super) fn secret_value(value: &str) -> Result<HeaderValue> {
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| Error::value("the API key holds a line break or another character that cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Three parts of base64, the first of which begins with `{"`: no key of Azure's looks so.
fn is_jwt(key: &str) -> bool {
    key.starts_with("eyJ") && key.bytes().filter(|&byte| byte == b'.').count() == 2
}

/// The model id as the provider spells it.
fn sent_id(provider: &Provider, id: &str, host: Option<&str>) -> String {
    if std::ptr::eq(provider, OPENAI) && host == Some("api.openai.com") {
        return dotted(id).unwrap_or_else(|| id.to_owned());
    }
    if id.contains('/') { id.to_owned() } else { format!("{}{id}", provider.id_prefix) }
}

/// `gpt-5-2` is how many write `gpt-5.2`; a version is one digit, a date more of them.
pub(super) fn dotted(id: &str) -> Option<String> {
    let rest = id.strip_prefix("gpt-")?;
    let (major, rest) = rest.split_once('-')?;
    let minor = rest.split('-').next()?;
    let digit = |text: &str| text.len() == 1 && text.bytes().all(|byte| byte.is_ascii_digit());
    (digit(major) && digit(minor)).then(|| format!("gpt-{major}.{rest}"))
}

/// The variable that names a provider to be asked instead of this one.
fn alias(provider: &Provider) -> String {
    format!("FERROUTE_{}", provider.names[0].to_ascii_uppercase())
}

/// The same model elsewhere, where the environment says so.
fn moved(model: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>> {
    let named = |name: &str| PROVIDERS.iter().find(|provider| provider.names.contains(&name));
    let Some((provider, id)) = model.split_once('/').and_then(|(left, id)| Some((named(left)?, id))) else {
        return Ok(None);
    };
    let variable = alias(provider);
    let Some(to) = env(&variable).filter(|to| !to.is_empty()) else { return Ok(None) };
    let to = to.trim_end_matches('/');
    match named(to) {
        Some(other) if std::ptr::eq(other, provider) => Ok(None),
        Some(_) => Ok(Some(format!("{to}/{id}"))),
        None => Err(Error::value(format!("{variable} must name another provider, e.g. `together_ai`, found `{to}`"))),
    }
}

/// The provider, and the model id it is sent.
fn choose(model: &str, has_base: bool) -> Result<(&'static Provider, &str)> {
    if let Some((left, id)) = model.split_once('/')
        && let Some(provider) = PROVIDERS.iter().find(|provider| provider.names.contains(&left))
    {
        if id.is_empty() {
            return Err(Error::value(format!("`{model}` names a provider but no model")));
        }
        return Ok((provider, id));
    }
    if has_base {
        return Ok((OPENAI, model));
    }
    let belongs = |provider: &&Provider| provider.bare.iter().any(|start| model.starts_with(start));
    PROVIDERS.iter().find(belongs).map(|provider| (provider, model)).ok_or_else(|| unknown(model))
}

fn headers(
    provider: &Provider,
    asked: &Asked,
    has_base: bool,
    variable: &dyn Fn(&[&str]) -> Option<String>,
) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut put = |name: &str, value: &str| -> Result<()> {
        let name =
            HeaderName::try_from(name).map_err(|_| Error::value(format!("`{name}` cannot be the name of a header")))?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| Error::value(format!("the value of header `{name}` holds characters that cannot be sent")))?;
        value.set_sensitive(true);
        headers.insert(name, value);
        Ok(())
    };
    let is_openai = std::ptr::eq(provider, OPENAI);
    // At an `api_base` of the caller's they would tell a stranger who is calling.
    let from_env = |names: &[&str]| if is_openai && !has_base { variable(names) } else { None };
    if let Some(organization) =
        asked.organization.clone().or_else(|| from_env(&["OPENAI_ORG_ID", "OPENAI_ORGANIZATION"]))
    {
        put("openai-organization", &organization)?;
    }
    if let Some(project) = from_env(&["OPENAI_PROJECT_ID"]) {
        put("openai-project", &project)?;
    }
    // Who calls, for OpenRouter's public list of applications.
    if provider.names[0] == "openrouter" && !has_base {
        for (name, value) in [("http-referer", variable(&["OR_SITE_URL"])), ("x-title", variable(&["OR_APP_NAME"]))] {
            if let Some(value) = value {
                put(name, &value)?;
            }
        }
    }
    for (name, value) in &asked.headers {
        put(name, value)?;
    }
    Ok(headers)
}

fn unknown(model: &str) -> Error {
    let names: Vec<&str> = PROVIDERS.iter().map(|provider| provider.names[0]).collect();
    Error::new(
        Kind::Name,
        format!(
            "no provider is known for model `{model}`: write `provider/model` or give `api_base`. Providers: {}",
            names.join(", ")
        ),
    )
}

fn not_built(provider: &Provider, instead: &str) -> Error {
    Error::new(Kind::Unsupported, format!("`{}/`: {instead}", provider.names[0]))
}

fn closed(provider: &Provider, id: &str) -> Error {
    let name = provider.names[0];
    Error::new(
        Kind::Unsupported,
        format!(
            "the public endpoints of `{name}/` were closed in 2024; use another host of the same model, e.g. `together_ai/{id}` or `openrouter/{id}`, set {}=together_ai, or give `api_base` or {}",
            alias(provider),
            provider.bases.join(" or ")
        ),
    )
}

fn needs_base(provider: &Provider) -> Error {
    let ways = [&["`api_base`"], provider.bases].concat().join(" or ");
    Error::value(format!("`{}/` has no address of its own: give {ways}", provider.names[0]))
}

fn needs_key(provider: &Provider) -> Error {
    Error::value(format!("no key for `{}/`: give `api_key` or set {}", provider.names[0], provider.keys.join(" or ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn env(pairs: &'static [(&'static str, &'static str)]) -> impl Fn(&str) -> Option<String> {
        move |name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    }

    fn asked(base: &str) -> Asked {
        Asked { api_base: Some(base.to_owned()), api_key: Some("k".to_owned().into()), ..Asked::default() }
    }

    fn chat_url(model: &str, asked: &Asked) -> (String, String) {
        let endpoint = resolve(model, asked, &env(&[])).unwrap();
        (endpoint.url("chat/completions").to_string(), endpoint.model)
    }

    #[test]
    fn a_closed_service_at_an_own_address_or_elsewhere() {
        let with_key = Asked { api_key: Some("k".to_owned().into()), ..Asked::default() };
        let found = |asked: &Asked, pairs: &'static [(&'static str, &'static str)]| {
            let endpoint = resolve("anyscale/mistralai/Mixtral", asked, &env(pairs))?;
            Ok::<_, Error>((endpoint.url("x").to_string(), endpoint.model, endpoint.name))
        };
        let own = found(&with_key, &[("ANYSCALE_API_BASE", "http://h:1/v1")]).unwrap();
        assert_eq!((own.0.as_str(), own.1.as_str()), ("http://h:1/v1/x", "mistralai/Mixtral"));
        let moved =
            [("FERROUTE_ANYSCALE", "together_ai"), ("ANYSCALE_API_BASE", "http://h:1"), ("TOGETHER_API_KEY", "t")];
        let elsewhere =
            found(&Asked::default(), const { &[("FERROUTE_ANYSCALE", "together_ai/"), ("TOGETHER_API_KEY", "t")] });
        assert_eq!(elsewhere.unwrap().2, "together_ai/mistralai/Mixtral");
        let env = |name: &str| moved.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let endpoint = resolve("anyscale/mistralai/Mixtral", &Asked::default(), &env).unwrap();
        assert_eq!((endpoint.provider, endpoint.model.as_str()), ("together_ai", "mistralai/Mixtral"));
        assert_eq!(endpoint.key.unwrap().expose_secret(), "t");
        // What the call says goes before.
        let given = resolve("anyscale/a", &asked("http://h:2"), &env).unwrap();
        assert_eq!((given.provider, given.url("x").as_str()), ("anyscale", "http://h:2/v1/x"));
        let error = found(&with_key, &[("FERROUTE_ANYSCALE", "elsewhere")]).unwrap_err();
        assert!(error.message().contains("FERROUTE_ANYSCALE must name another provider"), "{error}");
        assert!(found(&with_key, &[("FERROUTE_ANYSCALE", "anyscale")]).unwrap_err().message().contains("closed"));
    }

    #[test]
    fn prefixes_and_bare_names() {
        let with_key = Asked { api_key: Some("k".to_owned().into()), ..Asked::default() };
        for (model, url, id) in [
            ("openai/gpt-5", "https://api.openai.com/v1/chat/completions", "gpt-5"),
            ("gpt-4-1106-preview", "https://api.openai.com/v1/chat/completions", "gpt-4-1106-preview"),
            ("o1-mini", "https://api.openai.com/v1/chat/completions", "o1-mini"),
            ("groq/llama-3", "https://api.groq.com/openai/v1/chat/completions", "llama-3"),
            (
                "together/mistralai/Mixtral-8x7B",
                "https://api.together.ai/v1/chat/completions",
                "mistralai/Mixtral-8x7B",
            ),
            ("fireworks_ai/x", "https://api.fireworks.ai/inference/v1/chat/completions", "accounts/fireworks/models/x"),
            ("fireworks_ai/accounts/a/x", "https://api.fireworks.ai/inference/v1/chat/completions", "accounts/a/x"),
            ("perplexity/sonar", "https://api.perplexity.ai/chat/completions", "sonar"),
            ("deepseek-chat", "https://api.deepseek.com/v1/chat/completions", "deepseek-chat"),
            ("ollama/llama3", "http://localhost:11434/v1/chat/completions", "llama3"),
        ] {
            assert_eq!(chat_url(model, &with_key), (url.to_owned(), id.to_owned()), "{model}");
        }
    }

    #[test]
    fn base_comes_with_or_without_path_and_slash() {
        for base in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/", "h:1"] {
            assert_eq!(chat_url("openai/big", &asked(base)).0, "http://h:1/v1/chat/completions", "{base}");
        }
        assert_eq!(chat_url("openai/big", &asked("http://h:1/api/v4/")).0, "http://h:1/api/v4/chat/completions");
        assert_eq!(
            chat_url("openai/big", &asked("http://h:1/x?api-version=2")).0,
            "http://h:1/x/chat/completions?api-version=2"
        );
        assert_eq!(chat_url("perplexity/sonar", &asked("http://h:1")).0, "http://h:1/chat/completions");
        let query = Asked { query: vec![("a".into(), "b c".into())], ..asked("http://h:1") };
        assert_eq!(chat_url("openai/big", &query).0, "http://h:1/v1/chat/completions?a=b+c");
    }

    /// The whole URL of a streamed completion, and the dialect.
    fn whole_url(model: &str, asked: &Asked, env: &dyn Fn(&str) -> Option<String>) -> (String, Dialect) {
        let endpoint = resolve(model, asked, env).unwrap();
        (endpoint.url(&endpoint.dialect.chat_path(&endpoint, false)).to_string(), endpoint.dialect)
    }

    #[test]
    fn own_protocols_at_any_spelling_of_their_base() {
        let url = |model: &str, base: &str| whole_url(model, &asked(base), &env(&[])).0;
        for base in ["http://h:1", "h:1/", "http://h:1/v1", "http://h:1/v1/", "http://h:1/v1/messages"] {
            assert_eq!(url("anthropic/claude-x", base), "http://h:1/v1/messages", "{base}");
        }
        assert_eq!(url("anthropic/claude-x", "http://h:1/proxy/"), "http://h:1/proxy/v1/messages");
        assert_eq!(url("anthropic/claude-x", "http://h:1/v1?a=b"), "http://h:1/v1/messages?a=b");
        assert_eq!(url("deepseek/deepseek-chat", "http://h:1/anthropic"), "http://h:1/anthropic/v1/messages");
        for base in ["http://h:1", "http://h:1/", "http://h:1/v1beta", "http://h:1/v1beta/models/"] {
            assert_eq!(
                url("gemini/gemini-2.5-flash", base),
                "http://h:1/v1beta/models/gemini-2.5-flash:generateContent",
                "{base}"
            );
        }
        assert_eq!(url("gemini/models/g", "http://h:1/p"), "http://h:1/p/v1beta/models/g:generateContent");
        assert_eq!(
            whole_url("gemini/g", &asked("http://h:1/v1beta/openai/"), &env(&[])),
            ("http://h:1/v1beta/openai/chat/completions".to_owned(), Dialect::OpenAi)
        );
        let key = Asked { api_key: Some("k".to_owned().into()), ..Asked::default() };
        let own = |model| whole_url(model, &key, &env(&[]));
        assert_eq!(own("claude-haiku-4-5").0, "https://api.anthropic.com/v1/messages");
        assert_eq!(
            own("gemini-3-pro").0,
            "https://generativelanguage.googleapis.com/v1beta/models/gemini-3-pro:generateContent"
        );
    }

    #[test]
    fn azure_by_deployment_and_by_its_newer_path() {
        let url = |base: &str, version: Option<&str>| {
            let asked = Asked { api_version: version.map(str::to_owned), ..asked(base) };
            whole_url("azure/my dep", &asked, &env(&[])).0
        };
        let (old, new) =
            ("https://r.x/openai/deployments/my%20dep/chat/completions", "https://r.x/openai/v1/chat/completions");
        let dated = |url: &str| format!("{url}?api-version=2024-10-21");
        for base in ["https://r.x", "https://r.x/", "https://r.x/openai", "https://r.x/openai/deployments/my%20dep"] {
            assert_eq!(url(base, Some("2024-10-21")), dated(old), "{base}");
        }
        assert_eq!(
            url("https://r.x/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21", None),
            dated(old)
        );
        assert_eq!(url("https://r.x?api-version=2024-10-21", Some("2025-01-01")), dated(old));
        for base in
            ["https://r.x", "https://r.x/openai", "https://r.x/openai/v1/", "https://r.x/openai/v1/chat/completions"]
        {
            assert_eq!(url(base, None), new, "{base}");
            assert_eq!(url(base, Some("preview")), format!("{new}?api-version=preview"), "{base}");
        }
        assert_eq!(url("https://r.x/openai/v1", Some("2024-10-21")), new);
        let full = env(&[
            ("AZURE_OPENAI_ENDPOINT", "https://r.x"),
            ("AZURE_API_VERSION", "2024-10-21"),
            ("AZURE_AD_TOKEN", "t"),
        ]);
        assert_eq!(whole_url("azure/my dep", &Asked::default(), &full).0, dated(old));
        assert_eq!(resolve("azure/d", &Asked::default(), &full).unwrap().headers[AUTHORIZATION], "Bearer t");
    }

    #[test]
    fn other_models_of_azure_where_they_are() {
        let at = |base: &str, version: Option<&str>| {
            let asked = Asked { api_version: version.map(str::to_owned), ..asked(base) };
            whole_url("azure_ai/mistral-large", &asked, &env(&[]))
        };
        let host = "https://r.services.ai.azure.com";
        assert_eq!(at(host, None), (format!("{host}/openai/v1/chat/completions"), Dialect::Azure));
        assert_eq!(at(host, Some("2")), (format!("{host}/models/chat/completions?api-version=2"), Dialect::Azure));
        assert_eq!(
            at(&format!("{host}/models"), None).0,
            format!("{host}/models/chat/completions?api-version=2024-05-01-preview")
        );
        assert_eq!(at("http://h:1", None), ("http://h:1/v1/chat/completions".to_owned(), Dialect::OpenAi));
        assert_eq!(at("http://h:1/x/chat/completions", None).0, "http://h:1/x/chat/completions");
        assert_eq!(
            at(&format!("{host}/anthropic"), None),
            (format!("{host}/anthropic/v1/messages"), Dialect::Anthropic)
        );
        let claude = whole_url("azure_ai/claude-sonnet-4-5", &asked(host), &env(&[]));
        assert_eq!(claude, (format!("{host}/anthropic/v1/messages"), Dialect::Anthropic));
    }

    #[test]
    fn tokens_and_own_headers_stand_for_keys() {
        let full = env(&[("ANTHROPIC_AUTH_TOKEN", "t")]);
        let endpoint = resolve("claude-x", &Asked::default(), &full).unwrap();
        assert!(endpoint.key.is_none() && endpoint.headers[AUTHORIZATION].is_sensitive());
        let own = Asked { headers: vec![("X-Api-Key".into(), "mine".into())], ..Asked::default() };
        assert!(resolve("claude-x", &own, &env(&[])).is_ok());
        let entra = Asked { api_key: Some("eyJ0.eyJh.c2ln".to_owned().into()), ..asked("http://h:1") };
        let endpoint = resolve("azure/d", &entra, &env(&[])).unwrap();
        assert!(endpoint.key.is_none() && endpoint.headers[AUTHORIZATION] == "Bearer eyJ0.eyJh.c2ln");
    }

    #[test]
    fn a_dash_in_a_version_is_a_dot_at_openai() {
        let with_key = Asked { api_key: Some("k".to_owned().into()), ..Asked::default() };
        for (model, sent) in [
            ("gpt-5-2", "gpt-5.2"),
            ("openai/gpt-5-2-2025-12-11", "gpt-5.2-2025-12-11"),
            ("gpt-4-1-mini", "gpt-4.1-mini"),
            ("gpt-5-mini", "gpt-5-mini"),
            ("gpt-5-2025-08-07", "gpt-5-2025-08-07"),
            ("gpt-4-1106-preview", "gpt-4-1106-preview"),
            ("gpt-4-0613", "gpt-4-0613"),
        ] {
            assert_eq!(chat_url(model, &with_key).1, sent, "{model}");
        }
        assert_eq!(chat_url("openai/gpt-5-2", &asked("http://h:1")).1, "gpt-5-2");
    }

    #[test]
    fn a_base_takes_any_model_name() {
        assert_eq!(chat_url("meta-llama/Llama-3-8B", &asked("http://h:1")).1, "meta-llama/Llama-3-8B");
        assert_eq!(chat_url("claude-3", &asked("http://h:1")).1, "claude-3");
        assert_eq!(chat_url("openai/big", &asked("http://h:1")).1, "big");
        assert_eq!(chat_url("anyscale/mistralai/Mixtral", &asked("http://h:1")).1, "mistralai/Mixtral");
        let keyless = Asked { api_base: Some("http://h:1".into()), ..Asked::default() };
        assert!(resolve("openai/big", &keyless, &env(&[])).unwrap().key.is_none());
    }

    #[test]
    fn caller_beats_environment_beats_table() {
        let endpoint = |asked: &Asked, env: &dyn Fn(&str) -> Option<String>| {
            let endpoint = resolve("openai/x", asked, env).unwrap();
            (endpoint.base.to_string(), endpoint.key.map(|key| key.expose_secret().to_owned()))
        };
        let full = env(&[
            ("OPENAI_API_KEY", "e"),
            ("OPENAI_API_BASE", "http://later/v1"),
            ("OPENAI_BASE_URL", "http://env/v2"),
        ]);
        assert_eq!(endpoint(&Asked::default(), &full), ("http://env/v2".into(), Some("e".into())));
        assert_eq!(endpoint(&asked("http://own/v3"), &full), ("http://own/v3".into(), Some("k".into())));
        let empty = env(&[("OPENAI_API_KEY", "e"), ("OPENAI_BASE_URL", "")]);
        assert_eq!(endpoint(&Asked::default(), &empty), ("https://api.openai.com/v1".into(), Some("e".into())));
    }

    #[test]
    fn organization_and_project_stay_with_openai() {
        let full = env(&[("OPENAI_API_KEY", "e"), ("OPENAI_ORG_ID", "org"), ("OPENAI_PROJECT_ID", "project")]);
        let at = |asked: &Asked| {
            let endpoint = resolve("openai/x", asked, &full).unwrap();
            (endpoint.key.is_some(), endpoint.headers.len())
        };
        assert_eq!(at(&Asked::default()), (true, 2));
        assert_eq!(at(&Asked { api_base: Some("http://h:1".into()), ..Asked::default() }), (true, 0));
        assert_eq!(at(&Asked { organization: Some("own".into()), ..asked("http://h:1") }), (true, 1));
    }

    #[test]
    fn where_ollama_listens_is_where_it_is_called() {
        for (listens, url) in [
            ("0.0.0.0", "http://127.0.0.1:11434/v1"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080/v1"),
            ("http://0.0.0.0:11434/", "http://127.0.0.1:11434/v1"),
            (":8080", "http://127.0.0.1:8080/v1"),
            ("[::]:8080", "http://[::1]:8080/v1"),
            ("[::1]", "http://[::1]:11434/v1"),
            ("box", "http://box:11434/v1"),
            ("https://box/proxy", "https://box/proxy"),
        ] {
            let env = |name: &str| (name == "OLLAMA_HOST").then(|| listens.to_owned());
            assert_eq!(resolve("ollama/x", &Asked::default(), &env).unwrap().base.as_str(), url, "{listens}");
        }
    }

    #[test]
    fn what_cannot_be_called_says_why() {
        let fails = |model: &str, asked: &Asked| resolve(model, asked, &env(&[])).unwrap_err();
        let none = Asked::default();
        let error = fails("mixtral-8x7b", &none);
        assert_eq!(error.kind(), Kind::Name);
        assert!(error.message().contains("openrouter") && error.message().contains("api_base"));
        for (model, says) in [("bedrock/x", "`anthropic/`"), ("vertex_ai/x", "`gemini/`")] {
            let error = fails(model, &none);
            assert!(error.kind() == Kind::Unsupported && error.message().contains(says), "{error:?}");
            assert_eq!(fails(model, &asked("http://h:1")).kind(), Kind::Unsupported);
        }
        for (model, says) in [
            ("claude-3", "ANTHROPIC_API_KEY"),
            ("gemini/x", "GEMINI_API_KEY or GOOGLE_API_KEY"),
            ("azure/x", "AZURE_API_BASE or AZURE_OPENAI_ENDPOINT"),
            ("azure_ai/x", "AZURE_AI_API_BASE"),
        ] {
            assert!(fails(model, &none).message().contains(says), "{model}");
        }
        assert!(fails("anyscale/a/b", &none).message().contains("openrouter/a/b"));
        assert!(fails("anyscale/a/b", &none).message().contains("set FERROUTE_ANYSCALE=together_ai"));
        assert!(fails("openai/x", &none).message().contains("OPENAI_API_KEY"));
        assert!(fails("hosted_vllm/x", &none).message().contains("HOSTED_VLLM_API_BASE"));
        assert!(fails("openai/", &none).message().contains("no model"));
        for base in ["ftp://h", "http://user:hunter2@h", "http://", "http://h:99999"] {
            let error = fails("openai/x", &asked(base));
            assert_eq!(error.kind(), Kind::Value, "{base}");
            assert!(!error.message().contains("hunter2"));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let asked = Asked {
            api_base: Some("http://h:1/v1?token=hunter2".into()),
            api_key: Some("sk-hunter2-hunter2".to_owned().into()),
            headers: vec![("x-secret".into(), "hunter2".into())],
            ..Asked::default()
        };
        let endpoint = resolve("openai/x", &asked, &env(&[])).unwrap();
        assert!(!format!("{endpoint:?} {:?} {}", endpoint.headers, endpoint.shown_base()).contains("hunter2"));
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = PROVIDERS.iter().flat_map(|provider| provider.names).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
