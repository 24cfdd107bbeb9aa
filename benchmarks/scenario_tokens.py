"""What a request costs whose token was not seen before, and one that is refused."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve, frozen

from benchmarks.contest import Running, contest, scratch_directory
from benchmarks.duties import AUTH, LIMITED_PATH, Duties, fetch
from benchmarks.errors import BenchmarkError
from benchmarks.measure import Say, cost
from benchmarks.processes import Cores
from benchmarks.samples_duties import RefusalSample, TokenSample
from benchmarks.settings import Settings
from benchmarks.tokens import Issuer, written
from benchmarks.wrk import Shape, wrk

ALGORITHMS = ("HS256", "RS256")
TRIES = 1000


@frozen
class _Case:
    """An issuer with the file of its tokens, and whether the Auth Service is asked as well."""

    issuer: Issuer
    tokens: Path
    introspected: bool


def measure(settings: Settings, cores: Cores, say: Say) -> list[TokenSample]:
    """Take a sample of known and one of new tokens, for each algorithm, without and with the Auth Service."""
    samples = []
    with scratch_directory() as directory:
        cases = _cases(settings, directory, say)
        for number in range(1, settings.token_rounds + 1):
            for case in cases:
                # When the tokens come round again, the verdict of each has given way to a later one.
                duties = Duties(case.issuer, (AUTH,), case.introspected, settings.tokens // 2)
                with contest("gateway", cores, duties=duties) as proxy:
                    known = Shape("users", tokens=case.tokens)
                    wrk(proxy.port, cores.load, clients=settings.clients, seconds=settings.warmup, shape=known)
                    for shape in (known, Shape("sessions", tokens=case.tokens)):
                        sample = _sample(proxy, settings, cores, case, shape, number)
                        say(
                            f"tokens {number} {sample.algorithm}{', introspected' * sample.introspected}, "
                            f"{'new' if sample.new else 'known'}: {sample.microseconds:.1f} us a request, "
                            f"{sample.asked_per_request:.3f} questions to the Auth Service"
                        )
                        samples.append(sample)
    return samples


def _cases(settings: Settings, directory: Path, say: Say) -> list[_Case]:
    cases = []
    for algorithm in ALGORITHMS:
        say(f"tokens: signing {settings.tokens:,} by {algorithm}")
        issuer = Issuer.make(algorithm)
        tokens = written(issuer.sessions(settings.tokens), directory / algorithm)
        cases += [_Case(issuer, tokens, False), _Case(issuer, tokens, True)]
    return cases


def _sample(proxy: Running, settings: Settings, cores: Cores, case: _Case, shape: Shape, number: int) -> TokenSample:
    asked = _questions(proxy)
    spent = cost(proxy, cores.load, clients=settings.clients, seconds=settings.token_seconds, shape=shape)
    return TokenSample(
        case.issuer.algorithm,
        case.introspected,
        shape.kind == "sessions",
        number,
        spent.load.requests,
        spent.load.seconds,
        spent.workers,
        _questions(proxy) - asked,
    )


def _questions(proxy: Running) -> int:
    """How many requests the Auth Service's stand-in has had, but for those of this function."""
    if proxy.auth is None:
        return 0
    *_lines, counts, _now = fetch(proxy.auth, "/asked").body.strip().splitlines()
    _accepted, _handled, requests = counts.split()
    return int(requests)


def measure_refusals(settings: Settings, cores: Cores, say: Say) -> list[RefusalSample]:
    """Take a sample of one client's requests that are served, and one of the same that are over its limit."""
    issuer = Issuer.make("HS256")
    (token,) = issuer.users(1)
    samples = []
    with scratch_directory() as directory:
        # One token in turn: every connection is the same client's.
        served = Shape("sessions", tokens=written([token], directory / "token"))
        for number in range(1, settings.token_rounds + 1):
            with contest("gateway", cores, duties=Duties(issuer)) as proxy:
                _use_up_the_limit(proxy.port, token)
                for shape in (served, evolve(served, path=LIMITED_PATH, refused=True)):
                    wrk(proxy.port, cores.load, clients=settings.clients, seconds=settings.warmup, shape=shape)
                    spent = cost(
                        proxy, cores.load, clients=settings.clients, seconds=settings.token_seconds, shape=shape
                    )
                    load = spent.load
                    sample = RefusalSample(
                        shape.refused, number, load.requests, load.seconds, spent.workers, spent.redis, spent.calls
                    )
                    say(
                        f"tokens {number} {'refused' if sample.refused else 'served'}: {sample.microseconds:.1f} us "
                        f"a request, {sample.calls} Redis calls for {sample.requests:,} requests"
                    )
                    samples.append(sample)
    return samples


def _use_up_the_limit(port: int, token: str) -> None:
    for _each in range(TRIES):
        if fetch(port, LIMITED_PATH, token).status == 429:
            return
    raise BenchmarkError(f"the gateway does not limit {LIMITED_PATH}: {TRIES} requests were served")
