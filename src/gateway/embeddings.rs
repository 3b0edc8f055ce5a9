//! `/v1/embeddings`: the caller's request to the model it names, accounted like every call.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use bytes::Bytes;
use serde::Deserialize;

use super::admit::{self, Asking};
use super::deciding::{Decided, Extras};
use super::protocol::Protocol;
use super::protocol::openai::OpenAi;
use super::state::Gateway;
use super::told::Told;
use super::{body, chat, guard};
use crate::engine::embeddings;
use crate::error::{Error, Kind, Result};
use crate::policy::Scope;
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
    told.caller = admit::caller(&setup, &head.headers, Scope::Embeddings)?;
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
    guard::no_address(&body)?;
    told.pass = setup.policies.enter(&told.caller, &model, meant, body.len())?;
    let target = setup.models.target(meant)?;
    let decided = Decided::by_name(Arc::clone(&target), model);
    let (request, extras) = (Arc::new(ChatRequest::new(body)), Extras::default());
    let asked = Asking { caller: &told.caller, extras: &extras, request: &request, embeds: true };
    let admitted = admit::admitted(&setup, asked, &mut told.pass, decided).await?;
    told.decided = Some(admitted.decided);
    told.left_out = admitted.left_out;
    target.callable()?;
    let from = Instant::now();
    let answered = embeddings::embeddings(gateway.http()?, admitted.plan, admitted.request).await;
    told.waited_since(from);
    let answered = answered?;
    told.account = Some(answered.account);
    Ok(answered.answer.body)
}
