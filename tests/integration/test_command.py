"""The command as an operator types it: its output and exit status, and no traceback for an operator's mistake."""

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from flows.building.plan import plan_file
from flows.reporting.report import Left, Node, Report, SlowModel, Space
from regulars.cli.status import Status
from tests.conftest import Database
from tests.storefront import add_order, add_shop, fetch

pytestmark = pytest.mark.usefixtures("takes_long")


def regulars(
    *arguments: str, home: Path, database_url: str | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "PREFECT_API_URL")}
    variables |= {"REGULARS_HOME": str(home), "COLUMNS": "200"} | environment
    if database_url is not None:
        variables["DATABASE_URL"] = database_url
    return subprocess.run(
        [sys.executable, "-m", "regulars", *arguments],
        env=variables,
        capture_output=True,
        text=True,
        timeout=120,
    )


def _fails(done: subprocess.CompletedProcess[str], *messages: str) -> None:
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    for message in messages:
        assert message in done.stderr


@pytest.mark.usefixtures("builds_models")
def test_migrate_refresh_and_status_say_what_they_did(empty: Database, home: Path) -> None:
    where = {"home": home, "database_url": empty.conninfo}
    assert "applying 0001_storefront" in regulars("migrate", **where).stdout
    assert "up to date already" in regulars("migrate", **where).stdout
    with empty.connect() as connection:
        add_order(connection, add_shop(connection))
        add_order(connection, fetch(connection, "select id from user_shops")[0][0], phone="12")  # type: ignore[arg-type]

    waiting = json.loads(regulars("status", "--json", **where).stdout)
    assert (waiting["as_of"], waiting["age_seconds"], waiting["orders_to_match"]) == (None, None, 2)
    done = regulars("refresh", **where)
    assert "1 orders were matched, 1 more can't be" in done.stdout
    assert done.returncode == 0
    # Not a terminal, so it is a plain line for each step.
    assert re.search(r"^ ?\d+/\d+ building and testing the marts .* done\s*$", done.stderr, re.MULTILINE)
    assert "\x1b" not in done.stderr
    status = json.loads(regulars("status", "--json", **where).stdout)
    assert status["last_refresh"] == "succeeded"
    assert 0 <= status["age_seconds"] < 100
    assert (status["changes_waiting"], status["orders_to_match"], status["orders_with_unreadable_phone"]) == (
        0,
        0,
        1,
    )


@pytest.mark.usefixtures("builds_models")
def test_machines_read_the_report_of_a_refresh_that_succeeded_and_of_one_that_failed(
    built: Database, home: Path
) -> None:
    where = {"home": home, "database_url": built.conninfo}
    with built.connect() as connection:
        add_order(connection, add_shop(connection))
        report = Report.model_validate_json(regulars("refresh", "--json", **where).stdout)
        # The shop, the order, and the row that tells its customer.
        assert (report.status, report.changes, report.matched) == ("succeeded", 3, 1)
        assert "orders" in [model.name for model in report.models]

        connection.execute("alter table building.customers add constraint poor check (total_spent < 11)")
        connection.execute("update shop_orders set total_price = 12")
        done = regulars("refresh", "--json", **where)
        _fails(done, "customers")
        failed = Report.model_validate_json(done.stdout)
        assert (failed.status, failed.step, failed.failed_at) == ("failed", "build_marts", ["customers"])
        status = Status.model_validate_json(regulars("status", "--json", **where).stdout)
        assert status.report is not None
        assert status.report.failed_at == ["customers"]
        told = " ".join(regulars("status", **where).stdout.split())
        assert f"Refresh {failed.refresh_id} failed at build marts, in customers, after" in told
        whole = regulars("status", "--report", **where).stdout
        assert {"Models", "Steps", "Orders and customers", "Disk"} <= set(whole.splitlines())


@pytest.mark.usefixtures("builds_models")
def test_in_a_terminal_each_model_shows_while_it_runs(built: Database, home: Path) -> None:
    with built.connect() as connection:
        add_order(connection, add_shop(connection))
    # By dbt each takes long enough to be seen.
    plan_file(built.settings).unlink(missing_ok=True)
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (30, 80))
    variables = os.environ | {"REGULARS_HOME": str(home), "DATABASE_URL": built.conninfo, "TERM": "xterm"}
    for name in ("COLUMNS", "NO_COLOR", "PREFECT_API_URL"):
        variables.pop(name, None)
    process = subprocess.Popen(
        [sys.executable, "-m", "regulars", "refresh"], env=variables, stdout=subprocess.DEVNULL, stderr=its
    )
    os.close(its)
    shown = b""
    # Reading fails once the process has ended.
    with contextlib.suppress(OSError):
        while more := os.read(ours, 65_536):
            shown += more
    os.close(ours)
    assert process.wait(120) == 0
    lines = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode()).replace("\r", "\n").splitlines()
    assert any(re.search(r"\d+ of \d+ models and tests", line) for line in lines)
    assert any(re.fullmatch(r" +[\d.]+ m?s +[a-z_]+ *", line) for line in lines)
    assert max(map(len, lines)) <= 80


def test_every_key_of_the_json_is_documented() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "refresh-report.md").read_text()
    for model in (Status, Report, Node, SlowModel, Left, Space):
        for name, field in model.model_fields.items():
            assert f"| `{name}` | {field.description} |" in documented, name


@pytest.mark.parametrize("command", ["refresh", "rebuild", "status"])
def test_a_database_without_regulars_in_it_is_named_and_nothing_is_written(
    empty: Database, home: Path, command: str
) -> None:
    _fails(regulars(command, home=home, database_url=empty.conninfo), empty.name, "regulars migrate")
    with empty.connect() as connection:
        assert fetch(connection, "select to_regnamespace('regulars') is null") == [(True,)]


@pytest.mark.parametrize("command", ["migrate", "refresh", "status"])
def test_an_unreachable_server_is_reported_without_the_password(home: Path, command: str) -> None:
    done = regulars(command, home=home, database_url="postgresql://ama:s3cret@127.0.0.1:1/shop")
    _fails(done, "No database at 127.0.0.1", "DATABASE_URL")
    assert "s3cret" not in done.stdout + done.stderr


def test_a_database_that_does_not_exist_is_named(empty: Database, home: Path) -> None:
    _fails(regulars("status", home=home, database_url=empty.conninfo.replace(empty.name, "nowhere")), "nowhere")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REGULARS_REFRESH_AT", "half past two"),
        ("REGULARS_TIME_ZONE", "Mars/Phobos"),
        ("REGULARS_THREADS", "many"),
        ("DATABASE_URL", "no such thing"),
    ],
)
def test_a_setting_that_cannot_be_read_is_named(home: Path, variable: str, value: str) -> None:
    _fails(regulars("status", home=home, **{variable: value}), variable)


def test_a_home_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    _fails(regulars("status", home=tmp_path / ("long" * 30)), "REGULARS_HOME")


def test_a_prefect_server_that_does_not_answer_is_reported(migrated: Database, home: Path) -> None:
    done = regulars("refresh", home=home, database_url=migrated.conninfo, PREFECT_API_URL="http://127.0.0.1:1/api")
    _fails(done, "PREFECT_API_URL")


def test_a_second_refresh_at_once_is_refused(migrated: Database, home: Path) -> None:
    with migrated.connect() as connection:
        connection.execute("select pg_advisory_lock(%s)", [0x5265_6672_6573])
        _fails(regulars("refresh", home=home, database_url=migrated.conninfo), "running already")
