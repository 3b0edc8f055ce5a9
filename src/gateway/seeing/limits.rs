//! How policies stand when somebody asks: budgets, share caps, rates.

use super::sheet::{Sheet, Type};
use crate::policy::rules::Period;
use crate::policy::{BudgetState, CapState, LimitState, Who};

/// What stands where a policy is for anybody.
const ALL: &str = "all";

pub(super) fn of_budgets(budgets: &[BudgetState], sheet: &mut Sheet) {
    type Look = fn(&BudgetState) -> f64;
    let families: [(_, _, Look); 5] = [
        ("ferroute_budget_limit_usd", "US dollars of a budget.", |of| dollars(of.limit)),
        (
            "ferroute_budget_spent_usd",
            "US dollars spent in its period, by all replicas as far as they have told.",
            |of| dollars(of.spent),
        ),
        ("ferroute_budget_reserved_usd", "US dollars set aside for calls under way or lent to other replicas.", |of| {
            dollars(of.reserved)
        }),
        ("ferroute_budget_left_usd", "US dollars that are left of it.", |of| dollars(of.left)),
        ("ferroute_budget_renewal_timestamp_seconds", "When it is renewed, in seconds since 1970.", |of| {
            of.ends as f64
        }),
    ];
    for (name, help, of) in families {
        sheet.family(name, Type::Gauge, help);
        for budget in budgets {
            let period = match budget.period {
                Period::Day => "day",
                Period::Month => "month",
            };
            let [key, team, model] = names(&budget.who);
            sheet.value(&[("key", key), ("team", team), ("model", model), ("period", period)], of(budget));
        }
    }
}

pub(super) fn of_caps(caps: &[CapState], sheet: &mut Sheet) {
    type Look = fn(&CapState) -> f64;
    let families: [(_, _, Look); 3] = [
        ("ferroute_share_cap_ratio", "The part of decisions that may go to a model.", |of| of.most),
        ("ferroute_share_seen_decisions", "The last decisions of those it is for, which it counts.", |of| {
            of.seen as f64
        }),
        ("ferroute_share_capped_decisions", "Those of them that went to the model.", |of| of.strong as f64),
    ];
    for (name, help, of) in families {
        sheet.family(name, Type::Gauge, help);
        for cap in caps {
            let [key, team, _] = names(&cap.who);
            sheet.value(&[("key", key), ("team", team), ("model", &cap.model)], of(cap));
        }
    }
}

pub(super) fn of_limits(limits: &[LimitState], sheet: &mut Sheet) {
    type Look = fn(&LimitState) -> u64;
    let families: [(_, _, Look); 2] = [
        ("ferroute_limit_allowed", "So many in the span of a limit.", |of| of.limit),
        ("ferroute_limit_remaining", "How many of them are left now.", |of| of.remaining),
    ];
    for (name, help, of) in families {
        sheet.family(name, Type::Gauge, help);
        for limit in limits {
            let [key, team, model] = names(&limit.who);
            let span = limit.per.map_or_else(|| "at_once".to_owned(), |per| per.as_secs().to_string());
            let labels = [("key", key), ("team", team), ("model", model), ("kind", limit.kind), ("seconds", &*span)];
            sheet.value(&labels, of(limit));
        }
    }
}

/// Whom a policy is for: a key as the configuration names it, never its secret.
fn names(who: &Who) -> [&str; 3] {
    [&who.key, &who.team, &who.model].map(|name| name.as_deref().unwrap_or(ALL))
}

fn dollars(amount: rust_decimal::Decimal) -> f64 {
    use rust_decimal::prelude::ToPrimitive;
    amount.to_f64().unwrap_or(f64::NAN)
}
