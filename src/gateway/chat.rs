//! One completion over HTTP, in any of the protocols.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Request, Response, header};
use bytes::Bytes;
use futures_util::FutureExt;
use tokio::time::timeout;

use super::admit::{self, Asking};
use super::deciding::{Asked, Decided, Deciding, Extras};
use super::protocol::anthropic::Anthropic;
use super::protocol::openai::OpenAi;
use super::protocol::responses::Responses;
use super::protocol::{Inbound, Protocol, Reply};
use super::setup::Setup;
use super::state::Gateway;
use super::told::Told;
use super::{body, explain, failure, guard, headers, stream};
use crate::engine::call;
use crate::engine::plan::{Plan, Policy};
use crate::engine::stream::Stream;
use crate::error::{Error, Kind, Result};
use crate::policy::{Caller, Scope};
use crate::providers::ChatRequest;

/// A router that asks somebody has the same deadline for that, and something to do when it is past (`on_router_error`).
const HEAD_START: Duration = Duration::from_millis(250);
/// What a decision takes at least for a call to have less time: most take microseconds, and a plan is shared.
const NOTABLE: Duration = Duration::from_millis(10);

pub(super) async fn openai(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    answer(gateway, &OpenAi, "/v1/chat/completions", request).await
}

pub(super) async fn anthropic(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    answer(gateway, &Anthropic, "/v1/messages", request).await
}

pub(super) async fn responses(State(gateway): State<Arc<Gateway>>, request: Request<Body>) -> Response<Body> {
    answer(gateway, &Responses, "/v1/responses", request).await
}

/// Answers a request that asks for a completion in `protocol`.
///
/// It is answered whatever happens: an error in the protocol's shape, and so is a panic of ours.
pub(super) async fn answer(
    gateway: Arc<Gateway>,
    protocol: &'static dyn Protocol,
    path: &'static str,
    request: Request<Body>,
) -> Response<Body> {
    let work = async move {
        let mut told = Told::begin(&gateway, protocol.name(), path, request.headers());
        // Large, and in the task of every connection otherwise.
        match Box::pin(begun(&gateway, protocol, request, &mut told)).await {
            Ok(Answered::Whole(body)) => whole(told, body),
            Ok(Answered::Stream(parts)) => streamed(told, *parts),
            Err(error) => failed(told, protocol, &error),
        }
    };
    guarded(protocol, work).await
}

/// The answer of `work`; where that panics, one that says so, instead of a connection that closes without a word.
pub(super) async fn guarded(protocol: &dyn Protocol, work: impl Future<Output = Response<Body>>) -> Response<Body> {
    let mut response = AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|_| failure::broken(protocol));
    if let Some(name) = protocol.id_header()
        && let Some(id) = response.headers().get(headers::REQUEST_ID).cloned()
    {
        response.headers_mut().insert(HeaderName::from_static(name), id);
    }
    response
}

enum Answered {
    Whole(Bytes),
    Stream(Box<Parts>),
}

struct Parts {
    stream: Stream,
    reply: Box<dyn Reply>,
    explain: bool,
}

/// Everything until there is an answer, or a stream with its first content.
async fn begun(
    gateway: &Gateway,
    protocol: &dyn Protocol,
    request: Request<Body>,
    told: &mut Told,
) -> Result<Answered> {
    let setup = gateway.setup();
    let (head, sent) = request.into_parts();
    told.caller = admit::caller(&setup, &head.headers, Scope::Chat)?;
    let from = Instant::now();
    let read = body::whole(&head.headers, sent, &setup.server).await;
    told.waited_since(from);
    let Inbound { body, model, stream, extras, explain, mut reply } = protocol.read(read?)?;
    told.stream = stream;
    let explain = explain || headers::explains(&head.headers);
    guard::no_address(&body)?;
    told.pass = setup.policies.enter(&told.caller, &model, setup.models.meant(&model), body.len())?;
    let request = Arc::new(ChatRequest::new(body));
    let from = Instant::now();
    let decided = decide(&setup, &told.caller, model, &request, &extras).await?;
    let took = from.elapsed();
    let asked = Asking { caller: &told.caller, extras: &extras, request: &request, embeds: false };
    let admitted = admit::admitted(&setup, asked, &mut told.pass, decided).await?;
    let target = Arc::clone(&admitted.decided.target);
    told.clamp = admitted.clamp;
    told.left_out = admitted.left_out;
    let request = admitted.request;
    told.sent = Some(Arc::clone(&request));
    told.decided = Some(admitted.decided);
    target.callable()?;
    let mut plan = admitted.plan;
    plan.routed.trace = told.onward();
    shorten(&mut plan, took);
    let from = Instant::now();
    if stream {
        let opened = call::stream(gateway.http()?, plan, request).await;
        told.waited_since(from);
        return Ok(Answered::Stream(Box::new(Parts { stream: opened?, reply, explain })));
    }
    let answered = call::chat(gateway.http()?, plan, request).await;
    told.waited_since(from);
    let answered = answered?;
    let account = told.account.insert(answered.account);
    let mut body = reply.whole(answered.answer.body)?;
    if let Some(decided) = told.decided.as_ref().filter(|_| explain) {
        body = explain::into(&body, &explain::object(&told.id, decided, Some(account)));
    }
    Ok(Answered::Whole(body))
}

/// Which model answers to a model string.
pub(super) async fn decide(
    setup: &Arc<Setup>,
    caller: &Caller,
    model: String,
    request: &Arc<ChatRequest>,
    extras: &Extras,
) -> Result<Decided> {
    let meant = setup.models.meant(&model);
    if let Some(target) = setup.models.find(meant) {
        return Ok(Decided::by_name(Arc::clone(target), model));
    }
    if meant.starts_with("router") {
        let asked = Asked { model: meant.to_owned(), request: Arc::clone(request), extras: extras.clone() };
        if setup.budgets.is_none() {
            return in_time(&setup.deciding, &asked).await.map_err(|error| unpacked(setup, meant, error));
        }
        admit::may_choose(setup, caller, meant)?;
        let (owned, caller) = (Arc::clone(setup), caller.clone());
        // A task of its own: who leaves meanwhile pays for the choice all the same.
        let choice = tokio::spawn(async move {
            let decided = in_time(&owned.deciding, &asked).await;
            admit::chosen(&owned, &caller, &asked.model, &decided).await?;
            decided
        });
        let decided = choice.await.unwrap_or_else(|error| match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Error::new(Kind::Cancelled, "the server is being stopped")),
        });
        return decided.map_err(|error| unpacked(setup, meant, error));
    }
    Ok(Decided::by_name(setup.models.target(meant)?, model))
}

/// `RouteLLM` tells of a model string with too few parts in Python's words, which help nobody here.
fn unpacked(setup: &Setup, meant: &str, error: Error) -> Error {
    if error.kind() != Kind::Value || !error.message().starts_with("not enough values to unpack") {
        return error;
    }
    let mut known = setup.deciding.routers();
    let named = meant.strip_prefix("router-").and_then(|name| setup.deciding.routers().find(|known| *known == name));
    let name = named.or_else(|| known.next()).unwrap_or("random");
    let short: String = meant.chars().take(100).collect();
    let text = format!("`{short}` is no router with a threshold: give a threshold, such as router-{name}-0.5");
    Error::new(Kind::Routing, text)
}

/// A router's decision, within the time that the whole call has. Without a limit those in Python have one of their own.
async fn in_time(deciding: &Deciding, asked: &Asked) -> Result<Decided> {
    let limit = deciding.targets().first().and_then(|target| target.plan.policy.deadline);
    let Some(limit) = limit else { return deciding.decide(asked).await };
    let decided = timeout(limit.saturating_add(HEAD_START), deciding.decide(asked)).await;
    decided.unwrap_or_else(|_| {
        let said = format!("the router has not decided within the deadline of {} s", limit.as_secs_f64());
        Err(Error::new(Kind::Timeout, said).settled())
    })
}

/// Takes the time that the decision took from what the call has.
fn shorten(plan: &mut Plan, took: Duration) {
    let Some(limit) = plan.policy.deadline.filter(|_| took >= NOTABLE) else { return };
    let left = u64::try_from(limit.saturating_sub(took).as_millis()).unwrap_or(u64::MAX);
    plan.policy = Arc::new(Policy { deadline: Some(Duration::from_millis(left)), ..Policy::clone(&plan.policy) });
}

/// A whole answer, and the end of the request.
pub(super) fn whole(mut told: Told, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let instead = told.account.as_ref().and_then(|account| account.instead.as_ref());
    if let Some(decided) = &told.decided {
        headers::decision(response.headers_mut(), decided, instead);
    }
    if let Some(account) = &told.account {
        headers::account(response.headers_mut(), account);
    }
    headers::put(response.headers_mut(), headers::REQUEST_ID, &told.id);
    headers::limits(response.headers_mut(), &told.pass, told.clamp);
    told.over(200);
    response
}

fn streamed(told: Told, parts: Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Proxies such as nginx would keep chunks back until there are many.
    fields.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers::put(fields, headers::REQUEST_ID, &told.id);
    headers::limits(fields, &told.pass, told.clamp);
    if let Some(decided) = &told.decided {
        headers::decision(fields, decided, parts.stream.instead().as_ref());
    }
    *response.body_mut() = stream::body(parts.stream, parts.reply, told, parts.explain);
    response
}

/// The answer that tells `error`, and the end of the request.
pub(super) fn failed(mut told: Told, protocol: &dyn Protocol, error: &Error) -> Response<Body> {
    if let Some(decided) = &mut told.decided {
        decided.notes.append(&mut told.left_out);
    }
    let mut response = failure::of_request(protocol, error, Some(&told.id));
    let fields = response.headers_mut();
    headers::put(fields, headers::REQUEST_ID, &told.id);
    if let Some(decided) = &told.decided {
        headers::decision(fields, decided, None);
    }
    headers::spent(fields, error);
    told.failed(response.status().as_u16(), error);
    response
}
