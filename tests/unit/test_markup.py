"""What a command prints is never read as Rich's markup: names, paths and reasons may have brackets in them."""

from datetime import UTC, datetime

import pytest

from flows.history import Refresh
from ingest.storage.settings import Settings
from regulars.cli import refresh, serve
from regulars.serving.parts import Ports, Removable

_NOW = datetime(2026, 3, 14, tzinfo=UTC)


def test_a_warning_of_a_refresh_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    done = Refresh(
        refresh_id=1, mode="rebuild", status="succeeded", fingerprint="", reason="x [/] was lost", started_at=_NOW,
        as_of=_NOW, finished_at=_NOW, changes=0, matched=0, unreadable=0, error=None, warnings=["Look at [view]: [/]."],
        host=None, process_id=None, step=None, step_began_at=None,
    )  # fmt: skip
    refresh._print(done)
    said = capsys.readouterr().out
    assert "because x [/] was lost" in said
    assert "Look at [view]: [/]." in said


def test_the_extra_that_a_part_needs_is_printed_with_its_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    ports = Ports(host="127.0.0.1", dashboard=1, ingest_api=2, health=3)
    serve._introduce(Settings(), ports, {Removable.DASHBOARD: "it needs pip install 'regulars[dashboard]'"})
    assert "pip install 'regulars[dashboard]'." in capsys.readouterr().err
