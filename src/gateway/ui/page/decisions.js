// The last decisions, each with why it was made.

import { $, empty, fill, h, table } from "./dom.js";
import { cut, money, moment, score, took } from "./format.js";
import { against } from "./charts.js";

const SIGNS = { truncated: "cut short", empty: "empty", invalid_json: "not the JSON that was asked for", refusal: "declined", asked_again: "the user asked again" };

/** Why, where nobody has kept the sentence: what win rate and threshold say. */
function reasonOf(each) {
  if (each.reason) return each.reason;
  if (each.holdout) return "sent to the strong model by lot";
  if (each.router === null || each.router === undefined) return "asked for by name";
  const [one, ...more] = each.thresholds || [];
  if (each.win_rate === null || each.win_rate === undefined) return `chosen by ${each.router}`;
  if (one === undefined || more.length) return `win rate ${score(each.win_rate)}, by ${each.router}`;
  return each.win_rate >= one ? `win rate ${score(each.win_rate)} is at least the threshold ${cut(one)}: strong` : `win rate ${score(each.win_rate)} is below the threshold ${cut(one)}: weak`;
}

/** What else is to be known, as small words. */
function tags(each) {
  const found = [];
  if (each.holdout) found.push(h("span", { class: "tag" }, "holdout"));
  if (each.task) found.push(h("span", { class: "tag" }, each.task));
  if (each.key) found.push(h("span", { class: "tag" }, each.key));
  if (each.attempts > 1) found.push(h("span", { class: "tag" }, `${each.attempts} attempts`));
  if (["failed", "refused", "vain"].includes(each.outcome)) found.push(h("span", { class: "tag bad" }, [each.outcome, each.status && ` ${each.status}`]));
  else if (each.outcome !== "ok") found.push(h("span", { class: "tag" }, { hedged: "lost a hedge", escalated: "escalated", shadow: "asked to compare", cancelled: "left by the caller" }[each.outcome] || each.outcome));
  for (const sign of (each.signs || "").split(",").filter(Boolean)) found.push(h("span", { class: "tag bad" }, SIGNS[sign] || sign.replace(/_/g, " ")));
  return found;
}

function row(each, now, colour) {
  const model = each.model || "none";
  const rate = each.win_rate === null || each.win_rate === undefined ? "" : [against(each.win_rate, each.thresholds, colour(each.model)), h("span", { class: "beside" }, score(each.win_rate, 2))];
  const notes = (each.notes || []).map((note) => h("span", { class: "fine line" }, note));
  const wrong = each.error && h("span", { class: "wrong line" }, each.error);
  const text = each.text && h("blockquote", null, each.text);
  return {
    attributes: { class: each.outcome === "ok" ? null : `is-${each.outcome}` },
    cells: [
      h("time", { datetime: new Date(each.at).toISOString() }, moment(each.at, now)),
      [h("i", { class: `swatch fill-${colour(each.model)}` }), model, each.requested && each.requested !== each.model && h("span", { class: "fine line" }, each.requested)],
      rate,
      [h("span", { class: "why" }, reasonOf(each)), h("span", { class: "tags" }, tags(each)), wrong, notes, text],
      each.cost === undefined ? "" : money(each.cost),
      each.saved === null || each.saved === undefined ? "" : h("span", { class: each.saved < 0 ? "loss" : null }, money(each.saved)),
      took(each.total_ms),
    ],
  };
}

/** So many are shown at first. */
const FIRST = 12;
let whole = false;

/** How a first call is sent. */
export function howToCall(routers, keys, address) {
  const model = routers.length ? `router-${routers.includes("local") ? "local" : routers[0]}-0.5` : "the name of a model";
  const header = keys ? "\n  -H 'authorization: Bearer YOUR_KEY' \\" : "";
  const curl = `curl ${address}/v1/chat/completions \\${header}\n  -H 'content-type: application/json' \\\n  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`;
  return [empty("No calls yet. Send one:"), h("pre", { tabindex: "0" }, h("code", null, curl))];
}

export function decisions(recent, now, colour) {
  $("texts-place").hidden = !recent.texts;
  const place = $("decisions");
  const all = recent.decisions;
  if (!all.length) {
    fill(place, empty("No calls yet."));
    return;
  }
  const held = place.contains(document.activeElement) ? document.activeElement.tagName : null;
  const rows = (whole ? all : all.slice(0, FIRST)).map((each) => row(each, now, colour));
  const columns = ["When", "Model", "Win rate", "Why", "Cost>", "Saved, estimate>", "Took>"];
  const more = () => {
    whole = !whole;
    decisions(recent, now, colour);
  };
  fill(
    place,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Recent decisions" }, table("Recent decisions, the latest first", columns, rows, { class: "decisions" })),
    all.length > FIRST && h("button", { type: "button", "aria-expanded": String(whole), onclick: more }, whole ? `Show the last ${FIRST} only` : `Show all ${all.length}`),
  );
  // Where the focus was, it stays.
  if (held) (held === "BUTTON" ? place.querySelector("button") : place.firstElementChild)?.focus({ preventScroll: true });
}
