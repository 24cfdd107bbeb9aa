"""The URL of a Redis: where it is, and how to log in. What is wrong with one is said without showing any of it, for it
may hold a password."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from attrs import field, frozen

from tracseq_gateway.config.problem import Wrong
from tracseq_gateway.config.url import is_host, is_port

EMBEDDED = "embedded"
SERVER_PORT = 6379
SENTINEL_PORT = 26379

_FORMS = {
    "redis": "redis://[user:password@]host:6379/0",
    "rediss": "rediss://[user:password@]host:6379/0",
    "unix": "unix:///run/valkey.sock",
    "sentinel": "sentinel://h1,h2:26379/name/0",
}
_URL = re.compile(
    r"(?P<scheme>[a-z]+):// (?: (?P<login>[^/?\#]*) @ )? (?P<hosts>[^/?\#@]*) (?P<path>/[^?\#@]*)? "
    r"(?: \? (?P<query>[^\#]*) )?",
    re.VERBOSE | re.DOTALL,
)
_HOST = re.compile(r"(?P<host> \[ [^\[\]]* \] | [^:\[\]]* ) (?: : (?P<port>.*) )?", re.VERBOSE | re.DOTALL)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DATABASE = re.compile(r"[0-9]{1,9}")


@frozen
class Login:
    """What is said on each new connection."""

    user: str = ""
    """Empty: the default user."""
    password: str | None = field(default=None, repr=False)
    """None: no login."""
    database: int = 0


@frozen
class Tcp:
    """A server at a host, an address or a name."""

    host: str
    port: int = SERVER_PORT
    tls: bool = False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}"


@frozen
class Unix:
    """A server at a unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix://{self.path}"


@frozen
class Sentinels:
    """Those who know where the master is at the moment."""

    hosts: tuple[tuple[str, int], ...]
    master: str
    """The name by which they know it."""

    def __str__(self) -> str:
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"sentinel://{hosts}/{self.master}"


@frozen
class RedisAddress:
    """Where and how. Its texts never hold the password."""

    place: Tcp | Unix | Sentinels
    login: Login = Login()

    def __str__(self) -> str:
        return str(self.place)


def redis_url(url: str) -> str:
    """``embedded``, or a URL that :func:`parse_address` takes."""
    if url != EMBEDDED:
        parse_address(url)
    return url


def parse_address(url: str) -> RedisAddress:
    """Read ``redis://``, ``rediss://``, ``unix://`` or ``sentinel://``.

    User, password, path and name are percent-decoded. Raises :class:`Wrong`, which shows nothing of the URL.
    """
    parts = _URL.fullmatch(url)
    if parts is None:
        raise Wrong("cannot be read", "%2F, %3F, %23 and %40 for / ? # and @ in a user or a password would be right")
    if parts["scheme"] not in _FORMS:
        right = f'"{EMBEDDED}" or one of {", ".join(_FORMS.values())} would be right'
        raise Wrong("has none of the schemes of a Redis", right)
    scheme, hosts, path, query = parts["scheme"], parts["hosts"], parts["path"] or "", parts["query"]
    try:
        user, password = _login_of(parts["login"])
        place: Tcp | Unix | Sentinels
        if scheme == "unix":
            place = _unix(hosts, path)
            database = _database_of_query(query)
        elif query is not None:
            raise _Malformed("has something after a question mark")
        elif scheme == "sentinel":
            place, database = _sentinels(hosts, path)
        else:
            place = Tcp(*_host_of(hosts, SERVER_PORT), tls=scheme == "rediss")
            database = _database_of(path.removeprefix("/"))
    except _Malformed as malformed:
        raise Wrong(str(malformed), f"{_FORMS[scheme]} would be right") from None
    return RedisAddress(place, Login(user, password, database))


class _Malformed(Exception):
    """Says which part of the URL is wrong."""


def _login_of(text: str | None) -> tuple[str, str | None]:
    if text is None:
        return "", None
    user, colon, password = text.partition(":")
    if not colon:
        raise _Malformed("has a user without a password (a password alone is :password@host)")
    return _decoded(user, "user"), _decoded(password, "password")


def _unix(hosts: str, path: str) -> Unix:
    if hosts or path in ("", "/"):
        raise _Malformed("names no socket by three slashes and its path")
    return Unix(_decoded(path, "path"))


def _sentinels(hosts: str, path: str) -> tuple[Sentinels, int]:
    name, _, number = path.removeprefix("/").partition("/")
    if not name:
        raise _Malformed("has no name of a master")
    places = tuple(_host_of(host, SENTINEL_PORT) for host in hosts.split(","))
    return Sentinels(places, _decoded(name, "name")), _database_of(number)


def _host_of(text: str, default: int) -> tuple[str, int]:
    match = _HOST.fullmatch(text)
    host = match["host"] if match else ""
    bare = host[1:-1] if host.startswith("[") else host
    if match is None or not is_host(bare) or (":" in bare) != host.startswith("["):
        raise _Malformed("has no valid host")
    port = match["port"]
    if port is None:
        return bare.lower(), default
    if not is_port(port):
        raise _Malformed("has no valid port")
    return bare.lower(), int(port)


def _database_of(text: str) -> int:
    if text and not _DATABASE.fullmatch(text):
        raise _Malformed("has a database that is not a number")
    return int(text or "0")


def _database_of_query(text: str | None) -> int:
    if text is None:
        return 0
    name, _, number = text.partition("=")
    if name != "db" or not number:
        raise _Malformed("has something other than a database (?db=1) after a question mark")
    return _database_of(number)


def _decoded(text: str, what: str) -> str:
    """Undo percent-encoding."""
    if _BROKEN_ESCAPE.search(text):
        raise _Malformed(f"has a % in its {what} that is not followed by two hexadecimal digits (% itself is %25)")
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeError:
        raise _Malformed(f"has a {what} that is not UTF-8") from None
    if "\0" in decoded:
        raise _Malformed(f"has a zero byte in its {what}")
    return decoded
