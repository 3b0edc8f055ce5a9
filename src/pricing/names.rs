//! From the name a caller uses to the place where its price is.
//!
//! The steps, first hit wins: the user's own prices and aliases; local servers, which are free; the provider that the
//! prefix names, in genai-prices' order and with its fallbacks, then `LiteLLM`'s rows; without a prefix, the provider
//! that such names belong to. Names are compared in lower case, and a compact date (`-20251211`) is tried in its
//! dashed form too. Nothing is guessed from a similar name, since a wrong price is worse
//! than none; but genai-prices' own rules for families (`claude-haiku-4-5*`) hold as they do there.

use super::catalogue::{Catalogue, Place, Providers};
use super::own::Own;

/// Servers of the caller's own: nobody sends a bill.
const LOCAL: &[&str] = &["ollama", "ollama_chat", "hosted_vllm", "lm_studio", "llamafile"];
/// Prefixes that only say how to talk to something: the rest is the name.
const TRANSPARENT: &[&str] = &["litellm_proxy", "custom_openai", "openai_like"];
/// Other spellings of a prefix, in the rows.
const SPELLINGS: &[(&str, &str)] = &[("cohere_chat", "cohere"), ("together", "together_ai"), ("ollama_chat", "ollama")];
/// Put before a model id that has no slash.
const ID_PREFIXES: &[(&str, &str)] = &[("fireworks_ai", "accounts/fireworks/models/")];
/// Whose a name without a prefix is, by its beginning; as `providers::table` calls it.
const BARE: &[(&str, &str)] = &[
    ("gpt-", "openai"),
    ("chatgpt-", "openai"),
    ("o1", "openai"),
    ("o3", "openai"),
    ("o4", "openai"),
    ("text-embedding-", "openai"),
    ("ft:", "openai"),
    ("claude-", "anthropic"),
    ("gemini-", "gemini"),
    ("mistral-", "mistral"),
    ("codestral-", "mistral"),
    ("ministral-", "mistral"),
    ("magistral-", "mistral"),
    ("devstral-", "mistral"),
    ("deepseek-", "deepseek"),
    ("grok-", "xai"),
    ("command-", "cohere"),
    ("sonar", "perplexity"),
];

/// The names to try: a base model first as its provider offers it (`azure/gpt-5.2`), then as its maker does.
pub(super) fn in_order<'a>(names: &[&'a str]) -> Vec<std::borrow::Cow<'a, str>> {
    let prefix = names.iter().find_map(|name| name.split_once('/')).map(|(prefix, _)| prefix);
    let mut ordered = Vec::with_capacity(names.len() + 1);
    for name in names {
        if let Some(prefix) = prefix.filter(|_| names.len() > 1 && !name.contains('/')) {
            ordered.push(format!("{prefix}/{name}").into());
        }
        ordered.push((*name).into());
    }
    ordered
}

/// Where the price of a name is.
pub(super) fn find(table: &Catalogue, own: &Own, name: &str) -> Option<Place> {
    let name = own.resolve(name).trim().to_lowercase();
    if let Some(key) = own.find(&spellings(&table.providers, &name).iter().map(String::as_str).collect::<Vec<_>>()) {
        return Some(Place::Own(key.to_owned()));
    }
    let (prefix, rest) = split(&table.providers, &name)?;
    if LOCAL.contains(&prefix) {
        // Tags of Ollama that end so are run by Ollama's own cloud, at a price nobody tells.
        return (!rest.ends_with("-cloud") && !rest.ends_with(":cloud")).then_some(Place::Free);
    }
    if let Some(provider) = table.providers.of_prefix(prefix) {
        let found = ids(prefix, rest).find_map(|id| table.providers.find(provider, &id));
        if found.is_some() {
            return found;
        }
    } else if let Some((model, host)) = rest.rsplit_once(':').filter(|_| prefix == "huggingface") {
        let provider = table.providers.of_prefix(&format!("huggingface_{host}"))?;
        return table.providers.find(provider, model);
    }
    let spelled = spelled(prefix);
    ids(prefix, rest).map(|id| format!("{spelled}/{id}")).find(|row| table.rows.contains_key(row)).map(Place::Row)
}

/// A name, and what else the same model is called: `gpt-5.2` and `openai/gpt-5.2`.
pub(super) fn spellings(providers: &Providers, name: &str) -> Vec<String> {
    let mut spellings = vec![name.to_owned()];
    if let Some((prefix, rest)) = split(providers, name) {
        spellings.push(format!("{prefix}/{rest}"));
        if split(providers, rest) == Some((prefix, rest)) {
            spellings.push(rest.to_owned());
        }
    }
    spellings
}

/// The rows that may tell about a name, the best one first.
pub(super) fn rows(table: &Catalogue, own: &Own, name: &str) -> Vec<String> {
    let name = own.resolve(name).trim().to_lowercase();
    let Some((prefix, rest)) = split(&table.providers, &name) else { return Vec::new() };
    let spelled = spelled(prefix);
    let mut rows: Vec<_> = ids(prefix, rest).map(|id| format!("{spelled}/{id}")).collect();
    // A dated or otherwise aliased name, by the name of the model it is.
    if let Some(Place::Model { provider, model, .. }) = find(table, own, &name)
        && let (Some(owner), Some(entry)) =
            (table.providers.providers.get(provider), table.providers.entry(provider, model))
    {
        let id = entry.id.to_lowercase();
        rows.push(format!("{spelled}/{id}"));
        let makers = table.providers.prefixes.iter().filter(|(_, of)| **of == Some(provider));
        let mut makers: Vec<_> = makers.map(|(prefix, _)| prefix.as_str()).chain([owner.id.as_str()]).collect();
        makers.sort_unstable();
        rows.extend(makers.into_iter().map(|maker| format!("{maker}/{id}")));
    }
    // A gateway's model is its maker's, as far as abilities go.
    if prefix == "openrouter" && rest.contains('/') && !rest.starts_with("openrouter/") {
        rows.extend(self::rows(table, &Own::default(), rest));
    }
    rows
}

/// Prefix and rest; for a bare name the prefix of whoever such names belong to.
fn split<'a>(providers: &'a Providers, mut name: &'a str) -> Option<(&'a str, &'a str)> {
    while let Some((_, rest)) = name.split_once('/').filter(|(prefix, _)| TRANSPARENT.contains(prefix)) {
        name = rest;
    }
    if let Some((prefix, rest)) = name.split_once('/') {
        if LOCAL.contains(&prefix) || providers.is_prefix(prefix) {
            return Some((prefix, rest));
        }
    } else if let Some((_, prefix)) = BARE.iter().find(|(start, _)| name.starts_with(start)) {
        return Some((prefix, name));
    }
    let claiming = providers.claiming(name)?;
    Some((providers.providers.get(claiming)?.id.as_str(), name))
}

/// The id as it is, and with what a provider's ids begin with.
fn ids<'a>(prefix: &str, rest: &'a str) -> impl Iterator<Item = std::borrow::Cow<'a, str>> {
    let before = ID_PREFIXES.iter().find(|(of, _)| *of == prefix && !rest.contains('/')).map(|(_, before)| *before);
    std::iter::once(rest.into()).chain(before.map(|before| format!("{before}{rest}").into()))
}

fn spelled(prefix: &str) -> &str {
    SPELLINGS.iter().find(|(other, _)| *other == prefix).map_or(prefix, |(_, name)| name)
}
