"""What dbt does besides its work: it keeps its connections during a build, and reads no source for a warning."""

import inspect
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg.conninfo import conninfo_to_dict

from flows.building import project
from flows.building.plan import forget_plan
from flows.errors import BuildFailed
from flows.steps import run_refresh
from tests.conftest import Database
from tests.project import Project
from tests.storefront import add_order, add_shop


def _sell(database: Database) -> None:
    with database.connect() as connection:
        add_order(connection, add_shop(connection))


def test_a_refresh_opens_as_many_connections_as_it_has_threads_and_not_one_for_each_model_and_test(
    built: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sell(built)
    # Or an earlier test's plan does without dbt.
    forget_plan(built.settings)
    opened = []
    connect = psycopg2.connect

    def count(*arguments: Any, **options: Any) -> Any:
        opened.append(connect(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(psycopg2, "connect", count)
    assert run_refresh(built.settings).mode == "refresh"
    # Besides the threads that build: dbt's main thread, and those that look at the schemas before the first model.
    assert 0 < len(opened) <= built.settings.threads + 4
    assert all(connection.closed for connection in opened)


def test_dbt_reads_no_call_stack_to_name_its_flags(built: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> Any:
        raise AssertionError(arguments, options)

    monkeypatch.setattr(inspect, "stack", refuse)
    assert project.read(built.settings, built.conninfo).nodes


def test_dbt_goes_where_libpqs_variables_lead_if_the_connection_string_leaves_it_open(
    built: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _sell(built)
    forget_plan(built.settings)
    given = conninfo_to_dict(built.conninfo)
    for name in ("host", "port", "user", "password"):
        if name in given:
            monkeypatch.setenv(f"PG{name.upper()}", str(given[name]))
    settings = built.settings.model_copy(update={"database_url": f"dbname={given['dbname']}"})
    assert run_refresh(settings).mode == "refresh"


def test_a_connection_that_the_server_ended_fails_one_test_and_is_opened_anew_for_the_next(
    built: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Project(tmp_path, monkeypatch).write(
        "../tests/dbt/assert_the_server_stays.sql",
        "select pg_terminate_backend(pg_backend_pid()) from {{ ref('orders') }}",
    )
    _sell(built)
    settings = built.settings.model_copy(update={"threads": 1})
    with pytest.raises(BuildFailed) as failed:
        run_refresh(settings)
    failures = str(failed.value).partition("numbers stay up. ")[2].split("; ")
    assert len(failures) == 1
    assert failures[0].startswith("assert_the_server_stays: ")


def test_what_one_test_leaves_open_ends_before_the_next(
    built: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An open transaction would hold its locks and its snapshot until its thread has another model or test."""
    project = Project(tmp_path, monkeypatch)
    for name in ("first", "second"):
        # A setting that is local to the transaction: each test looks for the other's, and leaves its own.
        project.write(
            f"../tests/dbt/assert_nothing_is_left_open_{name}.sql",
            """
            with settings as materialized (
                select
                    current_setting('regulars.left_open', true) as found,
                    set_config('regulars.left_open', 'yes', true) as left_open
                from {{ ref('orders') }}
            )
            select * from settings where found = 'yes'
            """,
        )
    _sell(built)
    assert run_refresh(built.settings.model_copy(update={"threads": 1})).status == "succeeded"
