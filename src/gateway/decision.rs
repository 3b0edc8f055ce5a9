//! `/v1/decision`: which model a request would go to, without the call. For people who keep a gateway of their own.
//!
//! The body is that of a completion in any of the protocols. Policies hold as for a call, but what a budget sets aside is
//! given back at once; what the choice itself has cost is not.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Request, Response};
use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::admit::{self, Asking};
use super::deciding::Asked;
use super::protocol::anthropic::Anthropic;
use super::protocol::openai::OpenAi;
use super::protocol::responses::Responses;
use super::protocol::{Inbound, Protocol};
use super::state::Gateway;
use super::told::Told;
use super::{body, chat, explain, guard};
use crate::error::Result;
use crate::policy::Scope;
use crate::providers::ChatRequest;

pub(super) async fn decision(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    let work = async move {
        let mut told = Told::begin(&gateway, OpenAi.name(), "/v1/decision", request.headers());
        let mut protocol: &'static dyn Protocol = &OpenAi;
        match decided(&gateway, request, &mut told, &mut protocol).await {
            Ok(body) => chat::whole(told, body),
            Err(error) => chat::failed(told, protocol, &error),
        }
    };
    chat::guarded(&OpenAi, work).await
}

async fn decided(
    gateway: &Gateway,
    request: Request<Body>,
    told: &mut Told,
    protocol: &mut &'static dyn Protocol,
) -> Result<Bytes> {
    let setup = gateway.setup();
    let (head, sent) = request.into_parts();
    told.caller = admit::caller(&setup, &head.headers, Scope::Chat)?;
    let from = Instant::now();
    let read = body::whole(&head.headers, sent, &setup.server).await;
    told.waited_since(from);
    let read = read?;
    *protocol = spoken(&head.headers, &read);
    told.protocol = protocol.name();
    let Inbound { body, model, extras, .. } = protocol.read(read)?;
    guard::no_address(&body)?;
    let meant = setup.models.meant(&model).to_owned();
    told.pass = setup.policies.enter(&told.caller, &model, &meant, body.len())?;
    let request = Arc::new(ChatRequest::new(body));
    let decided = chat::decide(&setup, &told.caller, model, &request, &extras).await?;
    let asked = Asking { caller: &told.caller, extras: &extras, request: &request, embeds: false };
    let decided = admit::admitted(&setup, asked, &mut told.pass, decided).await?.decided;
    let mut body = explain::decision(&decided);
    if decided.router.is_some() {
        let asked = Asked { model: meant, request, extras };
        body.insert("explanation".to_owned(), Value::Object(setup.deciding.explained(&asked, &decided)));
    }
    told.decided = Some(decided);
    Ok(Value::Object(body).to_string().into())
}

/// The protocol a body is in, as its header or its members say.
fn spoken(headers: &HeaderMap, body: &[u8]) -> &'static dyn Protocol {
    #[derive(Deserialize)]
    struct Members {
        messages: Option<IgnoredAny>,
        input: Option<IgnoredAny>,
    }
    if headers.contains_key("anthropic-version") {
        return &Anthropic;
    }
    match serde_json::from_slice(body) {
        Ok(Members { messages: None, input: Some(_) }) => &Responses,
        _ => &OpenAi,
    }
}
