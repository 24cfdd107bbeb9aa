// Numbers and times as people read them. Null stands for "not known", and is shown as a dash.

const DASH = "–";
const JOINED = "\u00a0"; // A figure and its unit stay on one line.
const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const clockOf = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

/** Three digits at most behind what matters: 0.4, 12.3, 812, 12,300. */
export function number(value) {
  if (value === null || value === undefined) return DASH;
  if (value === 0) return "0";
  if (Math.abs(value) < 0.05) return value < 0 ? DASH : "<0.1";
  if (Math.abs(value) < 99.95) return String(Number(value.toFixed(1)));
  return grouped.format(value);
}

export const whole = (value) => (value === null || value === undefined ? DASH : grouped.format(value));

/** Milliseconds, in seconds from one second on. */
export function milliseconds(value) {
  const [amount, unit] = millisecondParts(value);
  return unit ? amount + JOINED + unit : amount;
}

export function millisecondParts(value) {
  if (value === null || value === undefined) return [DASH, ""];
  if (value < 10) return [value.toFixed(1), "ms"];
  if (value < 999.5) return [value.toFixed(0), "ms"];
  return [(value / 1000).toFixed(value < 9995 ? 2 : 1), "s"];
}

/** Bytes by powers of 1024. */
export function byteParts(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  while (value >= 1000 && power < units.length - 1) {
    value /= 1024;
    power += 1;
  }
  return [value < 10 && power ? value.toFixed(1) : value.toFixed(0), units[power]];
}

export const bytes = (value) => byteParts(value).join(JOINED);

/** A time of day, in the reader's own zone, from seconds since the epoch. */
export const clock = (epoch) => clockOf.format(epoch * 1000);

/** A length of time in its largest unit, two for hours and days. */
export function span(seconds) {
  seconds = Math.max(0, Math.round(seconds));
  if (seconds < 100) return `${seconds}${JOINED}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes}${JOINED}min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return [hours, "h", minutes % 60, "min"].join(JOINED);
  return [Math.floor(hours / 24), "d", hours % 24, "h"].join(JOINED);
}

export const percent = (share) => (share * 100).toFixed(share < 0.0995 ? 1 : 0) + JOINED + "%";

export const plural = (count, noun) => `${grouped.format(count)} ${noun}${count === 1 ? "" : "s"}`;
