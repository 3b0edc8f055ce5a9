//! Stickiness: a conversation stays on its model unless going elsewhere pays for the prompt cache that is lost.
//!
//! Providers keep the beginning of a prompt for some minutes and charge less for it the next time. Another model has to
//! read everything anew, so on a long conversation the cheaper model may be the dearer one. For the coming turn, with `P`
//! tokens of prompt, of which the `C` of the turn before are kept, and an answer of `E` tokens,
//!
//! ```text
//! staying costs  C * cached input + (P - C) * input + E * output     at the prices of the model it is on
//! going costs    P * input + E * output                              at the prices of the other
//! ```
//!
//! A stronger model is gone to whatever it costs, because the router says that the weaker one is not enough. A weaker one
//! is gone to where that is cheaper, until the conversation has once come back from there: then it stays where it is, since
//! the way up would be paid for again and again.
//!
//! Nothing of a conversation is kept but a hash, a few numbers, and when it was last heard of.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rust_decimal::Decimal;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::pricing::{Amounts, Moment, ServiceTier, Table};
use crate::text::tokens::of_chars;
use crate::text::view::{Role, View};

/// After so long without a turn, prompt caches are taken to be gone.
pub const IDLE: Duration = Duration::from_mins(5);
/// Conversations remembered; of more, those heard of least lately are forgotten.
pub const REMEMBERED: usize = 10_000;
/// Shorter prompts are cached by no provider.
const LEAST_CACHED: u64 = 1_024;
/// Tokens of an answer, where the conversation has none to judge by.
const ANSWER: u64 = 300;

/// Which conversation a request belongs to, and whether it has had a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// Hash of the caller's session, else of the system's text and the user's first.
    pub key: u64,
    /// A turn came before this one, as far as can be told: the first one only begins a conversation.
    pub goes_on: bool,
}

impl Session {
    /// That of a request; `None` where the user says nothing.
    pub fn of(view: &View) -> Option<Self> {
        let mut hash = Xxh3::new();
        let mut add = |kind: u8, text: &str| {
            hash.update(&[kind]);
            hash.update(&text.len().to_le_bytes());
            hash.update(text.as_bytes());
        };
        if let Some(session) = &view.session {
            add(0, session);
            return Some(Self { key: hash.digest(), goes_on: true });
        }
        let first = view.turns.iter().find(|turn| turn.role == Role::User)?;
        for turn in view.turns.iter().filter(|turn| turn.role == Role::System) {
            add(1, &turn.text);
        }
        add(2, &first.text);
        let goes_on = view.turns.iter().any(|turn| turn.role == Role::Assistant);
        Some(Self { key: hash.digest(), goes_on })
    }
}

/// What the coming turn is expected to take, in tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ahead {
    /// The whole prompt.
    pub prompt: u64,
    /// The answer: as long as the conversation's answers on average.
    pub answer: u64,
}

impl Ahead {
    /// That of a request.
    pub fn of(view: &View) -> Self {
        let answers = view.turns.iter().filter(|turn| turn.role == Role::Assistant);
        let (count, chars) =
            answers.fold((0_u64, 0), |(count, chars), turn| (count + 1, chars + turn.text.chars().count()));
        let answer = of_chars(chars).checked_div(count).unwrap_or(ANSWER);
        Self { prompt: view.prompt_tokens(), answer: answer.min(view.asks.max_tokens.unwrap_or(u64::MAX)) }
    }
}

/// Where a conversation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seat {
    /// The rung of its model.
    pub rung: usize,
    /// Hash of the model's name: rungs may be given other models.
    model: u64,
    /// Tokens of the last prompt, which the provider may still have.
    pub prompt: u64,
    /// It has gone to a weaker model.
    pub came_down: bool,
    /// It has come back from one.
    pub came_back: bool,
    heard_of: Instant,
}

impl Seat {
    /// A conversation that begins, or is led elsewhere.
    pub fn new(rung: usize, model: &str, prompt: u64, now: Instant) -> Self {
        Self { rung, model: hash(model), prompt, came_down: false, came_back: false, heard_of: now }
    }

    fn follow(&self, before: &Self) -> Self {
        let came_down = before.came_down || self.rung < before.rung;
        let came_back = before.came_back || before.came_down && self.rung > before.rung;
        Self { came_down, came_back, ..*self }
    }

    /// Why the conversation stays where it is instead of going from `here` to the weaker `there`, which are the names their
    /// prices are looked up by, the one to be shown last; `None`: it goes.
    ///
    /// Where a price is not known it stays.
    pub fn stays(
        &self,
        here: &[&str],
        there: &[&str],
        ahead: Ahead,
        table: &Table,
        at: Option<Moment>,
    ) -> Option<String> {
        let (here_is, there_is) = (here.last().unwrap_or(&"?"), there.last().unwrap_or(&"?"));
        if self.came_back {
            return Some(format!("stays on {here_is}: this conversation has once come back from a weaker model"));
        }
        let cached = Some(self.prompt.min(ahead.prompt)).filter(|cached| *cached >= LEAST_CACHED).unwrap_or(0);
        let cost = |names: &[&str], cached: u64| {
            let amounts = Amounts {
                prompt: ahead.prompt.into(),
                completion: ahead.answer.into(),
                cached: cached.into(),
                ..Amounts::default()
            };
            Some(table.cost_of(names, &amounts, ServiceTier::Standard, at)?.total)
        };
        match (cost(here, cached), cost(there, 0)) {
            (Some(staying), Some(going)) if going < staying => None,
            (Some(staying), Some(going)) => Some(format!(
                "stays on {here_is}: moving to {there_is} would cost about ${} instead of ${}",
                shown(going),
                shown(staying)
            )),
            (staying, _) => {
                let unknown = if staying.is_none() { here_is } else { there_is };
                Some(format!("stays on {here_is}: the price of {unknown} is not known"))
            }
        }
    }
}

/// The rungs that may be chosen, weakest first.
#[derive(Debug, Clone, Copy)]
pub struct Rungs<'a> {
    /// Their models.
    pub models: &'a [&'a str],
    /// For each the names its price is looked up by, the best one first and the model's last.
    pub names: &'a [Vec<&'a str>],
    /// Why one is not to be chosen; shorter or empty where nothing is known against them.
    pub barred: &'a [Option<String>],
    /// The highest that may be chosen.
    pub ceiling: Option<usize>,
}

/// The conversations of one Controller.
#[derive(Debug, Default)]
pub struct Sessions {
    held: HashMap<u64, Seat>,
}

impl Sessions {
    /// Where a conversation is, if it has been heard of lately and the rung still has its model.
    pub fn seat(&self, session: Session, models: &[&str], now: Instant) -> Option<Seat> {
        let seat = self.held.get(&session.key).filter(|_| session.goes_on)?;
        let same = models.get(seat.rung).is_some_and(|model| hash(model) == seat.model);
        (same && now.saturating_duration_since(seat.heard_of) < IDLE).then_some(*seat)
    }

    /// The rung that a conversation stays on, and why, where the word for this turn is `wanted`; `None`: it goes there.
    ///
    /// It only ever stays on a stronger rung than `wanted`, and neither on one that is barred nor above the ceiling.
    pub fn stay(
        &self,
        view: &View,
        wanted: usize,
        rungs: &Rungs<'_>,
        table: &Table,
        now: Instant,
    ) -> Option<(usize, String)> {
        let seat = self.seat(Session::of(view)?, rungs.models, now)?;
        let allowed = rungs.barred.get(seat.rung).is_none_or(Option::is_none)
            && rungs.ceiling.is_none_or(|ceiling| seat.rung <= ceiling);
        if !allowed || seat.rung <= wanted {
            return None;
        }
        let (here, there) = (rungs.names.get(seat.rung)?, rungs.names.get(wanted)?);
        Some((seat.rung, seat.stays(here, there, Ahead::of(view), table, None)?))
    }

    /// That a conversation's turn goes to a rung.
    pub fn remember(&mut self, session: Session, rung: usize, models: &[&str], prompt: u64, now: Instant) {
        let Some(model) = models.get(rung) else { return self.forget(session) };
        let seat = Seat::new(rung, model, prompt, now);
        let seat = self.seat(session, models, now).map_or(seat, |before| seat.follow(&before));
        if self.held.len() >= REMEMBERED && !self.held.contains_key(&session.key) {
            self.make_room();
        }
        self.held.insert(session.key, seat);
    }

    /// That a conversation has gone where nothing is known of.
    pub fn forget(&mut self, session: Session) {
        self.held.remove(&session.key);
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Forgets a tenth, those heard of least lately: once for a thousand new ones.
    fn make_room(&mut self) {
        let mut times: Vec<Instant> = self.held.values().map(|seat| seat.heard_of).collect();
        let (_, border, _) = times.select_nth_unstable(REMEMBERED / 10);
        let border = *border;
        self.held.retain(|_, seat| seat.heard_of > border);
    }
}

fn hash(model: &str) -> u64 {
    xxh3_64(model.as_bytes())
}

/// Dollars with two digits that count.
fn shown(dollars: Decimal) -> String {
    dollars.round_sf(2).unwrap_or(dollars).normalize().to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;
    use crate::text::view::Turn;

    static TABLE: LazyLock<Table> = LazyLock::new(|| Table::builtin().unwrap());
    const MODELS: [&str; 3] = ["gpt-5-nano", "gpt-5-mini", "gpt-5.2"];

    fn day() -> Option<Moment> {
        "2026-01-12".parse().ok()
    }

    fn stays(here: usize, there: usize, prompt: u64, ahead: Ahead) -> Option<String> {
        Seat::new(here, MODELS[here], prompt, Instant::now()).stays(
            &[MODELS[here]],
            &[MODELS[there]],
            ahead,
            &TABLE,
            day(),
        )
    }

    #[test]
    fn the_cache_is_held_against_the_cheaper_model() {
        // A long prompt that is nearly all kept: gpt-5-mini reads it anew at 0.25, gpt-5.2 at 0.175 from its cache.
        let ahead = Ahead { prompt: 100_000, answer: 10 };
        let said = "stays on gpt-5.2: moving to gpt-5-mini would cost about $0.025 instead of $0.018";
        assert_eq!(stays(2, 1, 99_900, ahead).as_deref(), Some(said));
        // gpt-5-nano reads at 0.05.
        assert_eq!(stays(2, 0, 99_900, ahead), None);
        // Little of it was kept.
        assert_eq!(stays(2, 1, 20_000, ahead), None);
        // A long answer costs less at the weaker one.
        assert_eq!(stays(2, 1, 99_900, Ahead { answer: 5_000, ..ahead }), None);
        // No provider caches so little.
        assert_eq!(stays(2, 1, 1_023, Ahead { prompt: 1_030, answer: 0 }), None);
    }

    #[test]
    fn without_a_price_it_stays() {
        let seat = Seat::new(0, "mine", 5_000, Instant::now());
        let ahead = Ahead { prompt: 5_100, answer: 10 };
        let said = |here: &[&str], there: &[&str]| seat.stays(here, there, ahead, &TABLE, day());
        assert_eq!(said(&["mine"], &["gpt-5-nano"]).unwrap(), "stays on mine: the price of mine is not known");
        assert_eq!(said(&["gpt-5.2"], &["mine"]).unwrap(), "stays on gpt-5.2: the price of mine is not known");
        // The base model has one.
        assert_eq!(said(&["gpt-5.2", "azure/it"], &["gpt-5-nano"]), None);
    }

    fn conversation(turns: &[(Role, &str)]) -> View {
        View { turns: turns.iter().map(|(role, text)| Turn::new(*role, *text)).collect(), ..View::default() }
    }

    #[test]
    fn a_conversation_is_known_by_its_beginning() {
        let first = conversation(&[(Role::System, "be brief"), (Role::User, "hi")]);
        let second = conversation(&[
            (Role::System, "be brief"),
            (Role::User, "hi"),
            (Role::Assistant, "hello"),
            (Role::User, "and now?"),
        ]);
        let (first, second) = (Session::of(&first).unwrap(), Session::of(&second).unwrap());
        assert!(!first.goes_on && second.goes_on && first.key == second.key);
        let other = Session::of(&conversation(&[(Role::System, "be briefhi")])).is_none();
        assert!(other, "nobody has spoken");
        assert_ne!(Session::of(&conversation(&[(Role::User, "be briefhi")])).unwrap().key, first.key);
        let given = View { session: Some("s".into()), ..View::of_text("hi") };
        assert!(Session::of(&given).unwrap().goes_on);
    }

    #[test]
    fn a_first_turn_only_begins_one_and_five_minutes_end_it() {
        let (begins, goes_on) = (Session { key: 1, goes_on: false }, Session { key: 1, goes_on: true });
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        sessions.remember(begins, 2, &MODELS, 50, now);
        assert_eq!(sessions.seat(begins, &MODELS, now), None);
        let seat = sessions.seat(goes_on, &MODELS, now + (IDLE.saturating_sub(Duration::from_secs(1)))).unwrap();
        assert_eq!((seat.rung, seat.prompt), (2, 50));
        assert_eq!(sessions.seat(goes_on, &MODELS, now + IDLE), None);
        assert_eq!(sessions.seat(goes_on, &["a", "b", "c"], now), None, "the rung has another model");
        sessions.remember(goes_on, 9, &MODELS, 50, now);
        assert_eq!(sessions.len(), 0, "it went to a model on no rung");
    }

    #[test]
    fn who_has_come_back_stays() {
        let session = Session { key: 1, goes_on: true };
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for rung in [2, 1, 1, 2] {
            assert!(!sessions.seat(session, &MODELS, now).is_some_and(|seat| seat.came_back));
            sessions.remember(session, rung, &MODELS, 10, now);
        }
        let seat = sessions.seat(session, &MODELS, now).unwrap();
        let said = seat.stays(&["gpt-5.2"], &["gpt-5-nano"], Ahead { prompt: 20, answer: 1 }, &TABLE, day());
        assert!(said.unwrap().contains("once come back"));
        // Beginning below and going up is no coming back.
        let other = Session { key: 2, goes_on: true };
        for rung in [0, 1, 2] {
            sessions.remember(other, rung, &MODELS, 10, now);
        }
        assert!(!sessions.seat(other, &MODELS, now).unwrap().came_back);
    }

    #[test]
    fn the_least_lately_heard_of_are_forgotten() {
        let (mut sessions, start) = (Sessions::default(), Instant::now());
        let at = |key: u64| start + Duration::from_millis(key);
        for key in 0..2 * REMEMBERED as u64 {
            sessions.remember(Session { key, goes_on: true }, 0, &MODELS, 1, at(key));
            assert!(sessions.len() <= REMEMBERED);
        }
        let now = at(2 * REMEMBERED as u64);
        let held = |key| sessions.seat(Session { key, goes_on: true }, &MODELS, now).is_some();
        assert!(held(2 * REMEMBERED as u64 - 1) && held(REMEMBERED as u64 + 2_000) && !held(5));
        // All at the same moment, too.
        let mut sessions = Sessions::default();
        for key in 0..2 * REMEMBERED as u64 {
            sessions.remember(Session { key, goes_on: true }, 0, &MODELS, 1, start);
        }
        assert!((1..=REMEMBERED).contains(&sessions.len()));
    }

    proptest! {
        #[test]
        fn nobody_stays_where_nobody_may_be(
            was in 0..3_usize, wanted in 0..3_usize, ceiling in prop::option::of(0..3_usize), flags in any::<[bool; 3]>(),
            prompt in 0..60_000_usize,
        ) {
            let mut view = conversation(&[(Role::User, "q"), (Role::Assistant, "a"), (Role::User, "and?")]);
            view.turns[0].text = "x".repeat(4 * prompt);
            let (mut sessions, now) = (Sessions::default(), Instant::now());
            sessions.remember(Session::of(&view).unwrap(), was, &MODELS, prompt as u64, now);
            let barred = flags.map(|barred| barred.then(|| "lacks".to_owned()));
            let names = MODELS.map(|model| vec![model]);
            let rungs = Rungs { models: &MODELS, names: &names, barred: &barred, ceiling };
            if let Some((rung, said)) = sessions.stay(&view, wanted, &rungs, &TABLE, now) {
                prop_assert_eq!(rung, was);
                prop_assert!(rung > wanted && !flags[rung] && ceiling.is_none_or(|ceiling| rung <= ceiling));
                prop_assert!(said.starts_with("stays on "));
            }
        }

        #[test]
        fn it_stays_where_that_costs_no_more_and_only_there(
            prompt in 0..400_000_u64, kept in 0..400_000_u64, answer in 0..20_000_u64, pair in 0..3_usize,
        ) {
            let (here, there) = [(2, 1), (2, 0), (1, 0)][pair];
            let ahead = Ahead { prompt, answer };
            let cached = if kept.min(prompt) < LEAST_CACHED { 0 } else { kept.min(prompt) };
            // Dollars for a million tokens, of 2026-01-12: input, cached, output.
            let rate = |model: usize| [[0.05, 0.005, 0.4], [0.25, 0.025, 2.0], [1.75, 0.175, 14.0]][model];
            let cost = |model: usize, cached: u64| {
                let [input, kept, output] = rate(model);
                (prompt - cached) as f64 * input + cached as f64 * kept + answer as f64 * output
            };
            let (staying, going) = (cost(here, cached), cost(there, 0));
            prop_assume!((staying - going).abs() > 1e-6 * (1.0 + going));
            prop_assert_eq!(stays(here, there, kept, ahead).is_some(), staying < going);
        }
    }
}
