// Lines over time, drawn at the size that they are shown in, with figures beside them for those who see no lines.

import { drawn, element, setAttribute, setText } from "./dom.js";
import { clock } from "./format.js";

// Room for the labels, in rem like their letters.
const LEFT = 3.4;
const BOTTOM = 1.15;
const TOP = 0.5;

/** The least round number that is not below `value`. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((round) => round >= value * 0.999);
}

/**
 * A chart in a `figure`. `series` are `{key, name, ink, area}`: which member of a point, what it is called, and which
 * class colours it; `format(value)` gives a figure with its unit, `least` the smallest span of the scale.
 */
export class Chart {
  #points = [];
  #step = 1;

  constructor(figure, { title, series, format, least }) {
    this.series = series;
    this.format = format;
    this.least = least;
    this.title = title;
    this.labels = series.map(() => element("b"));
    this.at = element("span", { class: "at" });
    const legend = series.map(({ name, ink }, index) =>
      element("span", {}, swatch(ink), name ? `${name} ` : "", this.labels[index]),
    );
    figure.append(element("figcaption", {}, element("span", {}, title), ...legend, this.at));
    this.svg = drawn("svg", { class: "chart", role: "img" });
    figure.append(this.svg);
    new ResizeObserver(() => this.#draw()).observe(this.svg);
    this.svg.addEventListener("pointermove", (event) => this.#point(event.offsetX));
    this.svg.addEventListener("pointerleave", () => this.#point(null));
  }

  show({ step, points }) {
    this.#points = points;
    this.#step = step;
    this.#draw();
  }

  #draw() {
    const { width, height } = this.svg.getBoundingClientRect();
    const points = this.#points;
    if (!width || points.length < 2) return;
    const rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    const [left, floor, ceiling] = [LEFT * rem, height - BOTTOM * rem, TOP * rem];
    const end = points.at(-1).time;
    const begin = Math.min(points[0].time, end - 900);
    const values = points.flatMap((point) => this.series.map(({ key }) => point[key] ?? 0));
    const top = roundUp(Math.max(this.least, ...values));
    this.x = (time) => left + ((time - begin) / (end - begin)) * (width - left - 2);
    this.y = (value) => ceiling + (1 - value / top) * (floor - ceiling);
    const parts = [...this.#scale(top, left, width, rem), ...this.#times(begin, end, left, width, height - 0.2 * rem)];
    for (const one of this.series) parts.push(...this.#line(one));
    this.cursor = drawn("line", { class: "cursor", y1: ceiling, y2: floor, visibility: "hidden" });
    this.svg.replaceChildren(...parts, this.cursor);
    setAttribute(this.svg, "aria-label", this.#spoken());
    this.#point(this.pointed ?? null);
  }

  #scale(top, left, width, rem) {
    return [0, 0.5, 1].flatMap((share) => {
      const y = this.y(top * share);
      const label = drawn("text", { x: left - 0.4 * rem, y: y + 0.25 * rem, "text-anchor": "end" });
      label.textContent = this.format(top * share, true);
      return [drawn("line", { class: share ? "grid" : "axis", x1: left, x2: width, y1: y, y2: y }), label];
    });
  }

  #times(begin, end, left, width, y) {
    const labels = [];
    for (let minutes = 0; end - minutes * 60 >= begin - 1; minutes += 5) {
      const first = end - (minutes + 5) * 60 < begin - 1;
      const anchor = minutes === 0 ? "end" : first ? "start" : "middle";
      const x = minutes === 0 ? width - 2 : Math.max(left, this.x(end - minutes * 60));
      const label = drawn("text", { x, y, "text-anchor": anchor });
      label.textContent = minutes === 0 ? "now" : `−${minutes} min`;
      labels.push(label);
    }
    return labels;
  }

  /** A line, broken where nothing is known, and what it stands on when that is to be filled. */
  #line({ key, ink, area }) {
    const runs = [];
    let run = null;
    let before = 0;
    for (const point of this.#points) {
      const value = point[key];
      if (value === null || value === undefined) run = null;
      else {
        if (run === null || point.time - before > this.#step * 2.5) runs.push((run = []));
        run.push([this.x(point.time).toFixed(1), this.y(value).toFixed(1)]);
      }
      before = point.time;
    }
    const floor = this.y(0).toFixed(1);
    const path = (run) => `M${run.map((pair) => pair.join(" ")).join("L")}`;
    const parts = [drawn("path", { class: `line ${ink}`, d: runs.map(path).join("") })];
    if (area) {
      const d = runs.map((run) => `${path(run)}L${run.at(-1)[0]} ${floor}L${run[0][0]} ${floor}Z`).join("");
      parts.unshift(drawn("path", { class: `area ${ink}`, d }));
    }
    return parts;
  }

  /** Show the figures of the moment that is pointed at; null: of now. */
  #point(x) {
    this.pointed = x;
    const points = this.#points;
    if (points.length < 2 || !this.x) return;
    let shown = points.at(-1);
    if (x !== null) for (const point of points) if (Math.abs(this.x(point.time) - x) < Math.abs(this.x(shown.time) - x)) shown = point;
    setAttribute(this.cursor, "visibility", x === null ? "hidden" : "visible");
    setAttribute(this.cursor, "x1", this.x(shown.time));
    setAttribute(this.cursor, "x2", this.x(shown.time));
    this.series.forEach(({ key }, index) => setText(this.labels[index], this.format(shown[key])));
    setText(this.at, x === null ? "" : clock(shown.time));
  }

  #spoken() {
    const said = this.series.map(({ key, name }) => {
      const values = this.#points.map((point) => point[key]).filter((value) => value !== null && value !== undefined);
      if (!values.length) return `${name || this.title}: nothing known`;
      const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => this.format(value));
      return `${name ? `${name} ` : ""}now ${this.format(values.at(-1))}, between ${low} and ${high}`;
    });
    return `${this.title} over fifteen minutes: ${said.join("; ")}`;
  }
}

function swatch(ink) {
  const line = drawn("line", { class: ink, x1: 0, x2: 24, y1: 5, y2: 5 });
  return drawn("svg", { class: "swatch", viewBox: "0 0 24 10", "aria-hidden": "true" }, line);
}
