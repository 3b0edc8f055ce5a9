//! `/v1/decision`: which model a request would go to, without the call. For people who keep a gateway of their own.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use bytes::Bytes;
use serde_json::Value;

use super::app::Gateway;
use super::deciding::Asked;
use super::protocol::openai::OpenAi;
use super::protocol::{self, Inbound, Protocol};
use super::told::Told;
use super::{admit, body, chat, explain};
use crate::error::Result;
use crate::providers::ChatRequest;

pub(super) async fn decision(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    let work = async move {
        let mut told = Told::begin(&gateway, OpenAi.name(), "/v1/decision", request.headers());
        match decided(&gateway, request, &mut told).await {
            Ok(body) => chat::whole(told, body),
            Err(error) => chat::failed(told, &OpenAi, &error),
        }
    };
    chat::guarded(&OpenAi, work).await
}

async fn decided(gateway: &Gateway, request: Request<Body>, told: &mut Told) -> Result<Bytes> {
    let setup = gateway.setup();
    let (head, sent) = request.into_parts();
    told.caller = admit::caller(&setup, &head.headers)?;
    let from = Instant::now();
    let read = body::whole(&head.headers, sent, &setup.server).await;
    told.waited_since(from);
    let sent = read?;
    let Inbound { body, model, extras, .. } = protocol::spoken(&head.headers, &sent).read(sent)?;
    let request = Arc::new(ChatRequest::new(body));
    let decided = chat::decide(&setup, model, &request, &extras).await?;
    let mut body = explain::decision(&decided);
    if decided.router.is_some() {
        let asked = Asked { model: decided.requested.clone(), request, extras };
        body.insert("explanation".to_owned(), Value::Object(setup.deciding.explained(&asked, &decided)));
    }
    let body = Value::Object(body).to_string();
    told.decided = Some(decided);
    Ok(body.into())
}
