//! From a model string to an endpoint: `provider/model`, a bare name, or anything at an `api_base`.

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

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
/// # Errors
/// [`Kind::Name`] for a name that belongs to no provider, [`Kind::Unsupported`] for a provider whose dialect is not
/// built or whose service is closed, [`Kind::Value`] for a missing key, base URL or a value that cannot be sent.
pub fn resolve(model: &str, asked: &Asked, env: &dyn Fn(&str) -> Option<String>) -> Result<Endpoint> {
    if model.is_empty() {
        return Err(Error::value("the model name is empty: expected e.g. `openai/gpt-5-mini`"));
    }
    let given = asked.api_base.as_deref().filter(|base| !base.is_empty());
    let (provider, id) = choose(model, given.is_some())?;
    match provider.support {
        Support::Compatible => {}
        Support::Later(compatible) => return Err(not_built(provider, id, compatible)),
        Support::Closed if given.is_some() => {}
        Support::Closed => return Err(closed(provider, id)),
    }
    let variable = |names: &[&str]| names.iter().find_map(|name| env(name).filter(|value| !value.is_empty()));
    let from_env = || {
        provider.bases.iter().find_map(|&name| {
            let value = env(name).filter(|value| !value.is_empty())?;
            Some(if name == "OLLAMA_HOST" { ollama_host(&value) } else { value })
        })
    };
    let (base, is_ours) = match given.map(str::to_owned).or_else(from_env) {
        Some(base) => (base, false),
        None => (provider.base.ok_or_else(|| needs_base(provider))?.to_owned(), true),
    };
    let key = match asked.api_key.clone().filter(|key| !key.expose_secret().is_empty()) {
        Some(key) => Some(key),
        None => variable(provider.keys).map(SecretString::from),
    };
    if key.is_none() && is_ours && !provider.keyless {
        return Err(needs_key(provider));
    }
    let mut base = base_url(&base, !is_ours && provider.base.is_none_or(has_path))?;
    if !asked.query.is_empty() {
        base.query_pairs_mut().extend_pairs(&asked.query);
    }
    let slashless = !id.contains('/');
    Ok(Endpoint {
        provider: provider.names[0],
        dialect: Dialect::OpenAi,
        base,
        key,
        model: if slashless { format!("{}{id}", provider.id_prefix) } else { id.to_owned() },
        name: model.to_owned(),
        base_model: asked.base_model.clone(),
        api_version: asked.api_version.clone(),
        headers: headers(provider, asked, given.is_some(), &variable)?,
    })
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

/// The base as a URL; `/v1` is put in only where no path is given and `add_v1` holds.
fn base_url(base: &str, add_v1: bool) -> Result<Url> {
    // The value itself is not shown: people do paste keys and passwords into URLs.
    let refused = |why: &str| Error::value(format!("the base URL {why}; expected e.g. `http://localhost:8000/v1`"));
    // `OLLAMA_HOST` and hand-typed bases come as `host:port`.
    let full = if base.contains("://") { base.to_owned() } else { format!("http://{base}") };
    let mut url = Url::parse(full.trim()).map_err(|e| refused(&format!("is not a URL ({e})")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(refused("is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refused("holds a user name or password: use `api_key` or `extra_headers`"));
    }
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(if path.is_empty() && add_v1 { "/v1" } else { &path });
    Ok(url)
}

/// The address to call, out of the address that Ollama listens on: both are written to the same variable.
fn ollama_host(listens: &str) -> String {
    let (scheme, rest) = listens.trim().split_once("://").unwrap_or(("", listens.trim()));
    let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
    let colon = authority.rfind(':').filter(|&colon| colon > authority.rfind(']').unwrap_or(0) || colon == 0);
    let (host, port) = colon.map_or((authority, ""), |colon| authority.split_at(colon));
    let host = match host {
        "" | "0.0.0.0" => "127.0.0.1",
        "[::]" => "[::1]",
        host => host,
    };
    match (scheme, port) {
        ("", "" | ":") => format!("http://{host}:11434{path}"),
        ("", port) => format!("http://{host}{port}{path}"),
        (scheme, port) => format!("{scheme}://{host}{port}{path}"),
    }
}

fn has_path(base: &str) -> bool {
    base.split_once("://").is_some_and(|(_, rest)| rest.contains('/'))
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

fn not_built(provider: &Provider, id: &str, compatible: Option<&str>) -> Error {
    let name = provider.names[0];
    let instead = compatible.map_or_else(
        || "use an OpenAI-compatible gateway in front of it through `api_base`".to_owned(),
        |base| format!("use its OpenAI-compatible endpoint: model=\"openai/{id}\", api_base=\"{base}\", api_key=..."),
    );
    Error::new(
        Kind::Unsupported,
        format!("`{name}/` needs a protocol of its own, which this version does not speak; {instead}"),
    )
}

fn closed(provider: &Provider, id: &str) -> Error {
    let name = provider.names[0];
    Error::new(
        Kind::Unsupported,
        format!(
            "the public endpoints of `{name}/` were closed in 2024; use another host of the same model, e.g. `together_ai/{id}` or `openrouter/{id}`, or give `api_base`"
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
        for model in ["anthropic/claude-haiku-4-5", "claude-3", "gemini/x", "bedrock/x", "azure/x"] {
            assert_eq!(fails(model, &none).kind(), Kind::Unsupported, "{model}");
        }
        assert!(fails("anthropic/claude-x", &none).message().contains(r#"model="openai/claude-x""#));
        assert!(fails("anyscale/a/b", &none).message().contains("openrouter/a/b"));
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
