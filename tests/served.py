"""The HTTP applications on a loopback port: in this process, or as a process of their own, as in production."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from tests.waiting import wait_until


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def served(app: FastAPI, *, headers: Mapping[str, str]) -> Iterator[httpx.Client]:
    """A client of the application, which uvicorn serves in a thread, as in production."""
    # It listens from now on, so that nobody else is given its port; the server closes it.
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the application did not start"
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join(15)


@contextmanager
def run_as_a_process(*, home: Path, database_url: str, tokens: str) -> Iterator[tuple[str, Path]]:
    """`regulars ingest-api`: its address, and the file with its output."""
    with run_command("ingest-api", home=home, database_url=database_url, REGULARS_INGEST_TOKENS=tokens) as started:
        yield started


@contextmanager
def run_command(command: str, *, home: Path, database_url: str, **environment: str) -> Iterator[tuple[str, Path]]:
    """`regulars ingest-api` or `regulars dashboard`: its address, and the file with its output."""
    port = free_port()
    variables = {"REGULARS_HOME": str(home), "DATABASE_URL": database_url} | environment
    printed = home / f"printed by {command}"
    with printed.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "regulars", command, "--port", str(port)],
            env=os.environ | variables, stdout=file, stderr=file,
        )  # fmt: skip
    where = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: _answers(where, process, printed))
        yield where, printed
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _answers(where: str, process: subprocess.Popen[bytes], printed: Path) -> bool:
    assert process.poll() is None, printed.read_text()
    try:
        httpx.get(f"{where}/healthz")
    except httpx.TransportError:
        return False
    return True
