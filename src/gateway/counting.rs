//! `/v1/messages/count_tokens`: how long a prompt is, by our own estimate. No model is asked.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use bytes::Bytes;

use super::protocol::Protocol;
use super::protocol::anthropic::{self, Anthropic};
use super::state::Gateway;
use super::told::Told;
use super::{admit, body, chat};
use crate::error::Result;
use crate::policy::Scope;

pub(super) async fn count(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    let work = async move {
        let mut told = Told::begin(&gateway, Anthropic.name(), "/v1/messages/count_tokens", request.headers());
        match counted(&gateway, request, &mut told).await {
            Ok(body) => chat::whole(told, body),
            Err(error) => chat::failed(told, &Anthropic, &error),
        }
    };
    chat::guarded(&Anthropic, work).await
}

async fn counted(gateway: &Gateway, request: Request<Body>, told: &mut Told) -> Result<Bytes> {
    let setup = gateway.setup();
    let (head, sent) = request.into_parts();
    told.caller = admit::caller(&setup, &head.headers, Scope::Chat)?;
    let from = Instant::now();
    let read = body::whole(&head.headers, sent, &setup.server).await;
    told.waited_since(from);
    anthropic::count_tokens(&read?)
}
