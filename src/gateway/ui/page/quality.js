// How good the answers were: by rung and by kind of task, of one source of scores at a time.

import { $, empty, fill, h, table } from "./dom.js";
import { count, plural, score } from "./format.js";
import { interval } from "./charts.js";

const missing = () => h("span", { class: "missing" }, "not measured");

/** One mean with its interval, in a cell. */
function cell(of, colour) {
  if (!of || of.mean === null) return missing();
  return h("span", { class: "scored" }, h("b", null, score(of.mean, 2)), interval(of.low, of.mean, of.high, colour), h("span", { class: "fine" }, `${score(of.low, 2)} to ${score(of.high, 2)}, ${plural(of.n, "score")}`));
}

/** Draws it; `chosen` is the source that was chosen before, if it still is one. Gives the source that is shown. */
export function quality(overview, colour, chosen) {
  const sources = overview.quality;
  const place = $("quality");
  const shown = sources.find((each) => each.source === chosen) || sources[0];
  $("source-place").hidden = sources.length < 2;
  const select = $("source");
  if (select.dataset.known !== sources.map((each) => each.source).join("\n")) {
    select.dataset.known = sources.map((each) => each.source).join("\n");
    fill(select, sources.map((each) => h("option", { value: each.source }, `${each.source} (${count(each.n)})`)));
  }
  const rungs = overview.rungs.map((rung) => rung.model);
  if (!shown) {
    const rows = rungs.map((model) => [[h("i", { class: `swatch fill-${colour(model)}` }), model], missing()]);
    const how = h("p", { class: "empty" }, "Nobody has scored an answer in this range. Send a score with ", h("code", null, "POST /v1/feedback"), " or judge a share of the traffic (", h("code", null, "shadow"), ").");
    fill(place, rows.length > 0 && table("Quality by rung", ["Rung", "Mean score"], rows), how);
    return null;
  }
  select.value = shown.source;
  const all = [...new Set([...rungs, ...shown.models.map((each) => each.model)])];
  const of = (models, model) => models.find((each) => each.model === model);
  const byRung = all.map((model) => [[h("i", { class: `swatch fill-${colour(model)}` }), model], cell(of(shown.models, model), colour(model))]);
  const tasks = [...shown.tasks].sort((a, b) => (a.task === null) - (b.task === null) || String(a.task).localeCompare(String(b.task)));
  const byTask = tasks.map((each) => [each.task === null ? "no kind said" : each.task, ...all.map((model) => cell(of(each.models, model), colour(model)))]);
  fill(
    place,
    h("p", { class: "fine" }, `${plural(shown.n, "score")} by ${shown.source}.`),
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Quality by rung" }, table("Quality by rung", ["Rung", "Mean score, from 0 to 1"], byRung, { class: "scores" })),
    byTask.length > 1 || tasks[0].task !== null ? h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Quality by kind of task" }, table("Quality by kind of task", ["Task", ...all], byTask, { class: "scores tasks" })) : empty("By kind of task: ", missing(), ". Callers say the kind of a task in ", h("code", null, '{"ferroute": {"task": "coding"}}'), "."),
  );
  return shown.source;
}
