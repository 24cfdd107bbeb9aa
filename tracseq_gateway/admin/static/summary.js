// What comes first: how everything is in one sentence, what needs attention, and the figures of the last ten seconds.

import { announce, byId, element, reconcile, setAttribute, setText } from "./dom.js";
import { byteParts, clock, millisecondParts, number, plural, whole } from "./format.js";
import { failingShare, isSlow, problemsOf } from "./problems.js";
import { mark } from "./states.js";

const list = new Intl.ListFormat("en");

/** What the headline last said of the gateway; empty before the first time. */
let said = "";

export function showSummary(overview) {
  const problems = problemsOf(overview);
  showHeadline(overview, problems);
  showProblems(problems);
  showFigures(overview.totals);
}

function showHeadline(overview, problems) {
  const headline = problems.length ? headlineOf(problems) : `All is well with ${plural(overview.services.length, "service")}`;
  const serious = problems.some(({ level }) => level === "bad");
  setText(byId("headline"), headline);
  setAttribute(byId("headline"), "data-level", serious ? "bad" : null);
  document.title = `${problems.length ? `(${problems.length}) ` : ""}${headline} – TracSeq Gateway`;
  if (said && headline !== said) announce(headline);
  said = headline;
}

/** What was true a while ago is not what is true: the headline says so at once, whatever it said before. */
export function showUnknown(overview) {
  setText(byId("headline"), `Not known since ${clock(overview.time)}`);
  setAttribute(byId("headline"), "data-level", "bad");
  document.title = "Stale – TracSeq Gateway";
}

function showProblems(problems) {
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
  const figures = [
    ["Requests", number(totals.requests_per_second), "/s"],
    ["p50", ...millisecondParts(totals.p50_ms)],
    ["p95", ...millisecondParts(totals.p95_ms), isSlow(totals.p95_ms) ? "warn" : null],
    ["p99", ...millisecondParts(totals.p99_ms), isSlow(totals.p99_ms) ? "warn" : null],
    ["Errors (5xx)", number(totals.errors_per_second), "/s", failingShare(totals) !== null ? "bad" : null],
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
