//! What is not counted but read when somebody asks: endpoints that rest, the ledger's queue, the process.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::limits;
use super::otlp::Counts;
use super::sheet::{Sheet, Type};
use crate::engine::serving;
use crate::gateway::setup::Setup;
use crate::gateway::target::Target;
use crate::ledger::Ledger;
use crate::policy::Budgets;

/// Bytes of a page of memory, on every system this reads `/proc` of.
const PAGE: u64 = 4096;
/// Ticks of a second in `/proc`.
const TICKS: f64 = 100.0;

pub(super) fn of_setup(setup: &Setup, sheet: &mut Sheet) {
    let targets: Vec<&Arc<Target>> = setup.deciding.targets().iter().chain(setup.models.targets()).collect();
    let mut rests = BTreeMap::new();
    let mut ledgers: Vec<&Arc<Ledger>> = Vec::new();
    for target in targets {
        for endpoint in &*target.plan.endpoints {
            let left = serving::rests(endpoint).unwrap_or_default().as_secs_f64();
            let known = rests.entry((endpoint.name.as_str(), endpoint.provider)).or_insert(left);
            // The same model at two addresses: that of the one that rests longer.
            *known = known.max(left);
        }
        if let Some(ledger) = &target.plan.ledger
            && !ledgers.iter().any(|known| known.shown_url() == ledger.shown_url())
        {
            ledgers.push(ledger);
        }
    }
    sheet.family("ferroute_cooldown_seconds", Type::Gauge, "How much longer a failing endpoint rests; 0 is none.");
    for ((model, provider), left) in rests {
        sheet.value(&[("model", model), ("provider", provider)], left);
    }
    limits::of_budgets(&setup.budgets.as_ref().map(Budgets::state).unwrap_or_default(), sheet);
    limits::of_caps(&setup.policies.caps(), sheet);
    limits::of_limits(&setup.policies.limits(), sheet);
    let sum = |of: fn(&Ledger) -> u64| ledgers.iter().map(|ledger| of(ledger)).sum::<u64>();
    sheet.family("ferroute_ledger_waiting_calls", Type::Gauge, "Calls that are entered and not yet in the store.");
    sheet.value(&[], sum(Ledger::waiting));
    sheet.family("ferroute_ledger_lost_total", Type::Counter, "Calls and scores that could not be kept.");
    sheet.value(&[], sum(Ledger::lost));
}

pub(super) fn of_seeing(lines: u64, traces: Option<&Counts>, sheet: &mut Sheet) {
    sheet.family("ferroute_log_lines_dropped_total", Type::Counter, "Lines of the log that nobody read fast enough.");
    sheet.value(&[], lines);
    let Some(counts) = traces else { return };
    let families = [
        ("ferroute_spans_exported_total", "Spans that a collector has taken.", &counts.exported),
        ("ferroute_spans_dropped_total", "Spans that were given up.", &counts.dropped),
        ("ferroute_span_export_failures_total", "Attempts to send spans that failed.", &counts.failures),
    ];
    for (name, help, count) in families {
        sheet.family(name, Type::Counter, help);
        sheet.value(&[], count.load(Ordering::Relaxed));
    }
}

/// The usual four of a process, where the system has `/proc`.
pub(super) fn of_process(sheet: &mut Sheet) {
    if let Some(pages) = field("/proc/self/statm", 1) {
        sheet.family("process_resident_memory_bytes", Type::Gauge, "Resident memory.");
        sheet.value(&[], pages * PAGE);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        sheet.family("process_open_fds", Type::Gauge, "Open descriptors.");
        // One of them is the folder itself.
        sheet.value(&[], open.count().saturating_sub(1) as u64);
    }
    if let Ok(limits) = fs::read_to_string("/proc/self/limits")
        && let Some(line) = limits.lines().find(|line| line.starts_with("Max open files"))
        && let Some(most) = line.split_whitespace().nth(3).and_then(|most| most.parse::<u64>().ok())
    {
        sheet.family("process_max_fds", Type::Gauge, "Descriptors that may be open.");
        sheet.value(&[], most);
    }
    if let Ok(stat) = fs::read_to_string("/proc/self/stat") {
        // The program's name comes second, in brackets, and may hold anything.
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks: f64 = rest.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
        sheet.family("process_cpu_seconds_total", Type::Counter, "Seconds of processor time, user and system.");
        sheet.value(&[], ticks / TICKS);
    }
}

fn field(path: &str, index: usize) -> Option<u64> {
    fs::read_to_string(path).ok()?.split_whitespace().nth(index)?.parse().ok()
}
