// Charts as SVG, drawn for the width there is. Each can be walked through with the arrow keys: what stands at the place is
// told in words beside it.

import { h, s, fill } from "./dom.js";

const HEIGHT = 200;
const LEFT = 56;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 24;

/** Round numbers from low to high, some five of them, at least `least` apart. */
export function ticks(low, high, most = 5, least = 0) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / most));
  const step = [1, 2, 5, 10].map((unit) => unit * power).find((step) => step >= least && span / step <= most) || Math.max(least, 10 * power);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-6; at += step) found.push(Math.abs(at) < step * 1e-6 ? 0 : at);
  return found;
}

/** The ends of an axis that has all of these, and zero. */
function ends(values) {
  let low = 0;
  let high = 0;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low === high) high = 1;
  const room = (high - low) * 0.06;
  return [low < 0 ? low - room : 0, high > 0 ? high + room : 0];
}

/** How wide a text is that stands at a scale. */
const pen = document.createElement("canvas").getContext("2d");
function widthOf(text) {
  pen.font = `12px ${getComputedStyle(document.body).fontFamily}`;
  return pen.measureText(text).width;
}

/** Between two names of places, at least. */
const APART = 10;

/**
 * A frame with axes, into which `draw` puts its marks.
 *
 * at: names of the places along the axis; values: all values, for the scale; format: of the scale; said: what stands at a
 * place, in words; label: the chart in one sentence; told: where the words go.
 */
function frame(place, { at, values, format, said, label, told, height = HEIGHT, every, least }, draw) {
  const focused = place.contains(document.activeElement);
  const width = Math.max(260, place.clientWidth || 260);
  const [low, high] = ends(values);
  const inner = width - LEFT - RIGHT;
  const x = (index) => LEFT + (inner * index) / at.length;
  const y = (value) => TOP + ((height - TOP - BOTTOM) * (high - value)) / (high - low);
  const scale = ticks(low, high, 4, least);
  const lines = scale.map((value) =>
    s("g", null, s("line", { class: value === 0 ? "axis" : "grid", x1: LEFT, x2: width - RIGHT, y1: y(value), y2: y(value) }), s("text", { class: "scale", x: LEFT - 8, y: y(value) + 4, "text-anchor": "end" }, format(value, scale[1] - scale[0]))),
  );
  const room = Math.max(1, every || Math.ceil(at.length / Math.max(2, Math.floor(inner / 84))));
  let free = 0;
  const names = at.map((name, index) => {
    if (index % room !== 0) return null;
    const long = widthOf(name);
    const middle = x(index) + (index === 0 ? 0 : inner / at.length / 2);
    const from = index === 0 ? middle : middle - long / 2;
    if (from < free || from + long > width) return null;
    free = from + long + APART;
    return s("text", { class: "scale", x: middle, y: height - 6, "text-anchor": index === 0 ? "start" : "middle" }, name);
  });
  const cursor = s("rect", { class: "cursor", y: TOP, height: height - TOP - BOTTOM, width: inner / at.length, visibility: "hidden" });
  const svg = s("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${label} Arrow keys walk through it.`, tabindex: "0" }, lines, names, cursor, draw({ x, y, step: inner / at.length, width, low, high }));
  let current = null;
  const point = (index) => {
    current = index;
    if (index === null) {
      cursor.setAttribute("visibility", "hidden");
      if (told) told.textContent = told.dataset.plain || "";
      return;
    }
    cursor.setAttribute("x", x(index));
    cursor.setAttribute("visibility", "visible");
    if (told) told.textContent = said(index);
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const index = Math.floor((((event.clientX - box.left) * width) / box.width - LEFT) / (inner / at.length));
    point(index >= 0 && index < at.length ? index : null);
  });
  svg.addEventListener("pointerleave", () => point(null));
  svg.addEventListener("blur", () => point(null));
  svg.addEventListener("keydown", (event) => {
    const last = at.length - 1;
    const from = current === null ? last + 1 : current;
    const to = { ArrowLeft: Math.max(0, from - 1), ArrowRight: Math.min(last, from === last + 1 ? 0 : from + 1), Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    point(to);
  });
  if (told) told.setAttribute("aria-live", "polite");
  fill(place, svg);
  if (focused) svg.focus({ preventScroll: true });
}

/** Bars of several parts: parts are `{name, colour, values}`. */
export function bars(place, parts, options) {
  const totals = options.at.map((_, index) => parts.reduce((sum, part) => sum + part.values[index], 0));
  frame(place, { ...options, values: totals }, ({ x, y, step }) =>
    options.at.map((_, index) => {
      let below = 0;
      const gap = Math.min(3, step * 0.18);
      return parts.map((part) => {
        const value = part.values[index];
        if (!(value > 0)) return null;
        const top = y(below + value);
        const bottom = y(below);
        below += value;
        return s("rect", { class: `fill-${part.colour}`, x: x(index) + gap / 2, width: Math.max(1, step - gap), y: top, height: Math.max(0.5, bottom - top) });
      });
    }),
  );
}

/** A line with a band around it, and a second, dashed line. Values are null where nothing is known. */
export function band(place, { main, low, high, other }, options) {
  const known = [...main, ...low, ...high, ...other].filter((value) => value !== null);
  frame(place, { ...options, values: known }, ({ x, y, step }) => {
    const middle = (index) => x(index) + step;
    const line = (values) => {
      let pen = false;
      return values
        .map((value, index) => {
          if (value === null) {
            pen = false;
            return "";
          }
          const move = `${pen ? "L" : "M"}${middle(index).toFixed(1)} ${y(value).toFixed(1)}`;
          pen = true;
          return move;
        })
        .join("");
    };
    const inside = low.map((value, index) => [value, high[index], index]).filter(([value]) => value !== null);
    const there = inside.map(([, top, index]) => `${middle(index).toFixed(1)} ${y(top).toFixed(1)}`);
    const back = inside.map(([bottom, , index]) => `${middle(index).toFixed(1)} ${y(bottom).toFixed(1)}`).reverse();
    return [inside.length > 1 && s("polygon", { class: "band", points: [...there, ...back].join(" ") }), s("path", { class: "line dashed", d: line(other) }), s("path", { class: "line", d: line(main) })];
  });
}

/** How often there are which win rates; from `cut` on they are strong. A click names a place. */
export function histogram(place, counts, cut, options) {
  const from = Math.round(cut * 100);
  frame(place, { ...options, values: counts, height: 180 }, ({ x, y, step }) => {
    const bar = (n, index) => n > 0 && s("rect", { class: index >= from ? "fill-strong" : "fill-weak", x: x(index) + 0.5, width: Math.max(1, step - 1), y: y(n), height: Math.max(1, y(0) - y(n)) });
    const at = Math.min(x(from), x(counts.length));
    return [counts.map(bar), s("line", { class: "cut", x1: at, x2: at, y1: TOP - 6, y2: y(0) })];
  });
  const svg = place.firstElementChild;
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    const part = (((event.clientX - box.left) * svg.viewBox.baseVal.width) / box.width - LEFT) / (svg.viewBox.baseVal.width - LEFT - RIGHT);
    if (part >= 0 && part <= 1) options.chosen(Math.round(part * counts.length) / 100);
  });
}

/** A mean with its interval on a scale from 0 to 1. */
export function interval(low, mean, high, colour) {
  const at = (value) => 2 + 96 * value;
  return s(
    "svg",
    { class: "interval", viewBox: "0 0 100 14", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("line", { class: "grid", x1: 2, x2: 98, y1: 7, y2: 7 }),
    s("rect", { class: `fill-${colour} soft`, x: at(low), width: Math.max(0.6, at(high) - at(low)), y: 3, height: 8 }),
    s("rect", { class: `fill-${colour}`, x: at(mean) - 0.5, width: 1, y: 0, height: 14 }),
  );
}

/** A part of a whole as a bar. */
export function part(value, colour, more) {
  const shown = Math.max(0, Math.min(1, value || 0));
  return s("svg", { class: "part", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "fill-none", x: 0, y: 0, width: 100, height: 8 }), s("rect", { class: `fill-${colour}`, x: 0, y: 0, width: 100 * shown, height: 8 }), more > 0 && s("rect", { class: `fill-${colour} soft`, x: 100 * shown, y: 0, width: 100 * Math.min(1 - shown, more), height: 8 }));
}

/** A win rate beside the thresholds it was held against. */
export function against(winRate, thresholds, colour) {
  const at = (value) => Math.max(0, Math.min(100, 100 * value));
  return s("svg", { class: "against", viewBox: "0 0 100 12", preserveAspectRatio: "none", "aria-hidden": "true" }, s("rect", { class: "fill-none", x: 0, y: 3, width: 100, height: 6 }), s("rect", { class: `fill-${colour}`, x: 0, y: 3, width: at(winRate), height: 6 }), (thresholds || []).map((cut) => s("rect", { class: "fill-cut", x: Math.min(98.5, at(cut)), y: 0, width: 1.5, height: 12 })));
}

/** A list of colours with their names. */
export const legend = (items) => items.map(([colour, name]) => h("li", null, h("i", { class: `swatch ${colour}` }), name));
