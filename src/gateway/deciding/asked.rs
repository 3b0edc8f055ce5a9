//! What is decided on.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::error::{Error, Kind, Result};
use crate::providers::ChatRequest;
use crate::routing::views::Part;
use crate::text::view::View;

/// What a caller says in the reserved object `ferroute`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extras {
    /// Kind of task.
    pub task: Option<String>,
    /// What tells conversations apart.
    pub session: Option<String>,
    /// Names and values.
    pub tags: Vec<(String, String)>,
}

impl Extras {
    /// The tags as the ledger keeps them: a JSON object; `None` without any.
    pub fn tags_json(&self) -> Option<String> {
        let object: Map<String, Value> =
            self.tags.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        (!object.is_empty()).then(|| Value::Object(object).to_string())
    }
}

/// A request to decide on.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The model string, such as `router-mf-0.5`.
    pub model: String,
    /// The request in `OpenAI`'s shape, without the object `ferroute`.
    pub request: Arc<ChatRequest>,
    /// What was said beside it.
    pub extras: Extras,
}

impl Asked {
    /// The request as rules, filters and routers see it, with the text that `part` of it is.
    ///
    /// # Errors
    /// [`Kind::Value`] where the body is no object, [`Kind::Routing`] where it has no message to route on.
    pub fn view(&self, part: Part, join: bool) -> Result<View> {
        let mut view = View::of_bytes(self.request.bytes())?;
        if view.turns.is_empty() {
            return Err(Error::new(Kind::Routing, "messages is empty: there is no last message to route on."));
        }
        if part != Part::Last || join {
            let text = part.text(&view, join).into_owned();
            if part != Part::Last || text != view.text() {
                view.routed = Some(text);
            }
        }
        view.task.clone_from(&self.extras.task);
        view.session.clone_from(&self.extras.session);
        view.tags.clone_from(&self.extras.tags);
        Ok(view)
    }

    /// Whether a stream is asked for.
    pub(super) fn streams(&self) -> bool {
        self.request.object().is_ok_and(|body| body.get("stream") == Some(&Value::Bool(true)))
    }
}
