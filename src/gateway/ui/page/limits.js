// How things stand: budgets, experiments, and the configuration.

import { $, empty, fill, h, table } from "./dom.js";
import { ago, count, cut, date, money, plural, score, share, until } from "./format.js";
import { part } from "./charts.js";

const PER = { 1: "a second", 60: "a minute", 3600: "an hour", 86400: "a day" };

/** A table that may be wider than the window. */
const wide = (name, columns, rows) => h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, table(name, columns, rows, { class: "wide" }));

function limits({ budgets: money, caps, limits: rates, now }) {
  const none = !money.length && !caps.length && !rates.length;
  const how = none && empty("No limits. A policy sets them: ", h("code", null, "policies: [{team: legal, budget: 5/day}]"), ".");
  const capped = caps.map((each) => [
    each.name,
    each.model,
    [part(each.seen ? each.taken / each.seen : 0, each.seen && each.taken / each.seen > each.most * 0.95 ? "warn" : "good"), h("span", { class: "beside" }, share(each.seen ? each.taken / each.seen : 0))],
    share(each.most),
    count(each.seen),
  ]);
  const rated = rates.map((each) => {
    const used = each.limit - each.remaining;
    const most = each.per === null ? `${count(each.limit)} at the same time` : `${count(each.limit)} ${PER[each.per] || `in ${each.per} s`}`;
    return [each.name, each.kind, [part(used / each.limit, used >= each.limit * 0.95 ? "bad" : "good"), h("span", { class: "beside" }, `${count(used)} taken`)], most];
  });
  fill($("budgets"), how, money.length > 0 && budgets(money, now), capped.length > 0 && wide("Shares of models", ["Whose", "Model", "Of the last decisions", "At most>", "Decisions>"], capped), rated.length > 0 && wide("Rates", ["Whose", "What", "Now", "At most>"], rated));
}

function budgets(list, now) {
  const rows = list.map((each) => {
    const [limit, spent, reserved] = [each.limit, each.spent, each.reserved].map(Number);
    const used = limit > 0 ? spent / limit : 1;
    const full = limit > 0 ? (spent + reserved) / limit : 1;
    const kind = full >= 0.95 ? "bad" : full >= 0.8 ? "warn" : "good";
    return [
      each.name,
      [part(used, kind, reserved / (limit || 1)), h("span", { class: "beside" }, share(used))],
      money(spent),
      money(reserved),
      `${money(limit)} a ${each.period}`,
      h("time", { datetime: new Date(each.renews).toISOString(), title: date(each.renews) }, until(each.renews, now)),
    ];
  });
  return wide("Budgets", ["Whose", "Used", "Spent>", "Set aside>", "Limit>", "Renews>"], rows);
}

const FIGURES = { share: (value) => share(value), count, number: (value) => score(value, 4), text: String };

function experiments(list) {
  if (list?.error) {
    fill($("experiments"), h("p", { class: "wrong" }, list.error));
    return;
  }
  if (!list?.length) {
    fill($("experiments"), empty("Nothing is being tried out. A ramp moves traffic to the weak model as far as audits prove that the loss stays within a bound."));
    return;
  }
  const shown = list.map((each) => {
    const threshold = each.always_weak ? "always weak" : each.threshold === null || each.threshold === undefined ? null : `threshold ${cut(each.threshold)}`;
    const figures = (each.figures || []).map(([name, value, kind]) => h("div", null, h("dt", null, name), h("dd", null, value === null ? "none yet" : (FIGURES[kind] || String)(value))));
    const trouble = ["reverted", "paused"].includes(each.state);
    return h(
      "article",
      { class: "experiment" },
      h("h3", null, each.name, h("span", { class: "tag" }, each.kind), h("span", { class: trouble ? "tag bad" : "tag good" }, each.state), threshold && h("span", { class: "tag" }, threshold)),
      each.said && h("p", null, each.said),
      h("dl", { class: "figures" }, figures),
      each.moves?.length > 0 && h("ol", { class: "moves" }, each.moves.map((move) => h("li", null, move))),
    );
  });
  fill($("experiments"), shown);
}

function config(of, state) {
  const refused = of.refused && h("p", { class: "wrong", role: "alert" }, h("b", null, "The changed configuration was not taken "), `(${ago(of.refused.at, state.now)}): ${of.refused.why} What was loaded before goes on.`);
  const rungs = of.rungs.map((rung, at) => [at > 0 && " \u2192 ", rung.tier ? `${rung.tier}: ${rung.model}` : rung.model]);
  const pairs = [
    ["File", of.file || "none: made in Python or from the environment"],
    ["Loaded", `${date(of.loaded)}${of.reloads ? `, ${plural(of.reloads, "reload")}` : ""}`],
    ["Rungs", rungs.length ? rungs : "none"],
    ["Routers", of.routers.join(", ") || "none"],
    ["More models", of.models.join(", ") || "none"],
    ["Keys", of.keys ? "callers need one" : "callers need none"],
    ["Book of calls", of.ledger ? (of.in_memory ? "in memory: it ends with the process, and the last 10,000 calls are known one by one" : of.ledger) : "none"],
    ["Prompts", of.texts ? "kept with their calls" : "not kept"],
    ["Running since", `${date(state.started)}, version ${state.version}`],
  ];
  fill($("config"), refused, h("dl", { class: "pairs" }, pairs.map(([name, value]) => h("div", null, h("dt", null, name), h("dd", null, value)))));
}

export function standing(state) {
  limits(state);
  experiments(state.experiments);
  config(state.config, state);
}
