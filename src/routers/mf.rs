//! Matrix factorisation: a pair of models collapses to one vector.
//!
//! Each model has a row in a table `P`. Its logit for a prompt is
//! `classifier . (P[model] / |P[model]| * text_proj x embedding)`, which is linear in the embedding: everything but
//! the embedding folds into one vector for each model, and the difference of two models into one vector for the pair.
//! The strong model's win rate is then `sigmoid(embedding . pair)`: one dot product.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, RwLock};

use serde::Deserialize;

use crate::data::tensors::{self, CONFIG, Tensor, Tensors, WEIGHTS};
use crate::error::{Error, Kind, Result};
use crate::math::dot::{Vector, dot, dots};
use crate::math::rows::Rows;

const MODELS: &str = "P.weight";
const PROJECTION: &str = "text_proj.0.weight";
const CLASSIFIER: &str = "classifier.0.weight";

/// A norm below this counts as this, as in the original.
const SMALLEST_NORM: f64 = 1e-12;

/// Folded vectors kept; at the published sizes 6 KB each.
const KEPT: usize = 1024;

/// Constructor arguments, as far as they are known. The same names stand in `config.json`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Sizes {
    /// Numbers in a model's row.
    pub dim: Option<usize>,
    /// Rows of the table.
    pub num_models: Option<usize>,
    /// Numbers in an embedding.
    pub text_dim: Option<usize>,
    /// Logits for each model; a win rate needs 1.
    pub num_classes: Option<usize>,
    /// Whether embeddings are projected; if not, `text_dim` is `dim`.
    pub use_proj: Option<bool>,
}

impl Sizes {
    /// These, and where they are unknown, `other`'s.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            dim: self.dim.or(other.dim),
            num_models: self.num_models.or(other.num_models),
            text_dim: self.text_dim.or(other.text_dim),
            num_classes: self.num_classes.or(other.num_classes),
            use_proj: self.use_proj.or(other.use_proj),
        }
    }
}

/// A row of the table and the class its logit is for; with a second row, the difference of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    row: usize,
    minus: Option<usize>,
    class: usize,
}

/// A loaded checkpoint. Cheap to share between threads.
#[derive(Debug)]
pub struct MfModel {
    models: Tensor,
    projection: Option<Tensor>,
    classifier: Tensor,
    folded: RwLock<HashMap<Key, Arc<Vector>>>,
}

impl MfModel {
    /// Loads a folder (`model.safetensors`, and `config.json` if there is one) or a safetensors file.
    ///
    /// `sizes` are the arguments the caller insists on; what he leaves open is taken from `config.json`, and what
    /// that leaves open from the tensors. Only `use_proj` is never guessed: a projection is expected unless somebody
    /// says that there is none.
    ///
    /// # Errors
    /// `Kind::Checkpoint` names the tensor that is missing, unexpected, misshapen or not finite; see also
    /// [`tensors::open`].
    pub fn load(path: &Path, sizes: Sizes) -> Result<Self> {
        let file = tensors::open(path)?;
        let config = match file.beside(CONFIG)? {
            Some(text) => parse_config(&text).map_err(|e| e.context(file.path().with_file_name(CONFIG).display()))?,
            None => Sizes::default(),
        };
        Self::from_tensors(&file.tensors()?, sizes.or(config))
    }

    /// Takes the tensors of a parsed checkpoint; all sizes that are given must fit them.
    pub fn from_tensors(tensors: &Tensors, sizes: Sizes) -> Result<Self> {
        let use_proj = sizes.use_proj.unwrap_or(true);
        let models = tensors.take(MODELS, &[("num_models", sizes.num_models), ("dim", sizes.dim)])?;
        let dim = models.shape[1];
        let classifier = tensors.take(CLASSIFIER, &[("num_classes", sizes.num_classes), ("dim", Some(dim))])?;
        let projection = if use_proj {
            let taken = tensors.take(PROJECTION, &[("dim", Some(dim)), ("text_dim", sizes.text_dim)]);
            let hint = "for a model without a projection pass use_proj=False";
            let absent = sizes.use_proj.is_none() && !tensors.has(PROJECTION);
            Some(taken.map_err(|e| if absent { Error::new(e.kind(), format!("{e}; {hint}")) } else { e })?)
        } else {
            None
        };
        tensors.only(&[MODELS, CLASSIFIER, PROJECTION][..if use_proj { 3 } else { 2 }]).map_err(|e| {
            let hint = if tensors.has(PROJECTION) { " (with use_proj=False)" } else { "" };
            Error::new(e.kind(), format!("{e}{hint}"))
        })?;
        Self::new(models, projection, classifier, sizes).map_err(|e| tensors.wrong(e))
    }

    /// A model of given tensors: `[num_models, dim]`, `[dim, text_dim]` or none, `[num_classes, dim]`.
    pub fn new(models: Tensor, projection: Option<Tensor>, classifier: Tensor, sizes: Sizes) -> Result<Self> {
        let wrong = |what: String| Err(Error::new(Kind::Checkpoint, what));
        let model = Self { models, projection, classifier, folded: RwLock::default() };
        for (name, tensor) in model.named() {
            let [rows, cols] = tensor.shape[..] else {
                return wrong(format!("tensor `{name}` has shape {:?}, expected two dimensions", tensor.shape));
            };
            if rows == 0 || cols == 0 || rows.checked_mul(cols) != Some(tensor.values.len()) {
                return wrong(format!(
                    "tensor `{name}` of shape [{rows}, {cols}] holds {} numbers",
                    tensor.values.len()
                ));
            }
            if let Some(value) = tensor.values.iter().find(|value| !value.is_finite()) {
                return wrong(format!("tensor `{name}` holds {value}"));
            }
        }
        let dim = model.dim();
        let inner = [
            (CLASSIFIER, model.classifier.shape[1]),
            (PROJECTION, model.projection.as_ref().map_or(dim, |p| p.shape[0])),
        ];
        for (name, found) in inner {
            if found != dim {
                return wrong(format!("tensor `{name}` is made for dim={found}, `{MODELS}` has dim={dim}"));
            }
        }
        let found = model.sizes();
        for (name, wanted, found) in [
            ("dim", sizes.dim, found.dim),
            ("num_models", sizes.num_models, found.num_models),
            ("text_dim", sizes.text_dim, found.text_dim),
            ("num_classes", sizes.num_classes, found.num_classes),
            ("use_proj", sizes.use_proj.map(usize::from), found.use_proj.map(usize::from)),
        ] {
            if let (Some(wanted), Some(found)) = (wanted, found)
                && wanted != found
            {
                let hint = if name == "text_dim" && model.projection.is_none() {
                    "; without a projection it is equal to dim"
                } else {
                    ""
                };
                return wrong(format!("{name}={wanted} was asked for, the tensors have {name}={found}{hint}"));
            }
        }
        Ok(model)
    }

    /// Numbers in a model's row.
    pub fn dim(&self) -> usize {
        self.models.shape[1]
    }

    /// Rows of the table.
    pub fn num_models(&self) -> usize {
        self.models.shape[0]
    }

    /// Numbers in an embedding.
    pub fn text_dim(&self) -> usize {
        self.projection.as_ref().map_or(self.dim(), |projection| projection.shape[1])
    }

    /// Logits for each model.
    pub fn num_classes(&self) -> usize {
        self.classifier.shape[0]
    }

    /// All constructor arguments.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            dim: Some(self.dim()),
            num_models: Some(self.num_models()),
            text_dim: Some(self.text_dim()),
            num_classes: Some(self.num_classes()),
            use_proj: Some(self.projection.is_some()),
        }
    }

    /// The tensors and their names in a checkpoint.
    pub fn named(&self) -> Vec<(&'static str, &Tensor)> {
        let projection = self.projection.iter().map(|tensor| (PROJECTION, tensor));
        [(MODELS, &self.models), (CLASSIFIER, &self.classifier)].into_iter().chain(projection).collect()
    }

    /// Writes `model.safetensors` and `config.json` into a folder, as the original's `save_pretrained` does; `config` is
    /// the text of the latter, where it holds more than the sizes.
    pub fn save(&self, folder: &Path, config: Option<&str>) -> Result<()> {
        let unwritable = |e| Error::new(Kind::Io, format!("cannot make the folder {}: {e}", folder.display()));
        std::fs::create_dir_all(folder).map_err(unwritable)?;
        let named = self.named();
        let by_name: BTreeMap<_, _> = named.iter().map(|(n, t)| (*n, (t.shape.clone(), t.values.as_slice()))).collect();
        tensors::write(&folder.join(WEIGHTS), &tensors::to_bytes(&by_name)?)?;
        tensors::write(&folder.join(CONFIG), config.unwrap_or(&self.config()).as_bytes())
    }

    /// The text of `config.json`: keys sorted, indented by two, no line feed at the end.
    fn config(&self) -> String {
        format!(
            "{{\n  \"dim\": {},\n  \"num_classes\": {},\n  \"num_models\": {},\n  \"text_dim\": {},\n  \"use_proj\": {}\n}}",
            self.dim(),
            self.num_classes(),
            self.num_models(),
            self.text_dim(),
            self.projection.is_some()
        )
    }

    /// Win rate of the model in row `strong` over the one in row `weak`, for one embedding (`row` of `embeddings`).
    ///
    /// # Errors
    /// `Kind::Name` for a row outside the table; `Kind::Value` for another width, NaN or an infinity.
    pub fn win_rate(&self, embeddings: &Rows, row: usize, strong: usize, weak: usize) -> Result<f64> {
        self.check_width(embeddings)?;
        Ok(sigmoid(dot(embeddings, row, &*self.pair(strong, weak)?)?))
    }

    /// Win rates of several pairs `(strong row, weak row)` for all embeddings, which are read once:
    /// `[pairs, embeddings]`, C order. Each equals what [`MfModel::win_rate`] gives, bit for bit.
    ///
    /// # Errors
    /// As [`MfModel::win_rate`]; the first row that holds NaN or an infinity is named.
    pub fn win_rates(&self, embeddings: &Rows, pairs: &[(usize, usize)], threads: Option<usize>) -> Result<Vec<f64>> {
        self.win_rates_of(embeddings, &self.pairs(pairs)?, threads)
    }

    /// The vectors of several pairs, as [`MfModel::pair`] gives them.
    pub fn pairs(&self, pairs: &[(usize, usize)]) -> Result<Vec<Arc<Vector>>> {
        pairs.iter().map(|&(strong, weak)| self.pair(strong, weak)).collect()
    }

    /// As [`MfModel::win_rates`], for pairs that were folded before. No lock is touched.
    pub fn win_rates_of(&self, embeddings: &Rows, pairs: &[Arc<Vector>], threads: Option<usize>) -> Result<Vec<f64>> {
        self.check_width(embeddings)?;
        let vectors: Vec<&Vector> = pairs.iter().map(AsRef::as_ref).collect();
        dots(embeddings, &vectors, threads, sigmoid)
    }

    /// Logits of the models in `rows` for one embedding: `[rows, num_classes]`, C order.
    pub fn logits(&self, embedding: &Rows, rows: &[usize]) -> Result<Vec<f32>> {
        self.check_width(embedding)?;
        let classes = 0..self.num_classes();
        let keys = rows.iter().flat_map(|&row| classes.clone().map(move |class| Key { row, minus: None, class }));
        keys.map(|key| Ok(dot(embedding, 0, &*self.folded(key)?)? as f32)).collect()
    }

    /// The vector a pair collapses to: what [`MfModel::win_rate`] multiplies an embedding with.
    pub fn pair(&self, strong: usize, weak: usize) -> Result<Arc<Vector>> {
        if self.num_classes() != 1 {
            let found = self.num_classes();
            return Err(Error::value(format!(
                "a win rate needs num_classes=1; this checkpoint has num_classes={found}"
            )));
        }
        self.folded(Key { row: strong, minus: Some(weak), class: 0 })
    }

    fn check_width(&self, embeddings: &Rows) -> Result<()> {
        if embeddings.cols() == self.text_dim() {
            return Ok(());
        }
        Err(Error::value(format!(
            "expected embeddings of {} numbers (text_dim of these weights), found {}: were they made by another \
             embedding model than the one the weights were trained with?",
            self.text_dim(),
            embeddings.cols()
        )))
    }

    /// Never waits: in a forked child, a thread that is not there may hold the lock. Without it the vector is made anew.
    fn folded(&self, key: Key) -> Result<Arc<Vector>> {
        if let Ok(kept) = self.folded.try_read()
            && let Some(vector) = kept.get(&key)
        {
            return Ok(Arc::clone(vector));
        }
        let vector = Arc::new(self.fold(key)?);
        if let Ok(mut kept) = self.folded.try_write() {
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.insert(key, Arc::clone(&vector));
        }
        Ok(vector)
    }

    /// In f64 throughout, rounded once at the end.
    fn fold(&self, key: Key) -> Result<Vector> {
        let dim = self.dim();
        let mut side = self.unit(key.row)?;
        if let Some(minus) = key.minus {
            side.iter_mut().zip(self.unit(minus)?).for_each(|(value, other)| *value -= other);
        }
        let classifier = &self.classifier.values[key.class * dim..(key.class + 1) * dim];
        side.iter_mut().zip(classifier).for_each(|(value, &weight)| *value *= f64::from(weight));
        let Some(projection) = &self.projection else {
            return Vector::new(&side).ok_or_else(too_large);
        };
        let mut sum = vec![0.0; self.text_dim()];
        for (row, value) in projection.values.chunks_exact(self.text_dim()).zip(side) {
            sum.iter_mut().zip(row).for_each(|(sum, &weight)| *sum += value * f64::from(weight));
        }
        Vector::new(&sum).ok_or_else(too_large)
    }

    /// A row of the table, divided by its norm.
    fn unit(&self, row: usize) -> Result<Vec<f64>> {
        let dim = self.dim();
        let Some(values) = row.checked_mul(dim).and_then(|start| self.models.values.get(start..start + dim)) else {
            let last = self.num_models() - 1;
            return Err(Error::new(Kind::Name, format!("no model has row {row}: the table has rows 0 to {last}")));
        };
        let wide = values.iter().copied().map(f64::from);
        let norm = wide.clone().map(|value| value * value).sum::<f64>().sqrt().max(SMALLEST_NORM);
        Ok(wide.map(|value| value / norm).collect())
    }
}

fn too_large() -> Error {
    Error::new(Kind::Checkpoint, "the weights are so large that their product overflows float32")
}

fn parse_config(text: &str) -> Result<Sizes> {
    let expected = "expected an object with dim, num_models, text_dim, num_classes (whole numbers) and use_proj (bool)";
    serde_json::from_str(text).map_err(|e| Error::new(Kind::Checkpoint, format!("{expected}: {e}")))
}

/// In 0..=1 for every number but NaN.
fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(num_models: usize) -> MfModel {
        let values: Vec<f32> = (0..num_models * 2).map(|i| (i * i % 37) as f32 - 9.0).collect();
        let models = Tensor { shape: vec![num_models, 2], values };
        MfModel::new(models, None, Tensor { shape: vec![1, 2], values: vec![0.5, 2.0] }, Sizes::default()).unwrap()
    }

    #[test]
    fn folded_pairs_are_kept_up_to_a_bound() {
        let model = model(40);
        let first = model.pair(1, 2).unwrap();
        assert!(Arc::ptr_eq(&first, &model.pair(1, 2).unwrap()));
        for strong in 0..40 {
            for weak in 0..40 {
                model.pair(strong, weak).unwrap();
                assert!(model.folded.read().unwrap().len() <= KEPT);
            }
        }
        assert_eq!(first, model.pair(1, 2).unwrap());
    }

    #[test]
    fn a_lock_that_is_never_released_costs_time_only() {
        let model = model(4);
        let before = model.pair(1, 2).unwrap();
        let _held = model.folded.write().unwrap();
        assert_eq!(before, model.pair(1, 2).unwrap());
    }

    #[test]
    fn weights_whose_product_overflows_are_an_error() {
        let tensor =
            |shape: [usize; 2], value| Tensor { shape: shape.to_vec(), values: vec![value; shape[0] * shape[1]] };
        let projection = Some(tensor([2, 3], f32::MAX));
        let model = MfModel::new(tensor([2, 2], 1.0), projection, tensor([1, 2], 10.0), Sizes::default()).unwrap();
        assert_eq!(model.logits(&Rows::of_f32(&[0.0; 3], 3), &[0]).unwrap_err().kind(), Kind::Checkpoint);
    }

    #[test]
    fn a_win_rate_stays_within_its_range() {
        for x in [0.0, 1.0, -1.0, 800.0, -800.0, f64::MAX, f64::MIN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!((0.0..=1.0).contains(&sigmoid(x)), "{x}");
        }
        assert_eq!(sigmoid(0.0), 0.5);
    }
}
