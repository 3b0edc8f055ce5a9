//! What calls came to: sums over rows, in 128-bit picodollars, and their latencies.

use std::collections::BTreeMap;

use crate::math::quantile;

use super::moments::{self, Measured, Sides};
use super::record::Outcome;
use super::row::Row;

/// Which calls are asked about; `None` is all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// From here on, microseconds since 1970.
    pub since_us: Option<i64>,
    /// Before here.
    pub until_us: Option<i64>,
    /// Decided by this router.
    pub router: Option<String>,
    /// Answered by this model, under the caller's name for it.
    pub model: Option<String>,
    /// Read without features and texts, which are most of what a store holds and which sums do not need.
    pub bare: bool,
}

impl Filter {
    /// Whether a row is one of them.
    pub fn takes(&self, row: &Row) -> bool {
        self.since_us.is_none_or(|since| row.ts >= since)
            && self.until_us.is_none_or(|until| row.ts < until)
            && self.names(row.router.as_deref(), &row.model)
    }

    fn names(&self, router: Option<&str>, model: &str) -> bool {
        self.router.as_deref().is_none_or(|wanted| router == Some(wanted))
            && self.model.as_deref().is_none_or(|wanted| model == wanted)
    }

    fn whole_time(&self) -> bool {
        self.since_us.is_none() && self.until_us.is_none()
    }
}

/// Sums over calls. Money is in picodollars, of the calls that have a price.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sums {
    /// Calls of the caller's: all but the losers of hedged ones, and answers after which the next rung was asked.
    pub calls: u64,
    /// Of these, whole answers.
    pub ok: u64,
    /// Closed or dropped by the caller.
    pub cancelled: u64,
    /// Failed for good.
    pub failed: u64,
    /// Second requests that lost, beside the calls.
    pub hedged: u64,
    /// Answers with a sign of failure, beside the calls: of each, the next rung's answer is the call.
    pub escalated: u64,
    /// Sent to the strong model by lot.
    pub holdout: u64,
    /// Requests sent to providers.
    pub attempts: u64,
    /// Rows whose tokens are our estimate.
    pub estimated: u64,
    /// Answers of another model beside the calls, to compare with. Nothing of them is in the other sums.
    pub shadows: u64,
    /// What those have cost.
    pub shadow_cost: i128,
    /// Of those, without a cost.
    pub unpriced_shadows: u64,
    /// Calls without a cost; their tokens count, their money is missing in the sums.
    pub unpriced: u64,
    /// Losers of hedged calls, and answers that were escalated, without a cost.
    pub unpriced_hedged: u64,
    /// Calls of a router whose own cost is not known.
    pub unpriced_routing: u64,
    /// Whole prompts.
    pub prompt_tokens: u128,
    /// Whole completions.
    pub completion_tokens: u128,
    /// Read from caches.
    pub cached_tokens: u128,
    /// Written to caches.
    pub cache_write_tokens: u128,
    /// Hidden reasoning.
    pub reasoning_tokens: u128,
    /// Cost of the models.
    pub cost: i128,
    /// Cost of choosing them.
    pub router_cost: i128,
    /// Calls with an estimated saving.
    pub compared: u64,
    /// Of these, what the baseline would have cost.
    pub baseline: i128,
    /// Of these, what was saved; a loser of a hedged call and an answer that was escalated take their cost away.
    pub saved: i128,
}

impl Sums {
    fn add(&mut self, row: &Row) {
        let is = u64::from;
        if row.outcome == Outcome::Shadow {
            self.shadows += 1;
            self.shadow_cost += row.cost.map_or(0, i128::from);
            self.unpriced_shadows += is(row.cost.is_none());
            return;
        }
        let hedged = row.outcome.is_beside();
        self.calls += is(!hedged);
        self.hedged += is(row.outcome == Outcome::Hedged);
        self.escalated += is(row.outcome == Outcome::Escalated);
        self.ok += is(row.outcome == Outcome::Ok);
        self.cancelled += is(row.outcome == Outcome::Cancelled);
        self.failed += is(row.outcome == Outcome::Failed);
        self.holdout += is(row.holdout && !hedged);
        self.attempts += row.attempts.max(0) as u64;
        self.estimated += is(row.estimated);
        self.unpriced += is(row.cost.is_none() && !hedged);
        self.unpriced_hedged += is(row.cost.is_none() && hedged);
        self.unpriced_routing += is(row.router_cost.is_none() && row.router.is_some() && !hedged);
        self.prompt_tokens += row.prompt_tokens.max(0) as u128;
        self.completion_tokens += row.completion_tokens.max(0) as u128;
        self.cached_tokens += row.cached_tokens.max(0) as u128;
        self.cache_write_tokens += row.cache_write_tokens.max(0) as u128;
        self.reasoning_tokens += row.reasoning_tokens.max(0) as u128;
        self.cost += row.cost.map_or(0, i128::from);
        self.router_cost += row.router_cost.map_or(0, i128::from);
        if hedged {
            self.saved -= row.cost.map_or(0, i128::from);
        } else if let Some(saved) = row.saved() {
            self.compared += 1;
            self.baseline += row.baseline.map_or(0, i128::from);
            self.saved += saved;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.ok += other.ok;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
        self.hedged += other.hedged;
        self.escalated += other.escalated;
        self.holdout += other.holdout;
        self.attempts += other.attempts;
        self.estimated += other.estimated;
        self.shadows += other.shadows;
        self.shadow_cost += other.shadow_cost;
        self.unpriced_shadows += other.unpriced_shadows;
        self.unpriced += other.unpriced;
        self.unpriced_hedged += other.unpriced_hedged;
        self.unpriced_routing += other.unpriced_routing;
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
        self.cached_tokens += other.cached_tokens;
        self.cache_write_tokens += other.cache_write_tokens;
        self.reasoning_tokens += other.reasoning_tokens;
        self.cost += other.cost;
        self.router_cost += other.router_cost;
        self.compared += other.compared;
        self.baseline += other.baseline;
        self.saved += other.saved;
    }
}

/// The calls of one model by one router.
#[derive(Debug, Clone, Default)]
struct Group {
    sums: Sums,
    sides: Sides,
    first_ms: Vec<f64>,
    total_ms: Vec<f64>,
}

impl Group {
    fn add(&mut self, row: &Row) {
        self.sums.add(row);
        if row.outcome == Outcome::Shadow {
            return;
        }
        let (Some(cost), true) = (row.cost, row.router.is_some()) else { return };
        if row.outcome.is_beside() {
            self.sides.extra += dollars(cost);
        } else if row.holdout {
            self.sides.held.add(dollars(cost));
        } else if let Some(routing) = row.router_cost {
            self.sides.routed.add(dollars(cost) + dollars(routing));
        }
    }

    fn time(&mut self, row: &Row) {
        // How fast a model fails, or a caller loses patience, says nothing about its answers.
        if row.outcome == Outcome::Ok {
            self.first_ms.extend(row.ttft_ms);
            self.total_ms.push(row.total_ms);
        }
    }
}

fn dollars(picodollars: i64) -> f64 {
    picodollars as f64 / 1e12
}

/// Sums by router and model, as rows come in.
#[derive(Debug, Clone, Default)]
pub struct Groups(BTreeMap<(Option<String>, String), Group>);

impl Groups {
    /// Adds a row, its latencies included.
    pub fn add(&mut self, row: &Row) {
        let group = self.group(row);
        group.add(row);
        group.time(row);
    }

    /// Adds a row to the sums, which do not grow with the number of rows.
    pub fn add_sums(&mut self, row: &Row) {
        self.group(row).add(row);
    }

    /// Adds a row's latencies alone.
    pub fn add_times(&mut self, row: &Row) {
        self.group(row).time(row);
    }

    fn group(&mut self, row: &Row) -> &mut Group {
        self.0.entry((row.router.clone(), row.model.clone())).or_default()
    }

    /// The groups a filter takes; `None` where it asks for a time, which sums do not know.
    pub fn filtered(&self, filter: &Filter) -> Option<Self> {
        let wanted = |(key, group): (&(Option<String>, String), &Group)| {
            filter.names(key.0.as_deref(), &key.1).then(|| (key.clone(), group.clone()))
        };
        filter.whole_time().then(|| Self(self.0.iter().filter_map(wanted).collect()))
    }

    /// What it all comes to.
    pub fn summary(self) -> Summary {
        let mut summary = Summary::default();
        let mut models = BTreeMap::<String, (Sums, Vec<f64>, Vec<f64>)>::new();
        let mut routers = BTreeMap::<Option<String>, (Sums, Sides)>::new();
        let (mut first_ms, mut total_ms) = (Vec::new(), Vec::new());
        for ((router, model), group) in self.0 {
            summary.all.merge(&group.sums);
            first_ms.extend(&group.first_ms);
            total_ms.extend(&group.total_ms);
            let of_router = routers.entry(router).or_default();
            of_router.0.merge(&group.sums);
            of_router.1.merge(&group.sides);
            let of_model = models.entry(model).or_default();
            of_model.0.merge(&group.sums);
            of_model.1.extend(group.first_ms);
            of_model.2.extend(group.total_ms);
        }
        // Only routers that have calls by lot can be measured.
        summary.measured = moments::measure(routers.values().map(|(_, sides)| sides).filter(|sides| sides.held.n > 0));
        summary.first_ms = Percentiles::of(first_ms);
        summary.total_ms = Percentiles::of(total_ms);
        summary.routers = routers.into_iter().map(|(router, (sums, _))| (router, sums)).collect();
        summary.models = models
            .into_iter()
            .map(|(model, (sums, first, total))| OfModel {
                model,
                sums,
                first_ms: Percentiles::of(first),
                total_ms: Percentiles::of(total),
            })
            .collect();
        summary.models.sort_by(|a, b| b.sums.calls.cmp(&a.sums.calls).then_with(|| a.model.cmp(&b.model)));
        summary
    }
}

/// Percentiles of latencies in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentiles {
    /// How many latencies.
    pub n: u64,
    /// The median.
    pub p50: f64,
    /// The 95th percentile.
    pub p95: f64,
    /// The 99th.
    pub p99: f64,
}

impl Percentiles {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        let at = |q| quantile::linear(&values, q);
        Some(Self { n: values.len() as u64, p50: at(0.5), p95: at(0.95), p99: at(0.99) })
    }
}

/// What calls came to.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// One line a model, the busiest first.
    pub models: Vec<OfModel>,
    /// Sums by router; `None` is calls of a model by its name.
    pub routers: Vec<(Option<String>, Sums)>,
    /// Everything together.
    pub all: Sums,
    /// Until the first content, of whole answers that were streamed.
    pub first_ms: Option<Percentiles>,
    /// Until the end, of whole answers.
    pub total_ms: Option<Percentiles>,
    /// The saving measured on calls by lot.
    pub measured: Option<Measured>,
    /// Calls this process could not keep: the store refused them, or there were too many waiting for it.
    pub lost: u64,
    /// Calls that are in the sums, but too old for a question about their time (memory keeps the last ones only).
    pub forgotten: u64,
}

/// A model's line.
#[derive(Debug, Clone)]
pub struct OfModel {
    /// The caller's name for it.
    pub model: String,
    /// Its sums.
    pub sums: Sums,
    /// As in [`Summary::first_ms`].
    pub first_ms: Option<Percentiles>,
    /// As in [`Summary::total_ms`].
    pub total_ms: Option<Percentiles>,
}

#[cfg(test)]
mod tests {
    use super::super::record::Record;
    use super::super::row::Keep;
    use super::super::row::tests::record;
    use super::*;
    use proptest::prelude::*;

    const DOLLAR: i64 = 1_000_000_000_000;

    fn summary(records: Vec<Record>) -> Summary {
        let mut groups = Groups::default();
        for (id, record) in (0..).zip(records) {
            groups.add(&Row::new(id, record, Keep::None));
        }
        groups.summary()
    }

    #[test]
    fn unpriced_calls_are_counted_and_not_free() {
        let found = summary(vec![record("a"), Record { cost: None, ..record("a") }, record("b")]);
        assert_eq!((found.all.calls, found.all.unpriced, found.all.cost), (3, 1, 2 * i128::from(DOLLAR)));
        assert_eq!((found.all.compared, found.all.saved), (2, 4 * i128::from(DOLLAR)));
        assert_eq!(found.models[0].model, "a");
        assert_eq!(found.models[0].sums.unpriced, 1);
    }

    #[test]
    fn the_loser_of_a_hedged_call_costs_and_is_no_call() {
        let found = summary(vec![record("a"), Record { outcome: Outcome::Hedged, ..record("a") }]);
        assert_eq!((found.all.calls, found.all.hedged, found.all.cost), (1, 1, 2 * i128::from(DOLLAR)));
        assert_eq!(found.all.saved, i128::from(DOLLAR));
        assert_eq!(found.total_ms.unwrap().n, 1);
    }

    #[test]
    fn an_answer_that_was_escalated_costs_and_is_no_call() {
        let found = summary(vec![record("b"), Record { outcome: Outcome::Escalated, ..record("a") }]);
        assert_eq!((found.all.calls, found.all.escalated, found.all.cost), (1, 1, 2 * i128::from(DOLLAR)));
        assert_eq!((found.all.compared, found.all.saved), (1, i128::from(DOLLAR)));
    }

    #[test]
    fn an_answer_to_compare_with_is_counted_apart() {
        let shadow = Record { outcome: Outcome::Shadow, cost: Some(5 * DOLLAR), ..record("strong") };
        let with = vec![record("weak"), shadow.clone(), Record { cost: None, ..shadow }];
        let found = summary(with).all;
        assert_eq!((found.shadows, found.shadow_cost, found.unpriced_shadows), (2, 5 * i128::from(DOLLAR), 1));
        let without = summary(vec![record("weak")]).all;
        assert_eq!(Sums { shadows: 0, shadow_cost: 0, unpriced_shadows: 0, ..found }, without);
    }

    #[test]
    fn sums_go_beyond_64_bits() {
        let dear = || Record { cost: Some(i64::MAX), baseline: Some(i64::MAX), ..record("a") };
        assert_eq!(summary((0..5).map(|_| dear()).collect()).all.cost, 5 * i128::from(i64::MAX));
    }

    #[test]
    fn the_measured_saving_compares_within_a_router() {
        let mut records = Vec::new();
        for _ in 0..20 {
            let held = Record { holdout: true, cost: Some(3 * DOLLAR), ..record("strong") };
            records.extend([held, record("weak"), record("weak")]);
            // Another router without a lot says nothing.
            records.push(Record { router: Some("other".into()), cost: Some(50 * DOLLAR), ..record("strong") });
        }
        let found = summary(records).measured.unwrap();
        assert_eq!((found.held, found.routed), (20, 40));
        assert!((found.saved - 80.0).abs() < 1e-9);
        assert!((found.baseline - 120.0).abs() < 1e-9);
        assert!(summary(vec![record("weak")]).measured.is_none());
    }

    fn records() -> impl Strategy<Value = Vec<Record>> {
        let outcomes = vec![Outcome::Ok, Outcome::Cancelled, Outcome::Failed, Outcome::Hedged, Outcome::Escalated];
        let outcome = prop::sample::select(outcomes);
        let one = (0..3u8, 0..3u8, prop::option::of(0..i64::MAX), prop::option::of(0..DOLLAR), outcome, any::<bool>());
        let one = one.prop_map(|(model, router, cost, router_cost, outcome, holdout)| Record {
            router: (router > 0).then(|| format!("r{router}")),
            cost,
            router_cost,
            outcome,
            holdout,
            ..record(&format!("m{model}"))
        });
        prop::collection::vec(one, 0..40)
    }

    proptest! {
        #[test]
        fn parts_add_up_to_the_whole(records in records()) {
            let found = summary(records.clone());
            let (mut models, mut routers) = (Sums::default(), Sums::default());
            found.models.iter().for_each(|model| models.merge(&model.sums));
            found.routers.iter().for_each(|(_, sums)| routers.merge(sums));
            prop_assert_eq!(&models, &found.all);
            prop_assert_eq!(&routers, &found.all);
            prop_assert_eq!(found.all.calls + found.all.hedged + found.all.escalated, records.len() as u64);
            prop_assert_eq!(found.all.ok + found.all.cancelled + found.all.failed, found.all.calls);
            let cost: i128 = records.iter().filter_map(|record| record.cost).map(i128::from).sum();
            prop_assert_eq!(found.all.cost, cost);
        }

        #[test]
        fn sums_that_were_kept_filter_as_rows_do(records in records(), router in prop::option::of(1..3u8),
                                                 model in prop::option::of(0..3u8)) {
            let filter = Filter {
                router: router.map(|n| format!("r{n}")),
                model: model.map(|n| format!("m{n}")),
                ..Filter::default()
            };
            let (mut all, mut some) = (Groups::default(), Groups::default());
            for record in records {
                let row = Row::new(0, record, Keep::None);
                all.add(&row);
                if filter.takes(&row) {
                    some.add(&row);
                }
            }
            prop_assert_eq!(all.filtered(&filter).unwrap().summary().all, some.summary().all);
            let timed = Filter { since_us: Some(0), ..filter };
            prop_assert!(all.filtered(&timed).is_none());
        }
    }
}
