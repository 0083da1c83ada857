"""The command as an operator types it: its output and exit status, and no traceback for an operator's mistake."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
    status = json.loads(regulars("status", "--json", **where).stdout)
    assert status["last_refresh"] == "succeeded"
    assert 0 <= status["age_seconds"] < 100
    assert (status["changes_waiting"], status["orders_to_match"], status["orders_with_unreadable_phone"]) == (
        0,
        0,
        1,
    )


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
