"""Who calls one worker's gateway: builds what verifies tokens and keys, and keeps it going."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, cast

from twisted.internet.defer import Deferred, gatherResults, succeed

from tracseq_gateway.config.model import Config, Service
from tracseq_gateway.config.policies import Role
from tracseq_gateway.errors import GatewayError
from tracseq_gateway.http.websocket_token import WebSocketTokens
from tracseq_gateway.identity.access import Access, Need
from tracseq_gateway.identity.api_keys import ApiKeys
from tracseq_gateway.identity.authenticator import Ask, Authenticator, Refresh
from tracseq_gateway.identity.client_certificates import ClientCertificates
from tracseq_gateway.identity.introspection import Introspection, introspection_client
from tracseq_gateway.identity.jwks import JwksSource, fetcher
from tracseq_gateway.identity.key_sources import configured_keys
from tracseq_gateway.identity.lasting import Lasting
from tracseq_gateway.identity.revocations import Revocations
from tracseq_gateway.identity.sessions import SessionWatch
from tracseq_gateway.identity.signing import IdentitySigner
from tracseq_gateway.identity.tokens import TokenVerifier
from tracseq_gateway.interfaces import Request
from tracseq_gateway.middleware.chain import Link
from tracseq_gateway.redis.control import RedisControl
from tracseq_gateway.upstream.service import UpstreamService


def check_keys(config: Config, environ: Mapping[str, str]) -> None:
    """See that the keys of a configuration can be used; raises ValueError, which says what is wrong with which."""
    settings = config.auth
    if settings.enabled:
        configured_keys(settings.jwt, environ)
        ApiKeys.of(settings)
        IdentitySigner.of(settings, environ, time.time)


class Callers:
    """The identities that one worker knows."""

    def __init__(
        self,
        config: Config,
        reactor: Any,
        services: Mapping[str, UpstreamService],
        environ: Mapping[str, str],
        now: Callable[[], float],
    ) -> None:
        """``environ`` holds the secrets; ``now`` gives seconds since the epoch. Raises ValueError for keys that cannot
        be used."""
        settings = self._settings = config.auth
        self._control = RedisControl(reactor, config.redis)
        self.revocations = Revocations(
            self._control, config.redis.key_prefix, reactor, now, settings.revocation_seconds
        )
        configured = configured_keys(settings.jwt, environ)
        self._published: JwksSource | None = None
        keys = lambda: configured  # noqa: E731
        if settings.jwt.jwks_url:
            self._published = JwksSource(reactor, fetcher(reactor), settings.jwt, configured, self._keys_changed)
            keys = self._published.keys
        self._client = None
        ask = None
        if settings.service:
            self._client = introspection_client(reactor, settings, services[settings.service].peer)
            ask = Introspection(
                settings,
                config.services[settings.service].rewrite.rstrip("/"),
                _instances(services[settings.service]),
                self._client.post,
                reactor,
            ).ask
        self.authenticator = Authenticator(
            settings,
            TokenVerifier(settings.jwt, keys),
            ApiKeys.of(settings),
            self.revocations,
            now,
            ask,
            self._published.find_refreshing if self._published is not None else None,
            self._keys_known,
        )
        interval = settings.cache_seconds if settings.service else 0.0
        self.lasting = Lasting(self.revocations, reactor, now, self.authenticator.identify, interval)
        """What callers have opened and still goes on."""
        self._signer = IdentitySigner.of(settings, environ, now)
        known = settings.client_certificates
        self._certificates = ClientCertificates(known) if known else None
        self._access: dict[str, Access] = {}

    @property
    def secret_header(self) -> bytes:
        """The name, in lower case, of the header with API keys: it goes no further."""
        return self._settings.api_key_header.lower().encode("ascii")

    @property
    def shared(self) -> bool:
        """Whether this worker hears of the sessions that others ended."""
        return self.revocations.shared

    def links(self, settings: Service, prefix: int) -> list[Link]:
        """The links of one service: who may call it, and for the auth service, who leaves."""
        access = Access(
            settings.name,
            prefix,
            settings.auth,
            settings.roles,
            settings.public,
            settings.paths,
            self.authenticator,
            self._signer.lines,
            WebSocketTokens(self._settings.websocket.query, self._settings.websocket.protocol),
            self._certificates,
        )
        self._access[settings.name] = access
        links = [cast(Link, access)]  # a Deferred of an error or nothing is one of a verdict, too
        if settings.name == self._settings.service:
            links.append(self._session_watch(prefix))
        return links

    def page_link(self, name: str, role: Role) -> Access:
        """The link before a page of the gateway's own that only some may see: ``role`` is the lowest that may.

        ``name`` stands for a service's in what an API key may be used for. May be asked about one request again.
        """
        rules = self.authenticator, lambda identity: b"", None, self._certificates
        return Access(name, 0, "required", {"*": role}, (), {}, *rules)

    def need(self, service: str, path: bytes) -> Need:
        """What a service, whose links have been made, demands of who asks for a public path."""
        return self._access[service].need(path)

    def refusal(self, request: Request, method: bytes, path: bytes) -> GatewayError | None:
        """What stands against a request's caller, who was let in with it, using another method or path as well."""
        return self._access[request.service].refusal(request, method, path)

    def _session_watch(self, prefix: int) -> Link:
        settings = self._settings
        return SessionWatch(prefix, settings.logout, settings.sessions, self.revocations, settings.password_changes)

    def rehearsal(self, ask: Ask | None, refresh: Refresh | None) -> Callers:
        """One whose links judge as those of this one would now, and change nothing here; see the authenticator's."""
        twin = copy(self)
        twin.authenticator = self.authenticator.rehearsal(ask, refresh)
        twin._signer = self._signer.rehearsal()
        return twin

    def start(self) -> Deferred[None]:
        """Listen to the other workers, and fetch published keys; fires when these are there or cannot be had."""
        self._control.start()
        self.revocations.start()
        return self._published.start() if self._published is not None else succeed(None)

    def stop(self) -> Deferred[None]:
        """End all connections."""
        if self._published is not None:
            self._published.stop()
        ended: list[Deferred[Any]] = [self.revocations.stop(), self._control.stop()]
        if self._client is not None:
            ended.append(self._client.close())
        return gatherResults(ended).addCallback(lambda _: None)

    def _keys_known(self) -> bool:
        return self._published is None or self._published.loaded

    def _keys_changed(self) -> None:
        self.authenticator.verdicts.clear()


def _instances(service: UpstreamService) -> Callable[[], str | None]:
    def instance() -> str | None:
        chosen = service.choose()
        return chosen.url.rstrip("/") if chosen is not None else None

    return instance
