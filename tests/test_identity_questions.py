"""Who calls, when somebody has to be asked: one question for many, and what holds when nobody answers."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import CancelledError

from tests.identity_kit import CLAIMS, DOWN, IDENTITY, NOW, STANDS, IdentityTestCase, World
from tracseq_gateway.errors import INTERNAL, GatewayError
from tracseq_gateway.identity.authenticator import BAD_SECONDS, LOCAL_SECONDS
from tracseq_gateway.identity.introspection import Verdict as ServiceVerdict
from tracseq_gateway.interfaces import Identity


class QuestionTests(IdentityTestCase):
    def test_one_question(self) -> None:
        """Simultaneous requests with one token make one verification and one question; all get the answer."""
        world = World()
        waiting = [world.bring() for _ in range(5)]
        other = world.bring(b"other")
        self.assertEqual((world.verified, len(world.questions)), ([b"token", b"other"], 2))
        world.answer()
        for found in waiting:
            self.assertIdentity(found)
        self.assertNoResult(other)
        self.assertEqual(world.authenticator.outcomes["asked"], 1)

    def test_one_refusal(self) -> None:
        """So they do when the answer is no, or when there is none."""
        for answer, check in ((ServiceVerdict(False), self.assertRefused), (DOWN, None)):
            world = World()
            waiting = [world.bring() for _ in range(3)]
            world.answer(answer)
            for found in waiting:
                if check is not None:
                    check(world, found)
                else:
                    self.assertUnavailable(found)

    def test_leaving(self) -> None:
        """Who gives up leaves the others their answer, in whatever place it stood."""
        for place in range(3):
            world = World()
            waiting = [world.bring() for _ in range(3)]
            gone = waiting.pop(place)
            gone.cancel()
            self.failureResultOf(gone, CancelledError)
            world.answer()
            for found in waiting:
                self.assertIdentity(found)

    def test_all_leave(self) -> None:
        """When all have left, who comes next waits for the same question, and its answer is remembered."""
        world = World()
        for found in [world.bring(), world.bring()]:
            found.cancel()
            self.failureResultOf(found, CancelledError)
        late = world.bring()
        self.assertEqual(len(world.questions), 1)
        late.cancel()
        self.failureResultOf(late, CancelledError)
        world.answer()
        self.assertIdentity(world.bring())

    def test_leaving_when_told(self) -> None:
        """One that is told may make others leave, or ask again at once, without harm to any."""
        world = World()
        first, second, third = world.bring(), world.bring(), world.bring()
        again: list[Any] = []

        def told(found: Any) -> Any:
            second.cancel()
            again.append(world.bring())
            return found

        first.addCallback(told)
        world.answer()
        self.failureResultOf(second, CancelledError)
        self.assertIdentity(first)
        self.assertIdentity(third)
        self.assertIdentity(again[0])
        self.assertEqual(world.questions, [])

    def test_service_wins(self) -> None:
        """Role, e-mail and session are those of the Auth Service, whatever the token says."""
        world = World()
        world.claims = evolve(CLAIMS, role="lab_administrator", email="old@lab.test", session="old")
        found = world.bring()
        world.answer(ServiceVerdict(True, "u-1", "", "guest", "", None))
        expected = Identity("user", "u-1", "guest", "", "old")  # a token's session is kept when the service names none
        self.assertIdentity(found, expected)
        self.assertIdentity(world.bring(), expected)

    def test_role_changes(self) -> None:
        """A user whose role was changed has the new one as soon as the old verdict has ended."""
        world = self.known(cache_seconds=10.0)
        before = world.bring()
        world.time += 10
        found = world.bring()
        world.answer(evolve(STANDS, role="guest"))
        self.assertIdentity(found, evolve(IDENTITY, role="guest"))
        after = world.bring()
        world.time += 10
        again = world.bring()
        world.answer(evolve(STANDS, role="guest"))
        self.assertIs(world.bring(), after)  # so that what others keep beside an identity is found again
        self.assertIdentity(again, evolve(IDENTITY, role="guest"))
        self.assertNotEqual(before.rank, world.bring().rank)

    def test_invalid(self) -> None:
        """What the service does not know, or gives to another user, is refused, and not asked about at once again."""
        for verdict in (ServiceVerdict(False), evolve(STANDS, subject="u-2"), evolve(STANDS, subject="U-1")):
            world = World()
            found = world.bring()
            world.answer(verdict)
            self.assertRefused(world, found)
            self.assertRefused(world, world.bring())
            self.assertEqual(world.questions, [])

    def test_valid_no_more(self) -> None:
        """A token that was good and is not any more is refused, though the service goes down right after that."""
        world = self.known(cache_seconds=10.0)
        world.time += 10
        found = world.bring()
        world.answer(ServiceVerdict(False))
        self.assertRefused(world, found)
        world.time += BAD_SECONDS
        found = world.bring()
        world.answer(DOWN)
        self.assertUnavailable(found)

    def test_fault(self) -> None:
        """A fault of the gateway's own lets nobody in and nobody wait for ever; the next request asks anew."""
        world = World()
        waiting = [world.bring(), world.bring()]
        world.answer(ZeroDivisionError("a fault"))
        for found in waiting:
            error = self.successResultOf(found)
            self.assertEqual((type(error), error.kind), (GatewayError, INTERNAL))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        again = world.bring()
        world.answer()
        self.assertIdentity(again)


class RefreshTests(IdentityTestCase):
    def test_found(self) -> None:
        """A token of an unknown key makes one refresh, then it is verified and asked about, for all who wait."""
        world = World()
        world.unknown.add(b"token")
        waiting = [world.bring() for _ in range(3)]
        self.assertEqual([(algorithm, kid) for algorithm, kid, _ in world.refreshes], [("RS256", "k9")])
        self.assertEqual(world.questions, [])
        world.unknown.clear()
        world.refreshes.pop()[2].callback(None)
        waiting.append(world.bring())
        self.assertEqual(len(world.questions), 1)
        world.answer()
        for found in waiting:
            self.assertIdentity(found)

    def test_locally(self) -> None:
        """So it is when nobody is asked."""
        world = World(asks=False)
        world.unknown.add(b"token")
        waiting = [world.bring(), world.bring()]
        world.unknown.clear()
        world.refreshes.pop()[2].callback(None)
        for found in waiting:
            self.assertIdentity(found)

    def test_not_found(self) -> None:
        """When the key stays unknown, or the token is bad by it, it is refused, and makes no second refresh at once."""
        for outcome in ("unknown", "bad"):
            world = World()
            world.unknown.add(b"token")
            found = world.bring()
            if outcome == "bad":
                world.unknown.clear()
                world.bad.add(b"token")
            world.refreshes.pop()[2].callback(None)
            self.assertRefused(world, found)
            self.assertRefused(world, world.bring())
            self.assertEqual((world.refreshes, world.questions), ([], []))

    def test_nowhere_to_look(self) -> None:
        """Where all keys are configured, an unknown one is refused at once."""
        world = World(refreshes=False)
        world.unknown.add(b"token")
        self.assertRefused(world, world.bring())

    def test_ended_during_the_refresh(self) -> None:
        """A session that is ended while keys are looked for is refused without a question."""
        world = World()
        world.unknown.add(b"token")
        found = world.bring()
        world.unknown.clear()
        world.ended_sessions.add("s-1")
        world.refreshes.pop()[2].callback(None)
        self.assertRefused(world, found)
        self.assertEqual(world.questions, [])

    def test_fault(self) -> None:
        """A refresh that fails, which it never should, ends the wait."""
        world = World()
        world.unknown.add(b"token")
        found = world.bring()
        world.refreshes.pop()[2].errback(ZeroDivisionError("a fault"))
        self.assertEqual(self.successResultOf(found).kind, INTERNAL)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class AloneTests(IdentityTestCase):
    """While this worker does not hear when others end a session."""

    def test_asked_again_soon(self) -> None:
        """A verdict then holds for seconds only; once the others are heard, for its time again."""
        world = World()
        self.assertIdentity(self.good(world))
        world.hears = False
        world.time = NOW + 3.9
        self.assertIdentity(world.bring())
        self.assertEqual(world.questions, [])
        world.time = NOW + 4.1
        found = world.bring()
        self.assertEqual(len(world.questions), 1)
        world.answer(ServiceVerdict(False))
        self.assertRefused(world, found)

    def test_heard_again(self) -> None:
        """Once the others are heard, it holds for its time."""
        world = World()
        self.assertIdentity(self.good(world))
        world.time = NOW + 100
        self.assertIdentity(world.bring())
        self.assertEqual(world.questions, [])

    def good(self, world: World) -> Any:
        found = world.bring()
        world.answer()
        return found


class DownTests(IdentityTestCase):
    """When the Auth Service gives no answer."""

    def at(self, world: World, later: float, answer: ServiceVerdict | Exception = DOWN) -> Any:
        """What becomes of the token ``later`` seconds after it was found good."""
        world.time = NOW + later
        found = world.bring()
        if world.questions:
            world.answer(answer)
        return found

    def test_never_seen(self) -> None:
        """A token that was never found good is 503 with Retry-After, except where local validity is enough."""
        for mode, check in (("cached", self.assertUnavailable), ("closed", self.assertUnavailable), ("local", None)):
            world = World(when_service_is_down=mode)
            found = world.bring()
            world.answer(DOWN)
            (check or self.assertIdentity)(found)
            self.assertEqual(world.authenticator.outcomes["stale" if check is None else "unavailable"], 1)

    def test_locally_bad(self) -> None:
        """A bad token is refused in every mode, and nobody is asked."""
        for mode in ("cached", "closed", "local"):
            world = World(when_service_is_down=mode)
            world.bad.add(b"token")
            self.assertRefused(world, self.at(world, 0))

    def test_grace(self) -> None:
        """An old verdict holds for the grace time to its last moment, and from then on it is 503."""
        for later, check in (
            (300.0, self.assertIdentity),
            (419.99, self.assertIdentity),
            (420.0, self.assertUnavailable),
        ):
            check(self.at(self.known(grace_seconds=120.0), later))
        world = self.known(grace_seconds=120.0)
        for later in (300.0, 350.0, 400.0, 419.9):
            self.assertIdentity(self.at(world, later))
        self.assertUnavailable(self.at(world, 420.0))  # each use does not begin the grace time anew
        self.assertUnavailable(self.at(self.known(grace_seconds=0.0), 300.0))

    def test_grace_ends_with_the_token(self) -> None:
        """Grace does not reach beyond the end of the token or of its session."""
        world = self.known(grace_seconds=86400.0)
        self.assertIdentity(self.at(world, 3599.0))
        self.assertRefused(world, self.at(world, 3600.0))
        world = World(grace_seconds=86400.0)
        world.bring()
        world.answer(evolve(STANDS, expires=NOW + 600))
        self.assertIdentity(self.at(world, 599.0))
        self.assertUnavailable(self.at(world, 600.0))

    def test_grace_and_clock_set_back(self) -> None:
        """A verdict from the future is no old one: with a clock that was set back there is no grace."""
        self.assertUnavailable(self.at(self.known(), -3600.0))

    def test_closed(self) -> None:
        """In the mode ``closed`` a verdict holds for its time and not a moment longer."""
        world = self.known(when_service_is_down="closed")
        self.assertIdentity(self.at(world, 299.9))
        self.assertUnavailable(self.at(world, 300.0))

    def test_local(self) -> None:
        """In the mode ``local`` a token passes until its end, with the role that the service gave it last."""
        world = World(when_service_is_down="local", grace_seconds=10.0)
        world.claims = evolve(CLAIMS, role="lab_administrator")
        world.bring()
        world.answer(evolve(STANDS, role="guest"))
        for later in (300.0, 320.0, 3599.0):
            self.assertIdentity(self.at(world, later), evolve(IDENTITY, role="guest"))
        self.assertRefused(world, self.at(world, 3600.0))

    def test_asked_again(self) -> None:
        """Who passes without an answer is asked about again a second later, not sooner and not for each request."""
        for mode in ("cached", "local"):
            world = self.known(when_service_is_down=mode)
            self.assertIdentity(self.at(world, 300.0))
            for later, questions in ((LOCAL_SECONDS - 0.01, 0), (LOCAL_SECONDS, 1)):
                world.time = NOW + 300 + later
                world.bring()
                self.assertEqual(len(world.questions), questions, mode)

    def test_recovery(self) -> None:
        """The first answer counts again, either way, and the token is cached as if nothing had been."""
        for mode in ("cached", "local"):
            world = self.known(when_service_is_down=mode)
            self.at(world, 300.0)
            self.assertIdentity(self.at(world, 301.0, STANDS))
            self.assertIdentity(self.at(world, 600.9))
            self.assertEqual(world.questions, [])
            self.assertRefused(world, self.at(world, 601.0, ServiceVerdict(False)))

    def test_recovery_after_503(self) -> None:
        """A 503 is not remembered."""
        world = World(when_service_is_down="closed")
        self.assertUnavailable(self.at(world, 0.0))
        self.assertIdentity(self.at(world, 0.0, STANDS))
