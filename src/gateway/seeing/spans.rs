//! A request as spans: the whole of it, the choosing of a model, the call. No prompt and no answer is in them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value, json};

use super::names;
use super::trace::Context;
use crate::engine::plan::Account;
use crate::gateway::deciding::Decided;
use crate::gateway::event::Event;

/// `SpanKind`, as OTLP numbers it.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;
/// `StatusCode` of a span that failed.
const FAILED: u8 = 2;

/// The spans of a request, in OTLP's JSON.
pub(super) fn of(event: &Event<'_>, context: &Context) -> Vec<Value> {
    let mut spans = vec![whole(event, context)];
    if let Some(decided) = event.decided.filter(|decided| decided.router.is_some()) {
        spans.push(decision(event, context, decided));
    }
    let spent = event.error.and_then(|error| error.spent()).filter(|spent| spent.attempts > 0);
    if let Some(decided) = event.decided
        && (event.account.is_some() || spent.is_some())
    {
        spans.push(call(event, context, decided));
    }
    spans
}

fn whole(event: &Event<'_>, context: &Context) -> Value {
    let mut attributes = Attributes::default();
    attributes.text(names::METHOD, "POST");
    attributes.text(names::ROUTE, event.path);
    attributes.int(names::STATUS, event.status.into());
    attributes.text(names::REQUEST_ID, event.id);
    attributes.text(names::PROTOCOL, event.protocol);
    attributes.number(names::OVERHEAD, event.overhead.as_secs_f64());
    if let Some(key) = &event.caller.key {
        attributes.text(names::KEY, &key.id);
    }
    if let Some(team) = event.caller.team() {
        attributes.text(names::TEAM, team);
    }
    if event.cancelled {
        attributes.flag(names::CANCELLED);
    }
    let error = failure(event, &mut attributes);
    let name = format!("POST {}", event.path);
    let mut span = span(context, context.request, context.parent, &name, SERVER, (event.at, event.total), &attributes);
    if error && super::is_failure(event) {
        span["status"] = json!({"code": FAILED});
    }
    span
}

fn decision(event: &Event<'_>, context: &Context, decided: &Decided) -> Value {
    let mut attributes = Attributes::default();
    let router = decided.router.as_deref().unwrap_or_default();
    attributes.text(names::ROUTER, router);
    attributes.text(names::REQUEST_MODEL, &decided.target.name);
    if let Some(win_rate) = decided.win_rate {
        attributes.number(names::WIN_RATE, win_rate);
    }
    if let [threshold] = decided.thresholds[..] {
        attributes.number(names::THRESHOLD, threshold);
    }
    if let Some(tier) = &decided.tier {
        attributes.text(names::TIER, tier);
    }
    if decided.holdout {
        attributes.flag(names::HOLDOUT);
    }
    let name = format!("route {router}");
    span(context, context.decision, Some(context.request), &name, INTERNAL, (event.at, decided.took), &attributes)
}

fn call(event: &Event<'_>, context: &Context, decided: &Decided) -> Value {
    let mut attributes = Attributes::default();
    let operation = if event.path.ends_with("/embeddings") { "embeddings" } else { "chat" };
    attributes.text(names::OPERATION, operation);
    attributes.text(names::REQUEST_MODEL, &decided.target.name);
    let asked = event.account.map_or(0, |account| account.endpoint);
    if let Some(endpoint) = decided.target.plan.endpoints.get(asked) {
        attributes.text(names::PROVIDER, names::provider(endpoint.provider));
        if let Some(host) = endpoint.base.host_str() {
            attributes.text(names::ADDRESS, host);
        }
    }
    let took = match event.account {
        Some(account) => {
            answered(&mut attributes, decided, account);
            account.total
        }
        None => event.total.saturating_sub(event.overhead),
    };
    if let Some(spent) = event.error.and_then(|error| error.spent()).filter(|_| event.account.is_none()) {
        attributes.int(names::ATTEMPTS, spent.attempts.into());
        if let Some(cost) = spent.cost.and_then(|cost| cost.to_f64()) {
            attributes.number(names::COST, cost);
        }
    }
    let error = failure(event, &mut attributes);
    // It ends with the request: what follows it is not worth telling apart.
    let began = event.at + event.total.saturating_sub(took);
    let name = format!("{operation} {}", decided.target.name);
    let mut span = span(context, context.call, Some(context.request), &name, CLIENT, (began, took), &attributes);
    if error {
        span["status"] = json!({"code": FAILED});
    }
    span
}

fn answered(attributes: &mut Attributes, decided: &Decided, account: &Account) {
    let model = account.instead.as_ref().map_or(&decided.target.name, |instead| &instead.model);
    attributes.text(names::RESPONSE_MODEL, model);
    attributes.int(names::ATTEMPTS, account.attempts.into());
    if let Some(usage) = &account.usage {
        attributes.int(names::INPUT_TOKENS, usage.prompt_tokens);
        attributes.int(names::OUTPUT_TOKENS, usage.completion_tokens);
    }
    if let Some(cost) = account.cost.and_then(|cost| cost.to_f64()) {
        attributes.number(names::COST, cost);
    }
    if let Some(saved) = account.saved.and_then(|saved| saved.to_f64()) {
        attributes.number(names::SAVED, saved);
    }
    if let Some(first) = account.first_content {
        attributes.number(names::FIRST_CONTENT, first.as_secs_f64());
    }
}

/// Says of what kind a failure is; whether there is one.
fn failure(event: &Event<'_>, attributes: &mut Attributes) -> bool {
    let Some(error) = event.error else { return false };
    attributes.text(names::ERROR, &super::kind(error));
    true
}

fn span(
    context: &Context,
    id: u64,
    parent: Option<u64>,
    name: &str,
    kind: u8,
    (began, took): (SystemTime, Duration),
    attributes: &Attributes,
) -> Value {
    let mut span = json!({
        "traceId": format!("{:032x}", context.trace),
        "spanId": format!("{id:016x}"),
        "name": name,
        "kind": kind,
        "startTimeUnixNano": nanos(began),
        "endTimeUnixNano": nanos(began + took),
        "attributes": attributes.0,
    });
    if let Some(parent) = parent {
        span["parentSpanId"] = format!("{parent:016x}").into();
    }
    span
}

/// 64-bit numbers are texts in protobuf's JSON.
fn nanos(at: SystemTime) -> String {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}

#[derive(Default)]
struct Attributes(Vec<Value>);

impl Attributes {
    fn text(&mut self, name: &str, value: &str) {
        self.add(name, "stringValue", value.into());
    }

    fn int(&mut self, name: &str, value: u64) {
        self.add(name, "intValue", value.to_string().into());
    }

    /// What is no number in JSON is left out.
    fn number(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.add(name, "doubleValue", value.into());
        }
    }

    fn flag(&mut self, name: &str) {
        self.add(name, "boolValue", true.into());
    }

    fn add(&mut self, name: &str, kind: &str, value: Value) {
        let value: Map<String, Value> = [(kind.to_owned(), value)].into_iter().collect();
        self.0.push(json!({"key": name, "value": value}));
    }
}

/// All there is to send, in the shape a collector takes.
pub(super) fn batch(spans: &[Value]) -> Value {
    let mut resource = Attributes::default();
    resource.text("service.name", "ferroute");
    resource.text("service.version", env!("CARGO_PKG_VERSION"));
    resource.text("telemetry.sdk.language", "rust");
    json!({"resourceSpans": [{
        "resource": {"attributes": resource.0},
        "scopeSpans": [{
            "scope": {"name": "ferroute", "version": env!("CARGO_PKG_VERSION")},
            "spans": spans,
            "schemaUrl": names::SCHEMA,
        }],
    }]})
}
