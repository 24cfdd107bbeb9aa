"""The configuration of what is written down: one line a request, and the gateway's own log."""

from __future__ import annotations

from typing import Final, Literal

from attrs import Factory, frozen

from tracseq_gateway.config.keys import Seconds, key

JOURNAL: Final = "/run/systemd/journal/socket"
"""Where systemd-journald listens."""

MOST_NAMESPACES: Final = 64
"""How many parts of the program may have levels of their own; the workers are told of all in one message."""

Level = Literal["debug", "info", "warn", "error"]
"""How much matters enough to be logged; each level includes those after it."""


@frozen
class AccessLog:
    """One line a request."""

    target: str = key("off", "``stdout``, ``journald`` (an entry with fields), a file's path or ``off``.")
    format: Literal["json", "combined", "template"] = key(
        "json", "``json``, ``combined`` as Apache and nginx have it, or ``template``."
    )
    template: str = key(
        "", "The line of the format ``template``: text in which ``$status`` or ``${status}`` stands for a field."
    )
    slow_seconds: Seconds = key(Seconds(1.0), "From how many seconds on a request is marked ``slow``. 0: never.")
    omit: tuple[str, ...] = key((), "Fields that lines of the format ``json`` and entries of the journal go without.")
    redact: tuple[str, ...] = key(
        (), "Query parameters whose values are not written, beside those whose names say that they are secret."
    )
    headers: tuple[str, ...] = key(
        (), "Request header fields to write as well: ``X-Lab-Site`` becomes ``http_x_lab_site``. Never credentials."
    )
    journal: str = key(
        JOURNAL, "The journal's socket; that of its namespace NAME is ``/run/systemd/journal.NAME/socket``."
    )


@frozen
class Log:
    """The gateway's own log."""

    level: Level = key("info", "What is logged: this and what matters more.")
    levels: dict[str, Level] = key(
        Factory(dict),
        "The same for parts of the program: ``tracseq_gateway.upstream``, ``redis``, ``sandbox``. The longest "
        "that matches holds.",
    )
    format: Literal["text", "json"] = key(
        "text", "What twistd writes to a file or to the terminal: text, or one JSON object a line."
    )
