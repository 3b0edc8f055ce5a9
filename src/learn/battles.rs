//! Battles between models: who won on which prompt.

use std::collections::{HashMap, HashSet};

use super::Watch;
use super::noise::Key;
use crate::error::{Error, Kind, Result};
use crate::math::rows::Rows;

/// One battle: rows of the table of models, and the row of the prompt's embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Battle {
    /// Row of the model that won.
    pub winner: usize,
    /// Row of the model that lost.
    pub loser: usize,
    /// Row of the prompt's embedding.
    pub prompt: usize,
}

/// Embeddings that are looked through between two calls of a watch.
const LOOKED: usize = 64;

/// Battles whose rows all exist, with finite embeddings.
#[derive(Debug, Clone, Default)]
pub struct Battles(Vec<Battle>);

impl Battles {
    /// Checks every battle against the table's size and the embeddings; the first that does not fit is named.
    ///
    /// # Errors
    /// `Kind::Name` for a model or prompt that does not exist; `Kind::Value` for a model against itself, and for an
    /// embedding with NaN or an infinity; what `watch` returns.
    pub fn new(battles: Vec<Battle>, models: usize, embeddings: &Rows, watch: Watch) -> Result<Self> {
        for (index, battle) in battles.iter().enumerate() {
            let Battle { winner, loser, prompt } = *battle;
            let name = |what: String| Error::new(Kind::Name, format!("battle {index}: {what}"));
            if let Some(row) = [winner, loser].into_iter().find(|&row| row >= models) {
                return Err(name(format!("model row {row}, but the table has {models} rows")));
            }
            if prompt >= embeddings.len() {
                let rows = embeddings.len();
                return Err(name(format!("prompt {prompt}, but there are {rows} embeddings (0 to {rows} - 1)")));
            }
            if winner == loser {
                return Err(Error::value(format!("battle {index}: model row {winner} against itself")));
            }
        }
        // Not a flag for each row: there may be far more rows than battles, and than memory.
        let mut seen = HashSet::with_capacity(battles.len());
        let mut row = Vec::new();
        for (index, battle) in battles.iter().enumerate() {
            if !seen.insert(battle.prompt) {
                continue;
            }
            if seen.len().is_multiple_of(LOOKED) {
                watch(0)?;
            }
            row.resize(embeddings.cols(), 0.0);
            embeddings.gather(battle.prompt, 1, &mut row);
            if let Some(col) = row.iter().position(|value| !value.is_finite()) {
                let (value, prompt) = (row[col], battle.prompt);
                return Err(Error::value(format!(
                    "embedding {prompt} (of battle {index}) holds {value} in column {col}; all numbers must be finite"
                )));
            }
        }
        Ok(Self(battles))
    }

    /// The battles, in order.
    pub fn as_slice(&self) -> &[Battle] {
        &self.0
    }

    /// Number of battles.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Parts battles at random into training and held-out ones, `share` of them for training (rounded down).
///
/// All battles of a prompt fall on one side, so the held-out loss is one of prompts that training never saw; where
/// prompts repeat, the training side may end a few battles above its share. Both sides keep the order they had.
///
/// # Errors
/// `Kind::Value` for a share outside 0..=1.
pub fn split(battles: &[Battle], share: f64, seed: u64) -> Result<(Vec<Battle>, Vec<Battle>)> {
    if !(0.0..=1.0).contains(&share) {
        return Err(Error::value(format!("split: expected a share between 0 and 1, found {share}")));
    }
    let wanted = (battles.len() as f64 * share) as usize;
    let mut of_prompt = HashMap::<usize, usize>::new();
    for battle in battles {
        *of_prompt.entry(battle.prompt).or_default() += 1;
    }
    let mut kept = HashSet::new();
    let mut count = 0;
    for index in Key::new(seed).part(SPLIT).shuffled(battles.len()) {
        if count >= wanted {
            break;
        }
        let prompt = battles[index].prompt;
        if kept.insert(prompt) {
            count += of_prompt[&prompt];
        }
    }
    Ok(battles.iter().partition(|battle| kept.contains(&battle.prompt)))
}

/// What the order that decides a split is drawn for.
const SPLIT: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_has_its_share_and_no_prompt_on_both_sides() {
        let part = |prompts: &mut dyn Iterator<Item = usize>, share, seed| {
            let battles: Vec<_> = prompts.map(|prompt| Battle { winner: 0, loser: 1, prompt }).collect();
            split(&battles, share, seed).unwrap()
        };
        let (train, held) = part(&mut (0..1000), 0.95, 3);
        assert_eq!((train.len(), held.len()), (950, 50));
        assert_ne!(held, part(&mut (0..1000), 0.95, 4).1);
        let (train, held) = part(&mut (0..1000).map(|i| i % 90), 0.8, 3);
        assert!(train.len() >= 800 && train.len() < 820 && train.len() + held.len() == 1000);
        let side = |b: &[Battle]| b.iter().map(|b| b.prompt).collect::<HashSet<_>>();
        assert!(side(&train).is_disjoint(&side(&held)));
        assert_eq!(part(&mut (0..7), 1.0, 3).1.len(), 0);
        assert_eq!(part(&mut (0..7), 0.0, 3).0.len(), 0);
        assert_eq!(part(&mut (0..0), 0.5, 3).0.len(), 0);
        for wrong in [f64::NAN, -0.1, 1.1] {
            assert!(split(&train, wrong, 3).unwrap_err().message().contains("between 0 and 1"));
        }
    }

    #[test]
    fn what_does_not_exist_is_named() {
        let numbers = [0.0, 1.0, f32::NAN, 2.0];
        let rows = Rows::of_f32(&numbers, 2);
        let check = |winner, loser, prompt| {
            let first = Battle { winner: 0, loser: 1, prompt: 0 };
            let error =
                Battles::new(vec![first, Battle { winner, loser, prompt }], 3, &rows, &mut |_| Ok(())).unwrap_err();
            (error.kind(), error.message().to_owned())
        };
        assert_eq!(check(3, 1, 0), (Kind::Name, "battle 1: model row 3, but the table has 3 rows".into()));
        assert_eq!(check(0, 1, 2).0, Kind::Name);
        assert_eq!(check(2, 2, 0), (Kind::Value, "battle 1: model row 2 against itself".into()));
        let (kind, message) = check(0, 1, 1);
        assert_eq!(kind, Kind::Value);
        assert!(message.starts_with("embedding 1 (of battle 1) holds NaN in column 0"), "{message}");
    }
}
