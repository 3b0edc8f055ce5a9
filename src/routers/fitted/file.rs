//! The router's file: safetensors with a card inside, read strictly.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::near::Neighbours;
use super::{Line, MOST_MODELS, MOST_WIDTH, Projection, Recipe, Scorer};
use crate::data::tensors::{self, Tensors};
use crate::error::{Error, Kind, Result};
use crate::text::lexical;
use crate::text::table::DIM;

/// Key of the card among the file's notes.
const CARD: &str = "ferroute_router";
/// Version of the layout and of the recipe's constants.
const FORMAT: u32 = 1;
/// Longest card that is read.
const LONGEST_CARD: usize = 1 << 20;
/// No weight of a sound file comes near it.
const LARGEST: f32 = 1e6;

/// A fitted router.
#[derive(Debug, Clone, PartialEq)]
pub struct Fitted {
    about: About,
    recipe: Recipe,
    projection: Option<Projection>,
    scorer: Scorer,
    quantiles: Vec<f64>,
}

/// What the card says about the numbers; all else in it is for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct About {
    format: u32,
    /// Names of the models, in the order of scores.
    pub models: Vec<String>,
    /// Which of them is the strong one.
    pub strong: usize,
    /// Which is the weak one.
    pub weak: usize,
    /// Numbers of the user's embedding; none: the one in this binary.
    pub embedding: Option<usize>,
    /// `heads` or `neighbours`.
    method: String,
    #[serde(default)]
    k: usize,
    #[serde(default)]
    guard: f64,
    /// Everything else: data, figures, versions.
    #[serde(default)]
    pub card: serde_json::Value,
}

impl About {
    /// For `models`, of which two are compared.
    pub fn new(models: Vec<String>, strong: usize, weak: usize, embedding: Option<usize>) -> Self {
        let (method, card) = (String::new(), serde_json::Value::Null);
        Self { format: FORMAT, models, strong, weak, embedding, method, k: 0, guard: 0.0, card }
    }

    fn check(&self) -> Result<(), String> {
        let count = self.models.len();
        if self.format != FORMAT {
            return Err(format!("expected format {FORMAT}, found {}", self.format));
        }
        if !(2..=MOST_MODELS).contains(&count) {
            return Err(format!("expected 2 to {MOST_MODELS} models, found {count}"));
        }
        let mut names: Vec<&str> = self.models.iter().map(String::as_str).collect();
        names.sort_unstable();
        if names.windows(2).any(|two| two[0] == two[1]) {
            return Err("a model's name occurs twice".to_owned());
        }
        if self.strong >= count || self.weak >= count || self.strong == self.weak {
            return Err(format!("strong {} and weak {} are not two of {count} models", self.strong, self.weak));
        }
        Ok(())
    }
}

impl Fitted {
    /// A router of its parts.
    ///
    /// # Errors
    /// [`Kind::Value`] where they do not fit each other.
    pub fn new(
        mut about: About,
        recipe: Recipe,
        projection: Option<Projection>,
        mut scorer: Scorer,
        quantiles: Vec<f64>,
    ) -> Result<Self> {
        match &mut scorer {
            Scorer::Heads { lines, latents } => {
                // As the file holds them, so that a router scores alike before it is saved and after.
                lines.iter_mut().chain(latents).for_each(Line::round);
                "heads".clone_into(&mut about.method);
                if lines.len() != about.models.len() {
                    return Err(Error::value(format!("{} lines for {} models", lines.len(), about.models.len())));
                }
            }
            Scorer::Neighbours(near) => {
                "neighbours".clone_into(&mut about.method);
                (about.k, about.guard) = (near.k, near.guard);
            }
        }
        about.check().map_err(Error::value)?;
        Ok(Self { about, recipe, projection, scorer, quantiles })
    }

    /// Names of the models, in the order of scores.
    pub fn models(&self) -> &[String] {
        &self.about.models
    }

    /// Place of the strong model.
    pub fn strong(&self) -> usize {
        self.about.strong
    }

    /// Place of the weak model.
    pub fn weak(&self) -> usize {
        self.about.weak
    }

    /// Numbers of the embeddings that the user has to give; none: none are needed.
    pub fn embedding_width(&self) -> Option<usize> {
        self.about.embedding
    }

    /// What the numbers are about.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The way from features to a row.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The way from a user's embedding to the recipe's.
    pub fn projection(&self) -> Option<&Projection> {
        self.projection.as_ref()
    }

    /// How rows become scores.
    pub fn scorer(&self) -> &Scorer {
        &self.scorer
    }

    /// 100 quantiles of the win rates of the prompts it was fitted on, rising.
    pub fn quantiles(&self) -> &[f64] {
        &self.quantiles
    }

    /// The same router with another card.
    #[must_use]
    pub fn with_card(mut self, card: serde_json::Value) -> Self {
        self.about.card = card;
        self
    }

    /// The file, as bytes; the same router always gives the same.
    ///
    /// # Errors
    /// [`Kind::Checkpoint`] for a card that is too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let wrong = |what| Error::new(Kind::Checkpoint, what);
        let card = serde_json::to_string(&self.about).map_err(|e| wrong(e.to_string()))?;
        if card.len() > LONGEST_CARD {
            return Err(wrong(format!("a card of {} bytes; at most {LONGEST_CARD} are read again", card.len())));
        }
        let width = self.recipe.len();
        let quantiles: Vec<f32> = self.quantiles.iter().map(|&q| q as f32).collect();
        let flat = |lines: &[Line]| -> Vec<f32> {
            let one = |line: &Line| [line.intercept, line.alpha].into_iter().chain(line.weights.clone());
            lines.iter().flat_map(one).map(|value| value as f32).collect()
        };
        let (lines, latents) = match &self.scorer {
            Scorer::Heads { lines, latents } => (flat(lines), flat(latents)),
            Scorer::Neighbours(_) => (Vec::new(), Vec::new()),
        };
        let mut all = BTreeMap::from([
            ("means", (vec![width], self.recipe.means.as_slice())),
            ("factors", (vec![width], self.recipe.factors.as_slice())),
            ("quantiles", (vec![quantiles.len()], quantiles.as_slice())),
        ]);
        if let Some(projection) = &self.projection {
            let given = projection.centre.len();
            all.insert("centre", (vec![given], &projection.centre));
            all.insert("projection", (vec![self.recipe.width(), given], &projection.rows));
        }
        match &self.scorer {
            Scorer::Heads { latents: shared, .. } => {
                all.insert("lines", (vec![self.models().len(), width + 2], &lines));
                all.insert("latents", (vec![shared.len(), width + 2], &latents));
            }
            Scorer::Neighbours(near) => {
                let models = self.models().len();
                all.insert("rows", (vec![near.rows.len() / width, width], &near.rows));
                all.insert("outcomes", (vec![near.outcomes.len() / models, models], &near.outcomes));
            }
        }
        tensors::to_bytes_with(&all, &[(CARD, &card)])
    }

    /// Writes the file, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        tensors::write(path, &self.to_bytes()?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Kind::Missing`] and [`Kind::Io`] as of any file; [`Kind::Checkpoint`] where it is something else or damaged.
    pub fn load(path: &Path) -> Result<Self> {
        let checkpoint = tensors::open(path)?;
        Self::of_tensors(&checkpoint.tensors()?)
    }

    /// Reads a file's bytes; `source` is named in errors.
    pub fn from_bytes(bytes: &[u8], source: &str) -> Result<Self> {
        Self::of_tensors(&Tensors::parse(bytes, source)?)
    }

    fn of_tensors(file: &Tensors) -> Result<Self> {
        let card = file.note(CARD)?.ok_or_else(|| {
            file.wrong(format!("holds no fitted router of ferroute: there is no `{CARD}` in its metadata"))
        })?;
        if card.len() > LONGEST_CARD {
            return Err(file.wrong(format!("its card takes {} bytes; at most {LONGEST_CARD} are read", card.len())));
        }
        let about: About = serde_json::from_str(&card).map_err(|e| file.wrong(format!("its card is damaged: {e}")))?;
        about.check().map_err(|what| file.wrong(what))?;
        let models = about.models.len();
        let projected = file.has("projection");
        let width = match about.embedding {
            None => DIM,
            Some(_) if projected => file.take("projection", &[("width", None), ("given", about.embedding)])?.shape[0],
            Some(given) => given,
        };
        if width > MOST_WIDTH {
            return Err(file.wrong(format!("an embedding of {width} numbers; at most {MOST_WIDTH} are read")));
        }
        let len = 2 * (width + lexical::COUNT);
        let vector = |name: &str| Ok::<_, Error>(file.take(name, &[("width", Some(len))])?.values);
        let recipe = Recipe::new(width, vector("means")?, vector("factors")?)?;
        let projection = match about.embedding {
            Some(given) if projected => Some(Projection {
                centre: file.take("centre", &[("given", Some(given))])?.values,
                rows: file.take("projection", &[("width", Some(width)), ("given", Some(given))])?.values,
            }),
            _ => None,
        };
        let lines = |name: &str, count: Option<usize>| {
            let tensor = file.take(name, &[("models", count), ("width + 2", Some(len + 2))])?;
            if tensor.values.iter().any(|value| value.abs() > LARGEST) {
                return Err(file.wrong(format!("a number of `{name}` is larger than {LARGEST}")));
            }
            let one = |row: &[f32]| Line {
                intercept: f64::from(row[0]),
                alpha: f64::from(row[1]),
                weights: row[2..].iter().map(|&value| f64::from(value)).collect(),
            };
            Ok(tensor.values.chunks_exact(len + 2).map(one).collect::<Vec<_>>())
        };
        let mut known = vec!["means", "factors", "quantiles", "centre", "projection"];
        let scorer = match about.method.as_str() {
            "heads" => {
                known.extend(["lines", "latents"]);
                Scorer::Heads { lines: lines("lines", Some(models))?, latents: lines("latents", None)? }
            }
            "neighbours" => {
                known.extend(["rows", "outcomes"]);
                let rows = file.take("rows", &[("n", None), ("width", Some(len))])?;
                let outcomes = file.take("outcomes", &[("n", Some(rows.shape[0])), ("models", Some(models))])?.values;
                let sound = about.guard.is_finite() && about.guard >= 0.0 && about.k > 0;
                if !sound || outcomes.iter().any(|value| !(0.0..=1.0).contains(value)) {
                    return Err(file.wrong("expected outcomes in 0..=1, a positive k and a guard of at least 0"));
                }
                Scorer::Neighbours(Neighbours::new(len, models, about.k, about.guard, rows.values, outcomes))
            }
            other => {
                let other: String = other.chars().take(40).collect();
                return Err(file.wrong(format!("expected the method heads or neighbours, found {other:?}")));
            }
        };
        file.only(&known)?;
        let quantiles = file.take("quantiles", &[("quantiles", None)])?.values;
        let quantiles: Vec<f64> = quantiles.into_iter().map(f64::from).collect();
        if quantiles.len() > 1_000 || !quantiles.is_sorted() || quantiles.iter().any(|q| !(0.0..=1.0).contains(q)) {
            return Err(file.wrong("the quantiles are not a rising list within 0..=1"));
        }
        Self::new(about, recipe, projection, scorer, quantiles).map_err(|error| file.wrong(error.message().to_owned()))
    }
}
