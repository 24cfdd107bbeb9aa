"""Words that inputs are made of: a fuzzer that has to spell ``Transfer-Encoding`` by chance does nothing else."""

from __future__ import annotations

from typing import get_args, get_type_hints

from attrs import AttrsInstance, has

from tracseq_gateway.config import Config

_HTTP = (
    "HTTP/1.1", "HTTP/1.0", "GET ", "HEAD ", "POST ", "PUT ", "OPTIONS ", "\r\n", "\r\n\r\n", ": ", "Host: a",
    "Connection: ", "close", "keep-alive", "Upgrade: websocket", "Content-Length: ", "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip", "Expect: 100-continue", "Via: 1.1 gw", "Max-Forwards: 0", "X-Request-Id: a",
    "X_User_Id: 1", "X-Forwarded-For: ", "0\r\n\r\n", "5\r\nhello\r\n", "http://a.test", "/..", "/%2e", "//", "%2f",
    "?", "* ", "100 Continue", "103 Early Hints", "204 No Content", "304 Not Modified", "200 OK",
)  # fmt: skip
_OTHERS: dict[str, tuple[str, ...]] = {
    "path": ("/admin", "/a/", "/b", "/login", "/forms/", "..", "%2e", "%2F", "%5c", "%00", ";", "%3b", "//", "\\"),
    "origin": (
        "X-Forwarded-For: ", "X-Forwarded-Proto: ", "X-Forwarded-Host: ", "X-Forwarded-Port: ", "Forwarded: ", "for=",
        "proto=", "host=", "by=", "https", "10.0.0.2", "203.0.113.1", '"[2001:db8::9]:1"', "unknown", ", ", ";", '\\"',
        "\r\n", "2001:db8:1::",
    ),
    "proxy_header": (
        "PROXY ", "TCP4 ", "TCP6 ", "UNKNOWN", "\r\n\r\n\0\r\nQUIT\n", "\x21\x11", "\x21\x21", "\x20\x00", "::1 ",
        "1.2.3.4 ", "\r\n",
    ),
    "token": (
        '"alg":"HS256"', '"kid":', '"typ":"JWT"', '"crit":[]', '"sub":"u"', '"exp":1780000600', '"nbf":', '"iat":',
        '"jti":', '"iss":"https://issuer.test/"', '"aud":"gw"', '"role":"guest"', '"email":', "\n\n", "{", "}", "[",
        "]", "\\u0000", "1e9",
    ),
    "redis_replies": (
        "+", "-ERR ", ":1", "$-1", "$1", "*3", "*-1", "$7\r\nmessage", "\r\n", "%1", "~1", ">2", "_", "#t", ",1", "(1",
    ),
    "digest_fields": (
        "sha-256=:", "sha-512=:", "md5=", "=:", ":", ", ", ";", ";q=", "aGk=", '"',
        "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "?1", "@1", "1.5", '%"', "\t",
    ),
    "cross_origin": (
        "https://", "http://", "lab.example", ".tracseq.com", ":443", "[::1]:8000", "\n", ", ", "Content-Type", "*",
    ),
    "api_document": (
        '"openapi":"3.1.0"', '"openapi":"3.0.3"', '"swagger":"2.0"', '"paths":', '"/x/{id}":', '"get":', '"post":',
        '"parameters":', '"in":"path"', '"in":"query"', '"name":', '"schema":', '"content":', '"application/json":',
        '"responses":', '"200":', '"description":""', '"requestBody":', '"$ref":', '"#/components/schemas/A"',
        '"components":', '"schemas":', '"allOf":', '"oneOf":', '"discriminator":', '"propertyName":"k"', '"mapping":',
        '"nullable":true', '"type":', '"default":', '"servers":', '"url":"/api/v1"', '"operationId":', '"tags":',
        "{", "}", "[", "]", ":", ",", "null", "1e999",
    ),
    "config_file": (
        " = ", "\n[", "]\n", '"', "true", "services.", "[[", "{ ", " }", '["http://h:1"]', '"/a"', "1979-05-27",
    ),
}  # fmt: skip


def words(name: str) -> tuple[str, ...]:
    """The words of a target's inputs."""
    further = _OTHERS.get(name, _HTTP)
    return (*further, *sorted(_keys(Config))) if name == "config_file" else further


def dictionary(name: str) -> str:
    """The same in the form of libFuzzer's dictionaries: one quoted word a line."""
    return "".join(f'"{"".join(map(_escaped, word))}"\n' for word in words(name))


def _escaped(character: str) -> str:
    plain = character.isascii() and character.isprintable() and character not in '"\\'
    return character if plain else f"\\x{ord(character):02x}"


def _keys(table: type[AttrsInstance]) -> set[str]:
    """The names of all keys of a table of the configuration and of those below it."""
    names: set[str] = set()
    for name, kind in get_type_hints(table).items():
        names.add(name)
        for inner in (kind, *get_args(kind)):
            if isinstance(inner, type) and has(inner):
                names |= _keys(inner)
    return names
