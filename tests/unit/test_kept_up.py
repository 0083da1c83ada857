"""A part's process is started again when it ends, later each time, and never outlives the process that started it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from regulars.serving.child import Child, stop
from regulars.serving.parts import Part
from tests.processes import is_gone
from tests.waiting import wait_until

# It lives until it is ended, and listens where nobody else does.
_LONG = Part("long", "http.server", ("0",))
_SHORT = Part("short", "no_such_module")


@pytest.fixture
def long() -> Iterator[Child]:
    child = Child(_LONG, os.environ)
    child.tend()
    yield child
    stop([child], within=5)


def test_a_process_that_was_killed_is_started_again_and_the_log_says_so(
    long: Child, caplog: pytest.LogCaptureFixture
) -> None:
    first = long.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)

    def is_back() -> bool:
        long.tend()
        return long.pid not in (None, first)

    wait_until(is_back)
    assert f"long (process {first}) ended by SIGKILL. It is started again in 1 s." in caplog.text


def test_a_process_that_ends_at_once_is_started_later_each_time_and_once_a_minute_in_the_end() -> None:
    now = 0.0
    child = Child(_SHORT, os.environ, now=lambda: now)
    starts: list[float] = []
    while len(starts) < 9:
        child.tend()
        if (process := child.process) is not None:
            starts.append(now)
            process.wait()
        now += 1
        child.tend()
    waits = [later - earlier - 1 for earlier, later in pairwise(starts)]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_after_a_minute_of_life_the_waiting_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    child = Child(_SHORT, os.environ, now=lambda: now)
    for lived in (0, 0, 0, 61):
        child.tend()
        assert child.process is not None
        child.process.wait()
        now += lived
        child.tend()
        now += 100
    assert [record.args[-1] for record in caplog.records if "ended" in record.msg] == [1, 2, 4, 1]  # type: ignore[index]


def test_what_ignores_the_request_to_stop_is_killed(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "deaf.py").write_text(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(600)\n"
    )
    is_deaf = tmp_path / "is deaf"
    child = Child(Part("deaf", "deaf", (str(is_deaf),)), {**os.environ, "PYTHONPATH": str(tmp_path)})
    child.tend()
    assert child.pid is not None
    deaf = psutil.Process(child.pid)
    wait_until(is_deaf.exists)
    stop([child], within=0.5)
    assert is_gone(deaf)
    assert "did not end" in caplog.text


_PARENT = """
import os, sys, time
from regulars.serving.child import Child
from regulars.serving.parts import Part

child = Child(Part("long", "http.server", ("0",)), os.environ)
child.tend()
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.usefixtures("takes_long")
def test_nothing_is_left_when_the_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = psutil.Process(int(parent.stdout.readline()))
        # Until it listens: before that, it would see by itself that the parent is gone.
        wait_until(process.net_connections)
        parent.kill()
    wait_until(lambda: is_gone(process))


@pytest.mark.usefixtures("takes_long")
def test_a_process_whose_parent_was_gone_before_it_looked_does_not_start() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "flows.scheduling.tether", "1", "SIGKILL", "http.server", "0"],
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert ended.returncode == 1
    assert "is gone" in ended.stderr
