"""The file of further API keys that ``auth.api_keys_file`` names: tables by name, as in ``auth.api_keys``."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator

from tracseq_gateway.config.api_keys import key_id
from tracseq_gateway.config.documents import Unreadable, read_document
from tracseq_gateway.config.locate import key_lines
from tracseq_gateway.config.model import Config
from tracseq_gateway.config.policies import ApiKey, Authentication
from tracseq_gateway.config.problem import Problem, Wrong, dotted
from tracseq_gateway.config.references import unknown_services
from tracseq_gateway.config.sources import Sources
from tracseq_gateway.config.structure import Fault, make_converter, structure


class WrongKeyFile(ValueError):
    """A file that API keys cannot be taken from: every problem in it, a line each."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def read_key_file(file: str) -> tuple[dict[str, ApiKey], Sources]:
    """Return the API keys of a file by name, and where each stands.

    Raises :class:`WrongKeyFile` when it cannot be read, when others than its owner have any right to it, or for what
    is in it.
    """
    try:
        tree, text = read_document(file)
    except Unreadable as error:
        raise WrongKeyFile([error.problem]) from error
    mode = stat.S_IMODE(os.stat(file).st_mode)
    if mode & 0o077:
        right = f"mode 0600 would be right: chmod 600 {file}"
        raise WrongKeyFile([Problem(file, 0, "file", f"mode {mode:04o} lets others at the keys", right)])
    sources = Sources(file, key_lines(text))
    # What holds for the table of the configuration holds for the file, hence the way through it.
    settings, faults = structure(make_converter(), Authentication, {"api_keys": tree}, ())
    if settings is None:
        raise WrongKeyFile(sources.fault(path[1:], wrong) for path, wrong in faults)
    return settings.api_keys, sources


def check_key_file(config: Config) -> tuple[Problem, ...]:
    """Return what is wrong with the file that a configuration names, and with its keys beside the others."""
    if not config.auth.api_keys_file:
        return ()
    try:
        keys, sources = read_key_file(config.auth.api_keys_file)
    except WrongKeyFile as error:
        return error.problems
    return tuple(sources.fault(path, wrong) for path, wrong in _beside(config, keys))


def _beside(config: Config, keys: dict[str, ApiKey]) -> Iterator[Fault]:
    """Hold the keys to names and ids of their own, and to the services that there are."""
    others = config.auth.api_keys
    named = {key_id(key.hash): dotted(("auth", "api_keys", name)) for name, key in others.items()}
    for name, key in keys.items():
        if name in others:
            other = dotted(("auth", "api_keys", name))
            yield (name,), Wrong(f"has the name of {other}", "a name of its own would be right")
        elif key_id(key.hash) in named:
            other = named[key_id(key.hash)]
            yield (name, "hash"), Wrong(f"has the id of {other}", "a key of its own would be right")
        yield from unknown_services((name, "services"), key.services, config.services)
