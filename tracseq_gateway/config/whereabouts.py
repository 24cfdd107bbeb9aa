"""Where the gateway of a configuration is, even of a wrong one: whoever wants to have it reloaded must find it."""

from __future__ import annotations

from collections.abc import Mapping

from tracseq_gateway.config.documents import Unreadable, read_document
from tracseq_gateway.config.environment import lay_over
from tracseq_gateway.config.locate import key_lines
from tracseq_gateway.config.model import Config, Gateway
from tracseq_gateway.config.problem import Problem
from tracseq_gateway.config.sources import Sources
from tracseq_gateway.config.tree import Tree, put


def whereabouts(file: str | None, environ: Mapping[str, str], port: int | None) -> tuple[Config, Problem | None]:
    """Return a configuration of which only ``gateway.port`` and ``gateway.run_directory`` hold.

    They are taken from the file with the environment and ``port`` over it, as far as they can be used; the rest of the
    file may be wrong. With it comes what is wrong with a file that cannot be read at all.
    """
    tree: Tree = {}
    text, unreadable = "", None
    if file is not None:
        try:
            tree, text = read_document(file)
        except Unreadable as error:
            unreadable = error.problem
    tree.setdefault("services", {})
    lay_over(tree, environ, Sources(file, key_lines(text)))
    if port is not None:
        put(tree, ("gateway", "port"), port)
    table = tree.get("gateway")
    given = table if isinstance(table, dict) else {}
    place = Gateway()
    number, directory = given.get("port"), given.get("run_directory")
    return (
        Config(
            gateway=Gateway(
                port=number if isinstance(number, int) else place.port,
                run_directory=directory if isinstance(directory, str) else place.run_directory,
            )
        ),
        unreadable,
    )
