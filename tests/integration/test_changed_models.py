"""A project that changed: which models are computed anew, which build on what stands, and that all end right."""

from collections.abc import Callable

import pytest

from flows.errors import BuildFailed
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.model_changes import add_a_column
from tests.project import Project
from tests.snapshot import snapshot
from tests.storefront import add_order, fetch


def change_a_leaf(project: Project) -> None:
    project.change("marts/repeat_rates.sql", ("nullif(customers, 0), 4) as", "nullif(customers, 0), 3) as"))


def change_a_mart_in_the_middle(project: Project) -> None:
    project.change("marts/customers.sql", ("(order by gap_days) as", "(order by gap_days + 1) as"))


def change_a_staging_view(project: Project) -> None:
    project.change("staging/stg_profits.sql", ("{{ money('profit_amount') }}", "2 * {{ money('profit_amount') }}"))


def change_a_macro(project: Project) -> None:
    project.change("../macros/expressions/fewest_customers.sql", ("50", "5"))


@pytest.mark.parametrize(
    ("change", "anew", "kept"),
    [
        (change_a_leaf, {"repeat_rates"}, {"stg_orders", "orders", "cohort_months", "shop_overview", "reconciliation"}),
        (
            change_a_mart_in_the_middle,
            {"customers", "customer_segments", "customer_rhythms", "reconciliation"},
            {"orders", "purchases", "shop_days", "cohort_months", "shop_overview", "repeat_rates"},
        ),
        (
            change_a_staging_view,
            {"stg_profits", "ledger_entries", "shop_balances", "shop_overview"},
            {"stg_orders", "orders", "customers", "shop_days", "repeat_rates"},
        ),
        (
            change_a_macro,
            {"rfm_cuts", "customer_segments", "segment_changes", "shop_segments"},
            {"customers", "orders", "shop_days", "shop_overview"},
        ),
    ],
    ids=["leaf", "mart", "staging view", "macro"],
)
def test_what_changed_is_computed_anew_with_what_stands_on_it_and_nothing_else(
    trading: Database, project: Project, change: Callable[[Project], None], anew: set[str], kept: set[str]
) -> None:
    with trading.connect() as connection:
        before = snapshot(connection)
        change(project)
        _trade(connection)
        done = run_refresh(trading.settings)
        assert (done.mode, done.reason, done.warnings) == ("partial", "the models changed", [])
        assert anew <= _computed_anew(connection)
        assert not kept & _computed_anew(connection)
        assert snapshot(connection) != before
        _trade(connection)
        assert run_refresh(trading.settings).mode == "refresh"
        assert _computed_anew(connection) == set()
        _assert_it_is_what_a_rebuild_makes(trading, connection)


def test_a_macro_by_which_dbt_builds_every_model_costs_all_of_them(trading: Database, project: Project) -> None:
    project.change("../macros/incremental/replace_rows.sql", ("as standing\n", "as  standing\n"))
    assert run_refresh(trading.settings).mode == "rebuild"


def test_a_comment_costs_nothing_and_a_description_no_row(trading: Database, project: Project) -> None:
    with trading.connect() as connection:
        project.change("marts/customers.sql", ("-- Exact:", "-- Exactly:"))
        assert run_refresh(trading.settings).mode == "refresh"
        project.change("marts/_marts__models.yml", ("What a customer has bought so far.", "What somebody bought."))
        assert run_refresh(trading.settings).mode == "partial"
        assert _computed_anew(connection) == set()
        assert fetch(connection, "select obj_description('analytics.customers'::regclass)") == [
            ("What somebody bought. One row per shop customer with at least one sale.",)
        ]


def test_a_new_data_test_of_a_mart_that_did_not_change_reads_all_of_its_rows(
    trading: Database, project: Project
) -> None:
    project.change(
        "marts/_marts__models.yml",
        (
            "      - holds:\n          name: a_repeat_customer_has_two_purchases\n",
            "      - holds:\n          name: nobody_bought_before_march\n          arguments:\n"
            "            expression: \"first_purchase_month >= date '2026-03-01'\"\n"
            "      - holds:\n          name: a_repeat_customer_has_two_purchases\n",
        ),
    )
    with pytest.raises(BuildFailed, match="nobody_bought_before_march"):
        run_refresh(trading.settings)


def test_models_that_could_not_be_read_are_computed_anew_once_they_can(trading: Database, project: Project) -> None:
    with trading.connect() as connection:
        change_a_leaf(project)
        project.change("marts/repeat_rates.sql", ("{{ ref('cohort_months') }}", "{{ ref('cohort_months' }}"))
        with pytest.raises(BuildFailed, match=r"repeat_rates\.sql"):
            run_refresh(trading.settings)
        project.change("marts/repeat_rates.sql", ("{{ ref('cohort_months' }}", "{{ ref('cohort_months') }}"))
        assert run_refresh(trading.settings).mode == "partial"
        assert "repeat_rates" in _computed_anew(connection)
        assert "customers" not in _computed_anew(connection)


def test_a_change_that_was_built_but_not_published_is_taken_back_with_the_change(
    trading: Database, project: Project
) -> None:
    with trading.connect() as connection:
        before = snapshot(connection)
        change_a_staging_view(project)
        project.change("dashboard/shop_overview.sql", ("from ", "from nowhere, "))
        with pytest.raises(BuildFailed, match="shop_overview"):
            run_refresh(trading.settings)
        assert snapshot(connection) == before
        project.change("dashboard/shop_overview.sql", ("from nowhere, ", "from "))
        project.change("staging/stg_profits.sql", ("2 * ", ""))
        assert run_refresh(trading.settings).mode == "partial"
        assert {"stg_profits", "ledger_entries"} <= _computed_anew(connection)
        assert snapshot(connection) == before
        _trade(connection)
        assert run_refresh(trading.settings).mode == "refresh"
        _assert_it_is_what_a_rebuild_makes(trading, connection)


def test_a_release_that_is_taken_back_with_the_times_of_its_files_is_read_as_it_is(
    trading: Database, project: Project
) -> None:
    with trading.connect() as connection:
        before = snapshot(connection)
        add_a_column(project)
        run_refresh(trading.settings)
        assert snapshot(connection) != before
        project.take_back("marts/customers.sql", "marts/_marts__models.yml")
        assert run_refresh(trading.settings).mode == "partial"
        assert snapshot(connection) == before


def test_what_is_missing_besides_what_changed_makes_it_a_rebuild(trading: Database, project: Project) -> None:
    with trading.connect() as connection:
        connection.execute("drop table regulars.delta_orders")
        change_a_leaf(project)
        done = run_refresh(trading.settings)
        assert (done.mode, done.reason) == ("rebuild", "regulars.delta_orders was missing")


def _trade(connection: Connection) -> None:
    """A new order, an earlier one refunded, more profit, a day of an earlier customer moved."""
    ((shop,),) = fetch(connection, "select id from user_shops")
    add_order(connection, shop, phone="0209999999", total="77.00")  # type: ignore[arg-type]
    connection.execute(
        "update shop_orders set order_status = 'refunded' where id = "
        "(select id from shop_orders where order_status = 'completed' order by created_at limit 1)"
    )
    connection.execute("insert into shop_profits (shop_id, profit_amount, status) values (%s, 4, 'credited')", [shop])


def _computed_anew(connection: Connection) -> set[object]:
    return {
        name
        for (name,) in fetch(
            connection,
            "select node from regulars.refresh_nodes "
            "where is_anew and refresh_id = (select max(refresh_id) from regulars.refreshes)",
        )
    }


def _assert_it_is_what_a_rebuild_makes(database: Database, connection: Connection) -> None:
    published = snapshot(connection)
    assert snapshot(connection, "building") == published
    run_refresh(database.settings, mode="rebuild")
    assert snapshot(connection) == published
