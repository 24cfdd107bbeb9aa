"""The corpus: from many inputs the few that together run every line and jump of the gateway that all of them run."""

from __future__ import annotations

import base64
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from types import FrameType
from typing import Any

from tests.fuzz.targets import CORPUS, kept, one_input

ROOT = Path(__file__).parent.parent
PACKAGE = str(ROOT.parent / "tracseq_gateway")
LONGEST = 4096
"""Bytes of an input that is kept."""
FOUND = "found-"
"""How the names of inputs begin that once broke something: they are kept whatever they run."""

Arc = tuple[str, int, int]
"""A file, and two lines of it that ran one after the other."""
OFTEN = 8
"""How often is often: from there on it makes no difference."""


def renew(name: str, work: Path) -> int:
    """Write the corpus of a target anew, from it, its seeds, and what a run left in ``work``; return its size."""
    directory = CORPUS / name
    directory.mkdir(parents=True, exist_ok=True)
    before = kept(name)
    found = {file: data for file, data in before.items() if file.startswith(FOUND)}
    left = [file.read_bytes() for file in work.glob("*")] if work.is_dir() else []
    for file in before.keys() - found.keys():
        (directory / file).unlink()
    few = fewest(one_input(name), {*before.values(), *left, *seeds_of(name)} - set(found.values()))
    for data in few:
        (directory / blake2b(data, digest_size=8).hexdigest()).write_bytes(data)
    return len(few) + len(found)


def fewest(target: Callable[[bytes], None], inputs: Iterable[bytes]) -> list[bytes]:
    """Choose inputs, short ones first, each of which runs something that those before it did not."""
    known: set[tuple[Arc, int]] = set()
    chosen = []
    for data in sorted((data for data in inputs if len(data) <= LONGEST), key=lambda data: (len(data), data)):
        arcs = arcs_of(target, data)
        if not arcs <= known:
            known |= arcs
            chosen.append(data)
    return chosen


def arcs_of(target: Callable[[bytes], None], data: bytes) -> set[tuple[Arc, int]]:
    """Run a target, and return what of the gateway it ran, each with how often in powers of two."""
    arcs: Counter[Arc] = Counter()

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(PACKAGE):
            return None
        last = 0

        def step(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal last
            arcs[file, last, frame.f_lineno] += 1
            last = frame.f_lineno
            return step

        return step

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        target(data)
    finally:
        sys.settrace(before)
    return {(arc, min(count, OFTEN).bit_length()) for arc, count in arcs.items()}


def seeds_of(name: str) -> Iterator[bytes]:
    """The wire cases that fit a target, and samples of what it reads."""
    if name in ("request_head", "client_stream"):
        yield from _wire("h1-requests")
    elif name in ("answer_head", "service_stream"):
        first = b"" if name == "answer_head" else b"\4"
        yield from (first + data for data in _wire("upstream-answers"))
    elif name == "chunked":
        for data in [*_wire("h1-requests"), *_wire("upstream-answers")]:
            head, _, body = data.partition(b"\r\n\r\n")
            if b"chunked" in head:
                yield body
    elif name == "path":
        yield from (data.split(b" ")[1][1:] for data in _wire("h1-requests") if data.count(b" ") > 1)
    elif name == "origin":
        yield from (data.partition(b"\r\n\r\n")[0].partition(b"\r\n")[2] for data in _wire("h1-requests"))
    elif name == "token":
        yield from _tokens()
    elif name == "config_file":
        files = [*(ROOT / "contract").glob("*.toml"), *ROOT.parent.glob("deploy/*.toml")]
        yield from (file.read_bytes() for file in files)
    yield from SAMPLES.get(name, ())


def _wire(cases: str) -> Iterator[bytes]:
    for case in json.loads((ROOT / "wire_cases" / f"{cases}.json").read_text()):
        yield base64.b64decode(case["raw_b64"])


def _tokens() -> Iterator[bytes]:
    """Header and claims of the tokens of the wire cases; the whole token where it has no three parts."""
    for case in json.loads((ROOT / "wire_cases" / "jwt.json").read_text())["cases"]:
        token: str = case["token"]
        parts = token.split(".")
        try:
            yield b"\n\n".join(base64.urlsafe_b64decode(part + "==") for part in parts[:2])
        except ValueError:
            pass
        yield token.encode("utf-8", "surrogateescape")


SAMPLES: dict[str, tuple[bytes, ...]] = {
    "digest_fields": (
        b"sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:, md5=:1B2M2Y8AsgTpgAmy7PhCfg==:;q=1",
        b"sha-256=:aGk=:",
        b"a=:aGk=: b=:aG8=:",
        b"a=:aGk:",
        b"a=1",
    ),
    "token": (
        b'{"alg":"HS256","typ":"JWT"}\n\n{"sub":"u-1","exp":1780000600,"nbf":1779999000,"iat":1779999000.5,'
        b'"iss":"https://issuer.test/","aud":["gw"],"role":"lab_technician","email":"a@lab.example","jti":"s-1"}',
        b'{"alg":"HS256"}\n\n{"sub":"u","exp":1e400,"iss":"https://issuer.test/","aud":"gw"}',
    ),
    "config_file": (
        b"""
[services.a]
prefix = "/a"
instances = ["http://h:1"]
max_body = "1MiB"
content_types = ["application/json"]
paths."/b/*" = { roles = { POST = "guest" }, rate_limit = { requests_per_minute = 5, burst = 9 } }
""",
        b"""
[gateway]
workers = "auto"
trusted_proxies = ["::1/128", "10.0.0.0/8"]
[redis]
url = "sentinel://u:p@h1,h2:26379/name/1"
[access_log]
format = "combined"
[security]
deny = ["0.0.0.0/0"]
""",
        b"""
[auth.api_keys.x]
hash = "0"
owner = "o"
expires = 2030-01-01
[rate_limit.limits.l]
requests_per_minute = 1
burst = 1
[[services]]
""",
    ),
    "api_document": (
        b'{"openapi":"3.1.0","info":{"title":"t","version":"1"},"servers":[{"url":"/{v}","variables":{"v":{"default":'
        b'"api/v1"}}}],"tags":[{"name":"a","description":"d"}],"paths":{"/x/{id}":{"parameters":[{"name":"id","in":"path",'
        b'"required":true,"schema":{"type":"integer"}}],"get":{"operationId":"x","tags":["a"],"parameters":[{"$ref":'
        b'"#/components/parameters/P"},{"name":"h","in":"header","content":{"text/plain":{}}}],"responses":{"200":{'
        b'"description":"d","content":{"application/json":{"schema":{"$ref":"#/components/schemas/Pet"}}}},"4XX":{"$ref":'
        b'"#/components/responses/R"}}}}},"components":{"parameters":{"P":{"name":"q","in":"query","schema":true}},'
        b'"responses":{"R":{"description":"r","headers":{"X-A":{"$ref":"#/components/headers/H"}}}},"headers":{"H":{'
        b'"schema":{"type":"string"}}},"schemas":{"Pet":{"type":"object","discriminator":{"propertyName":"k","mapping":{'
        b'"c":"Cat"}},"properties":{"next":{"$ref":"#/components/schemas/Pet"}}},"Cat":{"allOf":[{"$ref":'
        b'"#/components/schemas/Pet"}]},"Dog":{"allOf":[{"$ref":"#/components/schemas/Pet"}]}}}}',
        b'{"openapi":"3.0.3","paths":{"/api/v1/y":{"post":{"requestBody":{"content":{"multipart/form-data":{"schema":{'
        b'"type":"object","properties":{"f":{"type":"string","format":"binary"},"n":{"type":"string","nullable":true,'
        b'"enum":["a"],"example":"a"},"m":{"minimum":1,"exclusiveMinimum":true,"type":"integer","default":0},"o":{'
        b'"nullable":true,"allOf":[{"$ref":"#/components/schemas/A"}]},"p":{"pattern":"("}}},"encoding":{"f":{'
        b'"contentType":"image/png"}}}}},"responses":{"default":{"description":"d"},"700":{}}}}},"components":{"schemas":'
        b'{"A":{"$ref":"#/components/schemas/B","nullable":true},"B":{"type":"array","items":{"oneOf":[{"$ref":'
        b'"other.json"},{"$ref":"#/components/schemas/B/items"}]}}}}}',
        b'{"openapi":"3.1.0","paths":{"/api/v1":{"$ref":"#/components/pathItems/I"},"/metrics":{"get":{"responses":{}}},'
        b'"/{":{"get":{}},"//":{"get":{}},"/api/v1/z":{"get":{"servers":[{"url":"/"}],"callbacks":{"c":{}},"responses":'
        b'{"200":{"$ref":"#/components/responses/L"}}}}},"webhooks":{"w":{}},"components":{"pathItems":{"I":{"get":{'
        b'"responses":{"200":{"description":"d"}}}}},"responses":{"L":{"$ref":"#/components/responses/L"}}}}',
        b'{"swagger":"2.0"}',
        b'{"openapi":"3.1.0","x":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]'
        b"]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
        b'{"openapi":"3.1.0","x":1e999}',
    ),
    "proxy_header": (
        b"PROXY TCP4 198.51.100.9 192.0.2.1 50000 443\r\nGET",
        b"PROXY TCP6 2001:db8::9 ::1 1 2\r\n",
        b"PROXY UNKNOWN\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc6\x33\x64\x09\xc0\0\2\1\xc3\x50\1\xbb",
        b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" + bytes(range(36)),
        b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8" + bytes(216),
    ),
    "redis_replies": (
        b"+OK\r\n:7\r\n$3\r\na\r\n\r\n",
        b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n-ERR no\r\n*-1\r\n$-1\r\n",
        b"*2\r\n:1\r\n*1\r\n-LOADING x\r\n",
        b"%1\r\n+a\r\n,1.5\r\n#t\r\n_\r\n(3\r\n",
    ),
    "cross_origin": (
        b"https://lab.example\nContent-Type",
        b"https://a.tracseq.com:443\nauthorization, x-custom",
        b"http://[::1]:8000\n*",
        b"null\n",
    ),
    "origin": (
        b"X-Forwarded-For: 203.0.113.1, 10.0.0.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a\r\n"
        b"X-Forwarded-Port: 443",
        b'Forwarded: for="[2001:db8::9]:80";proto=https;host="a:1", for=10.0.0.2',
        b"Via: 1.1 a\r\nX-Forwarded-For: unknown, 1.2.3.4:5",
    ),
}
