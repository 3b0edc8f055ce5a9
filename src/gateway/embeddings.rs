//! `/v1/embeddings`: the caller's request to the model it names, accounted like every call.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use bytes::Bytes;
use serde::Deserialize;

use super::app::Gateway;
use super::deciding::{Decided, Extras};
use super::protocol::Protocol;
use super::protocol::openai::OpenAi;
use super::told::Told;
use super::{admit, body, chat};
use crate::engine::embeddings;
use crate::engine::plan::Plan;
use crate::error::{Error, Kind, Result};
use crate::providers::ChatRequest;

#[derive(Deserialize)]
struct Head {
    model: String,
}

pub(super) async fn embed(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    let work = async move {
        let mut told = Told::begin(&gateway, OpenAi.name(), "/v1/embeddings", request.headers());
        match embedded(&gateway, request, &mut told).await {
            Ok(body) => chat::whole(told, body),
            Err(error) => chat::failed(told, &OpenAi, &error),
        }
    };
    chat::guarded(&OpenAi, work).await
}

async fn embedded(gateway: &Gateway, request: Request<Body>, told: &mut Told) -> Result<Bytes> {
    let setup = gateway.setup();
    let (head, sent) = request.into_parts();
    told.caller = admit::caller(&setup, &head.headers)?;
    let from = Instant::now();
    let read = body::whole(&head.headers, sent, &setup.server).await;
    told.waited_since(from);
    let body = read?;
    let Head { model } =
        serde_json::from_slice(&body).map_err(|error| Error::value(format!("the request body: {error}")))?;
    let meant = setup.models.meant(&model);
    if setup.models.find(meant).is_none() && meant.starts_with("router") {
        // The vectors of two models have nothing to do with each other.
        return Err(Error::new(Kind::Value, "embeddings are not routed: name a model that makes them"));
    }
    let target = setup.models.target(meant)?;
    let decided = told.decided.insert(Decided::by_name(Arc::clone(&target), model));
    target.callable()?;
    let routed = admit::routed(&told.caller, decided, &Extras::default());
    let plan = Plan { routed, ..target.plan.clone() };
    let from = Instant::now();
    let answered = embeddings::embeddings(gateway.http(), plan, Arc::new(ChatRequest::new(body))).await;
    told.waited_since(from);
    let answered = answered?;
    told.account = Some(answered.account);
    Ok(answered.answer.body)
}
