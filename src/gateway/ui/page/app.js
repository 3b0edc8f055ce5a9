// The page: asks for the data, draws it, and asks again while somebody looks.

import { $, empty, fill, h } from "./dom.js";
import { ago, date, plural } from "./format.js";
import { colours, models, overTime, tiles } from "./money.js";
import { quality } from "./quality.js";
import { Threshold } from "./threshold.js";
import { decisions, howToCall } from "./decisions.js";
import { standing } from "./limits.js";

/** Between two questions, in milliseconds. */
const EVERY = 10_000;
const KEY = "ferroute-key";

const page = { range: "24h", texts: false, source: null, overview: null, recent: null, state: null, at: 0, running: true, asking: 0, wrong: null };
const threshold = new Threshold();

// The theme: what the system says, unless one is chosen.

const THEMES = ["auto", "light", "dark"];

function themed(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  $("theme").textContent = `Theme: ${name}`;
}

function remembered(name, value) {
  // A browser may keep nothing; then a choice lasts as long as the page.
  try {
    if (value === undefined) return localStorage.getItem(name);
    localStorage.setItem(name, value);
  } catch {
    return null;
  }
  return value;
}

let theme = THEMES.includes(remembered("ferroute-theme")) ? remembered("ferroute-theme") : "auto";
themed(theme);
$("theme").addEventListener("click", () => {
  theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  remembered("ferroute-theme", theme);
  themed(theme);
});

// The key: in this tab's memory, and sent as a header only.

class NeedsKey extends Error {}

function key(value) {
  try {
    if (value === undefined) return sessionStorage.getItem(KEY);
    sessionStorage.setItem(KEY, value);
  } catch {
    // Asked for again after a reload.
  }
  key.kept = value ?? key.kept;
  return key.kept ?? null;
}

async function ask(what) {
  const shown = key();
  const answer = await fetch(`/ui/data/${what}`, { headers: shown ? { authorization: `Bearer ${shown}` } : {}, cache: "no-store" });
  if (answer.status === 401 || answer.status === 403) throw new NeedsKey(shown ? "This key does not open the page." : "");
  const said = await answer.json();
  if (!answer.ok) throw new Error(said?.error?.message || `the server answered ${answer.status}`);
  return said;
}

function askForKey(why) {
  $("door-wrong").textContent = why;
  if (!$("door").open) $("door").showModal();
}

$("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  key($("key").value.trim());
  $("key").value = "";
  $("door").close();
  refresh();
});
// There is nothing to see behind it.
$("door").addEventListener("cancel", (event) => event.preventDefault());

// The data.

async function refresh() {
  const asking = ++page.asking;
  try {
    const [overview, recent, state] = await Promise.all([ask(`overview?range=${page.range}`), ask(`recent?texts=${page.texts ? 1 : 0}`), ask("state")]);
    if (asking !== page.asking) return;
    Object.assign(page, { overview, recent, state, at: Date.now(), wrong: null });
    draw();
  } catch (error) {
    if (asking !== page.asking) return;
    if (error instanceof NeedsKey) askForKey(error.message);
    else page.wrong = error.message;
    notices();
  }
  fresh();
}

function drawMoney(overview, colour) {
  const { recent, state } = page;
  const called = overview.totals.calls > 0;
  $("money").hidden = !called;
  $("money-empty").hidden = called;
  if (called) overTime(overview, colour);
  else fill($("money-empty"), recent.decisions.length ? empty("No calls in this range.") : howToCall(state.config.routers, state.config.keys, location.origin));
}

function draw() {
  const { overview, recent, state } = page;
  if (!overview) return;
  const colour = colours(overview);
  document.body.classList.add("ready");
  notices();
  tiles(overview);
  drawMoney(overview, colour);
  models(overview, colour);
  page.source = quality(overview, colour, page.source);
  threshold.take(overview, recent.decisions);
  decisions(recent, state.now, colour);
  standing(state);
  fill($("foot"), `ferroute ${state.version}. This page only reads, and loads nothing from elsewhere.`);
}

function notices() {
  const { overview, wrong } = page;
  const said = [];
  if (wrong) said.push(h("p", { class: "wrong" }, `The figures could not be had: ${wrong}. ${page.at ? "What is shown is older." : ""}`));
  if (overview) {
    if (!overview.ledger) said.push(h("p", { class: "notice" }, "There is no book of calls, so there are no figures; only the last decisions of this process are shown."));
    if (overview.cut) said.push(h("p", { class: "notice" }, `There are more calls than are looked at: these are the last million of the range, since ${date(overview.cut)}.`));
    if (overview.forgotten) said.push(h("p", { class: "notice" }, `The book is in memory and knows the last 10,000 calls one by one: ${plural(overview.forgotten, "earlier call")} may be missing here.`));
    if (overview.lost) said.push(h("p", { class: "wrong" }, `${plural(overview.lost, "call")} could not be entered in the book.`));
  }
  const text = said.map((each) => each.textContent).join("\n");
  // Read out only when it changes.
  if ($("notices").dataset.said !== text) {
    $("notices").dataset.said = text;
    fill($("notices"), said);
  }
}

function fresh() {
  const running = page.running && !document.hidden;
  document.body.classList.toggle("running", running);
  $("refresh").setAttribute("aria-pressed", String(page.running));
  const when = page.at ? `Updated ${ago(page.at, Date.now())}` : page.wrong ? "No figures" : "Loading";
  $("fresh").textContent = page.running ? when : `${when}, paused`;
  $("refresh").title = page.running ? "Pause" : "Go on";
}

$("refresh").addEventListener("click", () => {
  page.running = !page.running;
  if (page.running) refresh();
  fresh();
});
$("ranges").addEventListener("change", (event) => {
  page.range = event.target.value;
  history.replaceState(null, "", `#${page.range}`);
  refresh();
});
$("source").addEventListener("change", () => {
  page.source = $("source").value;
  quality(page.overview, colours(page.overview), page.source);
});
$("texts").addEventListener("change", () => {
  page.texts = $("texts").checked;
  refresh();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && page.running && Date.now() - page.at > EVERY) refresh();
  fresh();
});

let width = document.documentElement.clientWidth;
let later = null;
addEventListener("resize", () => {
  if (width === document.documentElement.clientWidth) return;
  width = document.documentElement.clientWidth;
  clearTimeout(later);
  later = setTimeout(draw, 120);
});

setInterval(() => {
  if (page.running && !document.hidden && !$("door").open && Date.now() - page.at >= EVERY) refresh();
  else fresh();
}, 1000);

const named = location.hash.slice(1);
const radio = document.querySelector(`#ranges input[value="${CSS.escape(named)}"]`);
if (radio) {
  radio.checked = true;
  page.range = named;
}
refresh();
