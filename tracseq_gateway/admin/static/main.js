// Puts the page together: the stream's news go to the parts that show them.

import { announce, byId, setText } from "./dom.js";
import { clock, span } from "./format.js";
import { showErrors, showLimits, showRequests, showWorkers } from "./lists.js";
import { showServices } from "./services.js";
import { ask, forget, prepare, signOut, token } from "./session.js";
import { Stream } from "./stream.js";
import { showSummary, showUnknown } from "./summary.js";
import { showTraffic } from "./traffic.js";

const HIDDEN = 60_000; // Milliseconds after which a page that nobody sees gives its stream up.

const settings = (() => {
  let kept = null;
  return async () => (kept ??= await (await fetch("dashboard/settings.json")).json());
})();

// What is shown.

const state = { overview: null, received: 0, retryAt: 0, reason: "", interval: 1000 };

function show(overview) {
  state.overview = overview;
  state.received = Date.now();
  state.retryAt = 0;
  byId("sign-in").hidden = true;
  byId("sign-out").hidden = !token();
  byId("overview").hidden = false;
  setText(byId("about"), `${overview.environment} · ${overview.version} · up ${span(overview.time - overview.started)}`);
  showSummary(overview);
  showTraffic(overview.history);
  showServices(overview);
  showErrors(overview.errors);
  showLimits(overview.limits);
  showWorkers(overview);
  showRequests("failed", overview.recent.failed);
  showRequests("slow", overview.recent.slow);
  showConnection();
}

// The connection.

function showConnection() {
  const { overview, received, retryAt, interval } = state;
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
