"""A refresh runs what dbt ran the last time, as long as dbt would run the same."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from flows.building import project
from flows.building.plan import Plan, plan_file
from flows.errors import BuildFailed
from flows.lock import BUILDING
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from ingest.storage.settings import Settings
from tests.conftest import Database
from tests.project import Project, keep_what_dbt_parsed
from tests.snapshot import snapshot
from tests.storefront import add_order, add_shop, fetch


@pytest.fixture
def connection(built: Database) -> Iterator[Connection]:
    with built.connect() as connection:
        add_order(connection, add_shop(connection))
        yield connection


@pytest.fixture
def settings(built: Database, tmp_path: Path) -> Settings:
    """With a folder of the test's own, so without a plan."""
    keep_what_dbt_parsed(built.settings.home, tmp_path)
    return built.settings.model_copy(update={"home": tmp_path})


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each build by dbt, which goes on as it is."""
    counted: list[int] = []
    build = project.build

    def count(*arguments: object, **options: object) -> object:
        counted.append(1)
        return build(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(project, "build", count)
    return counted


def _sell(connection: Connection) -> None:
    (shop,) = fetch(connection, "select id from user_shops limit 1")[0]
    add_order(connection, shop)  # type: ignore[arg-type]


def _refresh(settings: Settings, connection: Connection) -> None:
    _sell(connection)
    assert run_refresh(settings).mode == "refresh"


def _assert_all_orders_are_published(settings: Settings, connection: Connection) -> None:
    orders = fetch(connection, "select count(*) from shop_orders")
    assert fetch(connection, "select total_orders from analytics.shop_overview") == orders
    published = snapshot(connection)
    run_refresh(settings, mode="rebuild")
    assert snapshot(connection) == published


def test_the_first_refresh_is_dbts_and_those_that_follow_do_without_it(
    settings: Settings, connection: Connection, builds: list[int]
) -> None:
    _refresh(settings, connection)
    assert len(builds) == 1
    for _ in range(3):
        _refresh(settings, connection)
    assert len(builds) == 1
    _assert_all_orders_are_published(settings, connection)


def test_a_plan_outlives_a_rebuild(settings: Settings, connection: Connection, builds: list[int]) -> None:
    _refresh(settings, connection)
    run_refresh(settings, mode="rebuild")
    assert len(builds) == 2
    _refresh(settings, connection)
    assert len(builds) == 2
    _assert_all_orders_are_published(settings, connection)


def test_dbt_records_the_same_statements_every_time(settings: Settings, connection: Connection) -> None:
    def record() -> Plan:
        plan_file(settings).unlink(missing_ok=True)
        _refresh(settings, connection)
        text = re.sub(r"__dbt_tmp\d+", "__dbt_tmp", plan_file(settings).read_text())
        return Plan.model_validate_json(text)

    first, second = record(), record()
    assert first.key == second.key
    assert sorted(map(repr, first.nodes)) == sorted(map(repr, second.nodes))
    marts = [node for node in first.nodes if not node.is_test]
    assert all(node.statements[-1] == "COMMIT" or "drop materialized view" in node.statements[-1] for node in marts)
    assert all(len(node.statements) == 1 for node in first.nodes if node.is_test)


@pytest.mark.parametrize(
    "change",
    [
        "alter table building.customers add column note text",
        "alter table analytics.customers add column note text",
        "alter table building.customers alter column total_purchases drop not null",
        "create index on building.customers (total_spent)",
    ],
)
def test_a_relation_that_somebody_changed_is_dbts_again(
    settings: Settings, connection: Connection, builds: list[int], change: str
) -> None:
    _refresh(settings, connection)
    connection.execute(change.encode())
    _sell(connection)
    # dbt refuses a mart that no longer has its model's columns.
    with suppress(BuildFailed):
        run_refresh(settings)
    assert len(builds) == 2


def test_a_data_test_that_is_new_runs_in_the_next_refresh(
    settings: Settings, connection: Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "project", monkeypatch)
    _refresh(settings, connection)
    project.write("../tests/dbt/assert_nobody_buys.sql", "select * from {{ ref('orders') }}")
    _sell(connection)
    with pytest.raises(BuildFailed, match="assert_nobody_buys"):
        run_refresh(settings)


@pytest.mark.parametrize("severity", ["error", "warn"])
def test_a_recorded_data_test_fails_or_warns_as_it_does_in_dbt(
    settings: Settings, connection: Connection, builds: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    severity: str,
) -> None:  # fmt: skip
    Project(tmp_path / "project", monkeypatch).write(
        "../tests/dbt/assert_few_buy.sql",
        f"{{{{ config(severity='{severity}') }}}} select * from {{{{ ref('orders') }}}} offset 2",
    )
    _refresh(settings, connection)
    before = fetch(connection, "select total_orders from analytics.shop_overview")
    _sell(connection)
    if severity == "warn":
        assert run_refresh(settings).warnings == ["Look at assert_few_buy: the data test warned."]
    else:
        with pytest.raises(BuildFailed, match=r"assert_few_buy: Got 1 result"):
            run_refresh(settings)
        assert fetch(connection, "select total_orders from analytics.shop_overview") == before
    assert len(builds) == 1


def test_a_recorded_statement_that_fails_is_left_to_dbt_which_records_anew(
    settings: Settings, connection: Connection, builds: list[int]
) -> None:
    _refresh(settings, connection)
    plan = json.loads(plan_file(settings).read_text())
    for node in plan["nodes"]:
        if node["node_id"] == "model.regulars.customers":
            node["statements"][0] = "create temporary table broken as select 1 / 0"
    plan_file(settings).write_text(json.dumps(plan))
    for _ in range(2):
        _refresh(settings, connection)
    assert len(builds) == 2
    _assert_all_orders_are_published(settings, connection)


def test_a_damaged_plan_and_a_folder_that_can_not_be_written_cost_time_and_nothing_else(
    settings: Settings, connection: Connection, builds: list[int]
) -> None:
    _refresh(settings, connection)
    plan_file(settings).write_bytes(b'{"key": ')
    _refresh(settings, connection)
    plan_file(settings).unlink()
    # A folder of that name can't be replaced by a file.
    plan_file(settings).mkdir()
    _refresh(settings, connection)
    _refresh(settings, connection)
    assert len(builds) == 4
    _assert_all_orders_are_published(settings, connection)


def test_a_refresh_leaves_a_core_to_checkouts(
    settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    _refresh(settings, connection)
    workers: list[object] = []
    connect = psycopg.connect

    def ask(*arguments: Any, **options: Any) -> Any:
        session = connect(*arguments, **options)
        if options["application_name"] == BUILDING:
            workers.append(session.execute("show max_parallel_workers_per_gather").fetchone())
            session.rollback()
        return session

    monkeypatch.setattr(psycopg, "connect", ask)
    for threads, sessions in ((1, 1), (2, 1), (3, 2)):
        workers.clear()
        _refresh(settings.model_copy(update={"threads": threads}), connection)
        assert workers == [("0",)] * sessions
