//! Which models can serve a request, asked before one is chosen. Each that cannot has one sentence that says why.
//!
//! What nobody knows about a model is assumed to be there. A model that lacks something is out. One that rests or is
//! slow could still answer: where nothing better is left, it does.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::pricing::{Facts, Moment};
use crate::text::tokens::{PER_MESSAGE, of_chars};
use crate::text::view::View;

/// Up to this length a context holds prompt and answer together; longer ones are told, by most providers, for the prompt
/// alone.
const SHARED_CONTEXT: u64 = 200_000;

/// What a request needs of its model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an ability of its own")]
pub struct Needs {
    /// Tokens of the prompt, as an estimate.
    pub prompt_tokens: u64,
    /// The longest answer in tokens, where the caller sets one.
    pub max_tokens: Option<u64>,
    /// It shows images.
    pub images: bool,
    /// It plays or wants to hear sound.
    pub audio: bool,
    /// It offers tools.
    pub tools: bool,
    /// The answer has to follow a JSON schema.
    pub schema: bool,
}

impl Needs {
    /// Those of a request.
    pub fn of(view: &View) -> Self {
        Self {
            prompt_tokens: view.prompt_tokens(),
            max_tokens: view.asks.max_tokens,
            images: view.images() > 0,
            audio: view.audio(),
            tools: view.asks.tools,
            schema: view.asks.schema,
        }
    }

    /// Those of a prompt of so many characters.
    pub fn of_text(chars: usize) -> Self {
        Self { prompt_tokens: PER_MESSAGE + of_chars(chars), ..Self::default() }
    }

    /// Whether it needs more than room for so many tokens.
    pub(crate) fn exceeds(&self, room: u64) -> bool {
        self.images
            || self.audio
            || self.tools
            || self.schema
            || self.prompt_tokens.saturating_add(self.max_tokens.unwrap_or(0)) > room
    }
}

/// What is known of a model, once for all requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an ability of its own")]
pub struct Able {
    /// Room for prompt, and up to [`SHARED_CONTEXT`] for the answer too, in tokens.
    pub context: Option<u64>,
    /// The longest answer it gives, in tokens.
    pub max_output: Option<u64>,
    /// It is known to take no images.
    pub no_images: bool,
    /// It is known to take no sound.
    pub no_audio: bool,
    /// It is known to take no tools.
    pub no_tools: bool,
    /// It is known not to hold itself to a schema.
    pub no_schema: bool,
    /// The day from which its provider does not serve it any more, and the same as it is written.
    pub shutdown: Option<(Moment, String)>,
}

impl From<&Facts> for Able {
    fn from(facts: &Facts) -> Self {
        let day = |text: &String| Some((text.parse().ok()?, text.clone()));
        Self {
            context: facts.context,
            max_output: facts.max_output,
            no_images: facts.images == Some(false),
            no_audio: facts.audio == Some(false),
            no_tools: facts.tools == Some(false),
            no_schema: facts.schema == Some(false),
            shutdown: facts.shutdown.as_ref().and_then(day),
        }
    }
}

impl Able {
    /// So many tokens it takes for certain, whatever they are for.
    pub(crate) fn room(&self) -> u64 {
        self.context.unwrap_or(u64::MAX)
    }

    /// What the request needs and this model lacks.
    pub fn lacks(&self, needs: &Needs) -> Option<String> {
        let missing = [
            (needs.images && self.no_images, "takes no images"),
            (needs.audio && self.no_audio, "takes no audio"),
            (needs.tools && self.no_tools, "takes no tools"),
            (needs.schema && self.no_schema, "does not hold itself to a JSON schema"),
        ];
        let missing = missing.into_iter().find_map(|(missing, said)| missing.then(|| said.to_owned()));
        missing.or_else(|| self.too_short(needs))
    }

    fn too_short(&self, needs: &Needs) -> Option<String> {
        let context = self.context?;
        // More than it can say is not asked of it.
        let answer = needs.max_tokens.map_or(0, |most| most.min(self.max_output.unwrap_or(u64::MAX)));
        let answer = if context <= SHARED_CONTEXT { answer } else { 0 };
        if needs.prompt_tokens.saturating_add(answer) <= context {
            return None;
        }
        let besides = if answer == 0 { String::new() } else { format!(" and an answer of {}", grouped(answer)) };
        Some(format!(
            "its context of {} tokens is too short for about {}{besides}",
            grouped(context),
            grouped(needs.prompt_tokens)
        ))
    }

    /// That its provider has shut it down, if the day has come.
    pub fn retired(&self, now: Moment) -> Option<String> {
        let (day, text) = self.shutdown.as_ref()?;
        (now >= *day).then(|| format!("its provider has shut it down on {text}"))
    }
}

/// How a model does at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Condition {
    /// It has failed, and rests for so long.
    pub rests: Option<Duration>,
    /// How long an answer is expected to take.
    pub expected: Option<Duration>,
}

impl Condition {
    /// Why it should be left alone, where another can answer; `limit` is what an answer may take.
    pub fn unfit(&self, limit: Option<Duration>) -> Option<String> {
        if let Some(rests) = self.rests {
            return Some(format!("it has failed and rests for another {} s", rests.as_secs_f64().ceil()));
        }
        let (expected, limit) = self.expected.zip(limit).filter(|(expected, limit)| expected > limit)?;
        let shown = |time: Duration| grouped(time.as_secs_f64().mul_add(1e3, 0.5) as u64);
        Some(format!("its answers take {} ms (95th percentile), over the limit of {}", shown(expected), shown(limit)))
    }
}

/// Why a model is not to be chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bar {
    /// It cannot serve the request.
    Lacks(String),
    /// It could, but should be left alone.
    Unfit(String),
}

/// The models that are not to be chosen, one entry each, and what the caller should know.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Barred {
    /// Why not; `None` may be chosen.
    pub reasons: Vec<Option<String>>,
    /// Of models that answer although they rest or are slow.
    pub notes: Vec<String>,
}

impl Barred {
    /// Holds the bars against the models, which are named in their order; `None` where nothing is barred and there is
    /// nothing to say. Without one that is free, those that are only unfit are.
    pub fn of(bars: Vec<Option<Bar>>, models: &[&str]) -> Option<Self> {
        if bars.iter().all(Option::is_none) {
            return None;
        }
        let spare = bars.iter().all(Option::is_some);
        let mut made = Self::default();
        for (bar, model) in bars.into_iter().zip(models) {
            made.reasons.push(match bar {
                Some(Bar::Unfit(reason)) if spare => {
                    made.notes.push(format!("{model} may answer all the same, for want of another: {reason}"));
                    None
                }
                bar => bar.map(|(Bar::Lacks(reason) | Bar::Unfit(reason))| reason),
            });
        }
        Some(made)
    }
}

/// That no model is left, each with its reason.
pub fn none_left<'a>(barred: impl IntoIterator<Item = (&'a str, &'a str)>) -> Error {
    let listed: Vec<String> = barred.into_iter().map(|(model, reason)| format!("{model}: {reason}")).collect();
    Error::new(Kind::Routing, format!("no model can serve this request: {}", listed.join("; ")))
}

/// The rung that answers in the place of a model that is on none: the highest that is free, since nobody knows how strong
/// it is.
///
/// # Errors
/// [`Kind::Routing`] where none is free; it lists each model with its reason.
pub fn in_place_of(model: &str, reason: &str, models: &[&str], barred: &[Option<String>]) -> Result<usize> {
    let free = (0..models.len()).rev().find(|rung| barred.get(*rung).is_none_or(Option::is_none));
    free.ok_or_else(|| {
        let rungs = models.iter().zip(barred).filter_map(|(model, reason)| Some((*model, reason.as_deref()?)));
        none_left([(model, reason)].into_iter().chain(rungs))
    })
}

/// A number with a comma before each three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::pricing::Table;

    fn able(model: &str) -> Able {
        Table::shared().facts(model).unwrap().into()
    }

    #[test]
    fn each_lack_is_one_sentence() {
        let old = able("gpt-4-1106-preview");
        let seen = Needs { images: true, ..Needs::default() };
        assert_eq!(old.lacks(&seen).as_deref(), Some("takes no images"));
        assert_eq!(able("gpt-4o").lacks(&seen), None);
        let heard = Needs { audio: true, ..Needs::default() };
        assert_eq!(old.lacks(&heard).as_deref(), Some("takes no audio"));
        let none = Able { no_tools: true, no_schema: true, ..Able::default() };
        let tools = Needs { tools: true, schema: true, ..Needs::default() };
        assert_eq!(none.lacks(&tools).as_deref(), Some("takes no tools"));
        let schema = Needs { schema: true, ..Needs::default() };
        assert_eq!(none.lacks(&schema).as_deref(), Some("does not hold itself to a JSON schema"));
    }

    #[test]
    fn a_context_has_room_for_the_answer_too() {
        let small = able("gpt-3.5-turbo");
        let needs = |prompt_tokens, max_tokens| Needs { prompt_tokens, max_tokens, ..Needs::default() };
        assert_eq!(
            small.lacks(&needs(20_000, None)).as_deref(),
            Some("its context of 16,385 tokens is too short for about 20,000")
        );
        assert_eq!(small.lacks(&needs(16_385, None)), None);
        assert_eq!(
            small.lacks(&needs(13_000, Some(4_000))).as_deref(),
            Some("its context of 16,385 tokens is too short for about 13,000 and an answer of 4,000")
        );
        // It says no more than 4,096 tokens, whatever is asked.
        assert_eq!(small.lacks(&needs(12_000, Some(100_000))), None);
        // The 272,000 of this one are for the prompt.
        assert_eq!(able("gpt-5.2").lacks(&needs(200_000, Some(128_000))), None);
    }

    #[test]
    fn the_day_of_its_end_has_to_have_come() {
        let old = able("gpt-4-1106-preview");
        let at = |day: &str| day.parse::<Moment>().unwrap();
        assert_eq!(old.retired(at("2026-10-22")), None);
        assert_eq!(old.retired(at("2026-10-23")).as_deref(), Some("its provider has shut it down on 2026-10-23"));
    }

    #[test]
    fn who_rests_or_is_slow_is_unfit() {
        let slow = Condition { expected: Some(Duration::from_millis(3100)), rests: None };
        let limit = Some(Duration::from_secs(2));
        let said = "its answers take 3,100 ms (95th percentile), over the limit of 2,000";
        assert_eq!(slow.unfit(limit).as_deref(), Some(said));
        assert_eq!(slow.unfit(Some(Duration::from_millis(3100))), None);
        assert_eq!(slow.unfit(None), None);
        let tired = Condition { rests: Some(Duration::from_millis(11_200)), ..slow };
        assert_eq!(tired.unfit(limit).as_deref(), Some("it has failed and rests for another 12 s"));
    }

    #[test]
    fn a_model_on_no_rung_gives_way_to_the_highest_that_is_free() {
        let barred = [None, None, Some("takes no images".to_owned())];
        assert_eq!(in_place_of("x", "takes no images", &["a", "b", "c"], &barred).unwrap(), 1);
        let all = [Some("takes no tools".to_owned())];
        let error = in_place_of("x", "takes no images", &["a"], &all).unwrap_err();
        assert_eq!(error.message(), "no model can serve this request: x: takes no images; a: takes no tools");
    }

    fn bar() -> impl Strategy<Value = Option<Bar>> {
        prop_oneof![Just(None), Just(Some(Bar::Lacks("lacks".to_owned()))), Just(Some(Bar::Unfit("unfit".to_owned())))]
    }

    proptest! {
        #[test]
        fn with_nothing_known_nothing_is_barred(
            prompt_tokens in any::<u64>(), max_tokens in any::<Option<u64>>(), flags in any::<[bool; 4]>(),
        ) {
            let [images, audio, tools, schema] = flags;
            let needs = Needs { prompt_tokens, max_tokens, images, audio, tools, schema };
            let unknown = Able::from(&Facts::default());
            prop_assert_eq!(unknown.lacks(&needs), None);
            prop_assert_eq!(unknown.retired(Moment::now()), None);
            prop_assert_eq!(Condition::default().unfit(Some(Duration::ZERO)), None);
        }

        #[test]
        fn nobody_free_is_never_silent(bars in prop::collection::vec(bar(), 1..8)) {
            let models: Vec<&str> = bars.iter().map(|_| "m").collect();
            let lacking = |bar: &Option<Bar>| matches!(bar, Some(Bar::Lacks(_)));
            match Barred::of(bars.clone(), &models) {
                None => prop_assert!(bars.iter().all(Option::is_none)),
                Some(barred) => {
                    prop_assert_eq!(barred.reasons.len(), bars.len());
                    let free = barred.reasons.iter().any(Option::is_none);
                    // Only where every model lacks something is none free, and then each says what.
                    prop_assert_eq!(free, !bars.iter().all(lacking));
                    for (bar, reason) in bars.iter().zip(&barred.reasons) {
                        prop_assert!(!lacking(bar) || reason.is_some());
                    }
                    let spared = barred.reasons.iter().zip(&bars).filter(|(reason, bar)| reason.is_none() && bar.is_some());
                    prop_assert_eq!(spared.count(), barred.notes.len());
                }
            }
        }

        #[test]
        fn what_fits_the_room_is_never_too_long(context in 1..1_000_000_u64, tokens in 0..1_000_000_u64, most in 0..1_000_000_u64) {
            let able = Able { context: Some(context), ..Able::default() };
            let needs = Needs { prompt_tokens: tokens, max_tokens: Some(most), ..Needs::default() };
            if !needs.exceeds(able.room()) {
                prop_assert_eq!(able.lacks(&needs), None);
            }
        }
    }
}
