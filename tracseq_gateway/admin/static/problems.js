// What needs attention, worst first: the one place that says what is too much.

import { milliseconds, percent, plural, span } from "./format.js";
import { instanceState, levelOf } from "./states.js";

const FAILING = 0.01; // Share of a service's requests.
const FEW = 0.1; // Failures a second below which a share says little.
const SLOW = 1000; // Milliseconds.
const LAG = 100; // Milliseconds.

/** `{level, subject, text, target}`: how bad, who has it, in words, and where to look; one for each who has some. */
export function problemsOf(overview) {
  const found = [];
  const collect = (subject, target, reasons) => {
    if (!reasons.length) return;
    const level = reasons.some((reason) => reason.level === "bad") ? "bad" : "warn";
    found.push({ level, subject, target, text: reasons.map((reason) => reason.text).join("; ") });
  };
  for (const service of overview.services) collect(service.name, `service-${service.name}`, ofService(service, overview.time));
  for (const index of new Set(overview.workers.map((worker) => worker.index))) {
    const workers = overview.workers.filter((worker) => worker.index === index);
    collect(`Worker ${index}`, "workers-title", ofPlace(workers));
  }
  const mode = MODES[overview.limits.mode];
  if (mode?.level) collect("Limits", "limits-title", [mode]);
  if (overview.status === "draining") collect("Gateway", "workers-title", [warning("is stopping: it takes no new connections")]);
  return found.sort((one, other) => (one.level === "bad" ? 0 : 1) - (other.level === "bad" ? 0 : 1));
}

const warning = (text) => ({ level: "warn", text });
const serious = (text) => ({ level: "bad", text });

export const MODES = {
  shared: { text: "Counted in Redis, for all workers together." },
  local: { level: "warn", text: "Redis is away: each worker counts its share of the limits" },
  open: { level: "warn", text: "Redis is away: nobody is limited" },
  closed: { level: "bad", text: "Redis is away: whoever would be limited is refused" },
  off: { text: "Rates are not limited." },
};

/** The processes in one worker's place: while one is replaced there are two, of which one is to serve. */
function ofPlace(workers) {
  const ill = workers.filter(({ state }) => levelOf(state) === "bad");
  if (ill.length) return ill.map(({ state }) => serious(`is ${state}`));
  const serving = workers.filter(({ state }) => state === "serving");
  if (!serving.length) return [warning(`is ${workers[0].state}`)];
  const late = Math.max(...serving.map((worker) => worker.lag_ms));
  return isLate(late) ? [warning(`is late by ${milliseconds(late)}`)] : [];
}

function ofService(service, now) {
  const { instances, state, circuit } = service;
  const reasons = [];
  const ill = instances.filter((instance) => instanceState(instance) === "unhealthy");
  const why = [...new Set(ill.map((instance) => instance.error).filter(Boolean))].join(", ");
  const because = why ? ` (${why})` : "";
  if (ill.length && ill.length === instances.length) {
    const since = Math.max(...ill.map((instance) => instance.since));
    reasons.push(serious(`is down${since ? ` for ${span(now - since)}` : ""}${because}`));
  } else if (ill.length) {
    reasons.push(warning(`has ${ill.length} of ${plural(instances.length, "instance")} down${because}`));
  }
  if (circuit === "open") reasons.push(serious("circuit open, requests are refused at once"));
  else if (circuit !== "closed") reasons.push(warning(`circuit ${circuit.replace("_", " ")}, being tried again`));
  const ejected = instances.filter((instance) => instanceState(instance) === "ejected");
  if (ejected.length) reasons.push(warning(`${plural(ejected.length, "instance")} ejected after failing`));
  const share = failingShare(service);
  if (share !== null) reasons.push(serious(`${percent(share)} of its requests fail`));
  if (isSlow(service.p95_ms)) reasons.push(warning(`slow, p95 is ${milliseconds(service.p95_ms)}`));
  if (!reasons.length && (state === "unhealthy" || state === "degraded")) {
    reasons.push({ level: state === "unhealthy" ? "bad" : "warn", text: `is ${state}` });
  }
  return reasons;
}

/** The share of requests that fail, if it is too much; else null. `of` is a service, or the totals. */
export function failingShare(of) {
  const share = of.requests_per_second > 0 ? of.errors_per_second / of.requests_per_second : 0;
  return of.errors_per_second >= FEW && share >= FAILING ? Math.min(1, share) : null;
}

export const isSlow = (value) => value !== null && value >= SLOW;

export const isLate = (value) => value >= LAG;
