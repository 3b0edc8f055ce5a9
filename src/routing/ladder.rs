//! The rungs that are routed between, weakest first: who is meant by a name, where a win rate leads, and what is left
//! when some of them cannot serve a request.

use std::ops::RangeInclusive;

use super::decide::{self, Choice};
use super::share::ShareWindow;
use crate::error::{Error, Kind, Result};

/// Names that every ladder knows, and the order they may stand in.
const KNOWN: [(&str, u8); 5] = [("cheap", 0), ("weak", 0), ("mid", 1), ("expensive", 2), ("strong", 2)];

/// Two rungs or more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder {
    names: Vec<String>,
    models: Vec<String>,
    /// How reasons call each rung.
    sides: Vec<String>,
}

/// Where [`Ladder::settle`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settled {
    /// Place of the rung.
    pub index: usize,
    /// A sentence for each thing that moved it.
    pub notes: Vec<String>,
}

impl Ladder {
    /// A ladder of named models, weakest first.
    pub fn new(rungs: impl IntoIterator<Item = (String, String)>) -> Result<Self> {
        let (names, models): (Vec<String>, Vec<String>) = rungs.into_iter().unzip();
        if names.len() < 2 {
            return Err(Error::value(format!("a ladder has at least 2 rungs, found {}", names.len())));
        }
        if let Some(at) = names.iter().position(|name| name.trim().is_empty()) {
            return Err(Error::value(format!("rung {at} has an empty name")));
        }
        let bare: Vec<&str> = names.iter().map(|name| name.trim()).collect();
        if let Some((at, name)) = names.iter().enumerate().find(|(at, name)| bare[..*at].contains(&name.trim())) {
            return Err(Error::value(format!("rung {at} has the name {name:?} of an earlier one")));
        }
        if let Some(at) = models.iter().position(|model| model.trim().is_empty()) {
            return Err(Error::value(format!("rung {at}, {:?}, has a model without a name", names[at])));
        }
        let place = |name: &&str| KNOWN.iter().find_map(|(known, place)| (known == name).then_some(*place));
        if !bare.iter().filter_map(place).is_sorted() {
            return Err(Error::value(format!(
                "rungs run from the weakest to the strongest, found {}",
                names.join(", ")
            )));
        }
        Ok(Self { sides: names.clone(), names, models })
    }

    /// The two models of `RouteLLM`, whose rungs are called by their sides.
    pub fn pair(weak: String, strong: String) -> Self {
        Self {
            names: vec!["weak".to_owned(), "strong".to_owned()],
            models: vec![weak, strong],
            sides: vec!["weak model".to_owned(), "strong model".to_owned()],
        }
    }

    /// Names of the rungs.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Names of their models.
    pub fn models(&self) -> &[String] {
        &self.models
    }

    /// How many rungs there are.
    pub fn rungs(&self) -> usize {
        self.names.len()
    }

    /// Whether these are the two models of `RouteLLM`, which have no tiers.
    pub fn is_pair(&self) -> bool {
        self.sides[0] != self.names[0]
    }

    /// What a sentence calls a rung.
    pub fn side(&self, at: usize) -> String {
        if self.is_pair() { format!("the {}", self.sides[at]) } else { self.sides[at].clone() }
    }

    fn top(&self) -> usize {
        self.rungs() - 1
    }

    /// The rung that a name means: its own, else `cheap` or `weak` for the first, `expensive` or `strong` for the last,
    /// `mid` for the one in the middle, of two the lower one.
    pub fn find(&self, name: &str) -> Result<usize> {
        if let Some(at) = self.names.iter().position(|own| own == name) {
            return Ok(at);
        }
        match name {
            "cheap" | "weak" => Ok(0),
            "mid" => Ok(self.top() / 2),
            "expensive" | "strong" => Ok(self.top()),
            _ => Err(Error::new(Kind::Routing, format!("unknown rung {name:?}; there are {}", self.names.join(", ")))),
        }
    }

    /// The rung that a win rate reaches: one up for each cut with `win_rate >= cut`. A single cut on a longer ladder
    /// chooses between the first and the last.
    ///
    /// `cuts` must not fall; there are as many as steps between rungs, or one.
    pub fn by_thresholds(&self, win_rate: f64, cuts: &[f64]) -> Choice {
        self.placed(cuts.len(), |sides| decide::by_thresholds(win_rate, cuts, sides))
    }

    /// The rung of a win rate that has this `rank` in the window of its router; see [`ShareWindow::decide`].
    pub fn by_shares(&self, window: &ShareWindow, win_rate: f64, rank: f64, shares: &[f64]) -> Choice {
        self.placed(shares.len(), |sides| window.decide(win_rate, rank, shares, sides))
    }

    fn placed(&self, steps: usize, choose: impl FnOnce(&[&str]) -> Choice) -> Choice {
        if steps == 1 {
            let ends = [self.sides[0].as_str(), self.sides[self.top()].as_str()];
            let choice = choose(&ends);
            return Choice { index: if choice.index == 0 { 0 } else { self.top() }, ..choice };
        }
        let sides: Vec<&str> = self.sides.iter().map(String::as_str).collect();
        let choice = choose(&sides);
        Choice { index: choice.index.min(self.top()), ..choice }
    }

    /// The rung that serves a request for which `wanted` is the router's word.
    ///
    /// It is moved up to `floor` and down to `ceiling`; where those contradict each other, the floor counts. If that rung
    /// is barred, the nearest free one above it is taken, else the nearest below, both within floor and ceiling; with
    /// none free in there, the nearest above, else below, whatever the limits.
    ///
    /// `barred` says of each rung why it cannot serve the request, or is empty where nothing is known against any.
    pub fn settle(
        &self,
        wanted: usize,
        floor: Option<usize>,
        ceiling: Option<usize>,
        barred: &[Option<String>],
    ) -> Result<Settled> {
        let mut notes = Vec::new();
        let (low, high) = limits(self.top(), floor, ceiling);
        let wanted = wanted.min(self.top());
        let start = wanted.clamp(low, high);
        if start > wanted {
            notes.push(format!("raised from {} to {}, the lowest allowed", self.names[wanted], self.names[start]));
        } else if start < wanted {
            notes.push(format!("lowered from {} to {}, the highest allowed", self.names[wanted], self.names[start]));
        }
        let why = |at: usize| barred.get(at).and_then(Option::as_deref);
        if why(start).is_none() {
            return Ok(Settled { index: start, notes });
        }
        let Some(index) = nearest(self.top(), start, low, high, barred) else { return Err(self.nobody(barred)) };
        let passed: Vec<usize> =
            if index > start { (start..index).collect() } else { (index + 1..=start).rev().collect() };
        notes.extend(passed.into_iter().filter_map(|at| Some(format!("{} is skipped: {}", self.called(at), why(at)?))));
        if !(low..=high).contains(&index) {
            notes.push(format!("no rung from {} to {} can serve this", self.names[low], self.names[high]));
        }
        Ok(Settled { index, notes })
    }

    /// A rung with its model, for a person.
    fn called(&self, at: usize) -> String {
        format!("{} ({})", self.sides[at], self.models[at])
    }

    fn nobody(&self, barred: &[Option<String>]) -> Error {
        let reasons: Vec<String> = (0..self.rungs())
            .map(|at| {
                let why = barred.get(at).and_then(Option::as_deref).unwrap_or_default();
                format!("{}: {why}", self.called(at))
            })
            .collect();
        Error::new(Kind::Routing, format!("no model can serve this request: {}", reasons.join("; ")))
    }
}

/// The lowest and the highest rung allowed, where `top` is the last one.
pub(super) fn limits(top: usize, floor: Option<usize>, ceiling: Option<usize>) -> (usize, usize) {
    let low = floor.unwrap_or(0).min(top);
    (low, ceiling.unwrap_or(top).min(top).max(low))
}

/// The free rung nearest to `start`, by the rule of [`Ladder::settle`].
pub(super) fn nearest(top: usize, start: usize, low: usize, high: usize, barred: &[Option<String>]) -> Option<usize> {
    let is_free = |at: &usize| !matches!(barred.get(*at), Some(Some(_)));
    let free = |mut range: RangeInclusive<usize>| range.find(is_free);
    let free_down = |range: RangeInclusive<usize>| range.rev().find(is_free);
    free(start..=high).or_else(|| free_down(low..=start)).or_else(|| free(start..=top)).or_else(|| free_down(0..=start))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ladder(names: &[&str]) -> Ladder {
        Ladder::new(names.iter().map(|name| ((*name).to_owned(), format!("model-{name}")))).unwrap()
    }

    fn three() -> Ladder {
        ladder(&["cheap", "mid", "expensive"])
    }

    #[test]
    fn own_names_go_before_the_known_ones() {
        let four = ladder(&["nano", "mini", "big", "mid"]);
        let found = ["cheap", "weak", "mid", "expensive", "strong", "big"].map(|name| four.find(name).unwrap());
        assert_eq!(found, [0, 0, 3, 3, 3, 2]);
        let four = ladder(&["a", "b", "c", "d"]);
        assert_eq!(four.find("mid").unwrap(), 1);
        assert_eq!(three().find("mid").unwrap(), 1);
        let pair = Ladder::pair("s".into(), "b".into());
        assert_eq!(["cheap", "mid", "strong"].map(|name| pair.find(name).unwrap()), [0, 0, 1]);
        let error = four.find("best").unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Routing, "unknown rung \"best\"; there are a, b, c, d"));
    }

    #[test]
    fn ladders_that_are_none_are_refused() {
        let made = |names: &[&str]| Ladder::new(names.iter().map(|name| ((*name).to_owned(), "m".to_owned())));
        for (names, says) in [
            (&["one"][..], "at least 2"),
            (&["a", " "], "empty name"),
            (&["a", "b", "a"], "of an earlier one"),
            (&["a", "b", " a\t"], "of an earlier one"),
            (&["expensive", "mid", "cheap"], "from the weakest to the strongest"),
            (&["strong", "weak"], "from the weakest to the strongest"),
            (&["strong", "new", "mid"], "from the weakest to the strongest"),
            (&["expensive", " weak"], "from the weakest to the strongest"),
        ] {
            assert!(made(names).is_err_and(|error| error.message().contains(says)), "{names:?}");
        }
        for names in [&["weak", "strong", "top"][..], &["weak", "cheap", "mid", "strong", "expensive"]] {
            assert!(made(names).is_ok(), "{names:?}");
        }
        let nameless = Ladder::new([("a".to_owned(), "m".to_owned()), ("b".to_owned(), " ".to_owned())]);
        assert!(nameless.is_err_and(|error| error.message() == "rung 1, \"b\", has a model without a name"));
    }

    #[test]
    fn a_rung_that_is_called_strong_need_not_be_the_last() {
        let three = ladder(&["weak", "strong", "top"]);
        assert_eq!(["weak", "strong", "expensive"].map(|name| three.find(name).unwrap()), [0, 1, 2]);
    }

    #[test]
    fn a_single_cut_chooses_between_the_ends() {
        let choice = three().by_thresholds(0.6, &[0.5]);
        assert_eq!((choice.index, choice.reason.as_str()), (2, "win rate 0.6000 >= threshold 0.5: expensive"));
        assert_eq!(three().by_thresholds(0.4, &[0.5]).index, 0);
        assert_eq!(three().by_thresholds(0.4, &[0.3, 0.7]).index, 1);
        let window = ShareWindow::default();
        assert_eq!(three().by_shares(&window, 0.4, 0.9, &[0.2]).index, 2);
        assert_eq!(three().by_shares(&window, 0.4, 0.7, &[0.5, 0.2]).index, 1);
    }

    #[test]
    fn the_nearest_free_rung_above_serves_else_the_nearest_below() {
        let bar = |at: &[usize]| -> Vec<Option<String>> {
            (0..4).map(|rung| at.contains(&rung).then(|| "takes no images".to_owned())).collect()
        };
        let four = ladder(&["a", "b", "c", "d"]);
        let index = |wanted, floor, ceiling, at: &[usize]| four.settle(wanted, floor, ceiling, &bar(at)).unwrap().index;
        assert_eq!(index(1, None, None, &[1]), 2);
        assert_eq!(index(1, None, None, &[1, 2]), 3);
        assert_eq!(index(3, None, None, &[3]), 2);
        assert_eq!(index(1, None, Some(1), &[1]), 0, "below rather than above the ceiling");
        assert_eq!(index(1, Some(1), Some(2), &[1, 2]), 3, "above rather than below the floor");
        assert_eq!(index(2, Some(2), None, &[2, 3]), 1);
        assert_eq!(index(3, None, Some(1), &[]), 1);
        assert_eq!(index(0, Some(2), Some(1), &[]), 2, "the floor counts");
        let settled = four.settle(0, Some(1), None, &bar(&[1])).unwrap();
        assert_eq!(
            settled.notes,
            ["raised from a to b, the lowest allowed", "b (model-b) is skipped: takes no images"]
        );
    }

    #[test]
    fn with_nobody_left_each_is_named_with_its_reason() {
        let barred = ["too short", "retired", "rests"].map(|why| Some(why.to_owned()));
        let error = three().settle(1, None, None, &barred).unwrap_err();
        assert_eq!(error.kind(), Kind::Routing);
        assert_eq!(
            error.message(),
            "no model can serve this request: cheap (model-cheap): too short; mid (model-mid): retired; \
             expensive (model-expensive): rests"
        );
    }

    proptest! {
        #[test]
        fn no_barred_rung_is_chosen_and_no_choice_is_silently_empty(
            wanted in 0_usize..5, floor in prop::option::of(0_usize..5), ceiling in prop::option::of(0_usize..5),
            barred in prop::collection::vec(any::<bool>(), 5),
        ) {
            let five = ladder(&["a", "b", "c", "d", "e"]);
            let reasons: Vec<Option<String>> =
                barred.iter().enumerate().map(|(at, barred)| barred.then(|| format!("reason {at}"))).collect();
            match five.settle(wanted, floor, ceiling, &reasons) {
                Ok(settled) => {
                    prop_assert!(!barred[settled.index]);
                    let low = floor.unwrap_or(0);
                    let high = ceiling.unwrap_or(4).max(low);
                    // Outside its limits only where nothing within is free.
                    prop_assert!((low..=high).contains(&settled.index) || (low..=high).all(|at| barred[at]));
                    let stays = (low..=high).contains(&wanted) && !barred[wanted];
                    prop_assert_eq!(stays, settled.notes.is_empty(), "{:?}", settled);
                    prop_assert!(!stays || settled.index == wanted);
                }
                Err(error) => {
                    prop_assert!(barred.iter().all(|barred| *barred));
                    for at in 0..5 {
                        let told = error.message().contains(&format!("reason {at}"));
                        prop_assert!(told);
                    }
                }
            }
        }
    }
}
