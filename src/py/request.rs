//! `_core.Request` and `_core.Verdict`: what a router is asked, and what one says that names a rung.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};

use super::arguments::List;
use super::arguments::text as read;
use crate::error::{Error, Kind};
use crate::routers::verdict::Verdict;
use crate::text::view::{Asks, Role, Turn, View};

pub(super) fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_class::<PyRequest>()?;
    m.add_class::<PyVerdict>()
}

/// A request as it is decided on.
#[pyclass(name = "Request", module = "ferroute._core", frozen)]
#[derive(Clone)]
pub(super) struct PyRequest(pub(super) Arc<View>);

#[pymethods]
impl PyRequest {
    #[new]
    #[pyo3(signature = (messages, keywords=None, *, text=None, task=None, session=None, tags=None))]
    fn new(
        messages: &Bound<'_, PyAny>,
        keywords: Option<&Bound<'_, PyDict>>,
        text: Option<&Bound<'_, PyString>>,
        task: Option<String>,
        session: Option<String>,
        tags: Option<List<(String, String)>>,
    ) -> PyResult<Self> {
        let mut view = match messages.cast::<PyString>() {
            Ok(prompt) => View::of_text(read(prompt)),
            Err(_) => View { turns: turns(messages)?, ..View::default() },
        };
        if let Some(keywords) = keywords {
            view.asks = asks(keywords)?;
            view.metadata = metadata(keywords)?;
        }
        view.routed = text.map(|text| read(text).into_owned());
        (view.task, view.session, view.tags) = (task, session, tags.unwrap_or_default().0);
        Ok(Self(Arc::new(view)))
    }

    #[getter]
    fn text(&self) -> &str {
        self.0.text()
    }

    #[getter]
    fn turns(&self) -> usize {
        self.0.user_turns()
    }

    #[getter]
    fn messages(&self) -> Vec<(&'static str, &str)> {
        let shown = |turn: &Turn| match turn.role {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        };
        self.0.turns.iter().map(|turn| (shown(turn), turn.text.as_str())).collect()
    }

    #[getter]
    fn prompt_tokens(&self) -> u64 {
        self.0.prompt_tokens()
    }

    #[getter]
    fn max_tokens(&self) -> Option<u64> {
        self.0.asks.max_tokens
    }

    #[getter]
    fn images(&self) -> u32 {
        self.0.images()
    }

    #[getter]
    fn audio(&self) -> bool {
        self.0.audio()
    }

    #[getter]
    fn tools(&self) -> bool {
        self.0.asks.tools
    }

    #[getter]
    fn json_schema(&self) -> bool {
        self.0.asks.schema
    }

    #[getter]
    fn task(&self) -> Option<&str> {
        self.0.task.as_deref()
    }

    #[getter]
    fn session(&self) -> Option<&str> {
        self.0.session.as_deref()
    }

    #[getter]
    fn tags(&self) -> Vec<(&str, &str)> {
        self.0.tags.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    #[getter]
    fn metadata(&self) -> Vec<(&str, &str)> {
        self.0.metadata.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    fn __repr__(&self) -> String {
        let shown: String = self.0.text().chars().take(40).collect();
        format!("Request({shown:?}, turns={}, prompt_tokens={})", self.turns(), self.prompt_tokens())
    }
}

/// A member of a dict, or an attribute of any other object; `None` where it is not there or is Python's None.
fn member<'py>(of: &Bound<'py, PyAny>, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
    let found = match of.cast::<PyDict>() {
        Ok(dict) => dict.get_item(name)?,
        Err(_) => match of.cast::<PyMapping>() {
            Ok(mapping) => mapping.get_item(name).ok(),
            Err(_) => of.getattr_opt(name)?,
        },
    };
    Ok(found.filter(|value| !value.is_none()))
}

fn string_of<'py>(value: Option<&'py Bound<'_, PyAny>>) -> Option<std::borrow::Cow<'py, str>> {
    value.and_then(|value| value.cast::<PyString>().ok()).map(read)
}

fn turns(messages: &Bound<'_, PyAny>) -> PyResult<Vec<Turn>> {
    let Ok(messages) = messages.try_iter() else {
        let found = messages.get_type().name()?;
        let said = format!("expected a prompt or a list of messages, found {found}");
        return Err(Error::new(Kind::Type, said).into());
    };
    let mut made = Vec::new();
    for message in messages {
        // What never ends, or repeats one number for terabytes, is no conversation.
        if made.len() == MOST_MESSAGES {
            return Err(Error::value(format!("expected at most {MOST_MESSAGES} messages, found more")).into());
        }
        made.push(turn(&message?)?);
    }
    Ok(made)
}

fn turn(message: &Bound<'_, PyAny>) -> PyResult<Turn> {
    let role = member(message, "role")?;
    let role = string_of(role.as_ref()).map_or(Role::User, |role| Role::named(&role));
    let mut turn = Turn::new(role, "");
    let Some(content) = member(message, "content")? else { return Ok(turn) };
    if let Ok(content) = content.cast::<PyString>() {
        turn.text = read(content).into_owned();
        return Ok(turn);
    }
    if !(content.is_instance_of::<PyList>() || content.is_instance_of::<PyTuple>()) {
        return Ok(turn);
    }
    for part in content.try_iter()? {
        let part = part?;
        let said = if part.is_instance_of::<PyString>() {
            Some(part)
        } else {
            let kind = member(&part, "type")?;
            match string_of(kind.as_ref()).as_deref() {
                Some("image_url") => turn.images += 1,
                Some("input_audio") => turn.sounds += 1,
                _ => {}
            }
            member(&part, "text")?
        };
        if let Some(said) = string_of(said.as_ref()).filter(|said| !said.is_empty()) {
            if !turn.text.is_empty() {
                turn.text.push('\n');
            }
            turn.text.push_str(&said);
        }
    }
    Ok(turn)
}

fn asks(keywords: &Bound<'_, PyDict>) -> PyResult<Asks> {
    let given = |name: &str| member(keywords.as_any(), name);
    let filled = |name: &str| -> PyResult<Option<Bound<'_, PyAny>>> {
        Ok(given(name)?.filter(|list| list.len().is_ok_and(|len| len > 0)))
    };
    let tools = match filled("tools")? {
        Some(tools) => Some(tools),
        None => filled("functions")?,
    };
    let number = |name: &str| -> PyResult<Option<u64>> { Ok(given(name)?.and_then(|number| number.extract().ok())) };
    let (mut json, mut schema) = (false, false);
    if let Some(format) = given("response_format")? {
        // A class, as `pydantic` has it, stands for its schema.
        let kind = member(&format, "type").ok().flatten();
        let kind = string_of(kind.as_ref());
        schema = kind.as_deref() == Some("json_schema") || format.is_instance_of::<pyo3::types::PyType>();
        json = schema || kind.as_deref() == Some("json_object");
    }
    let speaks = match filled("modalities")? {
        Some(list) => list.contains("audio")?,
        None => false,
    };
    let max_tokens = match number("max_completion_tokens")? {
        Some(most) => Some(most),
        None => number("max_tokens")?,
    };
    let tool_chars = tools.as_ref().map_or(Ok(0), |tools| chars_in(tools, 0))?;
    Ok(Asks { tools: tools.is_some(), json, schema, audio: speaks, max_tokens, tool_chars })
}

/// Nobody describes a tool deeper than this; a list that holds itself has an end here.
const DEEPEST: u32 = 128;
/// Messages of a conversation.
const MOST_MESSAGES: usize = 100_000;

/// Characters of all texts in a value, counted as [`crate::text::view::chars_in`] counts those of its JSON: the Controller and
/// the server must not differ in what fits a context.
fn chars_in(value: &Bound<'_, PyAny>, depth: u32) -> PyResult<usize> {
    if depth > DEEPEST {
        return Ok(1);
    }
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(read(text).chars().count());
    }
    if let Ok(members) = value.cast::<PyDict>() {
        return members
            .iter()
            .try_fold(0, |sum, (name, member)| Ok(sum + chars_in(&name, depth + 1)? + chars_in(&member, depth + 1)?));
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return value.try_iter()?.try_fold(0, |sum, item| Ok(sum + chars_in(&item?, depth + 1)?));
    }
    if value.is_none() || value.is_instance_of::<PyInt>() || value.is_instance_of::<PyFloat>() {
        return Ok(1);
    }
    // What is of somebody's own class is about as long as what it shows of itself.
    value.str()?.len()
}

fn metadata(keywords: &Bound<'_, PyDict>) -> PyResult<Vec<(String, String)>> {
    let Some(given) = member(keywords.as_any(), "metadata")? else { return Ok(Vec::new()) };
    let Ok(given) = given.cast_into::<PyDict>() else { return Ok(Vec::new()) };
    given.iter().map(|(name, value)| Ok((name.str()?.to_string(), value.str()?.to_string()))).collect()
}

/// What a router says that names a rung.
#[pyclass(name = "Verdict", module = "ferroute._core", frozen)]
#[derive(Clone)]
pub(super) struct PyVerdict(pub(super) Verdict);

#[pymethods]
impl PyVerdict {
    #[new]
    #[pyo3(signature = (
        rung=None, *, model=None, floor=None, ceiling=None, ask=None, label=None, reason="", fired=List::default(),
        scores=List::default(), notes=List::default(),
    ))]
    #[expect(clippy::too_many_arguments, reason = "Python's keyword arguments")]
    fn new(
        rung: Option<String>,
        model: Option<String>,
        floor: Option<String>,
        ceiling: Option<String>,
        ask: Option<String>,
        label: Option<String>,
        reason: &str,
        fired: List<String>,
        scores: List<(String, f64)>,
        notes: List<String>,
    ) -> Self {
        let reason = reason.to_owned();
        Self(Verdict {
            rung,
            model,
            floor,
            ceiling,
            ask,
            label,
            reason,
            fired: fired.0,
            scores: scores.0,
            notes: notes.0,
        })
    }

    #[getter]
    fn rung(&self) -> Option<&str> {
        self.0.rung.as_deref()
    }

    #[getter]
    fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    #[getter]
    fn floor(&self) -> Option<&str> {
        self.0.floor.as_deref()
    }

    #[getter]
    fn ceiling(&self) -> Option<&str> {
        self.0.ceiling.as_deref()
    }

    #[getter]
    fn ask(&self) -> Option<&str> {
        self.0.ask.as_deref()
    }

    #[getter]
    fn label(&self) -> Option<&str> {
        self.0.label.as_deref()
    }

    #[getter]
    fn reason(&self) -> &str {
        &self.0.reason
    }

    #[getter]
    fn fired(&self) -> Vec<&str> {
        self.0.fired.iter().map(String::as_str).collect()
    }

    #[getter]
    fn scores(&self) -> Vec<(&str, f64)> {
        self.0.scores.iter().map(|(name, score)| (name.as_str(), *score)).collect()
    }

    #[getter]
    fn notes(&self) -> Vec<&str> {
        self.0.notes.iter().map(String::as_str).collect()
    }

    fn __repr__(&self) -> String {
        let named = [
            ("rung", &self.0.rung),
            ("model", &self.0.model),
            ("floor", &self.0.floor),
            ("ceiling", &self.0.ceiling),
            ("ask", &self.0.ask),
            ("label", &self.0.label),
        ];
        let mut parts: Vec<String> =
            named.iter().filter_map(|(name, value)| Some(format!("{name}={:?}", value.as_deref()?))).collect();
        if !self.0.reason.is_empty() {
            parts.push(format!("reason={:?}", self.0.reason));
        }
        format!("Verdict({})", parts.join(", "))
    }
}
