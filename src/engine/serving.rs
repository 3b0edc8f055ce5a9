//! Which of a ladder's models can serve a request now: what the price data tell of them, and how they have done lately.

use std::ptr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use secrecy::SecretString;

use super::{health, latency};
use crate::pricing::{Moment, Table};
use crate::providers::{Asked, Endpoint, resolve};
use crate::routing::filters::{Able, Bar, Barred, Condition, Needs};

/// How much longer an endpoint rests after its failures.
pub fn rests(endpoint: &Endpoint) -> Option<Duration> {
    health::rests(endpoint)
}

/// A model and how it is reached.
pub struct Rung {
    /// Its name, as the caller has it.
    pub model: String,
    /// What is said of its endpoint; `None` where that cannot be read, which the call will tell.
    pub asked: Option<Asked>,
}

impl Rung {
    /// The names that facts and prices are looked up by, the best one first.
    pub fn names(&self) -> Vec<&str> {
        let base = self.asked.as_ref().and_then(|asked| asked.base_model.as_deref());
        base.into_iter().chain([self.model.as_str()]).collect()
    }

    fn endpoint(&self, call: &Call) -> Option<Endpoint> {
        let mut asked = self.asked.clone()?;
        asked.api_base = call.api_base.clone().or(asked.api_base);
        asked.api_key = call.api_key.clone().or(asked.api_key);
        // What cannot be resolved cannot be called either; the call says so, with what is missing.
        resolve(&self.model, &asked, &|name| std::env::var(name).ok()).ok()
    }

    /// Whether it is asked at its provider's own host, with whatever key.
    fn at_home(&self, call: &Call) -> bool {
        let key = Some(SecretString::from("none"));
        let call = Call { api_key: key, api_base: call.api_base.clone(), ..Call::default() };
        self.endpoint(&call).is_some_and(|endpoint| endpoint.at_home())
    }
}

/// What a call says beside what it needs.
#[derive(Default)]
pub struct Call {
    /// Its own base URL, for whichever model.
    pub api_base: Option<String>,
    /// Its own key.
    pub api_key: Option<SecretString>,
    /// What an answer may take.
    pub limit: Option<Duration>,
    /// It asks for a stream.
    pub stream: bool,
}

/// The models of a ladder, weakest first.
pub struct Serving {
    rungs: Vec<Rung>,
    /// Whether those that were shut down are skipped.
    skips_retired: bool,
    known: RwLock<Arc<Known>>,
}

/// What one price table tells.
struct Known {
    /// Where that table is; one that was shared is never freed, so no other can be there.
    table: usize,
    able: Vec<Able>,
    /// Every model takes so many tokens.
    room: u64,
    /// The first day on which one is shut down.
    ends: Option<Moment>,
}

impl Known {
    fn of(rungs: &[Rung], table: &Table) -> Self {
        let facts = |rung: &Rung| rung.names().into_iter().find_map(|name| table.facts(name).map(Able::from));
        let able: Vec<Able> = rungs.iter().map(|rung| facts(rung).unwrap_or_default()).collect();
        let ends = able.iter().filter_map(|able| able.shutdown.as_ref()).map(|(day, _)| *day).min();
        let room = able.iter().map(Able::room).min().unwrap_or(u64::MAX);
        Self { table: ptr::from_ref(table).addr(), able, room, ends }
    }
}

/// What the filters found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Which models are not to be chosen.
    pub barred: Barred,
    /// Those that were shut down, by their place, with what is said of them.
    pub retired: Vec<(usize, String)>,
}

impl Serving {
    /// Of `rungs`; `skips_retired` where a model that was shut down is not to be chosen at its provider's own host.
    pub fn new(rungs: Vec<Rung>, skips_retired: bool) -> Self {
        let known = Known::of(&rungs, Table::shared());
        Self { rungs, skips_retired, known: RwLock::new(Arc::new(known)) }
    }

    /// The models.
    pub fn rungs(&self) -> &[Rung] {
        &self.rungs
    }

    /// Which of them cannot serve a request, or should not; `None`: all can.
    ///
    /// A request that needs nothing but a little room costs a few comparisons here, unless something in the process
    /// rests, a model has reached its last day or an answer may only take so long.
    pub fn check(&self, needs: &Needs, call: &Call) -> Option<Found> {
        let known = self.known();
        let now = known.ends.filter(|_| self.skips_retired).map(|ends| (ends, Moment::now()));
        let now = now.filter(|(ends, now)| now >= ends).map(|(_, now)| now);
        let live = call.limit.is_some() || health::anything_rests();
        if !live && now.is_none() && !needs.exceeds(known.room) {
            return None;
        }
        let mut retired = Vec::new();
        let bars = self.rungs.iter().zip(&known.able).enumerate().map(|(at, (rung, able))| {
            if let Some(reason) = able.lacks(needs) {
                return Some(Bar::Lacks(reason));
            }
            if let Some(reason) = now.and_then(|now| able.retired(now)).filter(|_| rung.at_home(call)) {
                retired.push((at, reason.clone()));
                return Some(Bar::Lacks(reason));
            }
            if !live {
                return None;
            }
            let endpoint = rung.endpoint(call)?;
            let expected = call.limit.and_then(|_| latency::expected(&endpoint, call.stream));
            Condition { rests: health::rests(&endpoint), expected }.unfit(call.limit).map(Bar::Unfit)
        });
        let bars: Vec<Option<Bar>> = bars.collect();
        let models: Vec<&str> = self.rungs.iter().map(|rung| rung.model.as_str()).collect();
        Some(Found { barred: Barred::of(bars, &models)?, retired })
    }

    /// Read anew when the process uses another price table. The lock is only tried: it may have been held when the
    /// process forked.
    fn known(&self) -> Arc<Known> {
        let table = Table::shared();
        if let Ok(known) = self.known.try_read()
            && known.table == ptr::from_ref(table).addr()
        {
            return Arc::clone(&known);
        }
        let fresh = Arc::new(Known::of(&self.rungs, table));
        if let Ok(mut known) = self.known.try_write() {
            *known = Arc::clone(&fresh);
        }
        fresh
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::engine::plan::Policy;

    fn rung(model: &str, base: Option<&str>) -> Rung {
        let asked =
            Asked { api_base: base.map(str::to_owned), api_key: Some(SecretString::from("k")), ..Asked::default() };
        Rung { model: model.to_owned(), asked: Some(asked) }
    }

    const TEXT: Needs =
        Needs { prompt_tokens: 10, max_tokens: None, images: false, audio: false, tools: false, schema: false };

    #[test]
    fn who_was_shut_down_is_skipped_at_home_only() {
        let retired = "gpt-4-1106-preview";
        let found = Serving::new(vec![rung(retired, None), rung("gpt-5.2", None)], true);
        let found = found.check(&TEXT, &Call::default()).unwrap();
        assert_eq!(found.retired, [(0, "its provider has shut it down on 2026-10-23".to_owned())]);
        assert_eq!(found.barred.reasons[1], None);
        let elsewhere = Serving::new(vec![rung(retired, Some("http://localhost:1")), rung("gpt-5.2", None)], true);
        assert_eq!(elsewhere.check(&TEXT, &Call::default()), None);
        let moved = Call { api_base: Some("http://localhost:1".into()), ..Call::default() };
        assert_eq!(Serving::new(vec![rung(retired, None)], true).check(&TEXT, &moved), None);
        let pair = Serving::new(vec![rung(retired, None), rung("gpt-5.2", None)], false);
        assert_eq!(pair.check(&TEXT, &Call::default()), None);
        // Without a key it is as dead.
        let keyless = Rung { model: retired.to_owned(), asked: Some(Asked::default()) };
        assert!(Serving::new(vec![keyless], true).check(&TEXT, &Call::default()).is_some());
    }

    #[test]
    fn who_rests_gives_way_and_answers_all_the_same_where_nobody_else_is_left() {
        let base = "http://localhost:2/serving";
        let both = || vec![rung("openai/a", Some(base)), rung("openai/b", Some(base))];
        let serving = Serving::new(both(), true);
        assert_eq!(serving.check(&TEXT, &Call::default()), None);
        let policy = Policy { failures_before_cooldown: 1, ..Policy::default() };
        let endpoint = |at: usize| serving.rungs[at].endpoint(&Call::default()).unwrap();
        assert!(health::failed(&endpoint(0), &policy));
        let found = serving.check(&TEXT, &Call::default()).unwrap();
        assert!(found.barred.reasons[0].as_ref().unwrap().starts_with("it has failed and rests for another"));
        assert_eq!(found.barred.reasons[1], None);
        // Another key's failures say nothing.
        let other = Call { api_key: Some(SecretString::from("other")), ..Call::default() };
        assert_eq!(serving.check(&TEXT, &other), None);
        health::failed(&endpoint(1), &policy);
        let found = serving.check(&TEXT, &Call::default()).unwrap().barred;
        assert_eq!((found.reasons, found.notes.len()), (vec![None, None], 2));
        health::succeeded(&endpoint(0));
        health::succeeded(&endpoint(1));
    }

    #[test]
    fn who_is_slow_is_skipped_where_there_is_a_limit() {
        let base = "http://localhost:3/serving";
        let serving = Serving::new(vec![rung("openai/slow", Some(base)), rung("openai/new", Some(base))], true);
        let endpoint = serving.rungs[0].endpoint(&Call::default()).unwrap();
        let limited = |stream| Call { limit: Some(Duration::from_millis(200)), stream, ..Call::default() };
        for _ in 0..9 {
            latency::add(&endpoint, false, Duration::from_millis(300));
        }
        assert_eq!(serving.check(&TEXT, &limited(false)), None, "nine calls are too few");
        latency::add(&endpoint, false, Duration::from_millis(300));
        let found = serving.check(&TEXT, &limited(false)).unwrap().barred;
        let said = "its answers take 300 ms (95th percentile), over the limit of 200";
        assert_eq!(found.reasons, [Some(said.to_owned()), None]);
        assert_eq!(serving.check(&TEXT, &limited(true)), None, "streams have times of their own");
        assert_eq!(serving.check(&TEXT, &Call::default()), None);
    }
}
