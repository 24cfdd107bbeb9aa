"""What the keys of one table must be together, once each is right in itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from attrs import evolve

from tracseq_gateway.config.api_keys import key_id
from tracseq_gateway.config.cache import Cache
from tracseq_gateway.config.certificates import certificate_facts, check_pair
from tracseq_gateway.config.compression import Compression, missing_libraries
from tracseq_gateway.config.http2 import Http2
from tracseq_gateway.config.logs import MOST_NAMESPACES, AccessLog, Log
from tracseq_gateway.config.model import Client, Gateway, Service
from tracseq_gateway.config.policies import ApiKey, Authentication, ClientCertificate, Cors, Jwt, JwtKey, Redis
from tracseq_gateway.config.problem import Wrong, dotted
from tracseq_gateway.config.service_tls import ServiceTls
from tracseq_gateway.config.tls import Certificate, Tls
from tracseq_gateway.config.tokens import HASHED, SIGNED
from tracseq_gateway.config.tracing import Tracing
from tracseq_gateway.config.upstream import Discovery, Instance
from tracseq_gateway.config.url import Authority, parse_url


def disagreements(table: Any) -> list[Wrong]:
    """Return what is wrong within a table of the model."""
    agree = _AGREEMENTS.get(type(table))
    return list(agree(table)) if agree else []


def _gateway(table: Gateway) -> Iterator[Wrong]:
    if table.proxy_protocol and not table.trusted_proxies:
        yield Wrong(
            "nobody is trusted to send a PROXY header",
            "the networks of the proxies in trusted_proxies would be right",
            ("proxy_protocol",),
        )

    if 0 < table.watchdog_seconds < 1:
        yield Wrong(
            f"{table.watchdog_seconds:g} s is less than a busy worker may need to answer",
            "at least 1, or 0 for none, would be right",
            ("watchdog_seconds",),
        )


def _client(table: Client) -> Iterator[Wrong]:
    if table.head < table.request_line:
        yield Wrong(
            f"{table.head} bytes cannot hold a request line of {table.request_line}",
            "at least client.request_line would be right",
            ("head",),
        )


def _http2(table: Http2) -> Iterator[Wrong]:
    if table.connection_window < table.stream_window:
        yield Wrong(
            f"{table.connection_window} bytes are less than one request body may have under way",
            "at least http2.stream_window would be right",
            ("connection_window",),
        )


def _certificate(table: Certificate) -> Iterator[Wrong]:
    if not table.file:
        yield Wrong("a certificate without a file", 'file = "chain.pem" would be right')
    elif not table.key_file:
        yield Wrong("a certificate without a key", 'key_file = "key.pem" would be right')
    else:
        try:
            check_pair(table.file, table.key_file)
        except Wrong as fault:
            yield Wrong(fault.wrong, fault.right, ("key_file",))


def _service_tls(table: ServiceTls) -> Iterator[Wrong]:
    if table.certificate and not table.certificate_key:
        yield Wrong("a certificate without a key", 'certificate_key = "key.pem" would be right', ("certificate",))
    elif table.certificate_key and not table.certificate:
        yield Wrong("a key without a certificate", 'certificate = "chain.pem" would be right', ("certificate_key",))
    elif table.certificate:
        try:
            check_pair(table.certificate, table.certificate_key)
        except Wrong as fault:
            yield Wrong(fault.wrong, fault.right, ("certificate_key",))


def _tls(table: Tls) -> Iterator[Wrong]:
    shown: dict[tuple[str, ...], int] = {}
    for index, pair in enumerate(table.certificates):
        facts = certificate_facts(pair.file)
        other = shown.setdefault((facts.kind, *sorted(facts.names)), index)
        if other != index:
            yield Wrong(
                f"is for the names of certificates[{other}], and for a key of its kind",
                "one of them would be right",
                ("certificates", index, "file"),
            )
    if table.client_certificates != "off" and not table.client_ca:
        right = "a file with the authorities of the clients would be right"
        yield Wrong("is empty, so no client's certificate could pass", right, ("client_ca",))
    for name in ("client_ca", "client_crl"):
        if getattr(table, name) and table.client_certificates == "off":
            right = 'client_certificates = "optional" or "required" would be right'
            yield Wrong("verifies certificates that no client is asked for", right, (name,))
    needless = "certificates would be right, or none of this"
    for name in ("strict_sni", "redirect_port", "public_port"):
        if getattr(table, name) and not table.certificates:
            yield Wrong("is of no use without TLS", needless, (name,))
    if table.client_certificates != "off" and not table.certificates:
        yield Wrong("is of no use without TLS", needless, ("client_certificates",))


def _instance(table: Instance) -> Iterator[Wrong]:
    if not table.url:
        yield Wrong("an instance without a url", 'url = "http://host:port" would be right')


def _discovery(table: Discovery) -> Iterator[Wrong]:
    right = "exactly one of dns, srv, file and url would be right"
    named = [kind for kind in ("dns", "srv", "file", "url") if getattr(table, kind)]
    if not named:
        yield Wrong("says not where", right)
    for kind in named[1:]:
        yield Wrong(f"stands beside {named[0]}", right, (kind,))
    if table.dns and table.port is None:
        yield Wrong("is not there, and dns tells addresses only", "port = 8081 would be right", ("port",))
    if table.port is not None and not table.dns:
        yield Wrong("belongs to dns; the other kinds have ports of their own", "no port would be right", ("port",))


def _service(table: Service) -> Iterator[Wrong]:
    yield from _roles(table)
    places = [parse_url(instance.url) for instance in table.instances]
    for index, place in enumerate(places):
        if place in places[:index]:
            yield Wrong(
                f"{place.url()} is listed twice",
                "one instance with a greater weight would be right",
                ("instances", index),
            )
    yield from _security(table, places)


def _security(table: Service, places: list[Authority]) -> Iterator[Wrong]:
    """TLS is for all instances of a service, or for none: a mixture would send some requests in clear."""
    for index, place in enumerate(places):
        if table.secure and not place.tls:
            why = "it has a tls" if table.tls is not None else "others are spoken to over TLS"
            right = f"{evolve(place, tls=True).url()} would be right"
            yield Wrong(f"{place.url()} is spoken to in clear, and {why}", right, ("instances", index))
    found = table.discovery
    if table.secure and found is not None and (found.dns or found.srv) and not (table.tls and table.tls.name):
        kind = "dns" if found.dns else "srv"
        wrong = f"{kind} finds addresses, and nothing says what their certificates are for"
        yield Wrong(wrong, f'tls.name = "{found.dns or "samples.internal"}" would be right', ("discovery", kind))


def _roles(table: Service) -> Iterator[Wrong]:
    """Who is not asked for a token has no role."""
    meant = 'auth = "required" would be right'
    if table.auth == "none" and table.roles:
        yield Wrong('demands roles of who needs no token (auth = "none")', meant, ("roles",))
    for path, rule in table.paths.items():
        if rule.roles and rule.auth == "none":
            yield Wrong('demands roles of who needs no token (auth = "none")', meant, ("paths", path, "roles"))


def _redis(table: Redis) -> Iterator[Wrong]:
    if table.ca and not table.url.startswith("rediss://"):
        yield Wrong("verifies TLS, which redis.url does not ask for", "a rediss:// URL would be right", ("ca",))


def _jwt_key(table: JwtKey) -> Iterator[Wrong]:
    if not table.file:
        yield Wrong("a key without a file", 'file = "issuer.pem" would be right')
    if not table.algorithm:
        yield Wrong("a key without an algorithm", 'algorithm = "RS256" would be right')


def _jwt(table: Jwt) -> Iterator[Wrong]:
    """Hold each algorithm to a key that it can be used with, and each key to an algorithm that is accepted."""
    hashed = [name for name in table.algorithms if name in HASHED]
    signed = [name for name in table.algorithms if name in SIGNED]
    if hashed and not table.secret_env:
        yield Wrong(
            f"is empty, and {hashed[0]} needs a secret", "the name of its environment variable is", ("secret_env",)
        )
    if table.jwks_url and not signed:
        yield Wrong(
            f"publishes no secrets, and {', '.join(hashed)} needs one",
            'an algorithm of public keys such as "RS256" in algorithms would be right',
            ("jwks_url",),
        )
    for index, key in enumerate(table.keys):
        if key.algorithm and key.algorithm not in signed:
            yield Wrong(
                f"{key.algorithm} is not one of the algorithms that are accepted",
                "in algorithms, too, it would be right",
                ("keys", index, "algorithm"),
            )
        if any((key.kid, key.algorithm) == (other.kid, other.algorithm) for other in table.keys[:index]):
            yield Wrong(
                f"is the second {key.algorithm} key with this kid", "a kid of its own would be right", ("keys", index)
            )
    held = {key.algorithm for key in table.keys}
    for index, name in enumerate(table.algorithms):
        if name in signed and not table.jwks_url and name not in held:
            yield Wrong(
                f"there is no key for {name}", "one in keys, or a jwks_url, would be right", ("algorithms", index)
            )


def _api_key(table: ApiKey) -> Iterator[Wrong]:
    if not table.hash:
        yield Wrong("a key without a hash", "what tracseq-gateway key new printed would be right")
    if not table.owner:
        yield Wrong("a key without an owner", "the name of who uses it would be right")


def _authentication(table: Authentication) -> Iterator[Wrong]:
    owners: dict[str, str] = {}
    for name, key in table.api_keys.items():
        other = owners.setdefault(key_id(key.hash), name)
        if other != name:
            yield Wrong(
                f"has the id of {dotted(('auth', 'api_keys', other))}",
                "a key of its own would be right",
                ("api_keys", name, "hash"),
            )

    matched: dict[str, str] = {}
    for name, certificate in table.client_certificates.items():
        other = matched.setdefault(certificate.match, name)
        if other != name:
            yield Wrong(
                f"is matched by {dotted(('auth', 'client_certificates', other))}, too",
                "one of them would be right",
                ("client_certificates", name, "match"),
            )


def _client_certificate(table: ClientCertificate) -> Iterator[Wrong]:
    if not table.match:
        yield Wrong("a certificate without a name", 'match = "URI:spiffe://lab/sequencer-7" would be right')


def _cors(table: Cors) -> Iterator[Wrong]:
    if table.allow_credentials and "*" in table.allow_origins:
        yield Wrong(
            '"*" with allow_credentials would let every site act in the name of its visitors',
            "the origins that may, or allow_credentials = false, would be right",
            ("allow_origins", table.allow_origins.index("*")),
        )


def _access_log(table: AccessLog) -> Iterator[Wrong]:
    if table.format == "template" and not table.template:
        yield Wrong("is empty", 'a template such as "$time $method $path $status" would be right', ("template",))
    if table.template and table.format != "template":
        yield Wrong(f'is not used by the format "{table.format}"', 'format = "template" would be right', ("template",))
    if table.format != "json" and table.target != "journald":
        wrong = f'has no effect on the format "{table.format}"'
        if table.omit:
            yield Wrong(wrong, 'format = "json" would be right', ("omit",))
        if table.headers:
            yield Wrong(wrong, "$http_x_name in a template would be right", ("headers",))


def _log(table: Log) -> Iterator[Wrong]:
    if len(table.levels) > MOST_NAMESPACES:
        yield Wrong(
            f"{len(table.levels)} parts of the program", f"at most {MOST_NAMESPACES} would be right", ("levels",)
        )


def _cache(table: Cache) -> Iterator[Wrong]:
    if table.largest > table.size:
        yield Wrong(
            f"{table.largest} bytes cannot be kept in {table.size}",
            "at most cache.size would be right",
            ("largest",),
        )


def _tracing(table: Tracing) -> Iterator[Wrong]:
    if table.queue_spans < table.batch_spans:
        yield Wrong(
            f"{table.queue_spans} spans are less than an export of {table.batch_spans}",
            "at least tracing.batch_spans would be right",
            ("queue_spans",),
        )


_AGREEMENTS: Mapping[type, Callable[[Any], Iterator[Wrong]]] = {
    Gateway: _gateway,
    Client: _client,
    Http2: _http2,
    Certificate: _certificate,
    Tls: _tls,
    ServiceTls: _service_tls,
    Instance: _instance,
    Discovery: _discovery,
    Service: _service,
    Redis: _redis,
    JwtKey: _jwt_key,
    Jwt: _jwt,
    ApiKey: _api_key,
    ClientCertificate: _client_certificate,
    Authentication: _authentication,
    Cache: _cache,
    Cors: _cors,
    Compression: missing_libraries,
    AccessLog: _access_log,
    Log: _log,
    Tracing: _tracing,
}
