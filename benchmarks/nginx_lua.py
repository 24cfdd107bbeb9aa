"""nginx with the gateway's duties, by Lua and Redis; and what stands in for the Auth Service."""

from __future__ import annotations

import getpass
import json
import re
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import jwt

from benchmarks.contestants import CONF, Stage, launch_nginx, render
from benchmarks.duties import LIMITED_BURST, PER_MINUTE, log_file
from benchmarks.errors import BenchmarkError
from benchmarks.processes import Launch, program
from benchmarks.redis_server import SOCKET
from benchmarks.tokens import claims_of

REMEDY = "apt-get install libnginx-mod-http-lua lua-nginx-redis"


def nginx_lua(stage: Stage) -> Launch:
    """nginx with one worker, which does all duties by Lua and Redis."""
    verdicts = stage.scratch / "verdicts.lua"
    verdicts.write_text(_lua_verdicts(stage.tokens))
    text = render(
        "nginx_lua.conf",
        conf=CONF,
        scratch=stage.scratch,
        port=stage.port,
        upstream=stage.upstream,
        modules=_lua_modules(),
        user=getpass.getuser(),
        redis=stage.scratch / SOCKET,
        verdicts=verdicts,
        log=log_file(stage.scratch),
        per_minute=PER_MINUTE,
        limited_burst=LIMITED_BURST,
    )
    return launch_nginx("nginx_lua", text, stage.scratch)


def _lua_verdicts(tokens: Iterable[str]) -> str:
    """A Lua table of identities by Authorization field."""
    lines = []
    for token in tokens:
        claims = jwt.decode(token, options={"verify_signature": False})
        names = {"id": "sub", "email": "email", "role": "role", "session": "jti"}
        members = "".join(f'{name} = "{claims[claim]}", ' for name, claim in names.items())
        lines.append(f'["Bearer {token}"] = {{{members}expires = {claims["exp"]}}},\n')
    return f"return {{\n{''.join(lines)}}}\n"


def _lua_modules() -> Path:
    """Where nginx has its modules; a BenchmarkError if Lua is not among them."""
    shown = subprocess.run([program("nginx", REMEDY), "-V"], capture_output=True, text=True, timeout=10, check=True)
    place = re.search(r"--modules-path=(\S+)", shown.stderr)
    if place is None or not (Path(place[1]) / "ngx_http_lua_module.so").exists():
        raise BenchmarkError(f"nginx has no Lua: {REMEDY}")
    return Path(place[1])


def auth_service(scratch: Path, port: int) -> Launch:
    """What stands in for the Auth Service: every token is that of the first user, and its session stands."""
    claims = claims_of(0)
    expires = datetime.fromtimestamp(claims["exp"], UTC).isoformat()
    data = {
        "valid": True,
        "user_id": claims["sub"],
        "email": claims["email"],
        "role": claims["role"],
        "session_id": claims["jti"],
        "expires_at": expires,
    }
    verdict = json.dumps({"success": True, "data": data})
    return launch_nginx("auth", render("nginx_auth.conf", scratch=scratch, port=port, verdict=verdict), scratch)
