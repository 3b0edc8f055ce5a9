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
        return Err(Error::value("the model name is empty: expected e.g. `openai/gpt-5.4-mini`"));
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
mod tests;
