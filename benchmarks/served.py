"""Runs one of our web applications as a process on loopback, as in production."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import httpx

from ingest.storage.settings import Settings
from tests.served import free_port


@contextmanager
def served(command: str, settings: Settings, variables: Mapping[str, str]) -> Iterator[str]:
    """Starts `regulars COMMAND`, yields its address, and stops it afterwards."""
    port = free_port()
    where = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as home:
        process = subprocess.Popen(
            [sys.executable, "-m", "regulars", command, "--port", str(port)],
            env=os.environ | {"DATABASE_URL": settings.database_url or "", "REGULARS_HOME": home, **variables},
            stderr=subprocess.DEVNULL,
        )
        try:
            for _ in range(200):
                try:
                    httpx.get(f"{where}/healthz")
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            else:
                raise RuntimeError(f"regulars {command} does not answer")
            yield where
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(15)
