"""The floors of the house: imports run downward only.

A *place* is a module or package directly under ``tracseq_gateway``. The tables below say on which floor each place
stands and which other places it may import; the picture in ``docs/architecture.md`` is drawn from them. An import
counts wherever it is written: at the top of a module, in a function, or under ``TYPE_CHECKING``. Only within one room
may two modules name each other's types.
"""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

PACKAGE = "tracseq_gateway"
ROOT = Path(__file__).parent.parent

GROUND: dict[str, set[str]] = {
    "errors": set(),
    "http": {"errors"},
    "config": set(),
    "interfaces": {"errors", "http", "config"},
    "metrics": {"errors", "interfaces", "config"},
    "overview": {"interfaces", "config", "metrics"},
    "journal": set(),
    "access_log": {"errors", "http", "interfaces", "config", "journal"},
    "own_log": {"config", "journal"},
    "net": {"config"},
    "tracing": {"http", "interfaces", "config", "net"},
    "redis": {"config", "net"},
    "sandbox": {"config", "http"},
}
# Rooms are strangers to each other. They do not know the sandbox either: production is installed without it.
OPEN_TO_ROOMS = set(GROUND) - {"sandbox"}
ROOMS: dict[str, set[str]] = {
    "server": OPEN_TO_ROOMS,
    "routing": OPEN_TO_ROOMS,
    "middleware": OPEN_TO_ROOMS,
    "identity": OPEN_TO_ROOMS,
    "limits": OPEN_TO_ROOMS,
    "cache": OPEN_TO_ROOMS,
    "upstream": OPEN_TO_ROOMS,
    "compression": OPEN_TO_ROOMS,
    "discovery": OPEN_TO_ROOMS,
    "openapi": OPEN_TO_ROOMS,
    "uploads": OPEN_TO_ROOMS,
    "admin": OPEN_TO_ROOMS,
}
# The roof knows all, in this order; nothing imports tap, which only twistd calls.
ROOF: dict[str, set[str]] = {
    "service": {*GROUND, *ROOMS},
    "process": {*GROUND, *ROOMS, "service"},
    "cli": {"config", "interfaces", "overview", "redis", "identity", "service", "process"},
    "tap": {*GROUND, *ROOMS, "service", "process"},
}
FLOORS: dict[str, dict[str, set[str]]] = {"ground": GROUND, "rooms": ROOMS, "roof": ROOF}

# Places that may not import what stands beside them, because they are pure: bytes in, values out.
PURE: dict[str, set[str]] = {"http": {"twisted", "asyncio", "socket"}}

When = Literal["imported", "called", "checked"]
"""When an import takes effect: with its module, with a function, or for the type checker alone."""


@frozen
class Module:
    """One module of the package, as it stands on disk or was made up for a test."""

    name: str
    source: str
    file: str
    is_package: bool = False


@frozen
class Import:
    """One imported name."""

    module: str
    line: int
    target: str
    """The full dotted name: of a module, or of something in it."""
    when: When


def imports_of(module: Module) -> Iterator[Import]:
    """Find every imported name in a module's source, with relative imports resolved."""
    tree = ast.parse(module.source, module.file)
    when: dict[ast.AST, When] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            when.update(dict.fromkeys(ast.walk(node), "called"))
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            when.update(dict.fromkeys((inner for line in node.body for inner in ast.walk(line)), "checked"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            targets = [f"{origin_of(node, module)}.{alias.name}" for alias in node.names]
        else:
            continue
        for target in targets:
            yield Import(module.name, node.lineno, target, when.get(node, "imported"))


def origin_of(node: ast.ImportFrom, module: Module) -> str:
    """Give the dotted name that a ``from`` import starts at."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    up = node.level - 1 if module.is_package else node.level
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


def place_of(name: str) -> str | None:
    """Give the place that a dotted name of the package lies in; None for the package's own ``__init__``."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else None


def broken_rule(found: Import, modules: Mapping[str, Module]) -> str | None:
    """Say which rule one import breaks; None if it is allowed."""
    here, there, root = place_of(found.module), place_of(found.target), found.target.partition(".")[0]
    if found.target == "twisted.internet.reactor" and found.when == "imported":
        return "the reactor is handed in: only a function that starts a process imports it, no module"
    if here in PURE and root in PURE[here]:
        return f"{here} is pure: it may not import {root}"
    if root != PACKAGE or there == here or f"{PACKAGE}.{there}" not in modules:
        return None  # not ours, its own place, or a name in the package's __init__ such as __version__
    floor = next((name for name, places in FLOORS.items() if here in places), None)
    if here is None or floor is None:
        return f"{found.module} stands on no floor: only a place with a row in {Path(__file__).name} may import {there}"
    if there not in FLOORS[floor][here]:
        return f"{here} ({floor}) may not import {there}"
    return None


def violations(modules: Mapping[str, Module]) -> list[str]:
    """Check a whole package: ``FILE:LINE: RULE`` for each import that breaks a rule, and the first import cycle."""
    found: dict[str, None] = {}
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for module in modules.values():
        for one in imports_of(module):
            rule = broken_rule(one, modules)
            if rule is not None:
                found[f"{module.file}:{one.line}: {rule}"] = None
            target = one.target if one.target in modules else one.target.rpartition(".")[0]
            if target in modules and target != module.name and one.when != "checked":
                graph[module.name].add(target)
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        circle = error.args[1]
        found[f"{modules[circle[0]].file}: modules import each other: {' <- '.join(circle)}"] = None
    return list(found)


def modules_in(root: Path) -> dict[str, Module]:
    """Read the package that lies in the directory ``root``."""
    modules = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name, path.read_text(), str(path.relative_to(root.parent)), is_package)
    return modules


class HouseTests(SynchronousTestCase):
    """The real package."""

    def test_importsRunDownward(self) -> None:
        """No module of the package imports upward, sideways or in a circle."""
        self.assertEqual([], violations(modules_in(ROOT / PACKAGE)))

    def test_pluginImportsNothing(self) -> None:
        """The twistd plugin names the gateway by a dotted string, so that a scan of plugins imports none of it."""
        path = ROOT / "twisted" / "plugins" / "tracseq_gateway_plugin.py"
        targets = [found.target for found in imports_of(Module("plugin", path.read_text(), str(path)))]
        self.assertEqual([], [target for target in targets if target.startswith(PACKAGE)])

    def test_tablesAgree(self) -> None:
        """No place stands on two floors, and none may import a place of a floor above its own."""
        below: set[str] = set()
        for places in FLOORS.values():
            self.assertEqual(set(), below & set(places))
            below |= set(places)
            for allowed in places.values():
                self.assertEqual(set(), allowed - below)


class CheckerTests(SynchronousTestCase):
    """The checker, on small made-up houses."""

    def check(self, sources: dict[str, str]) -> list[str]:
        """Check a package of these modules, named from the package on; a place without a dot is its ``__init__``."""
        modules = {PACKAGE: Module(PACKAGE, "__version__ = '1'", PACKAGE, is_package=True)}
        for key, source in sources.items():
            place, name = f"{PACKAGE}.{key.partition('.')[0]}", f"{PACKAGE}.{key}"
            modules.setdefault(place, Module(place, "", place, is_package=True))
            modules[name] = Module(name, source, name, is_package=name == place)
        return violations(modules)

    def test_downward(self) -> None:
        """A room may import the ground, itself, and the package's version."""
        source = "from tracseq_gateway import __version__, errors\nfrom . import pool\nfrom .pool import Pool\n"
        self.assertEqual([], self.check({"upstream.proxy": source, "upstream.pool": "", "errors": ""}))

    def test_sideways(self) -> None:
        """A room that imports another room is named with its line."""
        source = "import attrs\nfrom tracseq_gateway.routing.table import Table\n"
        found = self.check({"server.site": source, "routing.table": ""})
        self.assertEqual(["tracseq_gateway.server.site:2: server (rooms) may not import routing"], found)

    def test_upward(self) -> None:
        """The ground may not import a room."""
        found = self.check({"net.eager": "import tracseq_gateway.server.channel", "server.channel": ""})
        self.assertEqual(["tracseq_gateway.net.eager:1: net (ground) may not import server"], found)

    def test_relative(self) -> None:
        """An import by dots is resolved before it is judged, in a module and in a package's __init__ alike."""
        source = "from ..routing import table"
        found = self.check({"server": source, "server.site": source, "routing.table": ""})
        self.assertEqual(
            [
                "tracseq_gateway.server:1: server (rooms) may not import routing",
                "tracseq_gateway.server.site:1: server (rooms) may not import routing",
            ],
            found,
        )

    def test_typesAndFunctions(self) -> None:
        """An import under TYPE_CHECKING or in a function counts like any other."""
        source = (
            "if TYPE_CHECKING:\n    from tracseq_gateway import admin\ndef f():\n    import tracseq_gateway.admin\n"
        )
        self.assertEqual(2, len(self.check({"upstream.proxy": source, "admin": ""})))

    def test_nobodyImportsTap(self) -> None:
        """Even the roof does not import tap."""
        found = self.check({"process.worker": "from tracseq_gateway import tap", "tap": ""})
        self.assertEqual(["tracseq_gateway.process.worker:1: process (roof) may not import tap"], found)

    def test_pure(self) -> None:
        """The protocol's own place may not import Twisted."""
        found = self.check({"http.framing": "from twisted.internet.defer import Deferred"})
        self.assertEqual(["tracseq_gateway.http.framing:1: http is pure: it may not import twisted"], found)

    def test_reactor(self) -> None:
        """The reactor may be imported in a function, not at module level."""
        (found,) = self.check({"net.timers": "from twisted.internet import reactor"})
        self.assertIn("net.timers:1: the reactor is handed in", found)
        self.assertEqual([], self.check({"net.timers": "def main():\n    from twisted.internet import reactor"}))

    def test_unknownPlace(self) -> None:
        """A new place must be given a floor before it may import anything of ours."""
        (found,) = self.check({"attic": "from tracseq_gateway import errors", "errors": ""})
        self.assertIn("tracseq_gateway.attic stands on no floor", found)

    def test_cycle(self) -> None:
        """Two modules of one room that import each other are found; naming each other's types is allowed."""
        (found,) = self.check({"server.one": "from .two import b", "server.two": "from .one import a"})
        self.assertIn("modules import each other", found)
        types = "if TYPE_CHECKING:\n    from .one import A"
        self.assertEqual([], self.check({"server.one": "from .two import b", "server.two": types}))
