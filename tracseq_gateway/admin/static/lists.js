// Errors by kind, limits being hit, workers, and the requests that were worth a note.

import { announce, byId, copy, element, fill, reconcile, row, setAttribute, setText } from "./dom.js";
import { bytes, clock, milliseconds, number, plural, span, whole } from "./format.js";
import { isLate, MODES } from "./problems.js";
import { mark, showState } from "./states.js";

export function showErrors(errors) {
  counts("errors", errors, (error) => [error.kind, error.service, error.count]);
}

export function showLimits(limits) {
  const mode = MODES[limits.mode];
  setText(byId("limits-mode"), mode ? mode.text.replace(/\.?$/, ".") : limits.mode);
  setAttribute(byId("limits-mode"), "class", mode?.level ? `level-${mode.level}` : "nothing");
  counts("limits", limits.hit, (hit) => [hit.client, hit.service, hit.count]);
}

/** A table of counts, with bars that compare them. */
function counts(id, items, texts) {
  const table = byId(id);
  table.hidden = items.length === 0;
  byId(`no-${id}`).hidden = items.length > 0;
  const most = Math.max(1, ...items.map((item) => item.count));
  const make = () => {
    const tr = row(["", "", ""]);
    tr.cells[2].className = "number count";
    tr.cells[2].append(element("span", {}, element("span", {}, element("span", { class: "bar" })), element("b")));
    return tr;
  };
  reconcile(table.tBodies[0], items, (item) => texts(item).slice(0, 2).join(" "), make, (tr, item) => {
    const [first, second, count] = texts(item);
    fill(tr, [first, second, null]);
    const [track, figure] = tr.cells[2].firstElementChild.children;
    setText(figure, whole(count));
    track.firstElementChild.style.width = `${((100 * count) / most).toFixed(1)}%`;
  });
}

const WORKER_COLUMNS = ["Worker", "State", "Requests/s", "In flight", "Connections", "Lag", "Memory", "For"];

export function showWorkers(overview) {
  setText(byId("restarts"), plural(overview.restarts, "restart"));
  const make = () => {
    const tr = row(WORKER_COLUMNS, { numbers: 6 });
    tr.cells[0].append(element("span"), " ", element("small"));
    tr.cells[1].append(mark());
    return tr;
  };
  reconcile(byId("workers").tBodies[0], overview.workers, (worker) => String(worker.pid), make, (tr, worker) => {
    const [index, pid] = tr.cells[0].children;
    setText(index, String(worker.index));
    setText(pid, worker.pid ? `pid ${worker.pid}` : "");
    showState(tr.cells[1].firstElementChild, worker.state);
    fill(tr, [
      null, null, number(worker.requests_per_second), whole(worker.in_flight), whole(worker.connections),
      milliseconds(worker.lag_ms), bytes(worker.memory_bytes), worker.since ? span(overview.time - worker.since) : "–",
    ]);
    setAttribute(tr.cells[5], "class", isLate(worker.lag_ms) ? "number level-warn" : "number");
  });
}

const FEW = 8;

/** The newest, or all that there are when the reader wants them; held still while something in the list has the focus. */
export function showRequests(id, requests) {
  const held = byId(id).matches(":focus-within");
  setText(byId(`held-${id}`), held ? "held while the focus is here" : "");
  if (held) return;
  const more = byId(`more-${id}`);
  const all = more.getAttribute("aria-expanded") === "true";
  byId(`no-${id}`).hidden = requests.length > 0;
  more.hidden = requests.length <= FEW;
  setText(more, all ? `Show the newest ${FEW}` : `Show all ${requests.length}`);
  setAttribute(more, "aria-expanded", all);
  more.onclick = () => {
    setAttribute(more, "aria-expanded", !all);
    showRequests(id, requests);
  };
  reconcile(byId(id), all ? requests : requests.slice(0, FEW), (request) => `${request.request_id} ${request.time}`, makeRequest, () => {});
}

/** One request, which changes no more. */
function makeRequest(request) {
  const { status, method, path, duration_ms, service, instance, time, error, reason } = request;
  const where = [service || "gateway", instance].filter(Boolean).join(" at ");
  const why = [error, reason].filter(Boolean).join(": ");
  return element(
    "li",
    {},
    element("span", { class: status >= 500 ? "status level-bad" : "status" }, String(status)),
    element("span", { class: "target mono" }, `${method} ${path}`),
    element("span", { class: "took" }, milliseconds(duration_ms)),
    element("span", { class: "context" }, `${clock(time)} · ${where}`, why && " · ", why && element("b", {}, why)),
    element("span", { class: "ids" }, copier("request", request.request_id), request.trace_id && copier("trace", request.trace_id)),
  );
}

/** A button that copies an id, of which it shows the beginning. */
function copier(what, id) {
  const short = id.length > 12 ? `${id.slice(0, 8)}…` : id;
  const button = element("button", { type: "button", class: "copy", title: id }, `${what} `, element("code", {}, short), element("span", { class: "unseen" }, " copy"));
  button.addEventListener("click", async () => {
    const done = await copy(id);
    const code = button.querySelector("code");
    setText(code, done ? "copied" : id);
    announce(done ? `The id of the ${what} is copied.` : "Copying is not allowed here; the whole id is shown.");
    if (done) setTimeout(() => setText(code, short), 1500);
  });
  return button;
}
