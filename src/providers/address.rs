//! Base URLs: as people write them, and as the dialects need them.
//!
//! A base comes with or without a version, a trailing slash, or as the whole address of one call. Here it becomes the
//! part before a dialect's paths, so that those are joined to it and never doubled.

use reqwest::Url;

use super::Dialect;
use super::table::{OPENAI, Provider};
use crate::error::{Error, Result};

/// The version of Azure's model inference API where the caller names none; that API refuses calls without one.
const AZURE_INFERENCE: &str = "2024-05-01-preview";
/// Hosts of Azure that take a key as `api-key`.
const AZURE_HOSTS: [&str; 3] = [".services.ai.azure.com", ".openai.azure.com", ".cognitiveservices.azure.com"];

/// Where calls go, and how they are spoken there.
#[derive(Debug)]
pub(super) struct Address {
    /// The base, without a trailing slash.
    pub url: Url,
    /// The protocol spoken there: some services have a second one at another path.
    pub dialect: Dialect,
    /// The protocol version: the caller's, else the one that the base named.
    pub version: Option<String>,
}

/// The address of `provider`'s model `id` at `base`; `given` says that the base is not the table's own.
pub(super) fn settle(
    provider: &Provider,
    id: &str,
    base: &str,
    given: bool,
    version: Option<&str>,
    query: &[(String, String)],
) -> Result<Address> {
    let mut url = parse(base)?;
    let written = url.path().trim_end_matches('/').to_owned();
    let path = strip(&written, &["/chat/completions", "/embeddings"]);
    let version = version.filter(|version| !version.is_empty());
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let mut address = Address { url, dialect: provider.dialect, version: version.map(str::to_owned) };
    let messages = strip(&written, &["/messages"]);
    let messages = strip(messages, &["/v1"]);
    let second = provider.base.is_some() && !std::ptr::eq(provider, OPENAI) || provider.names[0] == "azure_ai";
    match provider.dialect {
        Dialect::Anthropic => address.url.set_path(messages),
        _ if second && messages.ends_with("/anthropic") => {
            address.dialect = Dialect::Anthropic;
            address.url.set_path(messages);
        }
        Dialect::Gemini if path.ends_with("/openai") => {
            address.dialect = Dialect::OpenAi;
            address.url.set_path(path);
        }
        Dialect::Gemini => {
            let path = strip(path, &["/models"]);
            let (root, last) = path.rsplit_once('/').unwrap_or((path, ""));
            let named = is_version(last);
            address.url.set_path(if named { root } else { path });
            if named && address.version.is_none() {
                address.version = Some(last.to_owned());
            }
        }
        Dialect::Azure if provider.names[0] == "azure" => azure(&mut address, path, id),
        Dialect::Azure => azure_ai(&mut address, path, id),
        Dialect::OpenAi => {
            let add_v1 = given && written.is_empty() && provider.base.is_none_or(has_path);
            address.url.set_path(if add_v1 { "/v1" } else { path });
            add_version(&mut address);
        }
    }
    Ok(address)
}

/// Azure `OpenAI`: the newer form names the deployment in the body and has no dated version, the older one names it in
/// the path and must have one.
fn azure(address: &mut Address, path: &str, id: &str) {
    let in_query =
        address.url.query_pairs().find(|(name, _)| name == "api-version").map(|(_, value)| value.into_owned());
    let version = in_query.clone().or_else(|| address.version.clone());
    let undated = version.as_deref().is_none_or(|version| matches!(version, "v1" | "latest" | "preview"));
    let deployment = path.find("/openai/deployments").map(|at| &path[at + "/openai/deployments".len()..]);
    if let Some(deployment) = deployment {
        address.url.set_path(path);
        if deployment.is_empty() {
            push(&mut address.url, id);
        }
        add_version(address);
    } else if undated || path.ends_with("/openai/v1") {
        let root = strip(strip(path, &["/v1"]), &["/openai"]);
        address.url.set_path(&format!("{root}/openai/v1"));
        if in_query.is_none() && version.as_deref() == Some("preview") {
            add_version(address);
        }
    } else {
        address.url.set_path(&format!("{}/openai/deployments", strip(path, &["/openai"])));
        push(&mut address.url, id);
        add_version(address);
    }
}

/// Azure's other models: at the endpoint given, whatever its path.
fn azure_ai(address: &mut Address, path: &str, id: &str) {
    let host = address.url.host_str().unwrap_or_default().to_owned();
    let ours = AZURE_HOSTS.iter().any(|end| host.ends_with(end));
    if !ours {
        // Serverless endpoints and everything in front of them take the key as a bearer token.
        address.dialect = Dialect::OpenAi;
    }
    if ours && path.is_empty() && id.starts_with("claude") {
        address.dialect = Dialect::Anthropic;
        address.url.set_path("/anthropic");
        return;
    }
    let path = match (path, ours, &address.version) {
        ("", false, _) => "/v1",
        ("", true, None) => "/openai/v1",
        ("", true, Some(_)) => "/models",
        (path, ..) => path,
    };
    address.url.set_path(path);
    if path.ends_with("/models") && ours && address.version.is_none() {
        address.version = Some(AZURE_INFERENCE.to_owned());
    }
    add_version(address);
}

/// Puts the version into the query, unless one is there.
fn add_version(address: &mut Address) {
    if let Some(version) = &address.version
        && !address.url.query_pairs().any(|(name, _)| name == "api-version")
    {
        address.url.query_pairs_mut().append_pair("api-version", version);
    }
}

/// Adds one segment, escaped.
fn push(url: &mut Url, segment: &str) {
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.push(segment);
    }
}

/// `path` without the first of `tails` it ends in.
fn strip<'a>(path: &'a str, tails: &[&str]) -> &'a str {
    tails.iter().find_map(|tail| path.strip_suffix(tail)).unwrap_or(path)
}

/// `v1`, `v1beta`, `v1alpha2`.
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix('v') else { return false };
    rest.starts_with(|first: char| first.is_ascii_digit()) && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// The base as a URL.
fn parse(base: &str) -> Result<Url> {
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
    Ok(url)
}

/// The address to call, out of the address that Ollama listens on: both are written to the same variable.
pub(super) fn ollama_host(listens: &str) -> String {
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
