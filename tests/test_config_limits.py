from __future__ import annotations

from tests.config_files import SERVICE, ConfigTestCase
from tracseq_gateway.config import Limit, RateLimit, Size


class LimitTests(ConfigTestCase):
    def test_right(self) -> None:
        """A further limit counts requests or bytes, for some services, methods and paths."""
        text = (
            f'{SERVICE}[rate_limit.limits.uploads]\nunit = "bytes"\nper_minute = "10MiB"\nburst = "20MiB"\n'
            'services = ["samples"]\nmethods = ["POST"]\npaths = ["/Batch/*"]\nper = "address"\n'
        )
        self.assertEqual(
            self.config(text).rate_limit.limits,
            {
                "uploads": Limit(
                    "address", "bytes", Size(10 << 20), Size(20 << 20), ("samples",), ("POST",), ("/batch/*",)
                )
            },
        )

    def test_names(self) -> None:
        """Its name can stand in a key of Redis and in a header field."""
        for name in ("A", "a b", "x" * 33):
            [said] = self.said(f'{SERVICE}[rate_limit.limits."{name}"]')
            self.assertTrue(said.endswith(": is no name for it, 1 to 32 small letters, digits, - and _ would be right"))

    def test_wrong(self) -> None:
        """Services are there, methods are in capitals, paths have stars for whole segments."""
        self.assertSaid(
            '[rate_limit.limits.a]\nservices = ["sampels"]',
            '5: rate_limit.limits.a.services[0]: there is no service "sampels", did you mean "samples"?',
        )
        self.assertSaid(
            '[rate_limit.limits.b]\nmethods = ["GET", "post"]\npaths = ["/a*"]\nburst = 0',
            '5: rate_limit.limits.b.methods[1]: "post" is not a method, a method such as "DELETE", in capitals, is',
            '6: rate_limit.limits.b.paths[0]: "/a*" has a "*" within a segment, '
            '"*" as a segment of its own would be right',
            "7: rate_limit.limits.b.burst: 0 is out of range, "
            'a number of bytes, or a size such as "64KiB", from 1 to 1099511627776 would be right',
        )

    def test_rates(self) -> None:
        """A rate lets something through."""
        self.assertSaid(
            "rate_limit = { requests_per_minute = 0 }",
            "4: services.samples.rate_limit.requests_per_minute: 0 is out of range, "
            "an integer from 1 to 100000000 would be right",
        )


class FailedLoginsTests(ConfigTestCase):
    def test_service(self) -> None:
        """The service that logs users in is there; only the default may be missing."""
        self.assertEqual(self.said(f"{SERVICE}[rate_limit]\nenabled = true"), [])
        self.assertSaid(
            '[rate_limit.failed_logins]\nservice = "login"',
            '5: rate_limit.failed_logins.service: there is no service "login", '
            "the name of the service that logs users in would be right",
        )

    def test_wrong(self) -> None:
        """Paths are paths, and the account has a name."""
        self.assertSaid(
            '[rate_limit.failed_logins]\npaths = ["login"]\naccount = ""',
            '5: rate_limit.failed_logins.paths[0]: "login" does not start with "/", '
            "a path from the root would be right",
            "6: rate_limit.failed_logins.account: is empty, text would be right",
        )

    def test_rates(self) -> None:
        """What is not said of a rate is that of every rate."""
        logins = self.config(f"{SERVICE}[rate_limit.failed_logins]\nper_account.burst = 3").rate_limit.failed_logins
        self.assertEqual((logins.per_account, logins.per_address), (RateLimit(100, 3), RateLimit(10, 20)))
