"""Who calls, from what a request shows: what is refused unread, and what a remembered verdict is worth."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.identity_kit import CLAIMS, DOWN, IDENTITY, NOW, STANDS, IdentityTestCase, World
from tracseq_gateway.identity.authenticator import BAD_SECONDS
from tracseq_gateway.identity.tokens import LONGEST_TOKEN
from tracseq_gateway.identity.verdicts import Verdict, Verdicts
from tracseq_gateway.interfaces import Identity


class CredentialTests(IdentityTestCase):
    def test_nothing(self) -> None:
        """Who shows nothing is nobody, and costs nothing."""
        world = World()
        self.assertIsNone(world.identify())
        self.assertIsNone(world.identify(b"Cookie: token=abc", b"X-User-Id: u-1", b"X_API_Key: k"))
        self.assertEqual((world.verified, world.presented, world.questions), ([], [], []))

    def test_bearer_in_any_case(self) -> None:
        """The scheme is compared without case, and as many spaces as one likes follow it (RFC 9110 section 11.1)."""
        for scheme in (b"Bearer ", b"bearer ", b"BEARER ", b"bEARER    "):
            world = World(asks=False)
            self.assertIdentity(world.identify(b"Authorization: " + scheme + b"token"))
            self.assertEqual(world.verified, [b"token"])

    def test_other_schemes(self) -> None:
        """Another scheme, no scheme and no token are refused without a look, even with a good API key beside."""
        values = (
            b"|Bearer|Bearer:token|Bearertoken|Bearer\ttoken|token|Basic dTpw|Service service_key|Digest a=b|Bear x"
        )
        for value in values.split(b"|"):
            world = World(asks=False)
            world.keys[b"key"] = IDENTITY
            self.assertRefused(world, world.identify(b"Authorization: " + value, b"X-API-Key: key"))
            self.assertEqual((world.verified, world.presented), ([], []), value)

    def test_two_authorizations(self) -> None:
        """Two Authorization lines are refused unread, whichever comes first and even if they are alike."""
        good, other = b"Authorization: Bearer token", b"authorization: Basic dTpw"
        for lines in ((good, good), (good, other), (other, good), (good, b"AUTHORIZATION:")):
            world = World(asks=False)
            self.assertRefused(world, world.identify(*lines))
            self.assertEqual(world.verified, [])

    def test_long(self) -> None:
        """A token of 8 KiB is verified; one byte more is refused unread, and nothing is remembered of it."""
        world = World(asks=False)
        self.assertIdentity(world.bring(b"t" * LONGEST_TOKEN))
        self.assertRefused(world, world.bring(b"t" * (LONGEST_TOKEN + 1)))
        self.assertEqual((world.verified, LONGEST_TOKEN), ([b"t" * 8192], 8192))

    def test_spellings(self) -> None:
        """A token that differs in case, padding or inner white space is another token, known or not."""
        world = World(asks=False)
        spellings = [b"aBc.d.e", b"abc.d.e", b"aBc.d.e=", b"aBc.d.e==", b"aBc. d.e", b"aBc.d.e x", b"aBc.d.e,"]
        for token in spellings:
            world.bring(token)
        self.assertEqual(world.verified, spellings)
        world.bad.add(b"aBc.d.e-")
        self.assertRefused(world, world.bring(b"aBc.d.e-"))
        self.assertIdentity(world.bring(b"aBc.d.e"))

    def test_api_key(self) -> None:
        """An API key is looked up each time, so that one that has ended is refused by the next request."""
        world = World()
        world.keys[b"key"] = owner = Identity("key", "sequencer", "lab_technician", key_name="s7")
        for _ in range(2):
            self.assertIs(world.identify(b"x-api-key: key"), owner)
        del world.keys[b"key"]
        for value in (b"key", b"", b"KEY", b"key=", b"Bearer key"):
            self.assertRefused(world, world.identify(b"X-API-Key: " + value))
        self.assertEqual((world.verified, world.questions), ([], []))

    def test_two_api_keys(self) -> None:
        """Two lines with API keys are refused, as two Authorization lines are."""
        world = World()
        world.keys[b"key"] = IDENTITY
        self.assertRefused(world, world.identify(b"X-API-Key: key", b"x-api-key: other"))
        self.assertRefused(world, world.identify(b"X-API-Key: key", b"X-API-Key: key"))

    def test_api_key_header(self) -> None:
        """The header is the configured one, without regard to case, and no other."""
        world = World(api_key_header="X-Instrument")
        world.keys[b"key"] = IDENTITY
        self.assertIs(world.identify(b"x-INSTRUMENT: key"), IDENTITY)
        self.assertIsNone(world.identify(b"X-API-Key: key"))

    def test_bearer_wins(self) -> None:
        """With a token and an API key the token alone counts, good or bad."""
        world = World(asks=False)
        world.keys[b"key"] = Identity("key", "sequencer", "guest")
        both = b"Authorization: Bearer token", b"X-API-Key: key"
        self.assertIdentity(world.identify(*both))
        world.bad.add(b"bad")
        self.assertRefused(world, world.identify(b"X-API-Key: key", b"Authorization: Bearer bad"))
        self.assertEqual(world.presented, [])


class CacheTests(IdentityTestCase):
    def test_costs_nothing(self) -> None:
        """A verdict that is remembered costs no verification and no question, and is the same object each time."""
        world = self.known()
        first = world.bring()
        world.time += 299.9
        self.assertIs(world.bring(), first)
        self.assertEqual((world.verified, world.questions), ([], []))

    def test_until(self) -> None:
        """A verdict holds until the first of the token's end, the session's end and the configured time."""
        cases = (
            (300.0, 3600.0, None, 300.0),
            (300.0, 120.0, None, 120.0),
            (300.0, 120.0, 60.0, 60.0),
            (300.0, 60.0, 120.0, 60.0),
            (300.0, 3600.0, 3600.0, 300.0),
            (0.0, 3600.0, None, 0.0),
        )
        for seconds, token_ends, session_ends, until in cases:
            world = World(cache_seconds=seconds)
            world.claims = evolve(CLAIMS, expires=NOW + token_ends)
            world.bring()
            world.answer(evolve(STANDS, expires=session_ends and NOW + session_ends))
            for later, again in ((until - 0.01, 0), (until, 1)):
                if later >= 0:
                    world.time = NOW + later
                    world.verified.clear()
                    world.bring()
                    self.assertEqual(len(world.verified), again, (seconds, token_ends, session_ends, later))

    def test_token_ends(self) -> None:
        """A token that has ended is refused at that moment although its verdict was remembered for longer."""
        world = World(cache_seconds=86400.0)
        world.bring()
        world.answer()
        world.time = CLAIMS.expires - 0.001
        self.assertIdentity(world.bring())
        world.time = CLAIMS.expires
        self.assertRefused(world, world.bring())
        self.assertEqual(world.questions, [])

    def test_clock_set_back(self) -> None:
        """With a clock that was set back a remembered verdict does not count: a token may not hold yet."""
        world = World()
        world.claims = evolve(CLAIMS, not_before=NOW - 5)
        world.bring()
        world.answer()
        world.time = NOW - 6
        self.assertRefused(world, world.bring())
        world.time = NOW + BAD_SECONDS
        self.assertNoResult(world.bring())
        world.answer()
        world.time = NOW - 4
        world.verified.clear()
        self.assertNoResult(world.bring())
        self.assertEqual(world.verified, [b"token"])

    def test_session_ended(self) -> None:
        """A session that was ended is refused by the next request, by the id in the token or by the service's."""
        for ended in ("s-token", "s-service"):
            world = World()
            world.claims = evolve(CLAIMS, session="s-token")
            world.bring()
            world.answer(evolve(STANDS, session="s-service"))
            self.assertIdentity(world.bring(), evolve(IDENTITY, session="s-service"))
            world.ended_sessions.add(ended)
            self.assertRefused(world, world.bring())
            self.assertEqual(world.questions, [], ended)

    def test_user_ended(self) -> None:
        """A user whose sessions were ended is refused with every older token, and not with one issued after that."""
        world = self.known()
        world.ended_users["u-1"] = CLAIMS.issued
        self.assertRefused(world, world.bring())
        self.assertRefused(world, world.bring(b"old"))
        world.claims = evolve(CLAIMS, issued=CLAIMS.issued + 1)
        self.assertNoResult(world.bring(b"new"))
        world.claims = evolve(CLAIMS, issued=0.0)
        self.assertRefused(world, world.bring(b"undated"))

    def test_ended_while_asked(self) -> None:
        """A session that is ended while the Auth Service is asked is refused, whatever that answers."""
        for mode in ("cached", "local", "closed"):
            for answer in (STANDS, evolve(STANDS, session="s-2"), DOWN):
                world = self.known(when_service_is_down=mode, cache_seconds=10.0)
                world.time += 10
                found = world.bring()
                world.ended_sessions |= {"s-1", "s-2"}
                world.answer(answer)
                self.assertRefused(world, found)
                self.assertRefused(world, world.bring())

    def test_session_that_only_the_service_knows(self) -> None:
        """A token without a session of its own is refused when the session that the service names was ended."""
        world = World()
        world.claims = evolve(CLAIMS, session="")
        world.ended_sessions.add("s-1")
        found = world.bring()
        world.answer()
        self.assertRefused(world, found)

    def test_bad(self) -> None:
        """A bad token is refused for ten seconds without another look, then it is looked at again."""
        world = World()
        world.bad.add(b"token")
        for later, looks in ((0.0, 1), (BAD_SECONDS - 0.01, 1), (BAD_SECONDS, 2)):
            world.time = NOW + later
            self.assertRefused(world, world.bring())
            self.assertEqual(len(world.verified), looks)
        world.bad.clear()
        world.time += BAD_SECONDS
        self.assertNoResult(world.bring())

    def test_bad_and_clock_set_back(self) -> None:
        """A clock that is set back does not make a bad token bad for longer."""
        world = World()
        world.bad.add(b"token")
        world.bring()
        world.time -= 86400
        world.bad.clear()
        self.assertNoResult(world.bring())

    def test_keys_change(self) -> None:
        """When the keys have changed, every token is verified anew, good ones and bad ones."""
        world = self.known()
        world.bad |= {b"bad"}
        world.bring(b"bad")
        world.authenticator.verdicts.clear()
        world.bad = {b"token"}
        self.assertRefused(world, world.bring())
        self.assertNoResult(world.bring(b"bad"))

    def test_keys_change_while_asked(self) -> None:
        """A token whose key goes away while the Auth Service is asked is refused, for all who wait, and stays so."""
        for answer in (STANDS, DOWN):
            world = World(when_service_is_down="local")
            first = world.bring()
            world.authenticator.verdicts.clear()
            second = world.bring()
            world.bad.add(b"token")
            world.answer(answer)
            for found in (first, second, world.bring()):
                self.assertRefused(world, found)

    def test_keys_change_for_others_while_asked(self) -> None:
        """A token that the new keys know, too, is asked about again, and its waiters get that answer."""
        world = World()
        found = world.bring()
        world.authenticator.verdicts.clear()
        world.answer()
        self.assertNoResult(found)
        world.answer()
        self.assertIdentity(found)
        self.assertIdentity(world.bring())


class VerdictsTests(SynchronousTestCase):
    def verdict(self) -> Verdict:
        return Verdict(IDENTITY, CLAIMS, NOW, NOW + 300, NOW + 600)

    def test_least_recently_used(self) -> None:
        """Beyond the bound the verdict goes that was used longest ago; looking at one is using it."""
        verdicts = Verdicts(3, 10.0)
        for digest in (b"a", b"b", b"c"):
            verdicts.keep(digest, self.verdict())
        verdicts.find(b"a")
        verdicts.keep(b"b", self.verdict())
        verdicts.keep(b"d", self.verdict())
        self.assertEqual([digest for digest, _ in verdicts], [b"a", b"b", b"d"])
        self.assertIsNone(verdicts.find(b"c"))
        self.assertEqual(len(verdicts), 3)

    def test_bad_bounded(self) -> None:
        """Bad ones are bounded, too, and displace each other but no good one, except their own."""
        verdicts = Verdicts(3, 10.0)
        for digest in (b"a", b"b", b"c"):
            verdicts.keep(digest, self.verdict())
        for number in range(1000):
            verdicts.keep_bad(b"%d" % number, NOW)
        self.assertEqual(len(verdicts), 3)
        remembered = [number for number in range(1000) if verdicts.is_bad(b"%d" % number, NOW)]
        self.assertEqual(remembered, [997, 998, 999])
        verdicts.keep_bad(b"a", NOW)
        self.assertIsNone(verdicts.find(b"a"))

    def test_flood(self) -> None:
        """A flood of bad tokens costs no good token its verdict."""
        world = World(asks=False, cache_entries=2)
        world.bring(b"one")
        world.bring(b"two")
        flood = [b"bad-%d" % number for number in range(100)]
        world.bad.update(flood)
        for token in flood:
            world.bring(token)
        world.verified.clear()
        world.bring(b"one")
        world.bring(b"two")
        self.assertEqual(world.verified, [])
