// Another threshold on the calls of the book: share, cost and quality, added up here from sums by win rate as the slider
// moves.

import { $, fill, h } from "./dom.js";
import { count, cut as shownCut, money, plural, score, share } from "./format.js";
import { histogram } from "./charts.js";

/** What a threshold of `place` hundredths would have meant; costs and quality are null where they are not known. */
export function meant(router, place) {
  let strong = 0;
  let cost = 0;
  let quality = 0;
  let variance = 0;
  const knows = router.weak_cost && router.strong_cost;
  const scored = router.quality && router.quality.weak;
  router.counts.forEach((n, at) => {
    if (!n) return;
    const side = at >= place ? "strong" : "weak";
    if (side === "strong") strong += n;
    if (knows) cost += n * router[`${side}_cost`][at];
    if (scored) quality += n * router.quality[side].mean[at];
  });
  if (scored) variance = spread(router, "weak", 0, place) + spread(router, "strong", place, router.counts.length);
  return { share: strong / router.n, cost: knows ? cost / router.n : null, quality: scored ? quality / router.n : null, half: scored ? 1.96 * Math.sqrt(variance) : null };
}

/** The variance that a model's scores bring in. A score counts for every win rate whose mean borrows it. */
function spread(router, side, from, to) {
  const { reach, weight, spread: own } = router.quality[side];
  const counted = new Array(own.length).fill(0);
  for (let at = from; at < Math.min(to, own.length); at += 1) {
    const part = router.counts[at] / router.n / weight[at];
    for (let near = Math.max(0, at - reach[at]); part > 0 && near <= Math.min(own.length - 1, at + reach[at]); near += 1) counted[near] += part;
  }
  return counted.reduce((sum, part, at) => sum + part * part * own[at], 0);
}

const tile = (name, value, said, kind) => h("div", { class: kind || null }, h("dt", null, name), h("dd", null, h("span", { class: "figure" }, value), h("span", { class: "fine" }, said)));

/** Why the quality is not known, in words. */
function unmeasured(router) {
  if (!router.quality) return "nobody has scored an answer of this router's calls";
  const { source, weak_n: weak, strong_n: strong } = router.quality;
  return `${source}: ${plural(weak, "score")} of ${router.weak}, ${count(strong)} of ${router.strong}; it takes 20 of each`;
}

export class Threshold {
  constructor() {
    this.routers = [];
    this.name = null;
    this.place = null;
    this.used = {};
    $("cut").addEventListener("input", () => {
      this.place = Math.round(Number($("cut").value) * 100);
      this.moved = true;
      this.draw();
    });
    $("router").addEventListener("change", () => {
      this.name = $("router").value;
      this.moved = false;
      this.begin();
    });
  }

  /** Takes new sums, and from the last decisions what thresholds were used last. */
  take(overview, decisions) {
    this.used = {};
    for (const each of decisions) {
      if (each.router && each.thresholds?.length === 1 && !(each.router in this.used)) this.used[each.router] = each.thresholds[0];
    }
    this.routers = overview.thresholds;
    this.rungs = overview.rungs.length;
    const names = this.routers.map((each) => each.router);
    if (!names.includes(this.name)) this.name = names[0] ?? null;
    if ($("router").dataset.known !== names.join("\n")) {
      $("router").dataset.known = names.join("\n");
      fill($("router"), names.map((name) => h("option", { value: name }, name)));
    }
    if (this.name !== null) $("router").value = this.name;
    $("router-place").hidden = names.length < 2;
    this.begin();
  }

  begin() {
    if (!this.moved || this.place === null) this.place = Math.round(Math.min(1.01, Math.max(0, this.used[this.name] ?? 0.5)) * 100);
    this.draw();
  }

  draw() {
    const router = this.routers.find((each) => each.router === this.name);
    $("threshold-shown").hidden = !router;
    $("threshold-empty").hidden = Boolean(router);
    if (!router) {
      $("threshold-empty").textContent = this.rungs < 2 ? "There is only one model, so there is no threshold." : "No router has given a win rate in this range.";
      return;
    }
    const { place } = this;
    const found = meant(router, place);
    const slider = $("cut");
    slider.value = String(place / 100);
    const said = place > 100 ? "nothing is strong" : `threshold ${shownCut(place / 100)}`;
    slider.setAttribute("aria-valuetext", `${said}: ${share(found.share)} strong${found.cost === null ? "" : `, ${money(found.cost * 1000)} for 1,000 calls`}${found.quality === null ? "" : `, quality ${score(found.quality, 2)}`}`);
    // What was paid has in it what was sent by lot, and so has no threshold's forecast: like is compared with like.
    const used = this.used[router.router];
    const known = used !== undefined;
    const before = known ? meant(router, Math.round(Math.min(1.01, Math.max(0, used)) * 100)) : router.recorded;
    const was = known ? `at ${shownCut(used)}` : "recorded";
    const change = found.cost !== null && before.cost > 0 && found.cost !== before.cost ? `, ${found.cost >= before.cost ? "+" : "\u2212"}${share(Math.abs(found.cost / before.cost - 1))}` : "";
    fill(
      $("threshold-tiles"),
      tile("Threshold", place > 100 ? "above 1" : shownCut(place / 100), used === undefined ? "none used lately" : `used last: ${shownCut(used)}`),
      tile("To the strong model", share(found.share), `${was}: ${share(before.share)}`),
      tile("1,000 calls", found.cost === null ? "not known" : money(found.cost * 1000), before.cost === null ? "no call has a price" : `${was}: ${money(before.cost * 1000)}${change}`, found.cost === null ? "is-missing" : null),
      found.quality === null ? tile("Expected quality", "not measured", unmeasured(router), "is-missing") : tile("Expected quality", [score(found.quality, 2), h("small", null, ` ± ${score(found.half, 2)}`)], `scores by ${router.quality.source}`),
    );
    const spoken = (at) => `win rate ${(at / 100).toFixed(2)}${at < 100 ? ` to ${((at + 1) / 100).toFixed(2)}` : ""}: ${plural(router.counts[at], "call")}`;
    const names = router.counts.map((_, at) => (at / 100).toFixed(at % 10 ? 2 : 1));
    const told = $("threshold-fine");
    told.dataset.plain = `Recorded: ${plural(router.n, "call")} of ${router.router}, as the router scored them. Costs of answers that were not asked for are forecast, as the saving's are. Quality is that of prompts with about the same win rate, which is a forecast as well: try it with a ramp.`;
    told.textContent = told.dataset.plain;
    histogram($("histogram"), router.counts, Math.min(1.01, place / 100), {
      at: names,
      every: 20,
      least: 1,
      format: (n) => count(n),
      said: spoken,
      told,
      label: `How often there were which win rates, ${plural(router.n, "call")} of the router ${router.router}.`,
      chosen: (value) => {
        this.place = Math.round(value * 100);
        this.moved = true;
        this.draw();
      },
    });
    $("weak-name").textContent = `${router.weak}: below the threshold`;
    $("strong-name").textContent = `${router.strong}: from the threshold on`;
  }
}
