from __future__ import annotations

from pathlib import Path

from tests.config_files import SERVICE, ConfigTestCase
from tracseq_gateway.config import ServiceUploads


class UploadsTests(ConfigTestCase):
    """What can be said of resumable uploads."""

    def test_off(self) -> None:
        """Without a directory there are none, and the service of the platform that takes files is ready for them."""
        config = self.config('[services.rag]\nprefix = "/rag"\ninstances = ["http://127.0.0.1:8086"]')
        self.assertEqual("", config.uploads.directory)
        self.assertEqual(ServiceUploads(paths=("/documents/upload",), form="file"), config.services["rag"].uploads)
        self.assertEqual((), self.config(SERVICE).services["samples"].uploads.paths)

    def test_directory(self) -> None:
        """A directory comes out absolute, whether it is there already or can be made."""
        directory = Path(self.mktemp())
        config = self.config(f'{SERVICE}[uploads]\ndirectory = "{directory}"')
        self.assertEqual(str(directory.absolute()), config.uploads.directory)
        directory.mkdir(mode=0o700)
        self.config(f'{SERVICE}[uploads]\ndirectory = "{directory}"')

    def test_bad_directory(self) -> None:
        """One that cannot be made, is none, or is open to others is refused before the start."""
        file, open_one = Path(self.mktemp()), Path(self.mktemp())
        file.write_text("")
        open_one.mkdir()
        open_one.chmod(0o755)
        for directory, wrong in (
            ("/nowhere/at/all", "cannot be made, a directory in one that exists would be right"),
            (str(file.absolute()), "is no directory, a directory of its own would be right"),
            (str(open_one.absolute()), "is open to other users, one with mode 0700 would be right (chmod 700)"),
        ):
            (said,) = self.said(f'{SERVICE}[uploads]\ndirectory = "{directory}"')
            self.assertRegex(said, r"\A5: uploads\.directory: ")
            self.assertTrue(said.endswith(wrong), said)

    def test_service(self) -> None:
        """Paths are whole ones, the field of a form is a name, and a size is one."""
        config = self.config(f'{SERVICE}uploads = {{ paths = ["/import/"], max_size = "2GiB", deliver = "again" }}')
        self.assertEqual(
            ServiceUploads(paths=("/import",), max_size=2 << 30, deliver="again"),  # type: ignore[arg-type]
            config.services["samples"].uploads,
        )
        self.assertSaid(
            'uploads = { paths = ["import"] }',
            '4: services.samples.uploads.paths[0]: "import" does not start with "/", '
            "a path from the root would be right",
        )
        self.assertSaid(
            'uploads = { form = "a file" }',
            '4: services.samples.uploads.form: "a file" cannot stand in a header, '
            "letters, digits and hyphens would be right",
        )

    def test_no_room(self) -> None:
        """An operator hears of uploads that would be allowed, and never find room."""
        directory = self.mktemp()
        text = f'{SERVICE}uploads.paths = ["/import"]\n[uploads]\ndirectory = "{directory}"\n'
        self.assertEqual([], self.said(text))
        wrong = (
            "services.samples.uploads.max_size: warning: is more than the 10 bytes for which there can be room, "
            "more in uploads.max_bytes and uploads.max_bytes_per_client would be right"
        )
        for key in ("max_bytes", "max_bytes_per_client"):
            (said,) = self.said(f"{text}{key} = 10")
            self.assertTrue(said.endswith(wrong), said)
