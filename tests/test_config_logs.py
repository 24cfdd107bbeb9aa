"""What may be written in ``[access_log]`` and ``[log]``."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from tests.config_files import SERVICE, ConfigTestCase
from tracseq_gateway.config.log_line import FIELDS, template_parts
from tracseq_gateway.config.logs import MOST_NAMESPACES

TEMPLATE = '[access_log]\nformat = "template"\ntemplate = '


class AccessLogTests(ConfigTestCase):
    def test_journal(self) -> None:
        """A journal that is not there is warned of before the start; it may come later."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = Path(folder.name, "socket")
        text = f'[access_log]\ntarget = "journald"\njournal = "{path}"'
        self.assertSaid(
            text,
            f"5: access_log.target: warning: there is no journal at {path}, its lines are lost until there is one",
        )
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
            journal.bind(str(path))
            self.assertEqual([], self.said(SERVICE + text))

    def test_template(self) -> None:
        """A template is checked for fields that there are not, and for what cannot stand in a line."""
        for template, said in (
            ("$statu", 'there is no field "statu", did you mean "status"?'),
            ("${}", '"${}" has a dollar without a name, $status, or $$ for a dollar, would be right'),
            ("5 $", '"5 $" has a dollar without a name, $status, or $$ for a dollar, would be right'),
            ("$http_é", "cannot be a line"),
            ("$http_", 'there is no field "http_", a name such as $http_x_lab_site would be right'),
            ("a\\nb", "cannot be a line, at most 4096 characters of ASCII, in one line, would be right"),
            ("$http_authorization", "$http_authorization would write down a credential"),
            ("$http_x_session_token", "$http_x_session_token would write down a credential"),
            ("$http_cookie", "$http_cookie would write down a credential"),
        ):
            (first,) = self.said(f'{SERVICE}{TEMPLATE}"{template}"')
            self.assertTrue(first.startswith("6: access_log.template: ") and said in first, first)
        names = ", ".join(FIELDS)
        self.assertSaid(f'{TEMPLATE}"$zzz"', f'6: access_log.template: there is no field "zzz", the fields are {names}')
        config = self.config(f'{SERVICE}{TEMPLATE}"$$ ${{status}}s $http_x_lab"')
        self.assertEqual(
            [("$ ", "status"), ("s ", "http_x_lab"), ("", "")], list(template_parts(config.access_log.template))
        )

    def test_together(self) -> None:
        """Keys that belong to another format are not passed over."""
        self.assertSaid(
            '[access_log]\nformat = "template"',
            '4: access_log.template: is empty, a template such as "$time $method $path $status" would be right',
        )
        self.assertSaid(
            '[access_log]\ntemplate = "$status"',
            '5: access_log.template: is not used by the format "json", format = "template" would be right',
        )
        self.assertSaid(
            '[access_log]\nformat = "combined"\nomit = ["path"]\nheaders = ["X-Lab"]',
            '6: access_log.omit: has no effect on the format "combined", format = "json" would be right',
            '7: access_log.headers: has no effect on the format "combined", $http_x_name in a template would be right',
        )

    def test_names(self) -> None:
        """Fields to leave out are fields, and header fields to add are none that let somebody in."""
        self.assertSaid(
            '[access_log]\nomit = ["usr"]\nheaders = ["X-Lab", "authorization", "X Lab"]\nredact = [""]',
            '5: access_log.omit[0]: there is no field "usr", did you mean "user"?',
            '6: access_log.headers[1]: "authorization" carries a credential, a field without secrets would be right',
            "7: access_log.redact[0]: is empty, text would be right",
        )
        config = self.config(f'{SERVICE}[access_log]\nomit = ["query"]\nheaders = ["X-Lab"]\nredact = ["mrn"]')
        self.assertEqual((("query",), ("X-Lab",)), (config.access_log.omit, config.access_log.headers))

    def test_api_key(self) -> None:
        """The field that API keys come in is never written, whatever its name."""
        auth = '[auth]\napi_key_header = "X-Pass"\n'
        right = "a field without secrets would be right"
        self.assertSaid(
            f'{auth}[access_log]\nheaders = ["x-pass"]',
            f'7: access_log.headers[0]: "x-pass" carries API keys (auth.api_key_header), {right}',
        )
        self.assertSaid(
            f'{auth}{TEMPLATE}"$http_x_pass"',
            f"8: access_log.template: $http_x_pass carries API keys (auth.api_key_header), {right}",
        )


class LogTests(ConfigTestCase):
    def test_levels(self) -> None:
        """Levels are Twisted's names, for parts of the program by their names."""
        text = '[log]\nlevel = "warn"\nlevels = { "tracseq_gateway.upstream" = "debug" }\nformat = "json"'
        log = self.config(SERVICE + text).log
        self.assertEqual(("warn", {"tracseq_gateway.upstream": "debug"}, "json"), (log.level, log.levels, log.format))
        self.assertSaid(
            '[log]\nlevel = "warning"\nlevels = { "a b" = "debug" }',
            '5: log.level: "warning" is not known, did you mean "warn"?',
            '6: log.levels."a b": "a b" names no part of the program, "tracseq_gateway.upstream" would be right',
        )
        many = "".join(f'part{number} = "debug"\n' for number in range(MOST_NAMESPACES + 1))
        self.assertSaid(f"[log.levels]\n{many}", "4: log.levels: 65 parts of the program, at most 64 would be right")
