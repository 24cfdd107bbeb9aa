// The table of services, and below each, when it is asked for or needed, that of its instances.

import { byId, element, fill, reconcile, row, setAttribute, setText } from "./dom.js";
import { milliseconds, number, plural, span, whole } from "./format.js";
import { failingShare, isSlow } from "./problems.js";
import { instanceState, levelOf, mark, showState, Timeline } from "./states.js";

const COLUMNS = ["Service", "State", "Fifteen minutes", "Circuit", "Requests/s", "p50", "p95", "p99", "Errors/s", "Refused/s"];
const INSTANCE_COLUMNS = ["Instance", "State", "For", "Probe", "Requests/s", "Failed/s", "In flight", "Why"];
const [, STATE, TIMELINE, CIRCUIT, , , P95, P99, ERRORS, REFUSED] = COLUMNS.keys();

/** What the reader opened or closed, by service; the others are open while something is wrong with an instance. */
const chosen = new Map();

export function showServices(overview) {
  reconcile(
    byId("services"),
    overview.services,
    (service) => service.name,
    makeService,
    (body, service) => updateService(body, service, overview.time),
  );
}

function makeService(service) {
  const tr = row(COLUMNS, { numbers: 6 });
  tr.id = `service-${service.name}`;
  tr.tabIndex = -1;
  const details = `instances-${service.name}`;
  const button = element("button", { type: "button", class: "name", "aria-controls": details }, element("span"), element("small"));
  tr.cells[0].append(button);
  tr.cells[STATE].append(mark());
  tr.cells[TIMELINE].className = "timeline";
  tr.cells[CIRCUIT].className = "circuit";
  const timeline = new Timeline();
  tr.cells[TIMELINE].append(timeline.node);
  const body = element("tbody", { role: "rowgroup" }, tr, makeInstances(service, details));
  body.timeline = timeline;
  button.addEventListener("click", () => {
    chosen.set(service.name, button.getAttribute("aria-expanded") !== "true");
    open(body, chosen.get(service.name));
  });
  return body;
}

function makeInstances(service, id) {
  const names = INSTANCE_COLUMNS.map((name, index) =>
    element("th", { role: "columnheader", scope: "col", class: index >= 2 && index < 7 ? "number" : null }, name),
  );
  const head = element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...names));
  const caption = element("caption", { class: "unseen" }, `Instances of ${service.name}`);
  const table = element("table", { class: "stack", role: "table" }, caption, head, element("tbody", { role: "rowgroup" }));
  return element("tr", { class: "instances", role: "row", id }, element("td", { role: "cell", colspan: COLUMNS.length }, table));
}

function open(body, wanted) {
  const [tr, instances] = body.rows;
  setAttribute(tr.cells[0].firstElementChild, "aria-expanded", wanted);
  instances.hidden = !wanted;
}

function updateService(body, service, now) {
  const tr = body.rows[0];
  const [name, count] = tr.cells[0].firstElementChild.children;
  setText(name, service.name);
  setText(count, plural(service.instances.length, "instance"));
  showState(tr.cells[STATE].firstElementChild, service.state);
  body.timeline.show(service.timeline, now);
  const closed = service.circuit === "closed";
  setAttribute(tr.cells[CIRCUIT], "data-level", closed ? null : "warn");
  setAttribute(tr.cells[CIRCUIT], "class", closed ? "circuit" : `circuit level-${service.circuit === "open" ? "bad" : "warn"}`);
  const times = [service.p50_ms, service.p95_ms, service.p99_ms].map(milliseconds);
  const circuit = closed ? "closed" : service.circuit.replace("_", " ");
  fill(tr, [null, null, null, circuit, number(service.requests_per_second), ...times, number(service.errors_per_second), number(service.refused_per_second)]);
  setAttribute(tr.cells[P95], "class", isSlow(service.p95_ms) ? "number level-warn" : "number");
  setAttribute(tr.cells[P99], "class", isSlow(service.p99_ms) ? "number level-warn" : "number");
  const errors = failingShare(service) !== null ? "number level-bad" : "number";
  setAttribute(tr.cells[ERRORS], "class", service.errors_per_second ? errors : "number nil");
  setAttribute(tr.cells[REFUSED], "class", service.refused_per_second ? "number" : "number nil");
  const table = body.rows[1].cells[0].firstElementChild;
  reconcile(table.tBodies[0], service.instances, (one) => one.url, makeInstance, (node, one) => updateInstance(node, one, now));
  const needed = service.instances.some((one) => ["warn", "bad"].includes(levelOf(instanceState(one))));
  open(body, chosen.get(service.name) ?? needed);
}

function makeInstance() {
  const tr = row(INSTANCE_COLUMNS);
  for (const cell of [...tr.cells].slice(2, 7)) cell.className = "number";
  tr.cells[2].className = "number since";
  tr.cells[7].className = "why";
  tr.cells[1].append(mark());
  return tr;
}

function updateInstance(tr, instance, now) {
  showState(tr.cells[1].firstElementChild, instanceState(instance));
  const since = instance.since ? span(now - instance.since) : "–";
  fill(tr, [
    instance.url, null, since, milliseconds(instance.latency_ms), number(instance.requests_per_second),
    number(instance.failed_per_second), whole(instance.in_flight), instance.error ?? "",
  ]);
  setAttribute(tr.cells[5], "class", instance.failed_per_second >= 0.1 ? "number level-bad" : "number");
}
