"""The report of a refresh: its figures are those that SQL and Python count by other ways."""

from collections.abc import Iterator
from decimal import Decimal
from statistics import median

import pytest

from flows import history
from flows.building.plan import plan_file
from flows.errors import BuildFailed, NotReconciled
from flows.history import Mode
from flows.reporting.report import Report, read_report
from flows.reporting.text import markdown
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.storefront import add_order, add_shop, fetch


@pytest.fixture
def connection(built: Database) -> Iterator[Connection]:
    """Two shops, twelve orders of five customers each, and one that can't be read; refreshed."""
    with built.connect() as connection:
        for slug in ("ama-data", "kofi-data"):
            shop = add_shop(connection, slug)
            for number in range(12):
                add_order(connection, shop, phone=f"02412345{number % 5:02d}", total=Decimal(10 + number))
            add_order(connection, shop, phone="12")
        run_refresh(built.settings)
        yield connection


def _report(connection: Connection) -> Report:
    latest = history.last(connection)
    assert latest is not None
    return read_report(connection, latest.refresh_id)


def _tables(connection: Connection) -> list[str]:
    return [
        str(name)
        for (name,) in fetch(
            connection,
            "select relname from pg_class where relnamespace = 'analytics'::regnamespace and relkind = 'r'",
        )
    ]


def _keep(connection: Connection) -> None:
    connection.execute("drop schema if exists kept cascade; create schema kept")
    for name in _tables(connection):
        connection.execute(f"create table kept.{name} as table analytics.{name}".encode())


def _differences(connection: Connection) -> dict[str, tuple[object, ...]]:
    """By relation, how many rows were added and removed since they were kept."""
    return {
        name: fetch(
            connection,
            f"select (select count(*) from (table analytics.{name} except all table kept.{name}) as added), "
            f"(select count(*) from (table kept.{name} except all table analytics.{name}) as removed)",
        )[0]
        for name in _tables(connection)
    }


@pytest.mark.parametrize("way", ["recorded plan", "dbt", "rebuild"])
def test_the_rows_that_changed_are_those_that_differ(built: Database, connection: Connection, way: str) -> None:
    _keep(connection)
    mode: Mode = "rebuild" if way == "rebuild" else "refresh"
    if way == "dbt":
        plan_file(built.settings).unlink(missing_ok=True)
    connection.execute("update shop_orders set order_status = 'refunded' where total_price in (11, 15)")
    connection.execute("update shop_orders set customer_phone = '0241239999' where total_price = 12")
    if way == "rebuild":
        connection.execute("delete from analytics.orders where net_amount > 18")
    kept = _differences(connection)

    run_refresh(built.settings, mode=mode)
    report, differ = _report(connection), _differences(connection)
    if way == "rebuild":
        # What was damaged before the rebuild is a row that it adds, though none that differs in the end.
        added, removed = differ["orders"]
        differ["orders"] = (added + kept["orders"][1], removed)  # type: ignore[operator]
    found = {model.name: (model.rows_added, model.rows_removed) for model in report.models}
    assert {name: found[name] for name in differ} == differ
    assert sum(model.rows_changed for model in report.models) > 10
    assert (report.mode, report.status, report.failed_at) == (mode, "succeeded", [])


def test_what_is_usual_is_the_median_of_the_runs_before_of_the_same_mode(
    built: Database, connection: Connection
) -> None:
    for number in range(3):
        connection.execute("update shop_orders set total_price = total_price + 1")
        run_refresh(built.settings, mode="rebuild" if number == 1 else None)
    report = _report(connection)
    runs = fetch(
        connection,
        "select r.refresh_id, kind, node, seconds from regulars.refresh_nodes inner join regulars.refreshes as r "
        "using (refresh_id) where mode = 'refresh' and status = 'succeeded'",
    )
    for kind, nodes in (("step", report.steps), ("model", report.models), ("test", report.tests)):
        assert nodes
        for node in nodes:
            of_it = [(run, length) for run, of, name, length in runs if (of, name) == (kind, node.name)]
            assert (report.refresh_id, node.seconds) in of_it
            before = [length for run, length in of_it if run != report.refresh_id]
            assert node.usual_seconds == pytest.approx(median(before))  # type: ignore[type-var]
    totals: dict[object, float] = {}
    for _, kind, name, length in runs:
        if kind == "model":
            totals[name] = totals.get(name, 0) + length  # type: ignore[operator]
    longest = sorted(totals, key=lambda name: -totals[name])
    assert [model.name for model in report.slowest] == longest[:5]
    assert [step.name for step in report.steps][:3] == ["compare_models", "prepare_relations", "match_customers"]
    assert report.usual_seconds is not None


def test_orders_left_and_the_disk_are_what_the_database_says(connection: Connection) -> None:
    report = _report(connection)
    assert (report.matched, report.unreadable) == (24, 2)
    assert [(left.orders, left.new_orders) for left in report.left] == [(2, 2)]
    assert "not a number" in report.left[0].reason
    sizes = {space.relation: space.size_bytes for space in report.disk}
    for relation in ("public.shop_orders", "building.orders", "analytics.orders", "regulars.delta_orders"):
        # Statistics are gathered meanwhile, so a page may have been added.
        ((size,),) = fetch(connection, f"select pg_total_relation_size('{relation}')")
        assert sizes[relation] == pytest.approx(size, abs=5 * 8192)
    places = {space.relation: space.place for space in report.disk}
    assert [places[name] for name in ("regulars.tracking", "regulars.changes", "regulars.delta_orders")] == [
        "raw", "change log", "deltas",
    ]  # fmt: skip
    assert places["analytics.orders"] == "published"
    assert sum(report.places.values()) == sum(sizes.values())


def test_a_partial_rebuild_says_that_it_recomputed_a_part(connection: Connection) -> None:
    report = _report(connection).model_copy(update={"mode": "partial", "reason": "the models changed"})
    assert "It recomputed a part of the models, because the models changed." in markdown(report)


def test_a_failed_refresh_says_at_which_step_and_in_which_model_or_test(
    built: Database, connection: Connection
) -> None:
    connection.execute("update shop_orders set total_price = total_price + 1000")
    connection.execute("alter table building.customers add constraint poor check (total_spent < 1000)")
    with pytest.raises(BuildFailed):
        run_refresh(built.settings)
    report = _report(connection)
    assert (report.status, report.step, report.failed_at) == ("failed", "build_marts", ["customers"])
    assert [step.name for step in report.steps if step.has_failed] == ["build_marts"]
    assert "failed at build marts, in customers" in markdown(report)
    # Nothing was published.
    assert {model.rows_added for model in report.models} == {None}
    connection.execute("alter table building.customers drop constraint poor")
    run_refresh(built.settings)

    connection.execute("create function public.lose() returns trigger language plpgsql as 'begin return null; end'")
    connection.execute(
        "create trigger lose before insert on building.customers for each row execute function public.lose()"
    )
    connection.execute("update shop_orders set total_price = total_price + 1")
    with pytest.raises(BuildFailed):
        run_refresh(built.settings)
    assert "every_purchase_is_of_a_customer" in _report(connection).failed_at


def test_a_refresh_that_does_not_add_up_fails_at_publishing_and_reports_no_row(
    built: Database, connection: Connection
) -> None:
    connection.execute("delete from analytics.orders where net_amount = 21")
    connection.execute("update shop_orders set total_price = total_price + 1 where total_price = 11")
    with pytest.raises(NotReconciled):
        run_refresh(built.settings)
    report = _report(connection)
    assert (report.status, report.step, report.failed_at) == ("failed", "publish", [])
    assert {model.rows_added for model in report.models} == {None}
    assert "shop ama-data, orders: " in str(report.error)
