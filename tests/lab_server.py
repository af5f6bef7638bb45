"""Run `arlib lab` for tests: on a free port, without the settings of the person who runs them."""

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import requests

TOKEN = "for-the-test"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def lab_server(root, place, *options, **environment):
    """Start it in `root`, with its own folders under `place`: its address, and what it printed."""
    port = free_port()
    folders = {f"JUPYTER_{kind}_DIR": str(place / kind) for kind in ("RUNTIME", "CONFIG", "DATA")}
    folders["JUPYTERLAB_SETTINGS_DIR"] = folders["JUPYTERLAB_WORKSPACES_DIR"] = str(place / "lab")
    kept = {k: v for k, v in os.environ.items() if k not in ("ARLIB_DATA", "ARLIB_CACHE")}
    command = [sys.executable, "-m", "arlib.cli", "lab", "--no-browser", f"--port={port}"]
    command += [f"--IdentityProvider.token={TOKEN}", "--ServerApp.port_retries=0", "--allow-root"]
    with (place / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options],
            cwd=root,
            stdout=log,
            stderr=log,
            env=kept | folders | environment,
        )
    address, until = f"http://127.0.0.1:{port}", time.monotonic() + 90
    try:
        while True:
            assert process.poll() is None, (place / "log").read_text()
            assert time.monotonic() < until, "it did not start"
            try:
                ask(address, "status")
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        yield address, (place / "log").read_text()
    finally:
        process.terminate()
        process.wait(30)


def ask(address, what, *, at="api", **body):
    """Ask an interface of the server, and return its answer."""
    headers = {"Authorization": f"token {TOKEN}"}
    if body:
        reply = requests.post(f"{address}/{at}/{what}", json=body, headers=headers, timeout=60)
    else:
        reply = requests.get(f"{address}/{at}/{what}", headers=headers, timeout=60)
    reply.raise_for_status()
    return reply.json()
