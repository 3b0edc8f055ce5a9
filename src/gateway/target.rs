//! A model that can be called, or is known not to be.

use std::sync::Arc;

use crate::engine::plan::Plan;
use crate::error::{Denied, Error, Result};
use crate::providers::Endpoint;

/// A model that can be called: its plan but for what is decided before a call.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name, as the ledger and the caller know it.
    pub name: String,
    /// Endpoints, policy and ledger of its calls.
    pub plan: Plan,
    /// Why it cannot be called, such as a key that is missing. The server starts all the same: other models can.
    pub broken: Option<String>,
}

impl Target {
    /// A model that is called like this.
    pub fn new(name: String, plan: Plan) -> Self {
        Self { name, plan, broken: None }
    }

    /// A model that cannot be called, but is decided on and priced like any other. `like` has policy and ledger, and
    /// endpoints that are never asked.
    pub fn broken(name: String, why: String, like: &Plan) -> Self {
        let endpoints = like.endpoints.iter().map(|endpoint| Endpoint { name: name.clone(), ..endpoint.clone() });
        let plan = Plan { endpoints: endpoints.collect(), climb: Arc::default(), ..like.clone() };
        Self { name, plan, broken: Some(why) }
    }

    /// Whether it can be called.
    ///
    /// # Errors
    /// [`Kind::Denied`](crate::Kind::Denied) with 503 and the reason where it cannot.
    pub fn callable(&self) -> Result<()> {
        match &self.broken {
            None => Ok(()),
            Some(why) => {
                let denied = Denied { status: 503, code: "model_unavailable", retry_after: None };
                Err(Error::denied(denied, format!("`{}` cannot be called: {why}", self.name)))
            }
        }
    }
}
