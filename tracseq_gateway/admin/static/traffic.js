// The last fifteen minutes, as lines and as figures.

import { Chart } from "./charts.js";
import { byId, fill, reconcile, row } from "./dom.js";
import { clock, milliseconds, number } from "./format.js";

const COLUMNS = ["Time", "Requests/s", "Errors/s", "p50", "p95", "p99"];

const perSecond = (value, scale) => (scale ? number(value) : `${number(value)}/s`);

const charts = [
  new Chart(byId("chart-rate"), {
    title: "Requests",
    series: [{ key: "requests_per_second", name: "", ink: "ink-blue", area: true }],
    format: perSecond,
    least: 10,
  }),
  new Chart(byId("chart-latency"), {
    title: "Latency",
    series: [
      { key: "p50_ms", name: "p50", ink: "ink-blue" },
      { key: "p95_ms", name: "p95", ink: "ink-teal" },
      { key: "p99_ms", name: "p99", ink: "ink-plum" },
    ],
    format: (value, scale) => (scale && !value ? "0" : milliseconds(value)),
    least: 10,
  }),
  new Chart(byId("chart-errors"), {
    title: "Errors (5xx)",
    series: [{ key: "errors_per_second", name: "", ink: "ink-bad", area: true }],
    format: perSecond,
    least: 1,
  }),
];

export function showTraffic(history) {
  for (const chart of charts) chart.show(history);
  if (byId("history").parentElement.open) showMinutes(history);
}

/** One row a minute, newest first. */
function showMinutes({ step, points }) {
  const every = Math.max(1, Math.round(60 / step));
  const shown = points.filter((_, index) => (points.length - 1 - index) % every === 0).reverse();
  const make = () => row(COLUMNS, { numbers: 5 });
  reconcile(byId("history").tBodies[0], shown, ({ time }) => String(time), make, (tr, point) => {
    const times = [point.p50_ms, point.p95_ms, point.p99_ms].map(milliseconds);
    fill(tr, [clock(point.time), number(point.requests_per_second), number(point.errors_per_second), ...times]);
  });
}
