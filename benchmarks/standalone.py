"""A standalone cluster of Spark on loopback: a master, and workers of one core each, as processes of their own.

A worker starts its executors, which compute, as processes of theirs. All of them end with the block.
"""

import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import httpx

from tests.served import free_port

_DEPLOY = "org.apache.spark.deploy"

# How many seconds a process of the cluster may take to start.
_LONGEST = 120.0


class Standalone:
    """The cluster. `address` is what REGULARS_SPARK_MASTER takes, `variables` what a process needs to reach it."""

    def __init__(self, folder: Path, *, workers: int, memory: str) -> None:
        self._folder, self._memory = folder, memory
        self._port, self._page = free_port(), free_port()
        self.address = f"spark://127.0.0.1:{self._port}"
        folder.mkdir(mode=0o700)
        # Who reaches a master without it can run programs as its user.
        (folder / "spark-defaults.conf").write_text(
            f"spark.authenticate true\nspark.authenticate.secret {secrets.token_hex(32)}\n"
            "spark.master.rest.enabled false\n"
        )
        self.variables = {"SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_IP": "127.0.0.1"}
        self._names = [f"worker-{number}" for number in range(1, workers + 1)]
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def restore(self) -> None:
        """Starts what is not there, and waits until each worker has registered."""
        if not self._is_up("master"):
            self._start(
                "master", f"{_DEPLOY}.master.Master", "--port", str(self._port), "--webui-port", str(self._page)
            )
        for name in self._names:
            if not self._is_up(name):
                self._start(
                    name, f"{_DEPLOY}.worker.Worker", "--cores", "1", "--memory", self._memory,
                    "--work-dir", str(self._folder / name), "--webui-port", "0", self.address,
                )  # fmt: skip
        wait_until(lambda: self._registered() == len(self._names), longest=_LONGEST)

    def kill_executor(self) -> bool:
        """Kills a process that computes; false if there is none."""
        executors = [pid for name in self._names for pid in _children(self._processes[name].pid)]
        if executors:
            os.kill(executors[0], signal.SIGKILL)
        return bool(executors)

    def kill_worker(self) -> bool:
        """Kills a worker with its executor; false if that computes nothing."""
        name = self._names[0]
        has_executor = bool(_children(self._processes[name].pid))
        self._kill(name)
        return has_executor

    def kill_master(self) -> bool:
        self._kill("master")
        return True

    def close(self) -> None:
        for name in list(self._processes):
            self._kill(name)

    def _start(self, name: str, program: str, *arguments: str) -> None:
        found = find_spec("pyspark")
        if found is None or found.origin is None:
            raise RuntimeError("pyspark is not installed: make spark")
        home = Path(found.origin).parent
        variables = self.variables | {
            "SPARK_HOME": str(home),
            "SPARK_DAEMON_MEMORY": "512m",
            "SPARK_LOCAL_DIRS": str(self._folder / f"{name}-temporary"),
        }
        with (self._folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [str(home / "bin" / "spark-class"), program, "--host", "127.0.0.1", *arguments],
                env=os.environ | variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                # A group, so that its executors end with it.
                start_new_session=True,
            )  # fmt: skip

    def _kill(self, name: str) -> None:
        process = self._processes.pop(name)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _is_up(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def _registered(self) -> int:
        # Its page is there a moment before what it says.
        with suppress(httpx.HTTPError, ValueError, KeyError):
            said = httpx.get(f"http://127.0.0.1:{self._page}/json/", timeout=10).json()
            return int(said["aliveworkers"])
        return 0


@contextmanager
def standalone(folder: Path, *, workers: int = 2, memory: str = "1500m") -> Iterator[Standalone]:
    """`memory`: of each worker, which one executor takes. `folder`: its logs and temporary files."""
    cluster = Standalone(folder, workers=workers, memory=memory)
    try:
        cluster.restore()
        yield cluster
    finally:
        cluster.close()


def wait_until(condition: Callable[[], object], *, longest: float) -> None:
    """Raises RuntimeError after `longest` seconds."""
    deadline = time.monotonic() + longest
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"it took more than {longest:.0f} s")
        time.sleep(0.2)


def _children(pid: int) -> list[int]:
    """Of all threads of a process: each starts some."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):
            found += [int(child) for child in (thread / "children").read_text().split()]
    return found
