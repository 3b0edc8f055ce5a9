//! Asking a classifier: one short call for each prompt, cached, shared while in flight, and paid for once.
//!
//! Whatever goes wrong with the call or its answer, the verdict is the fallback rung and says why: an application does
//! not go down because its classifier does. Only what would go wrong every time, since the request cannot be made, is an
//! error.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use moka::future::Cache;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use xxhash_rust::xxh3::Xxh3;

use super::call::chat;
use super::plan::{Plan, Policy};
use crate::error::{Error, Kind, Result};
use crate::process::PerProcess;
use crate::providers::types::Terse;
use crate::providers::{ChatRequest, Endpoint, Http};
use crate::routers::classifier::{Form, Question, Sorter};
use crate::routers::verdict::Verdict;

/// Tokens of an answer that holds nothing but a short label,
const ROOM: usize = 16;
/// what is around a label, which itself has no more tokens than letters,
const AROUND: usize = 7;
/// and of what a model may think before it.
const ROOM_TO_THINK: usize = 1024;
/// Whoever waits for a call of somebody else waits this much longer than that call may take.
const GRACE: Duration = Duration::from_millis(250);

/// How a [`Classifier`] behaves.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// One classification in all, its retries and waits included; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// How often a failed attempt is repeated within that.
    pub retries: u32,
    /// Labels kept; 0 keeps none.
    pub cache: u64,
    /// Calls at the same time, in batches.
    pub concurrency: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { timeout: Some(Duration::from_secs(5)), retries: 2, cache: 10_000, concurrency: 16 }
    }
}

/// A verdict, and what it cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// The rung, with the label where there is one.
    pub verdict: Verdict,
    /// US dollars that this verdict cost: nothing where somebody else has paid, `None` where a price is unknown.
    pub cost: Option<Decimal>,
}

/// Why a call gave no label.
#[derive(Debug, Clone)]
enum Failed {
    /// The fallback rung is taken.
    Told(String),
    /// The request cannot be made.
    Raised(Error),
}

/// What a call of our own came to.
#[derive(Debug, Clone, Copy)]
struct Paid {
    cost: Option<Decimal>,
    took: Duration,
}

/// Asks one model for labels. Usable from any thread, and by the child after a fork.
pub struct Classifier {
    endpoint: Endpoint,
    sorter: Sorter,
    fallback: String,
    settings: Settings,
    terse: Terse,
    /// It has refused to be held to a schema.
    unheld: AtomicBool,
    /// Places of labels. Its locks may be held by threads that a forked child does not have.
    cache: PerProcess<Cache<u128, usize>>,
}

impl Classifier {
    /// A classifier that sends what it cannot tell to the rung `fallback`.
    pub fn new(endpoint: Endpoint, sorter: Sorter, fallback: impl Into<String>, settings: Settings) -> Self {
        let terse = Terse::of(&endpoint);
        let (fallback, unheld, cache) = (fallback.into(), AtomicBool::new(false), PerProcess::new());
        Self { endpoint, sorter, fallback, settings, terse, unheld, cache }
    }

    /// Where it asks.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What it sorts into.
    pub fn sorter(&self) -> &Sorter {
        &self.sorter
    }

    /// The verdict on a prompt with so many images. The same prompt asked about at the same time is sent once, and paid
    /// for by whoever sent it.
    ///
    /// # Errors
    /// For a request that cannot be made; never for a call that failed.
    pub async fn classify(&self, http: &Http, text: &str, images: u32) -> Result<Classified> {
        if text.trim().is_empty() && images == 0 {
            return Ok(self.fall_back("there is no text to classify", None, None));
        }
        if let Some(words) = self.sorter.injected(text) {
            let why = format!("the prompt tells the classifier what to answer: {words:?}");
            return Ok(self.fall_back(&why, None, None));
        }
        let paid = Mutex::new(None);
        let found = self.found(http, text, images, &paid).await;
        let paid = paid.into_inner().unwrap_or_else(PoisonError::into_inner);
        let cut = self.sorter.question(text, images, Form::Word).cut;
        match found {
            Ok(place) => Ok(self.sorted(place, paid, cut)),
            Err(Failed::Told(why)) => Ok(self.fall_back(&why, paid, cut)),
            Err(Failed::Raised(error)) => Err(error),
        }
    }

    /// The verdicts on many prompts, in their order; `progress` hears of each that is done and can stop the work.
    ///
    /// # Errors
    /// As [`classify`](Self::classify), and [`Kind::Cancelled`] where `progress` has stopped it.
    pub async fn classify_batch<S: AsRef<str> + Sync>(
        &self,
        http: &Http,
        texts: &[S],
        mut progress: impl FnMut(usize) -> ControlFlow<()> + Send,
    ) -> Result<Vec<Classified>> {
        let mut calls = Vec::with_capacity(texts.len());
        for (at, text) in texts.iter().enumerate() {
            calls.push(async move { (at, self.classify(http, text.as_ref(), 0).await) });
        }
        let mut verdicts = futures_util::stream::iter(calls).buffer_unordered(self.settings.concurrency.max(1));
        let mut done = Vec::with_capacity(texts.len());
        while let Some((at, verdict)) = verdicts.next().await {
            done.push((at, verdict?));
            if progress(done.len()).is_break() {
                return Err(Error::new(Kind::Cancelled, "the progress callback stopped the classification"));
            }
        }
        done.sort_unstable_by_key(|(at, _)| *at);
        Ok(done.into_iter().map(|(_, verdict)| verdict).collect())
    }

    async fn found(&self, http: &Http, text: &str, images: u32, paid: &Mutex<Option<Paid>>) -> Result<usize, Failed> {
        let make = self.ask(http, text, images, paid);
        if self.settings.cache == 0 {
            return make.await;
        }
        let size = self.settings.cache;
        let cache = self.cache.get_or_try_init(|| Ok(Cache::new(size))).map_err(Failed::Raised)?;
        let shared = cache.try_get_with(self.key(text, images), make);
        let found = match self.settings.timeout {
            None => shared.await,
            // The call has this limit itself; here it is for a call that somebody else is making.
            Some(limit) => match timeout(limit.saturating_add(GRACE), shared).await {
                Ok(found) => found,
                Err(_) => return Err(Failed::Told(format!("no answer within {} s", limit.as_secs_f64()))),
            },
        };
        found.map_err(|shared| Failed::clone(&shared))
    }

    /// Asks the model; the place of the label it says.
    async fn ask(&self, http: &Http, text: &str, images: u32, paid: &Mutex<Option<Paid>>) -> Result<usize, Failed> {
        let start = Instant::now();
        let mut form = self.form();
        let mut cost = Some(Decimal::ZERO);
        let mut left = self.settings.timeout;
        loop {
            let request = self.request(&self.sorter.question(text, images, form), form);
            let answered = chat(http, Plan::to(self.endpoint.clone(), self.policy(left)), Arc::new(request)).await;
            let (spent, result) = match answered {
                Ok(answered) => (answered.account.cost, Ok(answered.answer)),
                Err(error) => (error.spent().map_or(Some(Decimal::ZERO), |spent| spent.cost), Err(error)),
            };
            cost = cost.zip(spent).and_then(|(sum, more)| sum.checked_add(more));
            *paid.lock().unwrap_or_else(PoisonError::into_inner) = Some(Paid { cost, took: start.elapsed() });
            match result {
                Ok(answer) => {
                    let label = self.sorter.read(&answer.body).map_err(|unread| Failed::Told(unread.to_string()))?;
                    let place = self.sorter.labels().iter().position(|each| each == label);
                    return place.ok_or_else(|| Failed::Told("the label has no place".to_owned()));
                }
                Err(error) if form == Form::Object && refuses_schema(&error) => {
                    // Once is enough to learn it.
                    self.unheld.store(true, Ordering::Relaxed);
                    form = Form::Word;
                    left = self.settings.timeout.map(|limit| limit.saturating_sub(start.elapsed()));
                }
                Err(error) if is_of_a_call(&error) => return Err(Failed::Told(error.message().to_owned())),
                Err(error) => return Err(Failed::Raised(error)),
            }
        }
    }

    fn form(&self) -> Form {
        if self.terse.schema && !self.unheld.load(Ordering::Relaxed) { Form::Object } else { Form::Word }
    }

    fn policy(&self, left: Option<Duration>) -> Policy {
        let usual = Policy::default();
        Policy {
            connect_timeout: left.map_or(usual.connect_timeout, |left| usual.connect_timeout.map(|own| own.min(left))),
            deadline: left,
            retries: self.settings.retries,
            // A classifier in a hurry says little about how a model does as an answerer.
            failures_before_cooldown: u32::MAX,
            ..usual
        }
    }

    /// The request, in `OpenAI`'s shape; the dialects put it into their own.
    fn request(&self, question: &Question, form: Form) -> ChatRequest {
        let longest = self.sorter.labels().iter().map(|label| label.name.len()).max().unwrap_or(0);
        let room = (longest + AROUND).max(ROOM) + if self.terse.thinks { ROOM_TO_THINK } else { 0 };
        let mut body = json!({
            "model": self.endpoint.model,
            "messages": [
                {"role": "system", "content": question.system},
                {"role": "user", "content": question.user},
            ],
            "max_completion_tokens": room,
        });
        if self.terse.cold {
            body["temperature"] = 0.into();
        }
        if let Some(effort) = self.terse.effort {
            body["reasoning_effort"] = effort.into();
        }
        if form == Form::Object {
            let schema = json!({"name": "label", "strict": true, "schema": self.sorter.schema()});
            body["response_format"] = json!({"type": "json_schema", "json_schema": schema});
        }
        ChatRequest::new(Value::to_string(&body))
    }

    fn sorted(&self, place: usize, paid: Option<Paid>, cut: Option<String>) -> Classified {
        let label = &self.sorter.labels()[place];
        let verdict = Verdict {
            rung: Some(label.rung.clone()),
            label: Some(label.name.clone()),
            reason: format!("`{}` takes it for `{}`", self.endpoint.name, label.name),
            notes: std::iter::once(self.note(paid)).chain(cut).collect(),
            ..Verdict::default()
        };
        Classified { verdict, cost: paid.map_or(Some(Decimal::ZERO), |paid| paid.cost) }
    }

    fn fall_back(&self, why: &str, paid: Option<Paid>, cut: Option<String>) -> Classified {
        let asked = paid.map(|paid| self.note(Some(paid)));
        let said = format!("classifier {}: {why}; the fallback rung `{}` is taken", self.endpoint.name, self.fallback);
        let verdict = Verdict {
            rung: Some(self.fallback.clone()),
            reason: format!("the fallback rung, because {why}"),
            notes: asked.into_iter().chain([said]).chain(cut).collect(),
            ..Verdict::default()
        };
        Classified { verdict, cost: paid.map_or(Some(Decimal::ZERO), |paid| paid.cost) }
    }

    /// What asking came to.
    fn note(&self, paid: Option<Paid>) -> String {
        let name = &self.endpoint.name;
        match paid {
            None => format!("classifier {name}: the label of the same prompt, from the cache, at no cost"),
            Some(Paid { cost, took }) => {
                let cost = cost.map_or_else(|| "unpriced".to_owned(), |cost| format!("${}", cost.normalize()));
                format!("classifier {name}: {} ms, {cost}", took.as_millis())
            }
        }
    }

    /// Identifies what is asked of whom. Two prompts would collide about once in 2^64 prompts.
    fn key(&self, text: &str, images: u32) -> u128 {
        let mut hash = Xxh3::new();
        // Labels and instructions.
        let system = self.sorter.question("", images, Form::Word).system;
        for part in [self.endpoint.base.as_str(), &self.endpoint.model, &system, text] {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.update(&images.to_le_bytes());
        hash.digest128()
    }
}

fn is_of_a_call(error: &Error) -> bool {
    matches!(error.kind(), Kind::Connection | Kind::Timeout | Kind::Status | Kind::Protocol | Kind::Cancelled)
}

/// Whether a server refuses the form of the answer: there is no common code for it.
fn refuses_schema(error: &Error) -> bool {
    let Some(answer) = error.answer().filter(|answer| matches!(answer.status, 400 | 404 | 422 | 501)) else {
        return false;
    };
    let text = String::from_utf8_lossy(&answer.body).to_lowercase();
    [
        "response_format",
        "json_schema",
        "output_config",
        "output_format",
        "responseschema",
        "responsejsonschema",
        "grammar",
        "structured output",
    ]
    .iter()
    .any(|word| text.contains(word))
}
