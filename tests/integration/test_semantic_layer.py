"""The semantic models: MetricFlow's SQL, run by an analyst, finds what is published and what docs/metrics.md says."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import yaml  # type: ignore[import-untyped]
from psycopg.rows import dict_row

from flows.building.project import project_folder
from flows.steps import run_refresh
from ingest.storage.connections import Connection
from regulars.cli.definitions import METRICS, definitions
from regulars.demo.sample_data import make_sample_data
from tests.conftest import NAME, Server
from tests.sample_shops import write_shop
from tests.storefront import add_order, add_shop, fetch

if TYPE_CHECKING:
    from tests.metricflow_sql import MetricFlow

_FOLDER = project_folder() / "models" / "semantic"
_METRICS: dict[str, dict[str, Any]] = {
    metric["name"]: metric
    for name in METRICS
    for metric in yaml.safe_load((_FOLDER / name).read_text(encoding="utf-8"))["metrics"]
}
_PUBLISHED = [name for name, metric in _METRICS.items() if "published" in metric["config"]["meta"]]
_PHONES = {"Ama": "0241234567", "Kofi": "0201234567", "Efua": "0241234568", "Yaw": "0201234568"}

_Values = dict[tuple[object, ...], Decimal | None]


@dataclass(frozen=True, slots=True)
class Semantics:
    """An analyst's connection, the manifest of `regulars docs`, what writes SQL from it, and the example's shops."""

    connection: Connection
    manifest: dict[str, Any]
    metricflow: "MetricFlow"
    shops: dict[str, UUID]

    def compute(self, metric: str, *group_by: str) -> _Values:
        """The metric by shop and what else it is grouped by."""
        names = ["shop", *group_by]
        with self.connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(self.metricflow.sql(metric, names).encode()).fetchall()
        return {tuple(_plain(row[part]) for part in names): _decimal(row[metric]) for row in rows}

    def published(self, relation: str, column: str, *by: str, where: dict[str, object]) -> _Values:
        only = " and ".join(f"{name} = {value}" for name, value in where.items()) or "true"
        keys = ", ".join(["shop_id", *by])
        rows = fetch(self.connection, f"select {keys}, {column} from analytics.{relation} where {only}")
        return {tuple(key): _decimal(value) for *key, value in rows}


def _plain(part: object) -> object:
    return part.date() if isinstance(part, datetime) else part


def _decimal(value: object) -> Decimal | None:
    # MetricFlow divides in double precision.
    return None if value is None else Decimal(str(value))


@pytest.fixture(scope="module")
def semantics(
    server: Server,
    migrated_template: str,
    builds_models: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Semantics]:
    from tests.metricflow_sql import MetricFlow

    database, home = server.create(NAME, template=migrated_template), tmp_path_factory.mktemp("semantics")
    with database.connect() as connection:
        for shop in make_sample_data(seed=21).shops:
            write_shop(connection, shop)
        shops = _write_example(connection)
    run_refresh(database.settings)
    subprocess.run(
        [sys.executable, "-m", "regulars", "docs"],
        env=os.environ | {"DATABASE_URL": database.conninfo, "REGULARS_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    text = (home / "docs" / "semantic_manifest.json").read_text(encoding="utf-8")
    with database.connect() as connection:
        connection.execute("set role regulars_analyst; set search_path = ''; set timezone = 'UTC'")
        # Every window is over, so that every rate is published.
        connection.execute("set regulars.now = '2028-01-01 00:00+00'")
        yield Semantics(connection, json.loads(text), MetricFlow(text), shops)
    server.drop(NAME)


def _write_example(connection: Connection) -> dict[str, UUID]:
    """The orders that docs/metrics.md shows, each with its visit, and the visit without an order."""
    shops: dict[str, UUID] = {}
    visit = (
        "insert into regulars.tracking (shop_id, shop_order_id, accessed_via_slug, accessed_at) values (%s, %s, %s, %s)"
    )
    with (_FOLDER / "example_orders.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["shop"] not in shops:
                shops[row["shop"]] = add_shop(connection, row["shop"], timezone=row["time_zone"])
            shop, at = shops[row["shop"]], datetime.fromisoformat(row["ordered_at"]).replace(tzinfo=UTC)
            order = add_order(
                connection, shop, phone=_PHONES[row["customer"]], total=row["total"],
                profit=Decimal(row["total"]) / 10, order_status=row["order_status"], at=at, network=row["network"],
            )  # fmt: skip
            connection.execute(visit, [shop, order, row["link"], at])
    connection.execute(visit, [shops["accra"], None, "march-promo", datetime(2026, 3, 6, tzinfo=UTC)])
    return shops


def _grouped(name: str) -> list[str]:
    """What a metric is grouped by beside the shop, to be compared with what is published."""
    meta = _METRICS[name]["config"]["meta"]
    by = meta["published"].get("by") if "published" in meta else "month"
    if "share_of" in meta:
        return ["metric_time__month", meta["group_by"]]
    if "group_by" in meta:
        return [meta["group_by"]]
    return ["metric_time__day"] if by == "order_date" else ["metric_time__month"] if by else []


def _found(semantics: Semantics, name: str, group_by: list[str]) -> _Values:
    """A metric's values; of one that is published as a share, its share of the other metric."""
    values, meta = semantics.compute(name, *group_by), _METRICS[name]["config"]["meta"]
    if "share_of" not in meta:
        return values
    whole = semantics.compute(meta["share_of"], "metric_time__month")
    return {
        key: value / all_of_it if value is not None and (all_of_it := whole.get(key[:2])) else None
        for key, value in values.items()
    }


def _differ(found: Decimal | None, published: Decimal) -> bool:
    """Whether two numbers differ once the computed one is rounded to the published one's decimals."""
    digits = int(published.as_tuple().exponent)
    return found is None or abs(found - published) > Decimal(5).scaleb(digits - 1) + Decimal("1e-9")


def test_metricflow_finds_no_fault_in_the_manifest(semantics: Semantics) -> None:
    assert semantics.metricflow.faults() == []


def test_the_manifest_names_what_analysts_read(semantics: Semantics) -> None:
    manifest = semantics.manifest
    made_from = [*manifest["semantic_models"], *manifest["project_configuration"]["time_spines"]]
    assert len(made_from) > 5
    assert {model["node_relation"]["schema_name"] for model in made_from} == {"analytics"}


def test_the_time_spine_has_every_day_up_to_the_current_one(semantics: Semantics) -> None:
    # At the fixture's moment it is 2 p.m. of the same day where the zone is furthest ahead.
    first, last = date(1990, 1, 1), date(2028, 1, 1)
    days = "select min(date_day), max(date_day), count(*) from analytics.time_spine"
    assert fetch(semantics.connection, days) == [(first, last, (last - first).days + 1)]


@pytest.mark.parametrize("name", _PUBLISHED)
def test_a_metric_is_the_published_column(semantics: Semantics, name: str) -> None:
    published = _METRICS[name]["config"]["meta"]["published"]
    by = [part for part in (published.get("month"), published.get("by")) if part]
    expected = semantics.published(published["relation"], published["column"], *by, where=published.get("where", {}))
    found = _found(semantics, name, _grouped(name))
    # NULL is published where a rate has no denominator, or before its window is over.
    known = {key: value for key, value in expected.items() if value is not None}
    assert len({key[0] for key in known}) >= 5
    # A key that has no row in MetricFlow's result has nothing to add up.
    assert [key for key, value in known.items() if _differ(found.get(key, Decimal(0)), value)] == []
    # And what it finds beyond the published rows is nothing.
    assert [key for key, value in found.items() if key not in expected and value and not _may_go_on(name, key)] == []


def _may_go_on(name: str, key: tuple[object, ...]) -> bool:
    """What counts up to a month goes on after the last sale, and who bought in the last month lapses in the next."""
    so_far = _METRICS[name]["type"] == "cumulative" or name == "lifetime_repeat_rate"
    return (so_far or name == "lapsed_customers") and len(key) > 1


@pytest.mark.parametrize("name", _METRICS)
def test_the_worked_example_is_right(semantics: Semantics, name: str) -> None:
    meta = _METRICS[name]["config"]["meta"]
    example = meta["example"]
    key = (semantics.shops[example["shop"]], *(example[part] for part in ("month", "at") if part in example))
    group_by = _grouped(name) if "group_by" in meta else ["metric_time__month"]
    found, expected = _found(semantics, name, group_by)[key], Decimal(example["result"])
    assert not _differ(found, expected), f"{found} is not {expected}"


def test_the_page_of_the_metrics_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "metrics.md"
    assert page.read_text(encoding="utf-8") == definitions(_FOLDER.parent), "regulars docs --metrics > docs/metrics.md"


def test_every_published_rate_and_headline_is_a_metric() -> None:
    named = {
        (published["relation"], published["column"])
        for metric in _METRICS.values()
        if (published := metric["config"]["meta"].get("published"))
    }
    wanted = {
        "monthly_acquisition": ["new_customers", "active_customers", "returning_customers"],
        "repeat_rates": ["lifetime_repeat_rate", "in_month_repeat_rate", "returning_share"],
        "monthly_movement": ["retained_customers", "reactivated_customers", "lapsed_customers"],
        "cohort_windows": ["repurchase_rate", "net_per_customer"],
        "network_shares": ["share_of_sales", "share_of_customers"],
        "link_analytics": ["conversion_rate", "first_touch_net_amount", "last_touch_net_amount"],
        "shop_overview": ["average_ltv", "customer_revenue"],
    }
    assert {(relation, column) for relation, columns in wanted.items() for column in columns} <= named
