// What calls came to: the tiles on top, money over time, and where calls went.

import { $, empty, fill, h, table } from "./dom.js";
import { axisMoney, count, money, plural, share, tick } from "./format.js";
import { band, bars, legend, part } from "./charts.js";

/** The colour of a model: the same in all of the page. */
export function colours(overview) {
  const names = new Map();
  const all = new Set([...overview.rungs, ...overview.models].map((each) => each.model));
  [...all].forEach((model, at) => names.set(model, `c${at % 8}`));
  return (model) => names.get(model) || "c8";
}

const tile = (name, value, said, kind) => h("div", { class: kind || null }, h("dt", null, name), h("dd", null, h("span", { class: "figure" }, value), h("span", { class: "fine" }, said)));

/** What was saved, and how that is known. */
export function savingOf(overview) {
  const { measured, totals } = overview;
  if (measured) {
    const half = (measured.high - measured.low) / 2;
    const of = measured.baseline > 0 ? `${share(measured.saved / measured.baseline)} of the strong model's cost; ` : "";
    return { value: money(measured.saved), half, known: "measured", said: `${of}measured by ${plural(measured.held, "call")} sent by lot, ± at 95\u00a0%` };
  }
  if (totals.compared > 0) {
    const of = totals.baseline > 0 ? `${share(totals.saved / totals.baseline)} of the baseline; ` : "";
    return { value: money(totals.saved), known: "estimate", said: `${of}an estimate: a holdout would measure it` };
  }
  return { value: "not known", known: "none", said: "no call has both a price and a baseline" };
}

export function tiles(overview) {
  const { totals } = overview;
  const saving = savingOf(overview);
  const unpriced = totals.unpriced > 0 ? `without ${plural(totals.unpriced, "call")} of unknown price` : totals.router_cost > 0 ? `and ${money(totals.router_cost)} for choosing` : "all calls have a price";
  const lost = totals.calls ? totals.failed / totals.calls : null;
  fill(
    $("tiles"),
    tile("Calls", count(totals.calls), totals.calls ? `${share(totals.ok / totals.calls)} whole answers${totals.escalated ? `, ${count(totals.escalated)} escalated` : ""}` : "none in this range"),
    tile("Spend", money(totals.cost), totals.calls ? unpriced : "nothing spent"),
    tile("Saved", [saving.value, saving.half !== undefined && h("small", null, ` ± ${money(saving.half)}`)], totals.calls ? saving.said : "nothing to compare", `is-${saving.known}`),
    tile("Failed", totals.calls ? share(lost) : "none", totals.calls ? `${plural(totals.failed, "call")}; ${count(totals.cancelled)} left by the caller` : "", lost > 0.05 ? "is-bad" : null),
  );
}

export function overTime(overview, colour) {
  const { spend, saving, width, since, totals } = overview;
  const slices = spend.choosing.length;
  const names = Array.from({ length: slices }, (_, index) => tick(since + index * width, width));
  const per = { 60000: "minute", 1800000: "half hour", 14400000: "four hours", 86400000: "day (UTC)" }[width];
  const parts = spend.models.map((name, at) => ({ name, colour: colour(name), values: spend.cost[at] }));
  if (spend.others) parts.push({ name: "other models", colour: "c8", values: spend.cost[spend.models.length] });
  if (spend.choosing.some((cost) => cost > 0)) parts.push({ name: "choosing", colour: "c9", values: spend.choosing });
  const total = (index) => parts.reduce((sum, each) => sum + each.values[index], 0);
  const calls = (index) => spend.calls.reduce((sum, each) => sum + each[index], 0);
  const told = $("spend-said");
  told.dataset.plain = `${money(totals.cost + totals.router_cost)} in all, a bar each ${per}`;
  told.textContent = told.dataset.plain;
  const spoken = (index) => `${names[index]}: ${money(total(index))}, ${plural(calls(index), "call")}`;
  bars($("spend"), parts, { at: names, format: axisMoney, said: spoken, told, label: `Spend by model over time, ${told.dataset.plain}.` });
  fill($("spend-key"), legend(parts.map((each) => [`fill-${each.colour}`, each.name])));

  const padded = (name) => Array.from({ length: slices }, (_, index) => saving[index]?.[name] ?? null);
  const known = savingOf(overview);
  const said = $("saving-said");
  said.dataset.plain = known.known === "none" ? known.said : `${known.value}${known.half === undefined ? "" : ` ± ${money(known.half)}`}, ${known.known === "measured" ? "measured" : "estimated"}`;
  said.textContent = said.dataset.plain;
  const spokenSaving = (index) => {
    const point = saving[index];
    if (!point) return `${names[index]}: not yet`;
    const estimate = point.estimate === null ? "no estimate" : `estimate ${money(point.estimate)}`;
    return point.measured === null ? `${names[index]}: ${estimate}` : `${names[index]}: measured ${money(point.measured)} (${money(point.low)} to ${money(point.high)}), ${estimate}`;
  };
  const label = `Saving since the begin of the range: ${said.dataset.plain}.`;
  band($("saving"), { main: padded("measured"), low: padded("low"), high: padded("high"), other: padded("estimate") }, { at: names, format: axisMoney, said: spokenSaving, told: said, label });
  const lines = [["swatch-dashed", "estimate: the baseline's price of each call, less what was paid"]];
  if (overview.measured) lines.unshift(["swatch-line", "measured by holdout"], ["fill-band", "95 % interval"]);
  fill($("saving-key"), legend(lines));
  const lead = overview.measured ? "The saving is measured: a few calls go to the strong model by lot, and what they cost is compared." : "The saving is an estimate: what the baseline model would have cost, as far as its habits are known. A holdout in the configuration measures it.";
  $("money-lead").textContent = lead;
  const rows = names.map((name, index) => [name, count(calls(index)), money(total(index)), saving[index]?.measured == null ? "not measured" : `${money(saving[index].measured)} (${money(saving[index].low)} to ${money(saving[index].high)})`, saving[index]?.estimate == null ? "none" : money(saving[index].estimate)]);
  $("money-table").replaceWith(table("Money over time", ["From", "Calls>", "Spend>", "Saved so far, measured>", "Saved so far, estimate>"], rows.reverse(), { id: "money-table" }));
}

export function models(overview, colour) {
  const { models: lines, routers, totals } = overview;
  if (!totals.calls) {
    fill($("models"), empty("Nobody has called in this range."));
    return;
  }
  const rows = lines.map((line) => {
    const priced = line.calls - line.unpriced;
    const rung = line.rung === null ? null : overview.rungs[line.rung].tier || (line.rung === 0 ? "weak" : line.rung === overview.rungs.length - 1 ? "strong" : null);
    return [
      [h("i", { class: `swatch fill-${colour(line.model)}` }), line.model, rung && h("span", { class: "tag" }, rung)],
      [part(line.calls / totals.calls, colour(line.model)), h("span", { class: "beside" }, share(line.calls / totals.calls))],
      count(line.calls),
      line.unpriced && !priced ? h("span", { class: "missing" }, "unknown price") : [money(line.cost), line.unpriced > 0 && h("span", { class: "fine" }, ` +\u00a0${count(line.unpriced)} unpriced`)],
      priced > 0 ? money(line.cost / priced) : "unknown",
      count(Math.round(line.completion_tokens / Math.max(1, line.calls))),
      line.failed ? share(line.failed / line.calls) : "0",
    ];
  });
  const chosen = routers.map((line) => [
    line.router === null ? "asked for by name" : line.router,
    share(line.calls / totals.calls),
    count(line.calls),
    money(line.cost),
    line.router === null ? "" : money(line.router_cost),
    line.compared > 0 ? money(line.saved) : "not known",
  ]);
  fill(
    $("models"),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Calls by model" }, table("Calls by model", ["Model", "Share of calls", "Calls>", "Spend>", "A call>", "Answer tokens>", "Failed>"], rows, { class: "wide" })),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Calls by router" }, table("Calls by router", ["Chosen by", "Share of calls>", "Calls>", "Spend>", "Choosing>", "Saved, estimate>"], chosen)),
  );
}
