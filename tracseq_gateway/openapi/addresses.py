"""From the paths of a service's document to those that a client asks the gateway for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from attrs import frozen

_VARIABLE = re.compile(r"\{([^{}]{1,100})\}")
_PATH = re.compile(r"(?:/|[A-Za-z0-9._~!$&'()*+,;=:@%-]|\{[A-Za-z0-9_.-]{1,64}\}){1,500}").fullmatch
MOST_SERVERS: Final = 8


@frozen
class Address:
    """Where a service is for clients, and what the gateway makes of that."""

    prefix: str
    rewrite: str
    is_ours: Callable[[str], bool] = lambda path: True
    """Whether the gateway sends a public path to this service, and not to one with a longer prefix, or to itself."""

    def public(self, upstream: str) -> str | None:
        """The path by which a client gets to a path of the service; None when there is none."""
        rewrite, prefix = self.rewrite.rstrip("/"), self.prefix.rstrip("/")
        if upstream != rewrite and not upstream.startswith(rewrite + "/"):
            return None
        rest = upstream[len(rewrite) :]
        return self._checked(prefix if rest == "/" else prefix + rest)

    def _checked(self, path: str) -> str | None:
        path = path or "/"
        segments = path.split("/")[1:]
        if not path.startswith("/") or _PATH(path) is None or {".", ".."} & set(segments) or "" in segments[:-1]:
            return None
        return path if self.is_ours(path) else None

    def locate(self, base: str, path: str) -> str | None:
        """The public path of ``path`` in a document whose server has the path ``base``.

        A base within the public prefix means that the document was written for clients of the gateway already.
        """
        own = self.prefix.rstrip("/")
        if own and not _within(self.rewrite.rstrip("/"), own) and _within(base, own):
            return self._checked((base + path).removesuffix("/") if path == "/" else base + path)
        return self.public(base + path)

    def best_base(self, bases: Sequence[str], paths: Iterable[str]) -> str:
        """The base by which the most of these paths can be reached; of several the first."""
        known = list(paths)
        counts = [sum(self.locate(base, path) is not None for path in known) for base in bases]
        return bases[counts.index(max(counts))]


def _within(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(prefix + "/")


def bases(servers: Any, document_path: str) -> list[str]:
    """The paths of the servers that a document names, without a slash at the end; at least one.

    Relative URLs are relative to where the document is; the hosts of absolute ones do not matter here.
    """
    found: list[str] = []
    for server in servers[:MOST_SERVERS] if isinstance(servers, list) else ():
        url = server.get("url") if isinstance(server, dict) else None
        if isinstance(url, str) and len(url) <= 1000:
            path = _path_of(_filled(url, server.get("variables")), document_path)
            if path is not None and path not in found:
                found.append(path)
    return found or [""]


def _filled(url: str, variables: Any) -> str:
    """Put the defaults of a server's variables into its URL."""

    def default(found: re.Match[str]) -> str:
        variable = variables.get(found[1]) if isinstance(variables, dict) else None
        value = variable.get("default") if isinstance(variable, dict) else None
        return value if isinstance(value, str) else "-"

    return _VARIABLE.sub(default, url)


def _path_of(url: str, document_path: str) -> str | None:
    try:
        return urlsplit(urljoin(f"http://service{document_path}", url)).path.rstrip("/")
    except ValueError:
        return None
