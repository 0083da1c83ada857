"""Cost follows change: a refresh finds what changed by its keys, and reads no raw table from end to end."""

import json

import pytest

from flows.building.project import environment, run_dbt
from flows.steps import run_refresh
from tests.conftest import Database

_WORLD = """
    insert into user_shops (id, shop_slug) select gen_random_uuid(), 'shop-' || n from generate_series(1, 20) as n;
    insert into shop_orders (shop_id, total_price, order_status, payment_status)
    select id, 10, 'completed', 'completed' from user_shops cross join generate_series(1, 1500);
    insert into regulars.tracking (shop_id, shop_order_id) select shop_id, id from shop_orders;
    insert into shop_profits (shop_id, profit_amount, status) select shop_id, 1, 'credited' from shop_orders;
    analyze;
"""

_CHANGE = """
    update shop_orders set total_price = 11 where id in (select id from shop_orders limit 10);
    update regulars.tracking set accessed_via_slug = 'x' where id in (select id from regulars.tracking limit 10);
    update shop_profits set status = 'withdrawn' where id in (select id from shop_profits limit 10);
    select regulars.claim_changes();
"""


# What a mart may not read from end to end.
_RAW = {
    "orders": {"shop_orders", "regulars.tracking"},
    "visits": {"regulars.tracking"},
    "ledger_entries": {"shop_profits"},
}


def test_a_refresh_finds_what_changed_by_its_keys(built: Database) -> None:
    with built.connect() as connection:
        connection.execute(_WORLD)
        run_refresh(built.settings)
        connection.execute(_CHANGE)
        queries = _compiled(built, *_RAW)
        for mart, raw in _RAW.items():
            (plan,) = connection.execute(f"explain (format json) {queries[mart]}").fetchone() or ("",)  # type: ignore[arg-type]
            assert "regulars.batch" in queries[mart]
            assert _scanned(plan if isinstance(plan, list) else json.loads(plan)).isdisjoint(raw), mart


@pytest.mark.parametrize("mart", ["orders", "visits"])
def test_a_rebuild_reads_raw_rows_on_several_cores(built: Database, mart: str) -> None:
    with built.connect() as connection:
        connection.execute(_WORLD)
        query = _compiled(built, mart, "--full-refresh")[mart]
        # Whether it may, not whether it pays for so few rows.
        for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
            connection.execute(f"set {setting} = 0")  # type: ignore[arg-type]
        plan = "\n".join(line for (line,) in connection.execute(f"explain create table computed as {query}"))  # type: ignore[arg-type]
        assert "Parallel Seq Scan" in plan


def _compiled(database: Database, *arguments: str) -> dict[str, str]:
    """The queries of models, by name."""
    variables = environment(database.settings, database.conninfo)
    compiled = run_dbt(database.settings, ["compile", "--select", *arguments], variables=variables, target="target")
    return {result.node.name: result.node.compiled_code for result in compiled.results}


def _scanned(plan: object) -> set[str]:
    """The tables that a plan reads from end to end."""
    if isinstance(plan, list):
        return set().union(*map(_scanned, plan))
    if isinstance(plan, dict):
        found = {plan["Relation Name"]} if plan.get("Node Type") == "Seq Scan" else set()
        return found.union(*map(_scanned, plan.values()))
    return set()
