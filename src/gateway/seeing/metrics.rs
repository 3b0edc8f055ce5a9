//! What is counted of requests, and its text for Prometheus.
//!
//! Labels are names of models, routers and teams, not keys and not sessions. A set has at most some hundred members, and
//! all further ones are counted together as `other`: where any model may be asked for, callers choose the names. Money is counted under the model that answered;
//! that of requests nobody answered under the one that was chosen.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use super::series::{Counter, Dollars, Histogram, LONG, Labelled, RATES, SHORT, Set};
use super::sheet::{Sheet, Type};
use crate::engine::plan::Account;
use crate::error::Spent;
use crate::gateway::event::Event;

/// What stands where a request has no router, no tier, no team.
const NONE: &str = "none";

/// What is read of the calls of a team, or of a model.
type Money = fn(&Calls) -> f64;
type Count = fn(&OfModel) -> u64;
type Times = fn(&OfModel) -> &Histogram;

/// All counters of one server; they outlive a reload.
#[derive(Debug)]
pub(super) struct Metrics {
    started: SystemTime,
    open: AtomicI64,
    /// By protocol, path, status.
    requests: Set<Counter, 3>,
    /// By protocol.
    protocols: Set<OfProtocol, 1>,
    /// By router, model, tier.
    decisions: Set<Decision, 3>,
    /// By router.
    routers: Set<OfRouter, 1>,
    /// By model.
    models: Set<OfModel, 1>,
    /// By model, team.
    calls: Set<Calls, 2>,
    /// By the model chosen, the one that answered, and why.
    instead: Set<Counter, 3>,
    /// By model, kind.
    errors: Set<Counter, 2>,
    /// By code, team.
    denied: Set<Counter, 2>,
}

#[derive(Debug)]
struct OfProtocol {
    duration: Histogram,
    overhead: Histogram,
    cancelled: Counter,
}

#[derive(Debug)]
struct Decision {
    count: Counter,
    of: Arc<Labelled<OfRouter, 1>>,
}

#[derive(Debug)]
struct OfRouter {
    win_rate: Histogram,
    took: Histogram,
    holdouts: Counter,
    cost: Dollars,
    unpriced: Counter,
}

#[derive(Debug)]
struct OfModel {
    first: Histogram,
    duration: Histogram,
    attempts: Counter,
    unpriced: Counter,
    estimated: Counter,
}

#[derive(Debug)]
struct Calls {
    ok: Counter,
    failed: Counter,
    cancelled: Counter,
    prompt: Counter,
    cached: Counter,
    completion: Counter,
    reasoning: Counter,
    cost: Dollars,
    baseline: Dollars,
    saved: Dollars,
    /// Calls that have a saving.
    compared: Counter,
    of: Arc<Labelled<OfModel, 1>>,
}

/// A request that is under way.
#[derive(Debug)]
pub struct Open(Arc<Metrics>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            started: SystemTime::now(),
            open: AtomicI64::new(0),
            requests: Set::default(),
            protocols: Set::default(),
            decisions: Set::default(),
            routers: Set::default(),
            models: Set::default(),
            calls: Set::default(),
            instead: Set::default(),
            errors: Set::default(),
            denied: Set::default(),
        }
    }
}

impl Metrics {
    pub(super) fn entered(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    pub(super) fn seen(&self, event: &Event<'_>) {
        let status = Digits::of(event.status);
        self.requests.at([event.protocol, event.path, status.text()], Counter::default).of.add(1);
        let protocol = self.protocols.at([event.protocol], || OfProtocol {
            duration: Histogram::new(LONG),
            overhead: Histogram::new(SHORT),
            cancelled: Counter::default(),
        });
        protocol.of.duration.took(event.total);
        protocol.of.overhead.took(event.overhead);
        protocol.of.cancelled.add(u64::from(event.cancelled));
        let team = event.caller.team().unwrap_or(NONE);
        let chosen = event.decided.map(|decided| {
            self.decided(decided);
            decided.target.name.as_str()
        });
        if let Some(error) = event.error {
            match error.why_denied() {
                Some(denied) => self.denied.at([denied.code, team], Counter::default).of.add(1),
                None => {
                    self.errors.at([chosen.unwrap_or(NONE), &super::kind(error)], Counter::default).of.add(1);
                }
            }
        }
        let Some(chosen) = chosen else { return };
        match (event.account, event.error.and_then(|error| error.spent())) {
            (Some(account), _) => self.answered(event, chosen, team, account),
            (None, Some(spent)) => self.failed(chosen, team, spent),
            (None, None) => {}
        }
    }

    fn decided(&self, decided: &crate::gateway::deciding::Decided) {
        let router = decided.router.as_deref().unwrap_or(NONE);
        let labels = [router, decided.target.name.as_str(), decided.tier.as_deref().unwrap_or(NONE)];
        let decision = self.decisions.at(labels, || Decision { count: Counter::default(), of: self.router(router) });
        decision.of.count.add(1);
        if decided.router.is_none() {
            return;
        }
        let of = &decision.of.of.of;
        of.took.took(decided.took);
        if let Some(win_rate) = decided.win_rate {
            of.win_rate.observe(win_rate);
        }
        of.holdouts.add(u64::from(decided.holdout));
        match decided.router_cost {
            Some(cost) => of.cost.add(cost),
            None => of.unpriced.add(1),
        }
    }

    fn answered(&self, event: &Event<'_>, chosen: &str, team: &str, account: &Account) {
        let model = account.instead.as_ref().map_or(chosen, |instead| instead.model.as_str());
        if let Some(instead) = &account.instead {
            let why = if instead.climbed { "escalation" } else { "fallback" };
            self.instead.at([chosen, model, why], Counter::default).of.add(1);
        }
        let calls = self.calls(model, team);
        let (calls, of) = (&calls.of, &calls.of.of.of);
        let left = event.cancelled || event.error.is_some_and(|error| error.kind() == crate::Kind::Cancelled);
        let ended = match event.error {
            _ if left => &calls.cancelled,
            Some(_) => &calls.failed,
            None => &calls.ok,
        };
        ended.add(1);
        of.attempts.add(account.attempts.into());
        of.estimated.add(u64::from(account.estimated));
        if let Some(first) = account.first_content {
            of.first.took(first);
        }
        of.duration.took(account.total);
        if let Some(usage) = &account.usage {
            calls.prompt.add(usage.prompt_tokens);
            calls.cached.add(usage.cached_tokens);
            calls.completion.add(usage.completion_tokens);
            calls.reasoning.add(usage.reasoning_tokens);
        }
        match account.cost {
            Some(cost) => calls.cost.add(cost),
            None => match account.unpriced.as_deref().filter(|unpriced| *unpriced != model) {
                Some(other) => self.model(other).of.unpriced.add(1),
                None => of.unpriced.add(1),
            },
        }
        if let (Some(cost), Some(router), Some(saved)) = (account.cost, account.router_cost, account.saved) {
            calls.saved.add(saved);
            calls.baseline.add(saved.saturating_add(cost).saturating_add(router));
            calls.compared.add(1);
        }
    }

    fn failed(&self, chosen: &str, team: &str, spent: &Spent) {
        let calls = self.calls(chosen, team);
        calls.of.failed.add(1);
        calls.of.of.of.attempts.add(spent.attempts.into());
        match spent.cost {
            Some(cost) => calls.of.cost.add(cost),
            None => calls.of.of.of.unpriced.add(1),
        }
    }

    fn router(&self, router: &str) -> Arc<Labelled<OfRouter, 1>> {
        self.routers.at([router], || OfRouter {
            win_rate: Histogram::new(RATES),
            took: Histogram::new(SHORT),
            holdouts: Counter::default(),
            cost: Dollars::default(),
            unpriced: Counter::default(),
        })
    }

    fn model(&self, model: &str) -> Arc<Labelled<OfModel, 1>> {
        self.models.at([model], || OfModel {
            first: Histogram::new(LONG),
            duration: Histogram::new(LONG),
            attempts: Counter::default(),
            unpriced: Counter::default(),
            estimated: Counter::default(),
        })
    }

    fn calls(&self, model: &str, team: &str) -> Arc<Labelled<Calls, 2>> {
        self.calls.at([model, team], || Calls {
            ok: Counter::default(),
            failed: Counter::default(),
            cancelled: Counter::default(),
            prompt: Counter::default(),
            cached: Counter::default(),
            completion: Counter::default(),
            reasoning: Counter::default(),
            cost: Dollars::default(),
            baseline: Dollars::default(),
            saved: Dollars::default(),
            compared: Counter::default(),
            of: self.model(model),
        })
    }

    pub(super) fn write(&self, sheet: &mut Sheet) {
        sheet.family("ferroute_build_info", Type::Gauge, "1, with the version that runs.");
        sheet.value(&[("version", env!("CARGO_PKG_VERSION"))], 1_u64);
        sheet.family("ferroute_start_time_seconds", Type::Gauge, "When the server began, in seconds since 1970.");
        sheet.value(&[], self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64());
        sheet.family("ferroute_requests_in_flight", Type::Gauge, "Requests under way, streams until their end.");
        sheet.value(&[], self.open.load(Ordering::Relaxed).max(0) as u64);
        self.write_requests(sheet);
        self.write_routing(sheet);
        self.write_calls(sheet);
        self.write_models(sheet);
    }

    fn write_requests(&self, sheet: &mut Sheet) {
        sheet.family(
            "ferroute_requests_total",
            Type::Counter,
            "Requests that are over, by the status of their answer.",
        );
        for member in self.requests.all() {
            let [protocol, path, status] = &member.labels;
            sheet.value(&[("protocol", protocol), ("path", path), ("status", status)], member.of.get());
        }
        let protocols = self.protocols.all();
        sheet.family(
            "ferroute_request_duration_seconds",
            Type::Histogram,
            "From a request's head to its answer's end.",
        );
        for member in &protocols {
            sheet.histogram(&[("protocol", &member.labels[0])], &member.of.duration);
        }
        sheet.family(
            "ferroute_overhead_seconds",
            Type::Histogram,
            "A request without the time a provider was waited for.",
        );
        for member in &protocols {
            sheet.histogram(&[("protocol", &member.labels[0])], &member.of.overhead);
        }
        sheet.family("ferroute_requests_cancelled_total", Type::Counter, "Requests whose caller left before the end.");
        for member in &protocols {
            sheet.value(&[("protocol", &member.labels[0])], member.of.cancelled.get());
        }
        sheet.family("ferroute_errors_total", Type::Counter, "Requests that failed, by the model chosen and the kind.");
        for member in self.errors.all() {
            let [model, kind] = &member.labels;
            sheet.value(&[("model", model), ("kind", kind)], member.of.get());
        }
        sheet.family(
            "ferroute_denied_total",
            Type::Counter,
            "Requests that were refused here, by code: keys, limits, budgets, models that do not exist.",
        );
        for member in self.denied.all() {
            let [code, team] = &member.labels;
            sheet.value(&[("code", code), ("team", team)], member.of.get());
        }
    }

    fn write_routing(&self, sheet: &mut Sheet) {
        sheet.family(
            "ferroute_decisions_total",
            Type::Counter,
            "Decisions; router `none` is a model asked for by name.",
        );
        for member in self.decisions.all() {
            let [router, model, tier] = &member.labels;
            sheet.value(&[("router", router), ("model", model), ("tier", tier)], member.of.count.get());
        }
        let mut routers = self.routers.all();
        routers.retain(|member| *member.labels[0] != *NONE);
        sheet.family("ferroute_win_rate", Type::Histogram, "Win rates of the strong model, as the router says.");
        for member in &routers {
            sheet.histogram(&[("router", &member.labels[0])], &member.of.win_rate);
        }
        sheet.family("ferroute_decision_duration_seconds", Type::Histogram, "How long choosing a model took.");
        for member in &routers {
            sheet.histogram(&[("router", &member.labels[0])], &member.of.took);
        }
        sheet.family("ferroute_holdouts_total", Type::Counter, "Requests sent to the strong model by lot.");
        for member in &routers {
            sheet.value(&[("router", &member.labels[0])], member.of.holdouts.get());
        }
        sheet.family(
            "ferroute_router_cost_usd_total",
            Type::Counter,
            "US dollars that choosing has cost, where priced.",
        );
        for member in &routers {
            sheet.value(&[("router", &member.labels[0])], member.of.cost.get());
        }
        sheet.family("ferroute_router_unpriced_total", Type::Counter, "Decisions whose cost is not known.");
        for member in &routers {
            sheet.value(&[("router", &member.labels[0])], member.of.unpriced.get());
        }
        sheet.family("ferroute_instead_total", Type::Counter, "Answers of another model than the chosen one.");
        for member in self.instead.all() {
            let [chosen, model, why] = &member.labels;
            sheet.value(&[("chosen", chosen), ("model", model), ("why", why)], member.of.get());
        }
    }

    fn write_calls(&self, sheet: &mut Sheet) {
        let calls = self.calls.all();
        let labels = |member: &'_ Labelled<Calls, 2>| member.labels.clone();
        sheet.family("ferroute_calls_total", Type::Counter, "Calls of models, by how they ended.");
        for member in &calls {
            let [model, team] = labels(member);
            let of = &member.of;
            for (outcome, count) in [("ok", &of.ok), ("failed", &of.failed), ("cancelled", &of.cancelled)] {
                sheet.value(&[("model", &model), ("team", &team), ("outcome", outcome)], count.get());
            }
        }
        sheet.family(
            "ferroute_tokens_total",
            Type::Counter,
            "Tokens; `cached` are among `prompt`, `reasoning` among `completion`.",
        );
        for member in &calls {
            let [model, team] = labels(member);
            let of = &member.of;
            let kinds = [
                ("prompt", &of.prompt),
                ("cached", &of.cached),
                ("completion", &of.completion),
                ("reasoning", &of.reasoning),
            ];
            for (kind, count) in kinds {
                sheet.value(&[("model", &model), ("team", &team), ("kind", kind)], count.get());
            }
        }
        let money: [(_, _, _, Money); 3] = [
            (
                "ferroute_cost_usd_total",
                Type::Counter,
                "US dollars for all requests of calls, where priced; choosing is counted apart.",
                |of| of.cost.get(),
            ),
            (
                "ferroute_baseline_usd_total",
                Type::Counter,
                "US dollars that the baseline model would have cost, estimated, of calls that have a saving.",
                |of| of.baseline.get(),
            ),
            (
                "ferroute_saved_usd",
                Type::Gauge,
                "US dollars saved against the baseline since the start, estimated; below zero is a loss.",
                |of| of.saved.get(),
            ),
        ];
        for (name, kind, help, of) in money {
            sheet.family(name, kind, help);
            for member in &calls {
                let [model, team] = labels(member);
                sheet.value(&[("model", &model), ("team", &team)], of(&member.of));
            }
        }
        sheet.family("ferroute_compared_calls_total", Type::Counter, "Calls that the saving is of.");
        for member in &calls {
            let [model, team] = labels(member);
            sheet.value(&[("model", &model), ("team", &team)], member.of.compared.get());
        }
    }

    fn write_models(&self, sheet: &mut Sheet) {
        let models = self.models.all();
        let counts: [(_, _, Count); 3] = [
            ("ferroute_attempts_total", "Requests sent to providers: retries, fallbacks, hedges included.", |of| {
                of.attempts.get()
            }),
            ("ferroute_unpriced_calls_total", "Calls whose cost is not known; they are in no sum of dollars.", |of| {
                of.unpriced.get()
            }),
            ("ferroute_estimated_calls_total", "Calls whose tokens are our estimate.", |of| of.estimated.get()),
        ];
        for (name, help, of) in counts {
            sheet.family(name, Type::Counter, help);
            for member in &models {
                sheet.value(&[("model", &member.labels[0])], of(&member.of));
            }
        }
        let times: [(_, _, Times); 2] = [
            ("ferroute_first_content_seconds", "Until the first content of an answer.", |of| &of.first),
            ("ferroute_call_duration_seconds", "Calls until their end, retries and fallbacks included.", |of| {
                &of.duration
            }),
        ];
        for (name, help, of) in times {
            sheet.family(name, Type::Histogram, help);
            for member in &models {
                sheet.histogram(&[("model", &member.labels[0])], of(&member.of));
            }
        }
    }
}

/// A status as text, without an allocation.
struct Digits([u8; 3]);

impl Digits {
    fn of(status: u16) -> Self {
        let status = status.clamp(100, 999);
        let digit = |unit: u16| b'0' + (status / unit % 10) as u8;
        Self([digit(100), digit(10), digit(1)])
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("000")
    }
}
