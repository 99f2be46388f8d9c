"""Several servers behind nginx: the documented files fit the server and each other."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from emodetect.cli.serve import serve
from emodetect.serve import routes, stream
from emodetect.serve.limits import RETRY_AFTER_S, Limits

ROOT = Path(__file__).parent.parent
NGINX = ROOT / "docs" / "serve" / "nginx.conf"
UNIT = ROOT / "docs" / "serve" / "emodetect@.service"
UNITS = {"m": 2**20, "s": 1, "": 1}


def values(name: str) -> list[int]:
    """Return each value of a setting of nginx, in bytes, seconds or as it is, in order."""
    found = re.findall(rf"^\s*{name} (\d+)([ms]?);", NGINX.read_text(), re.MULTILINE)
    assert found, name
    return [int(number) * UNITS[unit] for number, unit in found]


@pytest.mark.parametrize("file", [NGINX, UNIT], ids=lambda file: file.name)
def test_the_docs_show_the_files(file: Path) -> None:
    """What a reader copies from the page is the file that scripts/stress/servers.py runs."""
    assert f"```\n{file.read_text()}```\n" in re.sub(
        r"^```\w+$", "```", (ROOT / "docs" / "serve.md").read_text(), flags=re.MULTILINE
    )


def test_nginx_lets_through_what_the_server_takes() -> None:
    """nginx has the server's limit for a body, and says so; all of it fits into memory."""
    limit = Limits().body_bytes
    assert values("client_max_body_size") == values("client_body_buffer_size") == [limit]
    assert values("proxy_max_temp_file_size") == [0]
    assert f"at most {limit // 2**20} MiB" in NGINX.read_text()
    assert f"add_header Retry-After {RETRY_AFTER_S} always;" in NGINX.read_text()


def test_nginx_waits_longer_than_the_server() -> None:
    """The server's own refusals of what takes too long, and its closing of idle streams, arrive."""
    usual, streams = values("proxy_read_timeout")
    assert usual > Limits().seconds
    assert streams > stream.IDLE_S
    assert values("client_body_timeout") == values("proxy_send_timeout") == [Limits().seconds]
    # What the server gave up after its time limit is not repeated.
    assert values("proxy_next_upstream_timeout")[0] < Limits().seconds


def test_nginx_tries_the_other_server_for_photos() -> None:
    """A photo whose server dies or drains goes to the other one, and only once."""
    config = NGINX.read_text()
    assert "proxy_next_upstream error timeout http_503 non_idempotent;" in config
    servers = re.findall(r"^ +server (127\.0\.0\.1:\d+) max_fails=0;", config, re.MULTILINE)
    assert len(set(servers)) == values("proxy_next_upstream_tries")[0] == 2
    # The Origin of browsers has the port, which $host lacks.
    assert config.count("proxy_set_header Host $http_host;") == 2


def test_clients_cannot_choose_their_address() -> None:
    """The servers trust nginx's header, in which nothing is left of what the client sent."""
    assert NGINX.read_text().count("proxy_set_header X-Forwarded-For $remote_addr;") == 2
    assert "--trusted-proxy 127.0.0.1" in UNIT.read_text()


def test_nginx_knows_the_paths_of_the_server() -> None:
    """The locations with settings of their own are routes."""
    config = NGINX.read_text()
    (posted,) = re.findall(r"location ~ (\S+) {", config)
    assert [path for path in routes.PATHS if re.search(posted, path)] == [
        routes.ANALYZE,
        routes.CLASSIFY,
    ]
    assert set(re.findall(r"location = (\S+) {", config)) == {routes.METRICS, routes.STREAM}


def test_the_unit_starts_the_servers_of_nginx_and_waits_for_their_end() -> None:
    """systemd's command line is valid, and the unit has time to drain before it is killed."""
    unit = dict(line.split("=", 1) for line in UNIT.read_text().splitlines() if "=" in line)
    program, command, *words = shlex.split(unit["ExecStart"])
    assert (Path(program).name, command) == ("emodetect", serve.name)
    parsed = serve.make_context("serve", [word.replace("%i", "8001") for word in words]).params
    assert f"server 127.0.0.1:{parsed['port']} " in NGINX.read_text()
    assert parsed["token_file"] == Path("${CREDENTIALS_DIRECTORY}/token")
    assert parsed["drain_s"] is None
    assert int(unit["TimeoutStopSec"]) > 2 * parsed["timeout"]
    assert unit["ExecStartPost"].endswith(f"127.0.0.1:%i{routes.HEALTH}")


def test_the_stress_script_says_that_nginx_is_missing(tmp_path: Path) -> None:
    """Without nginx, scripts/stress/servers.py ends with one line that says how to install it."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "stress" / "servers.py"],
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: nginx is not on PATH: apt-get install nginx-light")
    assert done.stderr.count("\n") == 1
