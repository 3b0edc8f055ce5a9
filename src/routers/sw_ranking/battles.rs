//! Battles between models, as `RouteLLM` filters and reads them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::PathBuf;

use serde::de::IgnoredAny;

use crate::data::columns::{self, Column};
use crate::error::{Error, Kind, Result};
use crate::math::newton::Winner;

/// Battles whose first turn is shorter, in code points after stripping, are left out.
pub const SHORTEST_PROMPT: usize = 16;

const COLUMNS: [&str; 5] = ["model_a", "model_b", "prompt", "winner_model_a", "winner_model_b"];

/// The battles that are kept, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Battles {
    /// Names of the models: in order of appearance as first side, then as second side.
    pub labels: Vec<String>,
    /// Number of the first side's model.
    pub a: Vec<u32>,
    /// Number of the second side's model.
    pub b: Vec<u32>,
    /// Who won.
    pub winners: Vec<Winner>,
    /// Place among all battles, those left out included, from 0.
    pub rows: Vec<u32>,
    /// Number of battles before any was left out.
    pub total: usize,
}

impl Battles {
    /// Number of battles that are kept.
    pub fn len(&self) -> usize {
        self.a.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.a.is_empty()
    }

    /// Reads tables with the columns `model_a`, `model_b`, `prompt`, `winner_model_a` and `winner_model_b`, one after
    /// the other.
    ///
    /// # Errors
    /// As [`columns::read`]; `Kind::Value` for a model that is null, and a prompt that is not a JSON list of texts.
    pub fn read(files: &[PathBuf]) -> Result<Self> {
        let mut found = Self::default();
        let mut numbers = HashMap::new();
        for path in files {
            let table = columns::read_with_texts(path, Some(&COLUMNS), &COLUMNS[..3])?;
            let columns: Vec<Column> = table.into_iter().map(|(_, column)| column).collect();
            found.push(&columns, &mut numbers).map_err(|error| error.context(path.display()))?;
        }
        found.order_labels();
        Ok(found)
    }

    fn push(&mut self, columns: &[Column], numbers: &mut HashMap<String, u32>) -> Result<()> {
        let [a, b, prompts, wins_a, wins_b] = columns else { return Err(Error::value("expected five columns")) };
        let (a, b, prompts) = (texts(a, COLUMNS[0])?, texts(b, COLUMNS[1])?, texts(prompts, COLUMNS[2])?);
        let (wins_a, wins_b) = (values(wins_a, COLUMNS[3])?, values(wins_b, COLUMNS[4])?);
        for (row, prompt) in prompts.iter().enumerate() {
            let here = |what: String| Error::value(format!("row {}: {what}", row + 1));
            let prompt = prompt.as_ref().ok_or_else(|| here("`prompt` is null".to_owned()))?;
            let kept = first_turn_length(prompt).map_err(here)? >= SHORTEST_PROMPT;
            let place = u32::try_from(self.total).map_err(|_| here("there are more than 2^32 battles".to_owned()))?;
            self.total += 1;
            if !kept {
                continue;
            }
            let mut number = |column: &[Option<String>], name: &str| -> Result<u32> {
                let label = column[row].as_ref().ok_or_else(|| here(format!("`{name}` is null")))?;
                if let Some(&number) = numbers.get(label) {
                    return Ok(number);
                }
                let number = self.labels.len() as u32;
                self.labels.push(label.clone());
                numbers.insert(label.clone(), number);
                Ok(number)
            };
            let (first, second) = (number(a, COLUMNS[0])?, number(b, COLUMNS[1])?);
            self.a.push(first);
            self.b.push(second);
            self.rows.push(place);
            // Null is no win, as in pandas.
            self.winners.push(match (wins_a[row] == 1.0, wins_b[row] == 1.0) {
                (true, _) => Winner::A,
                (false, true) => Winner::B,
                (false, false) => Winner::Tie,
            });
        }
        Ok(())
    }

    /// Numbers the models as pandas' `unique` does over the two columns, one below the other.
    fn order_labels(&mut self) {
        let mut new = vec![u32::MAX; self.labels.len()];
        let mut labels = Vec::with_capacity(self.labels.len());
        for &old in self.a.iter().chain(&self.b) {
            let slot = &mut new[old as usize];
            if *slot == u32::MAX {
                *slot = labels.len() as u32;
                labels.push(std::mem::take(&mut self.labels[old as usize]));
            }
        }
        self.a.iter_mut().chain(&mut self.b).for_each(|label| *label = new[*label as usize]);
        self.labels = labels;
    }
}

fn texts<'a>(column: &'a Column, name: &str) -> Result<&'a [Option<String>]> {
    match column {
        Column::Text(texts) => Ok(texts),
        Column::Numbers(_) => Err(Error::value(format!("column `{name}`: expected texts, found numbers"))),
    }
}

fn values<'a>(column: &'a Column, name: &str) -> Result<Cow<'a, [f64]>> {
    match column {
        Column::Numbers(numbers) => Ok(Cow::Borrowed(numbers)),
        // Nothing but nulls says nothing about the kind.
        Column::Text(texts) if texts.iter().all(Option::is_none) => Ok(Cow::Owned(vec![f64::NAN; texts.len()])),
        Column::Text(_) => {
            Err(Error::new(Kind::Value, format!("column `{name}`: expected 0, 1 or truth values, found texts")))
        }
    }
}

/// Code points of the first turn of a conversation (a JSON list of texts), without white space around it.
///
/// # Errors
/// What is wrong with the text.
pub fn first_turn_length(prompt: &str) -> Result<usize, String> {
    serde_json::from_str::<Vec<IgnoredAny>>(prompt)
        .map_err(|error| format!("`prompt` is not a JSON list of turns: {error}"))?;
    let blank = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r');
    let first = prompt.trim_start_matches(blank).strip_prefix('[').unwrap_or_default().trim_start_matches(blank);
    let Some(text) = first.strip_prefix('"') else {
        let what = if first.starts_with(']') { "is an empty list" } else { "begins with something else" };
        return Err(format!("`prompt`: expected a JSON list that begins with a text; it {what}"));
    };
    Ok(stripped_length(Points { text: text.chars() }))
}

/// The length without what Python's `str.strip` takes away.
fn stripped_length(points: impl Iterator<Item = u32>) -> usize {
    let (mut count, mut length) = (0, 0);
    for point in points {
        if is_space(point) {
            // White space counts only if something follows, and something was before.
            count += usize::from(count > 0);
        } else {
            count += 1;
            length = count;
        }
    }
    length
}

/// What Python calls white space.
fn is_space(point: u32) -> bool {
    matches!(point,
        0x09..=0x0d | 0x1c..=0x20 | 0x85 | 0xa0 | 0x1680 | 0x2000..=0x200a | 0x2028 | 0x2029 | 0x202f | 0x205f | 0x3000)
}

/// The code points of a JSON string after its opening quote; a lone surrogate is one, as in Python.
struct Points<'a> {
    text: std::str::Chars<'a>,
}

impl Points<'_> {
    /// The four hexadecimal digits after `\u`.
    fn unit(text: &mut std::str::Chars) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit * 16 + text.next()?.to_digit(16)?))
    }
}

impl Iterator for Points<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self.text.next()? {
            '"' => None,
            '\\' => match self.text.next()? {
                'u' => {
                    let unit = Self::unit(&mut self.text)?;
                    if !(0xd800..0xdc00).contains(&unit) {
                        return Some(unit);
                    }
                    let mut ahead = self.text.clone();
                    let low = (ahead.next() == Some('\\') && ahead.next() == Some('u')).then(|| Self::unit(&mut ahead));
                    match low.flatten() {
                        Some(low) if (0xdc00..0xe000).contains(&low) => {
                            self.text = ahead;
                            Some(0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                        }
                        _ => Some(unit),
                    }
                }
                'b' => Some(0x08),
                't' => Some(0x09),
                'n' => Some(0x0a),
                'f' => Some(0x0c),
                'r' => Some(0x0d),
                other => Some(u32::from(other)),
            },
            other => Some(u32::from(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_count_code_points_after_pythons_strip() {
        for (prompt, length) in [
            (r#"["abc"]"#, 3),
            (r#" [ "  a b  ", "more"]"#, 3),
            (r#"["\u001c\u0085\u00a0a\u3000\u2028"]"#, 1),
            (r#"["\u200bab\ufeff"]"#, 4),
            ("[\"\u{a0}\u{e4}\u{1f600}\u{205f}\"]", 2),
            (r#"["\ud83d\ude00"]"#, 1),
            (r#"["\ud83d"]"#, 1),
            (r#"["\ude00\ud83d\ud83d\ude00x"]"#, 4),
            (r#"["\ud83d\n\\\"\/"]"#, 5),
            (r#"["a\n\t\r\f\b"]"#, 6),
            (r#"["", "second"]"#, 0),
        ] {
            assert_eq!(first_turn_length(prompt), Ok(length), "{prompt}");
        }
        for prompt in
            ["", "hello", "[]", "[1]", "[null]", "[[\"a\"]]", "{\"a\": 1}", "[\"a\"", "[\"a\"] x", "[\"\\x\"]", "\"a\""]
        {
            assert!(first_turn_length(prompt).is_err(), "{prompt}");
        }
    }

    #[test]
    fn models_are_numbered_in_order_of_appearance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let row = |a: &str, b: &str, prompt: &str, wins: (u8, u8)| {
            let sides = serde_json::json!({"model_a": a, "model_b": b, "prompt": prompt}).to_string();
            format!("{}, \"winner_model_a\": {}, \"winner_model_b\": {}}}", &sides[..sides.len() - 1], wins.0, wins.1)
        };
        let long = r#"["sixteen letters."]"#;
        let lines = [
            row("x", "y", long, (1, 0)),
            row("p", "q", "[\"short\"]", (1, 0)),
            row("z", "x", long, (0, 1)),
            row("y", "w", long, (0, 0)),
        ];
        std::fs::write(&path, lines.join("\n")).unwrap();
        let found = Battles::read(&[path.clone(), path]).unwrap();
        assert_eq!(found.labels, ["x", "z", "y", "w"]);
        assert_eq!((&found.a[..3], &found.b[..3]), (&[0, 1, 2][..], &[2, 0, 3][..]));
        assert_eq!(found.winners[..3], [Winner::A, Winner::B, Winner::Tie]);
        assert_eq!((found.rows, found.total), (vec![0, 2, 3, 4, 6, 7], 8));
    }
}
