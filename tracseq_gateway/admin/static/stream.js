// Server-sent events by fetch, since EventSource can send no Authorization field, and a token has no place in a URL.

const SILENCE = 25_000; // Milliseconds without even a heartbeat after which a connection is taken for dead.
const LONGEST_WAIT = 30_000;

/** Takes bytes, tells events: the part of the format that a server of ours uses (WHATWG HTML, 9.2.6). */
export class EventParser {
  #decoder = new TextDecoder();
  #rest = "";
  #event = "";
  #data = [];

  /** `onEvent(name, data)` is called for each event, `onRetry(milliseconds)` when the server says how long to wait. */
  constructor(onEvent, onRetry) {
    this.onEvent = onEvent;
    this.onRetry = onRetry;
  }

  feed(bytes) {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop();
    for (const line of lines) this.#line(line);
  }

  #line(line) {
    if (line === "") {
      if (this.#data.length) this.onEvent(this.#event || "message", this.#data.join("\n"));
      this.#event = "";
      this.#data = [];
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this.#event = value;
    else if (name === "data") this.#data.push(value);
    else if (name === "retry" && /^\d+$/.test(value)) this.onRetry(Number(value));
  }
}

/**
 * Keeps a stream open. `told` has the callbacks: `overview(document)`, `lost(reason, retryAt)` when it is not there
 * and will be tried again at `retryAt` (milliseconds, as Date.now), and `refused(status, detail)` for 401 and 403,
 * after which nothing is tried until `open` is called.
 */
export class Stream {
  #abort = null;
  #timer = 0;
  #retry = 2000;
  #failures = 0;

  constructor(url, told) {
    this.url = url;
    this.told = told;
  }

  /** Connect now, whatever was before. */
  open(token) {
    this.close();
    this.token = token;
    this.#run(new AbortController());
  }

  close() {
    clearTimeout(this.#timer);
    this.#abort?.abort();
    this.#abort = null;
  }

  async #run(abort) {
    this.#abort = abort;
    let wait = null;
    let reason = "The gateway ended the stream.";
    try {
      wait = await this.#read(abort);
      if (wait === "refused") return;
    } catch (error) {
      reason = error instanceof Failed ? error.message : "The gateway cannot be reached.";
      if (error instanceof Failed) wait = error.wait;
      this.#failures += 1;
    }
    if (this.#abort === abort) this.#again(reason, wait);
  }

  async #read(abort) {
    const headers = { accept: "text/event-stream" };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const silence = new Silence(abort);
    try {
      const answer = await fetch(this.url, { headers, signal: abort.signal, cache: "no-store", credentials: "omit" });
      if (answer.status === 401 || answer.status === 403) {
        const detail = await detailOf(answer);
        if (this.#abort === abort) await this.told.refused(answer.status, detail);
        return "refused";
      }
      if (!answer.ok) {
        const wait = Number(answer.headers.get("retry-after")) * 1000 || null;
        throw new Failed(`The gateway answers ${answer.status}: ${await detailOf(answer)}`, wait);
      }
      await this.#follow(answer.body.getReader(), silence, abort);
      return null;
    } finally {
      silence.end();
    }
  }

  async #follow(reader, silence, abort) {
    const parser = new EventParser(
      (name, data) => {
        if (name !== "overview" || this.#abort !== abort) return;
        this.#failures = 0;
        this.#show(data);
      },
      (milliseconds) => (this.#retry = milliseconds),
    );
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      silence.broken();
      parser.feed(value);
    }
  }

  #show(data) {
    try {
      this.told.overview(JSON.parse(data));
    } catch (error) {
      reportError(error);
      throw new Failed("This page cannot show what the gateway says.", null);
    }
  }

  /** Try again after a while: longer after each failure, and not all who lost their streams at the same moment. */
  #again(reason, wait) {
    const most = Math.min(LONGEST_WAIT, this.#retry * 2 ** Math.max(0, this.#failures - 1));
    const milliseconds = wait ?? most * (0.5 + Math.random() / 2);
    this.told.lost(reason, Date.now() + milliseconds);
    this.#timer = setTimeout(() => this.#run(new AbortController()), milliseconds);
  }
}

class Failed extends Error {
  constructor(message, wait) {
    super(message);
    this.wait = wait;
  }
}

/** Gives a connection up that says nothing. */
class Silence {
  constructor(abort) {
    this.abort = abort;
    this.broken();
  }

  broken() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.abort.abort(), SILENCE);
  }

  end() {
    clearTimeout(this.timer);
  }
}

/** What a problem document (RFC 9457) says, or the status alone. */
async function detailOf(answer) {
  try {
    const problem = await answer.json();
    return problem.detail ?? problem.title ?? answer.statusText;
  } catch {
    return answer.statusText;
  }
}
