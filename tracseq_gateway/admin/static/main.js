// Puts the page together: the stream's news go to the parts that show them.

import { Chart } from "./charts.js";
import { announce, byId, element, fill, reconcile, row, setAttribute, setText } from "./dom.js";
import { byteParts, clock, milliseconds, millisecondParts, number, plural, span, whole } from "./format.js";
import { showErrors, showLimits, showRequests, showWorkers } from "./lists.js";
import { failingShare, isSlow, problemsOf } from "./problems.js";
import { showServices } from "./services.js";
import { ask, forget, prepare, signOut, token } from "./session.js";
import { mark } from "./states.js";
import { Stream } from "./stream.js";

const list = new Intl.ListFormat("en");
const HIDDEN = 60_000; // Milliseconds after which a page that nobody sees gives its stream up.

const settings = (() => {
  let kept = null;
  return async () => (kept ??= await (await fetch("dashboard/settings.json")).json());
})();

const charts = {
  rate: new Chart(byId("chart-rate"), {
    title: "Requests",
    series: [{ key: "requests_per_second", name: "", ink: "ink-blue", area: true }],
    format: (value, scale) => (scale ? number(value) : `${number(value)}/s`),
    least: 10,
  }),
  latency: new Chart(byId("chart-latency"), {
    title: "Latency",
    series: [
      { key: "p50_ms", name: "p50", ink: "ink-blue" },
      { key: "p95_ms", name: "p95", ink: "ink-teal" },
      { key: "p99_ms", name: "p99", ink: "ink-plum" },
    ],
    format: (value, scale) => (scale && !value ? "0" : milliseconds(value)),
    least: 10,
  }),
  errors: new Chart(byId("chart-errors"), {
    title: "Errors (5xx)",
    series: [{ key: "errors_per_second", name: "", ink: "ink-bad", area: true }],
    format: (value, scale) => (scale ? number(value) : `${number(value)}/s`),
    least: 1,
  }),
};

// What is shown.

const state = { overview: null, received: 0, retryAt: 0, reason: "", headline: "" };

function show(overview) {
  const first = state.overview === null;
  state.overview = overview;
  state.received = Date.now();
  state.retryAt = 0;
  byId("sign-in").hidden = true;
  byId("sign-out").hidden = !token();
  byId("overview").hidden = false;
  setText(byId("about"), `${overview.environment} · ${overview.version} · up ${span(overview.time - overview.started)}`);
  showProblems(overview, first);
  showFigures(overview.totals);
  charts.rate.show(overview.history);
  charts.latency.show(overview.history);
  charts.errors.show(overview.history);
  showHistory(overview.history);
  showServices(overview);
  showErrors(overview.errors);
  showLimits(overview.limits);
  showWorkers(overview);
  showRequests("failed", overview.recent.failed);
  showRequests("slow", overview.recent.slow);
  showConnection();
}

function showProblems(overview, first) {
  const problems = problemsOf(overview);
  const bad = problems.filter(({ level }) => level === "bad").length;
  const services = plural(overview.services.length, "service");
  const headline = problems.length ? headlineOf(problems) : `All is well with ${services}`;
  setText(byId("headline"), headline);
  setAttribute(byId("headline"), "data-level", bad ? "bad" : null);
  document.title = `${problems.length ? `(${problems.length}) ` : ""}${headline} – TracSeq Gateway`;
  byId("attention").hidden = problems.length === 0;
  reconcile(byId("problems"), problems, ({ subject }) => subject, makeProblem, (li, { level, subject, text, target }) => {
    const [label, words] = li.children;
    setAttribute(li, "data-level", level);
    setAttribute(label, "data-level", level);
    setText(label, level === "bad" ? "Serious" : "Warning");
    const [link, rest] = words.children;
    setAttribute(link, "href", `#${target}`);
    setText(link, subject);
    setText(rest, text);
  });
  if (headline !== state.headline && !first) announce(headline);
  state.headline = headline;
}

/** Who has it worst, and how many more there are; what is wrong with them stands below. */
function headlineOf(problems) {
  const worst = problems.filter(({ level }) => level === problems[0].level).map(({ subject }) => subject);
  const others = problems.length - worst.length;
  const named = worst.length > 4 ? [...worst.slice(0, 3), `${worst.length - 3} more`] : worst;
  const need = named.length === 1 ? "needs attention" : "need attention";
  return `${list.format(named)} ${need}${others ? ` · ${plural(others, "warning")}` : ""}`;
}

function makeProblem() {
  return element("li", {}, mark(), element("p", {}, element("a"), " ", element("span")));
}

function showFigures(totals) {
  const levels = { errors: failingShare(totals) !== null ? "bad" : null };
  const figures = [
    ["Requests", number(totals.requests_per_second), "/s"],
    ["p50", ...millisecondParts(totals.p50_ms)],
    ["p95", ...millisecondParts(totals.p95_ms), isSlow(totals.p95_ms) ? "warn" : null],
    ["p99", ...millisecondParts(totals.p99_ms), isSlow(totals.p99_ms) ? "warn" : null],
    ["Errors (5xx)", number(totals.errors_per_second), "/s", levels.errors],
    ["Refused (429)", number(totals.refused_per_second), "/s"],
    ["In flight", whole(totals.in_flight), ""],
    ["Connections", whole(totals.connections), ""],
    ["Received", ...rateParts(totals.received_per_second)],
    ["Sent", ...rateParts(totals.sent_per_second)],
  ];
  const make = ([name]) => element("div", {}, element("dt", {}, name), element("dd", {}, element("span"), element("small")));
  reconcile(byId("figures"), figures, ([name]) => name, make, (node, [, amount, unit, level]) => {
    const [figure, small] = node.lastElementChild.children;
    setText(figure, amount);
    setText(small, unit);
    setAttribute(node, "data-level", level);
  });
}

function rateParts(value) {
  const [amount, unit] = byteParts(value);
  return [amount, `${unit}/s`];
}

/** One row a minute, newest first. */
function showHistory({ step, points }) {
  const table = byId("history");
  if (!table.parentElement.open) return;
  const every = Math.max(1, Math.round(60 / step));
  const shown = points.filter((_, index) => (points.length - 1 - index) % every === 0).reverse();
  const make = () => row(["Time", "Requests/s", "Errors/s", "p50", "p95", "p99"], { numbers: 5 });
  reconcile(table.tBodies[0], shown, ({ time }) => String(time), make, (tr, point) => {
    const times = [point.p50_ms, point.p95_ms, point.p99_ms].map(milliseconds);
    fill(tr, [clock(point.time), number(point.requests_per_second), number(point.errors_per_second), ...times]);
  });
}

// The connection.

function showConnection() {
  const { overview, received, retryAt } = state;
  const interval = state.interval ?? 1000;
  const late = overview !== null && Date.now() - received > 3 * interval + 2000;
  const stale = overview !== null && (late || retryAt > 0);
  const connection = byId("connection");
  const was = connection.dataset.state;
  document.body.classList.toggle("is-stale", stale);
  byId("stale").hidden = !stale && !retryAt;
  if (stale || retryAt) {
    const since = overview === null ? "" : `Stale since ${clock(overview.time)}. `;
    const reason = retryAt ? state.reason : "The gateway is there, but has no news.";
    const wait = retryAt ? ` Next attempt in ${Math.max(0, Math.ceil((retryAt - Date.now()) / 1000))} s.` : "";
    setText(byId("stale-text"), since + reason + wait);
    setText(connection, overview === null ? "Not connected" : `Stale since ${clock(overview.time)}`);
    if (stale) showUnknown(overview);
  } else if (overview !== null) {
    setText(connection, `Live, ${clock(overview.time)}`);
  }
  connection.dataset.state = stale || retryAt ? "lost" : overview === null ? "connecting" : "live";
  if (was === "live" && connection.dataset.state === "lost") announce("The connection is lost. What is shown is stale.");
  if (was === "lost" && connection.dataset.state === "live") announce("Connected again.");
}

/** What was true a while ago is not what is true: the headline says so at once, whatever it said before. */
function showUnknown(overview) {
  setText(byId("headline"), `Not known since ${clock(overview.time)}`);
  setAttribute(byId("headline"), "data-level", "bad");
  document.title = "Stale – TracSeq Gateway";
}

const stream = new Stream("dashboard/events", {
  overview: show,
  lost(reason, retryAt) {
    state.reason = reason;
    state.retryAt = retryAt;
    showConnection();
  },
  async refused(status, detail) {
    const { login } = await settings();
    let reason = "";
    if (status === 403) reason = `You may not see this: ${detail}.`;
    else if (token()) reason = "The session has ended. Please sign in again.";
    forget();
    state.overview = null;
    state.retryAt = 0;
    byId("overview").hidden = true;
    setText(byId("connection"), "Not signed in");
    byId("connection").dataset.state = "connecting";
    byId("stale").hidden = true;
    document.title = "Sign in – TracSeq Gateway";
    ask(reason, login !== null);
  },
});

prepare(settings, () => stream.open(token()));
byId("retry").addEventListener("click", () => stream.open(token()));
byId("sign-out").addEventListener("click", () => {
  const ended = signOut(settings);
  stream.open("");
  ended.catch(() => announce("The gateway cannot be reached: the session ends when its token expires."));
});
byId("problems").addEventListener("click", (event) => {
  const target = event.target.closest("a")?.hash.slice(1);
  if (!target) return;
  event.preventDefault();
  const node = byId(target);
  node.scrollIntoView({ block: "center" });
  (node.querySelector("button") ?? node).focus();
});

let giveUp = 0;
let givenUp = false;
document.addEventListener("visibilitychange", () => {
  clearTimeout(giveUp);
  if (document.hidden) {
    giveUp = setTimeout(() => {
      givenUp = true;
      stream.close();
    }, HIDDEN);
  } else if (givenUp) {
    givenUp = false;
    stream.open(token());
  }
});

settings().then(
  ({ interval }) => (state.interval = interval * 1000),
  () => {}, // Asked again when it is needed; the stream tells that the gateway cannot be reached.
);
setInterval(showConnection, 1000);
stream.open(token());
