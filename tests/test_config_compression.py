"""The configuration of compression."""

from __future__ import annotations

from tests.config_files import SERVICE, ConfigTestCase
from tracseq_gateway.config import compression
from tracseq_gateway.config.compression import Compression
from tracseq_gateway.config.keys import Size

ON = f"{SERVICE}[compression]\nenabled = true\n"


class CompressionTests(ConfigTestCase):
    def test_keys(self) -> None:
        """The table is read into the model, and so is what services and paths say; without it nothing is compressed."""
        self.assertFalse(self.config(SERVICE).compression.enabled)
        config = self.config(
            f'{SERVICE}compression = false\npaths."/export" = {{ compression = true }}\n[compression]\nenabled = true\n'
            'encodings = ["gzip", "br"]\ntypes = ["Text/*", "+json", "application/vnd.lab+csv"]\nleast_bytes = "2KiB"\n'
            "gzip_level = 9\nbrotli_quality = 0\nzstd_level = 6\nmost_streams = 7\n"
        )
        types = ("text/*", "+json", "application/vnd.lab+csv")
        self.assertEqual(Compression(True, ("gzip", "br"), types, Size(2048), 9, 0, 6, 7), config.compression)
        service = config.services["samples"]
        self.assertEqual((False, True), (service.compression, service.paths["/export"].compression))

    def test_wrong(self) -> None:
        """Each value that cannot be used is refused in words of its own."""
        for text, words in (
            ("encodings = []", "compression.encodings: names no coding, "),
            ('encodings = ["deflate"]', 'encodings[0]: "deflate" is not known, "zstd", "br" or "gzip" would be right'),
            ('encodings = ["gzip", "gzip"]', 'encodings[1]: "gzip" stands there twice, each once would be right'),
            ('types = ["*/*"]', '"*/*" is not a media type, "application/json", "text/*" or "+json" would be right'),
            ('types = ["json"]', '"json" is not a media type'),
            ("gzip_level = 0", "0 is out of range"),
            ("brotli_quality = 7", "7 is out of range"),
            ("zstd_level = 7", "7 is out of range"),
            ("most_streams = 0", "0 is out of range"),
        ):
            (said,) = self.said(ON + text)
            self.assertIn(words, said)

    def test_missingLibrary(self) -> None:
        """A coding whose library is not installed is refused with what to install, if compression is on at all."""
        self.patch(compression, "_MODULES", {**compression._MODULES, "br": "no_such_library.at_all"})
        (said,) = self.said(ON)
        self.assertIn('compression.encodings[1]: "br" needs a package that is not installed', said)
        self.assertIn("pip install 'tracseq-gateway[compression]', or encodings without it, would be right", said)
        self.assertEqual([], self.said(f'{ON}encodings = ["gzip"]'))
        self.assertEqual([], self.said(f'{SERVICE}[compression]\nencodings = ["br"]'))
