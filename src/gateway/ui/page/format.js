// Numbers, times and durations as they are read. What is not known is never shown as zero.

const UNKNOWN = "unknown";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

const digits = (least, most) => new Intl.NumberFormat("en", { minimumFractionDigits: least, maximumFractionDigits: most });
const cents = digits(2, 2);

/** A number of things: 1,234. */
export const count = (n) => (n === null || n === undefined ? UNKNOWN : whole.format(n));

/** US dollars: cents where there are some, else two digits that say something. */
export function money(dollars, sign = false) {
  if (dollars === null || dollars === undefined || Number.isNaN(dollars)) return UNKNOWN;
  const size = Math.abs(dollars);
  const before = dollars < 0 ? "\u2212$" : sign && dollars > 0 ? "+$" : "$";
  if (size === 0) return "$0";
  if (size >= 10000) return before + whole.format(size);
  if (size >= 0.1) return before + cents.format(size);
  if (size < 1e-9) return before + "0.000000001";
  const places = Math.min(9, 1 - Math.floor(Math.log10(size)));
  // Two cents are $0.02, not $0.020.
  return before + size.toFixed(size >= 0.01 && Math.abs(size - Number(size.toFixed(2))) < 1e-12 ? 2 : places);
}

/** US dollars on an axis, where all have as many digits as the steps between them need. */
export function axisMoney(dollars, step) {
  const places = step >= 1 || !step ? 0 : Math.max(2, Math.ceil(-Math.log10(step) - 1e-9));
  return `${dollars < 0 ? "\u2212" : ""}$${digits(places, places).format(Math.abs(dollars))}`;
}

/** A part of a whole: 12.3 %, 0.04 %. */
export function share(part, places) {
  if (part === null || part === undefined || Number.isNaN(part)) return UNKNOWN;
  const percent = part * 100;
  const size = Math.abs(percent);
  const shown = places ?? (size === 0 || size >= 99.95 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 1 : 2);
  return `${percent.toFixed(shown)}\u00a0%`;
}

/** A score or a win rate: 0.873. */
export const score = (number, places = 3) => (number === null || number === undefined ? UNKNOWN : number.toFixed(places));

/** A threshold; above 1 nothing is strong. */
export const cut = (number) => (number === null || number === undefined ? UNKNOWN : Number(number.toFixed(4)).toString());

/** Milliseconds: 320 ms, 4.1 s, 2 min. */
export function took(ms) {
  if (ms === null || ms === undefined) return UNKNOWN;
  if (ms < 1) return "<\u20091\u00a0ms";
  if (ms < 1000) return `${Math.round(ms)}\u00a0ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}\u00a0s`;
  return `${Math.round(ms / 60_000)}\u00a0min`;
}

/** How long ago, in words. */
export function ago(then, now) {
  const seconds = Math.max(0, Math.round((now - then) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** How long until then, in words. */
export function until(then, now) {
  const minutes = Math.max(0, Math.round((then - now) / 60_000));
  if (minutes < 1) return "in less than a minute";
  if (minutes < 60) return `in ${minutes} min`;
  if (minutes < 48 * 60) return `in ${Math.round(minutes / 60)} h`;
  return `in ${Math.round(minutes / 1440)} days`;
}

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const seconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
// Slices of a day are days of UTC, as budgets are.
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const dayHere = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** A moment on an axis whose slices have this width. */
export function tick(at, width) {
  if (width >= 86_400_000) return day.format(at);
  return width >= 3_600_000 ? `${dayHere.format(at)} ${clock.format(at)}` : clock.format(at);
}

/** A moment of today as its time, else with its day. */
export const moment = (at, now) => (now - at < 86_400_000 ? seconds.format(at) : `${dayHere.format(at)} ${clock.format(at)}`);

/** A moment in full. */
export const date = (at) => full.format(at);

/** One thing, or several. */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
