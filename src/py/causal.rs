//! `_core.CausalModel`: a language model as a classifier; and its prompt.
#![expect(clippy::needless_pass_by_value, reason = "pyo3 hands over owned values")]

use std::path::PathBuf;
use std::sync::Arc;

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::arguments::{List, count, text as read};
use super::watched::watched;
use crate::error::Error;
use crate::neural::linear::Precision;
use crate::routers::causal::{Answer, CausalModel as Core, Format, Options, Prompt, probability};
use crate::text::tokenizer::Tokenizer;

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<CausalPrompt>()?;
    m.add_class::<CausalTokenizer>()?;
    m.add_class::<CausalModel>()?;
    m.add_function(wrap_pyfunction!(label_probability, m)?)
}

type Scores<'py> = (Vec<u32>, Option<Bound<'py, PyArray1<f32>>>);

#[pyfunction]
fn label_probability(py: Python<'_>, logits: List<f32>, threshold: usize) -> (f32, Bound<'_, PyArray1<f32>>) {
    let (binary, softmax) = probability(&logits, threshold);
    (binary, softmax.into_pyarray(py))
}

#[pyclass(frozen, module = "ferroute._core")]
struct CausalPrompt(Prompt);

#[pymethods]
impl CausalPrompt {
    #[new]
    fn new(
        system_message: &Bound<'_, PyString>,
        classifier_message: &Bound<'_, PyString>,
        system: &Bound<'_, PyString>,
        user: &Bound<'_, PyString>,
    ) -> PyResult<Self> {
        let format = Format::new(&read(system), &read(user))?;
        Ok(Self(Prompt::new(&read(system_message), &read(classifier_message), &format)?))
    }

    fn render(&self, question: &Bound<'_, PyString>) -> String {
        self.0.render(&read(question))
    }
}

#[pyclass(frozen, module = "ferroute._core")]
struct CausalTokenizer(Arc<Tokenizer>);

#[pymethods]
impl CausalTokenizer {
    #[new]
    fn new(py: Python<'_>, path: PathBuf, special_tokens: List<String>) -> PyResult<Self> {
        let open = || {
            let mut tokenizer = Tokenizer::open(&path)?;
            tokenizer.add_special_tokens(&special_tokens.iter().map(String::as_str).collect::<Vec<_>>())?;
            Ok::<_, Error>(Self(Arc::new(tokenizer)))
        };
        Ok(py.detach(open)?)
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn encode(&self, py: Python<'_>, text: &Bound<'_, PyString>) -> PyResult<Vec<u32>> {
        let text = read(text);
        Ok(py.detach(|| self.0.encode(&text))?)
    }

    fn decode(&self, ids: List<u32>) -> PyResult<String> {
        Ok(self.0.decode(&ids)?)
    }

    fn tokens(&self, ids: List<u32>) -> Vec<Option<String>> {
        ids.into_iter().map(|id| self.0.id_to_token(id)).collect()
    }

    fn token_to_id(&self, token: &str) -> Option<u32> {
        self.0.token_to_id(token)
    }
}

#[pyclass(frozen, module = "ferroute._core")]
struct CausalModel(Core, PathBuf);

#[pymethods]
impl CausalModel {
    #[new]
    #[pyo3(signature = (checkpoint, tokenizer, *, labels, own_tokenizer=false, bf16=false, max_new_tokens=None, threads=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of one constructor")]
    fn new(
        py: Python<'_>,
        checkpoint: PathBuf,
        tokenizer: PathBuf,
        labels: List<String>,
        own_tokenizer: bool,
        bf16: bool,
        max_new_tokens: Option<&Bound<'_, PyAny>>,
        threads: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let options = Options {
            labels: labels.0,
            precision: if bf16 { Precision::Bf16 } else { Precision::F32 },
            max_new_tokens: count("max_new_tokens", max_new_tokens)?.unwrap_or(6),
            threads: count("threads", threads)?,
        };
        let open = || Core::open(&checkpoint, &tokenizer, own_tokenizer, options);
        Ok(Self(py.detach(open)?, tokenizer))
    }

    #[getter]
    fn tokenizer_folder(&self) -> PathBuf {
        self.1.clone()
    }

    #[getter]
    fn first_label(&self) -> usize {
        self.0.first_label()
    }

    #[getter]
    fn shared_tokens(&self) -> usize {
        self.0.shared_tokens()
    }

    #[getter]
    fn outputs(&self) -> usize {
        self.0.decoder().config().vocabulary
    }

    #[getter]
    fn tokenizer(&self) -> CausalTokenizer {
        CausalTokenizer(Arc::clone(self.0.tokenizer()))
    }

    fn share(&self, py: Python<'_>, prompt: &CausalPrompt) -> PyResult<()> {
        Ok(py.detach(|| self.0.share(&prompt.0))?)
    }

    #[getter]
    fn longest(&self) -> usize {
        self.0.decoder().longest()
    }

    fn answer<'py>(&self, py: Python<'py>, ids: List<u32>) -> PyResult<Scores<'py>> {
        let answers = watched(py, None, |advanced| self.0.answer(&[ids.0], advanced))?;
        Ok(answers.into_iter().map(|answer| scores(py, answer)).next().unwrap_or_default())
    }

    #[pyo3(signature = (prompt, texts, progress=None))]
    fn answers<'py>(
        &self,
        py: Python<'py>,
        prompt: &CausalPrompt,
        texts: List<Bound<'py, PyString>>,
        progress: Option<Py<PyAny>>,
    ) -> PyResult<Vec<Scores<'py>>> {
        let texts: Vec<_> = texts.iter().map(read).collect();
        let answers = watched(py, progress.as_ref(), |advanced| self.0.answer_texts(&prompt.0, &texts, advanced))?;
        Ok(answers.into_iter().map(|answer| scores(py, answer)).collect())
    }

    fn first_logits<'py>(&self, py: Python<'py>, ids: List<u32>) -> PyResult<Bound<'py, PyArray1<f32>>> {
        Ok(watched(py, None, |advanced| self.0.first_logits(&ids, advanced))?.into_pyarray(py))
    }
}

fn scores(py: Python<'_>, answer: Answer) -> Scores<'_> {
    (answer.ids, answer.logits.map(|logits| logits.into_pyarray(py)))
}
