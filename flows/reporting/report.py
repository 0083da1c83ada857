"""The report of a refresh: what it changed, how long that took compared with usual, and the use of the disk.

It is read from what is stored, so it can be made at any time, also of a refresh that failed.
"""

import re
from datetime import datetime
from typing import Literal, NamedTuple

from psycopg.rows import class_row
from pydantic import BaseModel, ConfigDict, Field

from flows.history import Mode
from ingest.storage.connections import Connection
from ingest.storage.storefront import TABLES

MOST_RUNS = 30
"""What is usual for a run is the median of so many before it."""

_SLOWEST = 5

# It reads while others write and migrate, and doesn't wait long for them.
_SESSION = "set local statement_timeout = '10s'; set local lock_timeout = '5s'; set local jit = off"

_RAW = [*(f"public.{name}" for name in TABLES), "public.shop_slugs", "regulars.customers", "regulars.tracking"]
_LOG = ["regulars.changes", "regulars.batch", "regulars.orders_to_match"]

Place = Literal["raw", "building", "published", "deltas", "change log", "records"]


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True)


class Node(_Row):
    """A step, a model, or data tests, of this refresh."""

    name: str = Field(description="of a step or model, or of a data test that failed; `all`: all data tests together")
    seconds: float = Field(description="what it took, on one connection")
    usual_seconds: float | None = Field(description="the median of the runs before; null in the first")
    has_failed: bool = Field(description="whether it failed")
    rows_added: int | None = Field(description="rows that readers got; null if nothing of it was published")
    rows_removed: int | None = Field(description="rows that readers lost; one that changed counts in both")

    @property
    def rows_changed(self) -> int:
        return (self.rows_added or 0) + (self.rows_removed or 0)


class SlowModel(_Row):
    """A model in this run and those before it."""

    name: str = Field(description="the model")
    runs: int = Field(description="in how many of the runs it was built")
    median_seconds: float = Field(description="the median of them")
    longest_seconds: float = Field(description="the longest of them")
    total_seconds: float = Field(description="their sum")


class Left(_Row):
    """Orders that were left without a customer, by reason."""

    reason: str = Field(description="why the phone can't be read")
    orders: int = Field(description="how many orders")
    new_orders: int = Field(description="how many of them this refresh, or a checkout since it began, added")


class Space(_Row):
    """The disk that a relation takes, with its indexes."""

    place: Place = Field(
        description="raw, building (where marts are built), published (what readers see), deltas, change log, records"
    )
    relation: str = Field(description="schema and name")
    size_bytes: int = Field(description="bytes on disk")


class Report(_Row):
    """Everything about one refresh. Times are UTC, durations seconds."""

    refresh_id: int = Field(description="number of the refresh")
    mode: Mode = Field(description="`refresh`, `partial` (and changed models were recomputed) or `rebuild`")
    reason: str | None = Field(description="why it was more than a refresh, where nobody asked for that")
    status: Literal["running", "succeeded", "failed", "abandoned"] = Field(
        description="`running`, `succeeded`, `failed`, or `abandoned`: it was killed"
    )
    started_at: datetime = Field(description="when it began")
    as_of: datetime | None = Field(description="everything committed before this moment is in it")
    seconds: float | None = Field(description="what it took; null while it runs")
    usual_seconds: float | None = Field(description="the median of the last 30 successes of its mode before it")
    step: str | None = Field(description="the step that it is at, or at which it ended")
    error: str | None = Field(description="why it failed")
    warnings: list[str] = Field(description="what somebody should look at")
    changes: int | None = Field(description="keys of raw rows that had changed")
    matched: int | None = Field(description="orders that it matched with a customer")
    unreadable: int | None = Field(description="orders whose phone it could not read")
    left: list[Left] = Field(description="orders without a customer, by reason")
    orders_to_match: int = Field(description="orders that wait for the next refresh")
    failed_checkouts: int = Field(description="checkouts that failed and are tried again by each refresh")
    steps: list[Node] = Field(description="its steps, in their order")
    models: list[Node] = Field(description="its models, the longest first")
    tests: list[Node] = Field(description="its data tests: all together, and each that failed")
    slowest: list[SlowModel] = Field(description="the models that took most in this run and the 30 before it")
    disk: list[Space] = Field(description="the disk by relation, the largest first")

    @property
    def failed_at(self) -> list[str]:
        """The models and data tests that failed."""
        return [node.name for node in (*self.models, *self.tests) if node.has_failed]

    @property
    def places(self) -> dict[Place, int]:
        """Bytes by place, the largest first."""
        sizes: dict[Place, int] = {}
        for space in self.disk:
            sizes[space.place] = sizes.get(space.place, 0) + space.size_bytes
        return dict(sorted(sizes.items(), key=lambda item: -item[1]))


_REFRESH = """
    with
    usual as (
        select extract(epoch from earlier.finished_at - earlier.started_at) as seconds
        from regulars.refreshes as earlier
        inner join regulars.refreshes as this on earlier.mode = this.mode and earlier.refresh_id < this.refresh_id
        where this.refresh_id = %(refresh_id)s and earlier.status = 'succeeded'
        order by earlier.refresh_id desc
        limit %(runs)s
    )

    select
        refresh_id, mode, reason, status, started_at, as_of, step, error, warnings, changes, matched, unreadable,
        extract(epoch from finished_at - started_at)::float8,
        (select percentile_cont(0.5) within group (order by seconds) from usual)::float8,
        (select count(distinct order_id) from regulars.orders_to_match),
        (select count(*) from regulars.failures)
    from regulars.refreshes
    where refresh_id = %(refresh_id)s
"""

# A run is compared with those before it; the slowest models are those of all these runs.
_NODES = """
    with
    this as (
        select refresh_id, mode from regulars.refreshes where refresh_id = %(refresh_id)s
    ),

    runs as (
        select refresh_id from this
        union all
        (
            select earlier.refresh_id
            from regulars.refreshes as earlier
            inner join this on earlier.mode = this.mode and earlier.refresh_id < this.refresh_id
            where earlier.status = 'succeeded'
            order by earlier.refresh_id desc
            limit %(runs)s
        )
    )

    select
        nodes.kind,
        nodes.node,
        max(nodes.seconds) filter (where nodes.refresh_id = %(refresh_id)s),
        percentile_cont(0.5) within group (order by nodes.seconds)
            filter (where nodes.refresh_id < %(refresh_id)s),
        coalesce(bool_or(nodes.has_failed) filter (where nodes.refresh_id = %(refresh_id)s), false),
        max(nodes.rows_added) filter (where nodes.refresh_id = %(refresh_id)s),
        max(nodes.rows_removed) filter (where nodes.refresh_id = %(refresh_id)s),
        count(*),
        percentile_cont(0.5) within group (order by nodes.seconds),
        max(nodes.seconds),
        sum(nodes.seconds)
    from runs
    inner join regulars.refresh_nodes as nodes on runs.refresh_id = nodes.refresh_id
    group by nodes.kind, nodes.node
    order by max(nodes.number) filter (where nodes.refresh_id = %(refresh_id)s)
"""

_LEFT = """
    select reason, count(*) as orders, count(*) filter (where noted_at >= %(started_at)s) as new_orders
    from regulars.unreadable_phones
    group by reason
    order by count(*) desc, reason
"""

_DISK = """
    with
    named as (
        select
            class.oid,
            namespace.nspname as schema_name,
            class.relname as name,
            format('%%s.%%s', namespace.nspname, class.relname) as relation
        from pg_class as class
        inner join pg_namespace as namespace on class.relnamespace = namespace.oid
        where
            class.relkind in ('r', 'm')
            and namespace.nspname in ('public', 'regulars', 'building', 'analytics')
    )

    select
        case
            when relation = any(%(raw)s) then 'raw'
            when relation = any(%(log)s) then 'change log'
            when schema_name = 'regulars' and name ^@ 'delta_' and name <> 'delta_offsets' then 'deltas'
            when schema_name = 'analytics' then 'published'
            when schema_name = 'building' then 'building'
            else 'records'
        end as place,
        relation,
        coalesce(pg_total_relation_size(oid), 0) as size_bytes
    from named
    where schema_name <> 'public' or relation = any(%(raw)s)
    order by size_bytes desc, relation
"""


def read_report(connection: Connection, refresh_id: int) -> Report:
    """The report of a refresh. Raises LookupError if there is no such refresh."""
    asked = {"refresh_id": refresh_id, "runs": MOST_RUNS}
    with connection.transaction():
        connection.execute(_SESSION)
        row = connection.execute(_REFRESH, asked).fetchone()
        if row is None:
            raise LookupError(f"refresh {refresh_id} is not in the history")
        found = connection.execute(_NODES, asked).fetchall()
        with connection.cursor(row_factory=class_row(Left)) as cursor:
            left = cursor.execute(_LEFT, {"started_at": row[4]}).fetchall()
        with connection.cursor(row_factory=class_row(Space)) as cursor:
            disk = cursor.execute(_DISK, {"raw": _RAW, "log": _LOG}).fetchall()
    nodes = [_Ran(*node) for node in found]
    names = (
        "refresh_id", "mode", "reason", "status", "started_at", "as_of", "step", "error", "warnings", "changes",
        "matched", "unreadable", "seconds", "usual_seconds", "orders_to_match", "failed_checkouts",
    )  # fmt: skip
    facts = dict(zip(names, row, strict=True))
    return Report(
        **facts | {"error": _without_values(facts["error"])},
        left=left,
        steps=[node.now for node in nodes if node.kind == "step" and node.now],
        models=sorted(
            (node.now for node in nodes if node.kind == "model" and node.now),
            key=lambda node: (-node.seconds, node.name),
        ),
        tests=[node.now for node in nodes if node.kind == "test" and node.now],
        slowest=sorted(
            (node.over_time for node in nodes if node.kind == "model"),
            key=lambda model: (-model.total_seconds, model.name),
        )[:_SLOWEST],
        disk=disk,
    )


class _Ran(NamedTuple):
    """A row of `_NODES`."""

    kind: str
    name: str
    seconds: float | None
    usual_seconds: float | None
    has_failed: bool
    rows_added: int | None
    rows_removed: int | None
    runs: int
    median_seconds: float
    longest_seconds: float
    total_seconds: float

    @property
    def now(self) -> Node | None:
        """The node in this run; None if it did not run."""
        return None if self.seconds is None else Node.model_validate(self, from_attributes=True)

    @property
    def over_time(self) -> SlowModel:
        return SlowModel.model_validate(self, from_attributes=True)


def _without_values(error: str | None) -> str | None:
    """PostgreSQL's detail and context may hold a phone number."""
    return error and re.split(r"\n(?:DETAIL|CONTEXT):", error)[0]
