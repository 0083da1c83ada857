"""Cost follows change: the plan by which a mart finds what changed reads no raw table from end to end."""

import json

from flows.building.project import dbt_environment, project_folder
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
    from dbt.cli.main import dbtRunner

    with built.connect() as connection:
        connection.execute(_WORLD)
        run_refresh(built.settings)
        connection.execute(_CHANGE)
        home = built.settings.home.resolve()
        with dbt_environment(built.settings, built.conninfo):
            folder = str(project_folder())
            compiled = dbtRunner().invoke(
                [
                    "--quiet", "--log-level", "none", "--log-path", str(home / "dbt" / "logs"),
                    "compile", "--select", *_RAW, "--project-dir", folder, "--profiles-dir", folder,
                    "--target-path", str(home / "dbt" / "target"),
                ]
            )  # fmt: skip
        queries = {result.node.name: result.node.compiled_code for result in compiled.result.results}
        for mart, raw in _RAW.items():
            (plan,) = connection.execute(f"explain (format json) {queries[mart]}").fetchone() or ("",)  # type: ignore[arg-type]
            assert "regulars.batch" in queries[mart]
            assert _scanned(plan if isinstance(plan, list) else json.loads(plan)).isdisjoint(raw), mart


def _scanned(plan: object) -> set[str]:
    """The tables that a plan reads from end to end."""
    if isinstance(plan, list):
        return set().union(*map(_scanned, plan))
    if isinstance(plan, dict):
        found = {plan["Relation Name"]} if plan.get("Node Type") == "Seq Scan" else set()
        return found.union(*map(_scanned, plan.values()))
    return set()
