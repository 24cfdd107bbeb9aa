"""fetch within a page in Chromium, as a client."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from attrs import asdict

from tests.browser_kit import Browser, shared_browser
from tests.clients_kit import Ask, Seen

PAGE = "/lab/page"
FETCH = """
const [asks, atOnce] = arguments;
const bytes = (text) => {
  const letters = atob(text), array = new Uint8Array(letters.length);
  for (let place = 0; place < array.length; place++) array[place] = letters.charCodeAt(place);
  return array;
};
const text = (bytes) => new Promise((resolve) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.readAsDataURL(new Blob([bytes]));
});
const version = {"http/1.1": "HTTP/1.1", "h2": "HTTP/2"}[performance.getEntriesByType("navigation")[0].nextHopProtocol];
const seen = async ({path, method, fields, body, chunked}) => {
  try {
    const sent = body === null ? {} : chunked ? {body: new Blob([bytes(body)]).stream(), duplex: "half"}
      : {body: bytes(body)};
    const answer = await fetch(path, {method, headers: fields, ...sent});
    const received = await answer.arrayBuffer();
    return {
      status: answer.status,
      fields: {...Object.fromEntries(answer.headers), ":version": version},
      body: received.byteLength ? await text(received) : "",
    };
  } catch (error) {
    return {status: 0, failure: String(error)};
  }
};
if (atOnce) return Promise.all(asks.map(seen));
const all = [];
return asks.reduce((before, ask) => before.then(() => seen(ask)).then((one) => all.push(one)), Promise.resolve())
  .then(() => all);
"""


class ChromiumFetch:
    """Asks from a page of the service's own, so that nothing is cross-origin."""

    def run(self, base: str, asks: Sequence[Ask], *, at_once: bool = False, ca: str | None = None) -> list[Seen]:
        browser = shared_browser()
        browser.visit(base + PAGE)
        try:
            told = [asdict(ask) | {"body": _text(ask.body)} for ask in asks]
            found = browser.run(FETCH, told, at_once)
        finally:
            _leave(browser)
        return [Seen(**(seen | {"body": base64.b64decode(seen.get("body", ""))})) for seen in found]


def _text(body: bytes | None) -> str | None:
    return base64.b64encode(body).decode() if body is not None else None


def _leave(browser: Browser) -> None:
    """Forget cookies and connections: the next test has another port."""
    browser.driver.delete_all_cookies()
    browser.driver.get("about:blank")
    browser.driver.execute_cdp_cmd("Network.clearBrowserCache", {})
