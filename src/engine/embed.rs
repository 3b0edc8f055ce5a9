//! Embeddings of prompts: cached, shared while in flight, asked for in batches.
//!
//! **Long prompts.** Nobody but the provider knows how many tokens a text has, and a cut that is certain to fit
//! would throw away half of an ordinary text. So a text is sent whole unless it is hopelessly long (more than six
//! characters for each token allowed, where English has between four and five). When the provider refuses it as too
//! long, it is cut to the share that the provider's own figures allow, else by half, a few times at most; the answer
//! says how much was kept.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::{FutureExt, StreamExt};
use moka::future::Cache;
use rust_decimal::Decimal;
use xxhash_rust::xxh3::Xxh3;

use super::call::Options;
use crate::error::{Again, Error, Kind, Result};
use crate::pricing::{Table, Usage};
use crate::providers::process::PerProcess;
use crate::providers::retry::with_retries;
use crate::providers::{Embedded, Endpoint, Http, Limits};

/// A text with more characters than this for each token allowed is cut before it is sent.
const CHARS_PER_TOKEN: usize = 6;
/// How often a text that the provider refuses as too long is cut again.
const CUTS: u32 = 6;
/// Estimated tokens of one request; `OpenAI` allows 300,000.
const TOKENS_PER_REQUEST: usize = 200_000;

/// How an [`Embedder`] behaves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Asks the model for vectors of this length (`dimensions` of the request).
    pub dimensions: Option<usize>,
    /// Tokens the model takes.
    pub max_tokens: usize,
    /// Vectors kept; 0 keeps none.
    pub cache: u64,
    /// Texts in one request.
    pub batch: usize,
    /// Requests at the same time.
    pub concurrency: usize,
    /// Asks for base64, which is a fifth of the bytes of numbers; both are understood.
    pub base64: bool,
    /// Time limit and retries of one request.
    pub call: Options,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dimensions: None,
            max_tokens: 8192,
            cache: 10_000,
            batch: 256,
            concurrency: 8,
            base64: true,
            call: Options::default(),
        }
    }
}

/// The embedding of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    /// The vector.
    pub vector: Vec<f32>,
    /// Characters that were embedded, when the text was too long to be embedded whole.
    pub kept: Option<usize>,
}

impl Embedding {
    /// A sentence for the user when the text was cut.
    pub fn note(&self) -> Option<String> {
        self.kept.map(|kept| {
            format!("the prompt is longer than the embedding model takes and was cut to its first {kept} characters")
        })
    }
}

/// What embeddings cost, in US dollars; `None` is unpriced.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Paid(pub Option<Decimal>);

impl Paid {
    fn add(&mut self, more: Option<Decimal>) {
        self.0 = self.0.zip(more).and_then(|(sum, more)| sum.checked_add(more));
    }
}

type Shared = Arc<Embedding>;
/// Keys and texts of one request.
type Part<'a, 'b> = &'a [(u128, &'b str)];

/// Asks one model for embeddings. Usable from any thread, and by the child after a fork.
pub struct Embedder {
    endpoint: Endpoint,
    settings: Settings,
    /// Its locks may be held by threads that a forked child does not have, so a child starts with an empty one.
    cache: PerProcess<Cache<u128, Shared>>,
    /// Length asked for, else that of the first vector seen (0 until then); every other has to agree.
    dimension: AtomicUsize,
}

impl Embedder {
    /// # Errors
    /// [`Kind::Value`] for a setting of zero where one makes no sense.
    pub fn new(endpoint: Endpoint, settings: Settings) -> Result<Self> {
        for (name, value) in [
            ("max_input_tokens", settings.max_tokens),
            ("batch_size", settings.batch),
            ("concurrency", settings.concurrency),
        ] {
            if value == 0 {
                return Err(Error::value(format!("`{name}` must be at least 1, found 0")));
            }
        }
        if settings.dimensions == Some(0) {
            return Err(Error::value("`dimensions` must be at least 1, found 0"));
        }
        let dimension = AtomicUsize::new(settings.dimensions.unwrap_or(0));
        Ok(Self { endpoint, settings, cache: PerProcess::new(), dimension })
    }

    /// Where it asks.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The embedding of `text`, and what this call paid for it. The same text asked for at the same time is sent once,
    /// and paid for by the call that sent it.
    pub async fn embed(&self, http: &Http, text: &str) -> Result<(Shared, Paid)> {
        // Of the requests that were answered; a cached vector costs nothing.
        let paid = Mutex::new(Paid(Some(Decimal::ZERO)));
        let make = async {
            let mut made = self.request(http, vec![text], &paid).await?;
            made.pop().map(Arc::new).ok_or_else(|| Error::new(Kind::Protocol, "no embedding"))
        };
        let embedding = if self.settings.cache == 0 {
            make.await?
        } else {
            let cache = self.cache()?;
            cache.try_get_with(self.key(text), make).await.map_err(|shared| Error::clone(&shared))?
        };
        Ok((embedding, paid.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }

    /// The embeddings of `texts` in their order. Texts that are equal or cached are not sent again; `progress` hears
    /// how many of them are done after each request and can stop the work.
    pub async fn embed_batch<S: AsRef<str> + Sync>(
        &self,
        http: &Http,
        texts: &[S],
        mut progress: impl FnMut(usize) -> ControlFlow<()> + Send,
    ) -> Result<Vec<Shared>> {
        let cache = self.cache()?;
        let mut known: HashMap<u128, (usize, Option<Shared>)> = HashMap::with_capacity(texts.len());
        let keys: Vec<u128> = texts.iter().map(|text| self.key(text.as_ref())).collect();
        let mut wanted = Vec::new();
        let mut done = 0;
        for (key, text) in keys.iter().zip(texts) {
            if let Some((count, found)) = known.get_mut(key) {
                *count += 1;
                done += usize::from(found.is_some());
                continue;
            }
            let found = cache.get(key).await;
            if found.is_none() {
                wanted.push((*key, text.as_ref()));
            }
            done += usize::from(found.is_some());
            known.insert(*key, (1, found));
        }
        let stopped = || Error::new(Kind::Cancelled, "the progress callback stopped the embedding");
        if done > 0 && progress(done).is_break() {
            return Err(stopped());
        }
        let mut requests = Vec::new();
        for part in self.requests(&wanted) {
            requests.push(self.part(http, part).boxed());
        }
        let mut answers = futures_util::stream::iter(requests).buffer_unordered(self.settings.concurrency);
        while let Some(answer) = answers.next().await {
            let (part, made) = answer?;
            for ((key, _), embedding) in part.iter().zip(made) {
                let embedding = Arc::new(embedding);
                if self.settings.cache > 0 {
                    cache.insert(*key, Arc::clone(&embedding)).await;
                }
                if let Some((count, slot)) = known.get_mut(key) {
                    done += *count;
                    *slot = Some(embedding);
                }
            }
            if progress(done).is_break() {
                return Err(stopped());
            }
        }
        let missing = || Error::new(Kind::Protocol, "an embedding is missing from the answer");
        keys.iter().map(|key| known.get(key).and_then(|(_, found)| found.clone()).ok_or_else(missing)).collect()
    }

    async fn part<'a, 'b>(&self, http: &Http, part: Part<'a, 'b>) -> Result<(Part<'a, 'b>, Vec<Embedding>)> {
        let texts = part.iter().map(|(_, text)| *text).collect();
        // What a batch costs is no part of any one decision.
        Ok((part, self.request(http, texts, &Mutex::default()).await?))
    }

    /// Cuts the work into requests: no more texts than the batch size, no more estimated tokens than are allowed.
    fn requests<'a, 'b>(&self, wanted: Part<'a, 'b>) -> Vec<Part<'a, 'b>> {
        let mut parts = Vec::new();
        let most = self.settings.batch.min(self.endpoint.dialect.most_embeddings());
        let (mut start, mut tokens) = (0, 0);
        for (at, (_, text)) in wanted.iter().enumerate() {
            let more = estimated_tokens(text).min(self.settings.max_tokens);
            if at > start && (at - start == most || tokens + more > TOKENS_PER_REQUEST) {
                parts.push(&wanted[start..at]);
                (start, tokens) = (at, 0);
            }
            tokens += more;
        }
        if start < wanted.len() {
            parts.push(&wanted[start..]);
        }
        parts
    }

    /// Asks for the embeddings of `texts`, halving the list and then cutting the text when they are too long.
    async fn request(&self, http: &Http, texts: Vec<&str>, paid: &Mutex<Paid>) -> Result<Vec<Embedding>> {
        let most = self.settings.max_tokens.saturating_mul(CHARS_PER_TOKEN);
        let mut waiting = vec![texts.into_iter().map(|text| Cut::new(text, most)).collect::<Vec<_>>()];
        let mut made = Vec::new();
        // A stack whose top is the next part in order.
        while let Some(mut part) = waiting.pop() {
            match self.send(http, &part).await {
                Ok(Embedded { rows: vectors, prompt_tokens }) => {
                    paid.lock().unwrap_or_else(PoisonError::into_inner).add(self.price(prompt_tokens));
                    made.extend(part.iter().zip(vectors).map(|(cut, vector)| Embedding { vector, kept: cut.kept() }));
                }
                Err(error) if is_too_long(&error) && part.len() > 1 => {
                    let second = part.split_off(part.len() / 2);
                    waiting.push(second);
                    waiting.push(part);
                }
                Err(error) if is_too_long(&error) && part.first().is_some_and(|cut| cut.times < CUTS) => {
                    part[0].shorten(error.message(), self.settings.max_tokens);
                    waiting.push(part);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(made)
    }

    /// US dollars for so many tokens; `None` where either is unknown.
    fn price(&self, tokens: Option<u64>) -> Option<Decimal> {
        let names: Vec<&str> =
            self.endpoint.base_model.iter().chain([&self.endpoint.name]).map(String::as_str).collect();
        let cost = |prompt_tokens| {
            let usage = Usage { prompt_tokens, ..Usage::default() };
            Table::shared().cost(&names, &usage, None).map(|cost| cost.total)
        };
        // However many they were, where they cost nothing.
        tokens.map_or_else(|| cost(1000).filter(Decimal::is_zero), cost)
    }

    async fn send(&self, http: &Http, part: &[Cut<'_>]) -> Result<Embedded> {
        let texts: Vec<&str> = part.iter().map(|cut| cut.text).collect();
        let request =
            self.endpoint.dialect.embeddings(&self.endpoint, &texts, self.settings.dimensions, self.settings.base64)?;
        let options = self.settings.call;
        let send = || async {
            let answer = http.send(&self.endpoint, &request, &Limits::of(options.timeout)).await?;
            let read = self.endpoint.dialect.read_embeddings(&self.endpoint, &answer, texts.len());
            read.map_err(|error| error.worth(Again::Once))
        };
        let (embedded, _) = with_retries(options.retries, send).await?;
        self.same_length(embedded.rows.first().map_or(0, Vec::len))?;
        Ok(embedded)
    }

    fn same_length(&self, found: usize) -> Result<()> {
        let known = self.dimension.compare_exchange(0, found, Ordering::Relaxed, Ordering::Relaxed);
        let expected = known.err().unwrap_or(found);
        if found == expected {
            return Ok(());
        }
        let model = &self.endpoint.model;
        Err(Error::new(
            Kind::Protocol,
            format!("embedding model `{model}` answered with {found} numbers where {expected} were expected"),
        ))
    }

    fn cache(&self) -> Result<&Cache<u128, Shared>> {
        self.cache.get_or_try_init(|| Ok(Cache::new(self.settings.cache)))
    }

    /// Identifies what is asked of whom. Two texts would collide about once in 2^64 texts.
    fn key(&self, text: &str) -> u128 {
        let mut hash = Xxh3::new();
        for part in [self.endpoint.base.as_str(), &self.endpoint.model, text] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.digest128()
    }
}

/// The beginning of a text.
struct Cut<'a> {
    text: &'a str,
    shortened: bool,
    times: u32,
}

impl<'a> Cut<'a> {
    fn new(whole: &'a str, most: usize) -> Self {
        // A text has at most as many characters as bytes, which spares counting most of them.
        let text = if whole.len() <= most { whole } else { first_chars(whole, most) };
        Self { text, shortened: text.len() < whole.len(), times: 0 }
    }

    fn kept(&self) -> Option<usize> {
        self.shortened.then(|| self.text.chars().count())
    }

    /// Cuts to the share that the refusal's own figures allow (with a little air), else by half.
    fn shorten(&mut self, refusal: &str, limit: usize) {
        let share = allowed_share(refusal, limit).unwrap_or(0.5);
        let chars = self.text.chars().count();
        let keep = ((chars as f64 * share) as usize).clamp(1, chars.saturating_sub(1).max(1));
        self.text = first_chars(self.text, keep);
        self.shortened = true;
        self.times += 1;
    }
}

fn first_chars(text: &str, count: usize) -> &str {
    text.char_indices().nth(count).map_or(text, |(end, _)| &text[..end])
}

/// Tokens of a text, rather too many than too few.
fn estimated_tokens(text: &str) -> usize {
    let ascii = text.bytes().filter(u8::is_ascii).count();
    ascii / 3 + (text.len() - ascii) / 2 + 1
}

/// Whether a refusal says that the text has too many tokens. Providers have no common code for it.
fn is_too_long(error: &Error) -> bool {
    let Some(answer) = error.answer().filter(|answer| matches!(answer.status, 400 | 413 | 422)) else { return false };
    let text = format!("{} {}", error.message(), String::from_utf8_lossy(&answer.body)).to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    says(&["context_length_exceeded", "context length", "too long"])
        || (says(&["token", "input length"])
            && says(&["maximum", "exceed", "less than", "too many", "too large", "limit"]))
}

/// From "maximum context length is 8192 tokens, however you requested 10345 tokens": the share to keep, less 2 %.
fn allowed_share(refusal: &str, limit: usize) -> Option<f64> {
    // The status is the first number of our own message.
    let told = refusal.split_once(": ").map_or(refusal, |(_, told)| told);
    let numbers: Vec<f64> = told
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| (2..=9).contains(&digits.len()))
        .filter_map(|digits| digits.parse().ok())
        .collect();
    let allowed = numbers.iter().copied().find(|&number| number <= limit as f64 && number >= 16.0)?;
    let asked = numbers.iter().copied().fold(0.0, f64::max);
    (asked > allowed).then(|| (allowed / asked * 0.98).max(0.05))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::providers::{Answer, Asked, resolve};

    fn embedder(settings: Settings) -> Embedder {
        let asked = Asked { api_base: Some("http://h:1".into()), ..Asked::default() };
        Embedder::new(resolve("openai/e", &asked, &|_| None).unwrap(), settings).unwrap()
    }

    fn refusal(status: u16, message: &str) -> Error {
        Error::status(
            format!("openai answered with status {status}: {message}"),
            Answer { status, headers: Vec::new(), body: Bytes::new() },
        )
    }

    #[test]
    fn refusals_that_say_too_long() {
        let openai = "This model's maximum context length is 8192 tokens, however you requested 10345 tokens (10345 in your prompt; 0 for the completion).";
        let tei = "Input validation error: `inputs` must have less than 512 tokens. Given: 600";
        assert!(is_too_long(&refusal(400, openai)) && is_too_long(&refusal(413, tei)));
        assert!(!is_too_long(&refusal(429, openai)));
        assert!(!is_too_long(&refusal(400, "invalid model")));
        assert!((allowed_share(refusal(400, openai).message(), 8192).unwrap() - 8192.0 / 10345.0 * 0.98).abs() < 1e-9);
        assert!((allowed_share(tei, 8192).unwrap() - 512.0 / 600.0 * 0.98).abs() < 1e-9);
        assert_eq!(allowed_share("status 400: too long", 8192), None);
    }

    #[test]
    fn requests_respect_both_bounds() {
        let embedder = embedder(Settings { batch: 3, ..Settings::default() });
        let short: Vec<(u128, &str)> = (0..7).map(|key| (key, "x")).collect();
        assert_eq!(embedder.requests(&short).iter().map(|part| part.len()).collect::<Vec<_>>(), [3, 3, 1]);
        assert!(embedder.requests(&[]).is_empty());
        let embedder = self::embedder(Settings::default());
        let text = "x".repeat(100_000);
        let long: Vec<(u128, &str)> = (0..50).map(|key| (key, text.as_str())).collect();
        assert_eq!(embedder.requests(&long).iter().map(|part| part.len()).collect::<Vec<_>>(), [24, 24, 2]);
    }

    #[test]
    fn zero_settings_are_refused() {
        let asked = Asked { api_base: Some("http://h:1".into()), ..Asked::default() };
        let endpoint = resolve("openai/e", &asked, &|_| None).unwrap();
        for settings in [
            Settings { batch: 0, ..Settings::default() },
            Settings { concurrency: 0, ..Settings::default() },
            Settings { dimensions: Some(0), ..Settings::default() },
        ] {
            assert!(Embedder::new(endpoint.clone(), settings).is_err());
        }
        let error = Embedder::new(endpoint, Settings { max_tokens: 0, ..Settings::default() }).err().unwrap();
        assert!(error.message().contains("`max_input_tokens`"), "{error}");
    }

    proptest! {
        #[test]
        fn cuts_end_at_characters_and_get_shorter(text in "\\PC{2,60}", most in 1..70_usize, refusal in "\\PC{0,30}") {
            let mut cut = Cut::new(&text, most);
            prop_assert!(cut.text.chars().count() <= most && text.starts_with(cut.text));
            let before = cut.text.chars().count();
            cut.shorten(&refusal, 8192);
            let after = cut.text.chars().count();
            prop_assert!(after >= 1 && (after < before || before == 1));
            prop_assert_eq!(cut.kept(), Some(after));
        }
    }
}
