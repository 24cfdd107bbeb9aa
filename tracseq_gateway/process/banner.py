"""What a developer sees first: where the gateway is, what is behind it, and commands that work, in their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracseq_gateway.interfaces import InstanceHealth
from tracseq_gateway.sandbox import DEMO_PASSWORD, SERVICES, demo_users

_SHOWN_ROLE = "lab_technician"
_WATCHING_ROLE = "lab_administrator"
"""Who may look at the dashboard, unless it is configured otherwise."""

_EXTRACT = """python3 -c 'import json,sys; print(json.load(sys.stdin)["data"]["access_token"])'"""


def banner(address: str, data: str, ports: Mapping[str, int], health: Sequence[InstanceHealth]) -> str:
    """The text for the gateway at ``address`` (a URL without a path) with the sandbox's services on ``ports``."""
    users = dict(demo_users())
    email = users[_SHOWN_ROLE]
    states = {instance.service: "starting" if instance.state == "unknown" else instance.state for instance in health}
    lines = [
        "",
        f"TracSeq Gateway with the SANDBOX: {address}",
        "The services below are stand-ins with demo data. This is no place for real samples.",
        "",
        *(_service(name, port, states.get(name, "not routed")) for name, port in ports.items()),
        "",
        f"dashboard  {address}/dashboard, for {users[_WATCHING_ROLE]}",
        f"API page   {address}/docs",
        f"demo user  {email}, password {DEMO_PASSWORD} (and one for each other role)",
        f"data       {data}",
        "",
        "Try it: log in, read, be limited (the answers are counted by status), log out, and the token is dead.",
        "",
        f"  TOKEN=$(curl -s {address}/auth/login -H 'Content-Type: application/json' \\",
        f"""    -d '{{"email": "{email}", "password": "{DEMO_PASSWORD}"}}' \\""",
        f"    | {_EXTRACT})",
        "",
        f'  curl -s {address}/samples -H "Authorization: Bearer $TOKEN"',
        f"""  curl -s -o /dev/null -w '%{{http_code}}\\n' "{address}/rag/submissions?[1-200]" \\""",
        '    -H "Authorization: Bearer $TOKEN" | sort | uniq -c',
        f'  curl -s -X POST {address}/auth/logout -H "Authorization: Bearer $TOKEN"',
        f"  curl -s {address}/health/services",
        "",
        "Ctrl-C stops it.",
        "",
    ]
    return "\n".join(lines)


def _service(name: str, port: int, state: str) -> str:
    note = "" if port == SERVICES[name] else f"  (port {SERVICES[name]} is taken)"
    return f"  {name:<14} {state:<10} port {port}{note}"
