"""What the tests share: quiet settings, a small world, a configuration for it, a file server."""

import json
import os
import re
import signal
import subprocess
import textwrap
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from rsadapt.data.procedural.world import WORLD_CLASSES, World, write_world

settings.register_profile("rsadapt", deadline=None, derandomize=True)
settings.load_profile("rsadapt")
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seed() -> None:
    """Let every test draw the same numbers, alone or among others."""
    torch.manual_seed(0)


@pytest.fixture
def heard():
    """SIGINT as a terminal gives it; what runs in the background may inherit it ignored."""
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, inherited)


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> World:
    """A small pair of regions; read it, and copy it to change it."""
    return write_world(tmp_path_factory.mktemp("world"), size=192)


@pytest.fixture
def values(world):
    """A configuration of three quick steps on the small world, to be changed at will."""
    return {
        "root": str(world.source_images[0].parents[1]),
        "classes": [
            {"name": name, "id": ids[0], "colour": "#{:02x}{:02x}{:02x}".format(*colour)}
            for name, ids, colour in zip(
                WORLD_CLASSES.names, WORLD_CLASSES.ids, WORLD_CLASSES.colours, strict=True
            )
        ],
        "ignored_ids": [0, 255],
        "source": {"scenes": ["source/*.tif"], "labels": ["source/labels/*.tif"]},
        "target": {"scenes": ["target/*.tif"], "labels": ["target/labels/*.tif"]},
        "network": {"encoder": "small", "rates": [1, 3], "batch_norm": "per_domain"},
        "method": {"name": "output_space", "discriminator_width": 4},
        "training": {"steps": 3, "batch_size": 2, "tile": 64, "workers": 0, "log_every": 1},
        "prediction": {"tile": 64, "overlap": 16},
        "device": {"accelerator": "cpu"},
    }


QGIS_PYTHON = Path("/usr/bin/python3")
"""The interpreter that Debian's QGIS belongs to."""


@pytest.fixture(scope="session")
def in_qgis(tmp_path_factory):
    """Runs code in QGIS, without a screen and with settings of its own; what it prints is JSON."""
    home = tmp_path_factory.mktemp("qgis")
    environment = {
        "PATH": os.environ["PATH"],
        "QT_QPA_PLATFORM": "offscreen",
        "HOME": str(home),
        "XDG_RUNTIME_DIR": str(home),
        "LC_ALL": "C.UTF-8",
    }

    def run(code, *arguments):
        command = [str(QGIS_PYTHON), "-c", textwrap.dedent(code), *map(str, arguments)]
        return subprocess.run(
            command, check=False, capture_output=True, text=True, env=environment, timeout=120
        )

    if not QGIS_PYTHON.exists() or run("import qgis.core").returncode:
        pytest.skip("QGIS is not installed (Debian: apt install python3-qgis)")

    def ask(code, *arguments):
        told = run(code, *arguments)
        assert told.returncode == 0, told.stderr
        assert "Warning" not in told.stderr
        return json.loads(told.stdout.splitlines()[-1])

    return ask


@dataclass
class Served:
    """A folder on an HTTP server of this machine, which is an S3 server's bucket too.

    Below /forbidden/ access is refused; /busy/ is so once for every file; /silent/ never answers.
    """

    folder: Path
    port: int = 0
    asked: list[str] = field(default_factory=list)
    connections: int = 0
    ending: threading.Event = field(default_factory=threading.Event)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port}/bucket/{name}"

    def answer(self, name: str, wanted: str) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and content for a path and its Range header."""
        first = name not in self.asked
        self.asked.append(name)
        if "/silent/" in name:
            self.ending.wait(30)
        if "/forbidden/" in name or ("/busy/" in name and first):
            return 503 if "/busy/" in name else 403, {}, b""
        file = self.folder / name.removeprefix("/bucket/")
        if not file.is_file():
            return 404, {}, b""
        content = file.read_bytes()
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", wanted)
        if not found:
            return 200, {"Accept-Ranges": "bytes"}, content
        start, stop = int(found[1]), min(int(found[2] or len(content)) + 1, len(content))
        if start >= len(content):
            return 416, {}, b""
        part = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"}
        return 206, part, content[start:stop]


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A folder `served` below `tmp_path`, and GDAL told to look for s3:// on its server."""
    found = Served(tmp_path / "served")
    found.folder.mkdir()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            found.connections += 1
            super().setup()

        def do_GET(self):
            name, wanted = self.path.partition("?")[0], self.headers.get("Range", "")
            status, headers, content = found.answer(name, wanted)
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(content))}).items():
                self.send_header(key, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815, the name that http.server calls

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("AWS_S3_ENDPOINT", f"127.0.0.1:{found.port}")
    monkeypatch.setenv("AWS_NO_SIGN_REQUEST", "YES")
    monkeypatch.setenv("AWS_HTTPS", "NO")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTING", "FALSE")
    yield found
    found.ending.set()
    server.shutdown()
    server.server_close()
