// States as words, shapes and colours, and how they followed one another.

import { drawn, element, setAttribute, setText } from "./dom.js";
import { clock, plural, span } from "./format.js";

const LEVELS = {
  healthy: "good",
  degraded: "warn",
  unhealthy: "bad",
  unknown: "unknown",
  ejected: "warn",
  drained: "unknown",
  serving: "good",
  starting: "unknown",
  leaving: "unknown",
  stuck: "bad",
  dying: "bad",
};
const HEIGHTS = { good: 3, unknown: 3, warn: 9, bad: 16 };
const WINDOW = 900;

export const levelOf = (state) => LEVELS[state] ?? "warn";

/** Show a state in an element that {@link mark} made. */
export function showState(node, state, words = state) {
  setAttribute(node, "data-level", levelOf(state));
  setText(node, words);
}

export const mark = () => element("span", { class: "state" });

/** What an instance is: what its probes say, unless it gets no requests anyway. */
export function instanceState(instance) {
  if (instance.drained) return "drained";
  if (instance.state === "unhealthy") return "unhealthy";
  return instance.ejected ? "ejected" : instance.state;
}

/** A strip of fifteen minutes: the worse a state, the higher it stands. */
export class Timeline {
  constructor() {
    this.node = drawn("svg", { class: "states", role: "img", viewBox: `0 0 ${WINDOW} 16`, preserveAspectRatio: "none" });
  }

  show(timeline, now) {
    const from = now - WINDOW;
    const parts = timeline.map(([since, state], index) => {
      const begin = Math.max(since, from);
      const end = timeline[index + 1]?.[0] ?? now;
      const level = levelOf(state);
      const height = HEIGHTS[level];
      // A state that lasted a moment is still to be seen.
      return { level, state, since, x: begin - from, width: Math.max(4, end - begin), height, over: end < from };
    });
    const seen = parts.filter((part) => !part.over);
    this.node.replaceChildren(
      ...seen.map(({ level, x, width, height }) => drawn("rect", { class: level, x, y: 16 - height, width, height })),
    );
    setAttribute(this.node, "aria-label", spoken(seen, now));
  }
}

function spoken(seen, now) {
  if (!seen.length) return "nothing known yet";
  const { state, since } = seen.at(-1);
  const held = since ? ` since ${clock(since)}, ${span(now - since)}` : "";
  const changes = seen.length - 1;
  return `${state}${held}; ${changes ? plural(changes, "change") : "no change"} in fifteen minutes`;
}
