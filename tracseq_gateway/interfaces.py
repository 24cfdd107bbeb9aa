"""What rooms tell each other: the values and the protocols that cross a room's door.

Rooms on one floor do not import each other; they meet here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, get_args

from attrs import define, frozen

from tracseq_gateway.config.policies import RateLimit, Role
from tracseq_gateway.errors import GatewayError
from tracseq_gateway.http.outgoing import OutgoingHead
from tracseq_gateway.http.request_head import RequestHead
from tracseq_gateway.http.trace_context import TraceContext

State = Literal["unknown", "healthy", "unhealthy"]


@frozen
class InstanceHealth:
    """What the supervisor's probes say of one instance."""

    service: str
    url: str
    """As configured, for example ``http://127.0.0.1:8081``."""
    state: State = "unknown"
    since: float = 0.0
    """When ``state`` was entered, seconds since the epoch; 0 while nothing is known."""
    checked: float = 0.0
    """When the last probe ended, seconds since the epoch; 0 before the first."""
    latency: float | None = None
    """Seconds that the last successful probe took."""
    error: str | None = None
    """Why the last probe failed, in a few words; None after a success."""
    drained: bool = False
    """Whether an operator wants it to get no more requests."""


@frozen
class Observation:
    """What one worker has found out by the requests that it passed on; the supervisor tells the others."""

    service: str
    url: str
    """The instance, as configured; empty: the service as a whole, by its circuit breaker."""
    event: Literal["ejected", "restored", "opened", "closed"]
    """An instance was ejected or restored; a circuit was opened or closed."""
    seconds: float = 0.0
    """How long an ejection or an open circuit lasts from now."""
    reason: str = ""
    """Why, in a few words, for the log."""


@frozen
class WorkerHealth:
    """What the supervisor says of its workers."""

    configured: int
    running: int
    restarts: int = 0
    stopping: bool = False
    """Whether the gateway will stop soon, though it serves as before: nobody new should be sent to it."""


SWITCHED = 101
"""The status of a request whose connection speaks another protocol now, until either side closes it."""

ROLES: tuple[Role, ...] = get_args(Role)
"""The platform's roles, lowest first: who has one may do what the lower ones may."""


@define(eq=False)
class Identity:
    """Who calls. Made once for a credential and shared by its requests, so nothing of one request is kept here."""

    kind: Literal["user", "key", "certificate"]
    """By a token of the Auth Service, by an API key, or by a client's certificate."""
    subject: str
    """The user's id, the owner of the API key, or whom the certificate is for."""
    role: Role
    email: str = ""
    session: str = ""
    """The session's id; empty for what is no user's."""
    key_name: str = ""
    """The API key's name; for a certificate ``certificate:`` and the name of its table; empty for a user."""
    services: frozenset[str] = frozenset()
    """The services that may be called; empty: all."""
    methods: frozenset[bytes] = frozenset()
    """The methods that may be used; empty: all."""
    rate_limit: RateLimit | None = None
    """Its own rate, instead of the service's."""
    sessions: frozenset[str] = frozenset()
    """The ids by which its session can be ended: the Auth Service's, and the one in the token."""
    issued: float = 0.0
    """When its token was issued, in seconds since the epoch; 0: nobody knows."""
    expires: float = 0.0
    """When its token or API key ends, likewise; 0: never."""
    rank: int = 0
    """The role's place in :data:`ROLES`; set from ``role``."""
    client: bytes = b""
    """Its name in limiter keys: ``u:`` and the user's id, ``k:`` and the API key's name, ``c:`` and whom a
    certificate is for; set from the rest."""

    def __attrs_post_init__(self) -> None:
        self.rank = ROLES.index(self.role)
        self.client = f"{self.kind[0]}:{self.key_name if self.kind == 'key' else self.subject}".encode()


@frozen
class ClientCertificate:
    """A client's certificate, which was verified against the authorities that the operator names."""

    subject: str
    """As RFC 4514 writes it, for example ``CN=sequencer-7,O=Laboratory``."""
    names: tuple[str, ...]
    """Who it is for, by kind: ``URI:spiffe://lab/sequencer-7``, ``DNS:...``, ``email:...``, ``CN:...``."""
    fingerprint: str
    """SHA-256 of the whole, in hex."""
    expires: float
    """The end of its time, seconds since the epoch."""


@frozen
class TlsFacts:
    """What is known of a connection that uses TLS."""

    version: str
    """For example ``TLSv1.3``."""
    cipher: str
    """The suite, as OpenSSL names it."""
    server_name: str
    """What the client asked for by SNI; empty if it did not."""
    certificate: ClientCertificate | None = None


class Answerer(Protocol):
    """Who works on a request once it is dispatched; the server side tells it what the client does."""

    def body_received(self, data: bytes) -> None:
        """More of the request body came."""

    def body_ended(self) -> None:
        """The request body is complete."""

    def client_gone(self) -> None:
        """The request is over: the client left, or broke off its body. Nothing more may be answered."""

    def pause(self) -> None:
        """The client reads slower than it is answered: send nothing until :meth:`resume`."""

    def resume(self) -> None:
        """The client has read what was sent."""

    def leave(self) -> None:
        """The gateway stops: end what would not end by itself. Called for a switched protocol only."""


class AnswerSink(Protocol):
    """Where an answer goes: towards the client."""

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        """The head and the first bytes of the body; ``done`` if that is all."""

    def send(self, data: bytes, done: bool) -> None:
        """More of the body."""

    def abort(self) -> None:
        """It cannot be completed; the client must see that it is not whole."""


class AnswerFilter(AnswerSink, Protocol):
    """Who changes, or keeps, one answer on its way to the client: see :meth:`Request.filter_answer`."""

    def gone(self) -> None:
        """The request is over without a whole answer, as its client left or speaks another protocol: let go."""


class BodyCheck(Protocol):
    """Who looks at the whole body of a request while it passes."""

    def take(self, data: bytes) -> None:
        """More of it came."""

    def end(self) -> GatewayError | None:
        """That was all: say what is wrong with it, if anything is."""


@frozen
class Repeat:
    """Leave to give a refusal again to a client that repeats the very same request."""

    until: float
    """As long as its words stay true, in seconds of the reactor's clock."""
    count: Callable[[], None]
    """Counts a refusal that was given again."""


class Request(Protocol):
    """A client's request as the rooms behind the server see it, whatever protocol it came by.

    It is answered once: by :meth:`begin` (and :meth:`send` until one of both says ``done``), by :meth:`refuse`, or by
    :meth:`abort` after :meth:`begin`.
    """

    head: RequestHead
    request_id: bytes
    client: str
    """The client's address; behind trusted proxies, the one that they vouch for."""
    service: str
    """The name of the service that it was routed to; empty before, and for the gateway's own pages."""
    identity: Identity | None
    """Who calls; None when nobody said so, or nobody asked."""
    forwarded: bytes
    """The lines that the gateway adds to the request for a service, each with its CRLF: where it comes from, who
    calls."""
    answer_lines: bytes
    """The lines that the gateway adds to the answer, whoever gives it, each with its CRLF."""
    max_body: int
    """Most bytes of body, counted while they come; beyond it the request is refused with 413. 0: no limit."""
    begun: bool
    """Whether an answer has begun."""
    finished: bool
    """Whether the request is over: answered, refused, or its client gone."""
    status: int
    """The status of the answer; 0 before it begins, 499 if the client left before."""
    error: GatewayError | None
    """Why the gateway itself answered or broke off; None for a service's answer."""
    repeat: Repeat | None
    """Set together with a refusal that may be given again."""
    trace: TraceContext | None
    """Its place in a trace; None when traces are not kept."""
    limit: str
    """What the rate limiter decided: ``admitted``, ``refused``, ``remembered`` (refused without being asked again), or
    without Redis ``local``, ``open`` or ``closed``; empty when it was not asked."""
    cache: str
    """What the cache of its service did with it: ``hit``, ``stale``, ``revalidated``, ``collapsed``, ``miss``,
    ``passed`` or ``invalidated``; empty when it was not asked."""
    instance: str
    """The URL of the instance that was asked last; empty when none was."""
    attempts: int
    """How often an instance was asked."""
    began: float
    """When its head was complete, in seconds of the reactor's clock."""
    admitted: float
    """When it had passed all doors, and an instance was asked for; like the next two in seconds of the reactor's clock,
    and 0 if it did not come to that or if nobody wants to know."""
    passed_on: float
    """When its head was sent to an instance, in the last attempt."""
    answered: float
    """When the head of the service's answer came."""
    received: int
    """Bytes of body that have come, without their framing."""
    sent: int
    """Bytes of body that were sent, without their framing."""

    @property
    def tls(self) -> TlsFacts | None:
        """What TLS says of the client's connection to us; None in clear."""

    @property
    def peer(self) -> str:
        """The address of who sent it to us: the client's own, or a proxy's."""

    def at_end(self, ended: Callable[[Request], None]) -> None:
        """Have ``ended`` called with this request once it is over, however it ends; in the order of the calls."""

    def body_exceeds(self, limit: int) -> bool:
        """Whether the body is known to be longer than ``limit`` bytes."""

    def attend(self, answerer: Answerer) -> None:
        """Make known who works on the request, so that he hears of what the client does."""

    def take_body(self) -> tuple[bytes, bool]:
        """Start to receive: return what has come of the body and whether that is all; the rest goes to who attends.

        A client that waits for it gets its 100 (Continue) now.
        """

    def peek_body(self, most: int, ready: Callable[[bytes | None], None]) -> None:
        """Look at the whole body before somebody takes it: ``ready`` is called with it once it has come.

        With None if it is longer than ``most`` bytes; never if the client leaves or breaks off before. To be called
        once, before :meth:`take_body`, which then returns these same bytes.
        """

    def await_body(self, least: int, ready: Callable[[], None]) -> None:
        """Have ``ready`` called once the body is complete or ``least`` bytes of it have come; perhaps at once.

        Never if the client leaves or breaks off before. :meth:`take_body` then returns what has come.
        """

    def check_body(self, check: BodyCheck) -> GatewayError | None:
        """Have the body looked at while it comes; its last piece goes on only when ``check`` has found nothing wrong.

        Else the request is broken off, so that nobody has got a whole body. To be called once, before anybody takes
        it; returns what is wrong with a body that is here already.
        """

    def filter_answer(self, make: Callable[[AnswerSink], AnswerFilter]) -> None:
        """Have the answer go through a filter, which is made with the sink that it hands on to, at once or later.

        To be called before the answer begins. The filter that is put in last gets the answer first. Interim answers
        and a change of protocol pass it by.
        """

    def hold_answer(self) -> None:
        """A filter has enough to do: who answers sends nothing until :meth:`release_answer`, called as often."""

    def release_answer(self) -> None:
        """The filter has room again."""

    def pause_body(self) -> None:
        """Receive no more of the body for now."""

    def resume_body(self) -> None:
        """Receive the body again."""

    def interim(self, head: OutgoingHead) -> None:
        """Pass on an interim response (1xx)."""

    def begin(self, head: OutgoingHead, data: bytes, done: bool) -> None:
        """Send the head and the first bytes of the body; ``done`` if that is all."""

    def send(self, data: bytes, done: bool) -> None:
        """Send more of the body."""

    def switch(self, head: OutgoingHead, protocol: bytes, answerer: Answerer) -> None:
        """Send a 101: from now on ``answerer`` gets all that the client sends as it comes, and :meth:`send` sends."""

    def refuse(self, error: GatewayError) -> None:
        """Answer with an error, or cut the answer off if one has begun."""

    def break_off(self, error: GatewayError) -> None:
        """Stop who works on the request, and refuse it."""

    def abort(self) -> None:
        """Cut off an answer that cannot be completed, so that the client sees that it is not whole."""


class Recorder(Protocol):
    """Who writes down what happened."""

    def request_ended(self, request: Request) -> None:
        """A request is over. Called once for each, own pages and refusals among them; must not raise or wait."""


class Stage(Protocol):
    """A stage of a request's way that takes over the request and sees that it is answered."""

    def __call__(self, request: Request) -> None:
        """Take over the request."""
