"""Which columns of the raw tables are extracted for Spark, and with which types: only those that staging reads."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa
from jinja2 import Environment
from psycopg import sql

from flows.building.project import project_folder
from ingest.storage.connections import Connection
from ingest.storage.errors import DatabaseError

# A storefront's tables may have other columns with personal data, so the extracted ones are listed.
TABLES: dict[str, tuple[str, ...]] = {
    "public.user_shops": ("id", "shop_slug", "shop_name", "currency", "timezone"),
    "public.shop_orders": (
        "id", "shop_id", "reference_code", "network", "volume_gb", "order_status", "payment_status", "total_price",
        "profit_amount", "created_at", "updated_at",
    ),
    "public.shop_slugs": ("shop_id", "slug", "label", "valid_from", "valid_to"),
    "public.shop_profits": ("id", "shop_id", "status", "profit_amount", "created_at"),
    "public.withdrawal_requests": ("id", "shop_id", "status", "amount", "created_at"),
    "regulars.tracking": (
        "id", "shop_id", "shop_order_id", "shop_customer_id", "accessed_at", "visit_count", "accessed_via_slug",
        "referrer", "utm_source", "utm_medium", "utm_campaign",
    ),
    "regulars.unreadable_phones": ("order_id", "shop_id", "reason", "noted_at"),
    "regulars.orders_to_match": ("order_id", "shop_id", "noted_at"),
    "regulars.refreshes": ("refresh_id", "mode", "status", "started_at", "as_of", "finished_at"),
    "regulars.forecast_fits": (
        "shop_id", "fit_id", "fitted_at", "fitted_through", "purchase_days", "net_amount", "customers",
        "repeat_customers", "r", "alpha", "a", "b", "log_likelihood", "converged", "reason", "p", "q", "v",
        "amount_log_likelihood", "amount_reason", "is_in_use",
    ),
    "regulars.forecasts": (
        "shop_id", "shop_customer_id", "fit_id", "probability_alive", "expected_purchases_30", "expected_purchases_90",
        "expected_purchases_365", "expected_net_amount_30", "expected_net_amount_90", "expected_net_amount_365",
    ),
    "regulars.shop_forecasts": (
        "shop_id", "fit_id", "horizon_days", "from_day", "matures_on", "customers", "expected_purchases",
        "expected_net_amount",
    ),
    "regulars.segment_grid": ("shop_id", "recency_score", "value_score", "segment"),
    "regulars.changes": ("entity", "shop_id", "entity_id"),
    "regulars.batch": ("entity", "shop_id", "entity_id"),
}  # fmt: skip

# Spark computes everything in the snapshot, so nothing waits.
EMPTY = ("regulars.changes", "regulars.batch")

# The tables that grow with the orders, and the moment whose month (UTC) is a row's folder.
MONTH_OF: dict[str, tuple[str, ...]] = {
    "public.shop_orders": ("created_at", "updated_at"),
    "public.shop_profits": ("created_at",),
    "public.withdrawal_requests": ("created_at",),
    "regulars.tracking": ("accessed_at",),
}

# Staging counts a row with such a time, even an infinite one. So infinity becomes a moment that no row has; the macro
# `as_utc` reads it back.
_COUNTED = {"accessed_at"}
INFINITE = "9999-12-31 23:59:59.987654+00"

# Columns that staging trims.
_TRIMMED = {
    "reference_code", "network", "order_status", "payment_status", "status", "slug", "label", "accessed_via_slug",
    "referrer", "utm_source", "utm_medium", "utm_campaign",
}  # fmt: skip
# Texts that strangers may have written, which may hold a phone number or an e-mail address.
_FREE = _TRIMMED | {"shop_slug", "shop_name", "segment", "timezone"}

_TYPES = """
    select
        attribute.attname,
        format_type(base.oid, case when kind.typtype = 'd' then kind.typtypmod else attribute.atttypmod end)
    from pg_attribute as attribute
    inner join pg_type as kind on attribute.atttypid = kind.oid
    inner join pg_type as base on coalesce(nullif(kind.typbasetype, 0), kind.oid) = base.oid
    where attribute.attrelid = to_regclass(%s) and attribute.attnum > 0 and not attribute.attisdropped
"""

MONTH, BUCKET = "month", "bucket"
"""The names of the folders, and of the two columns by which rows are put into them."""


@dataclass(frozen=True, slots=True)
class Column:
    """An extracted column: its type in PostgreSQL, the expression that is read, and its type in Parquet."""

    name: str
    postgres_type: str
    expression: sql.Composable
    arrow_type: pa.DataType


@dataclass(frozen=True, slots=True)
class Table:
    """An extracted table. `month` and `bucket`: expressions of a row's folder, if it has folders."""

    name: str
    columns: tuple[Column, ...]
    month: sql.Composable | None = None
    bucket: sql.Composable | None = None

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(*self.name.split("."))

    @property
    def schema(self) -> pa.Schema:
        """The columns of its rows in Parquet."""
        return pa.schema([(column.name, column.arrow_type) for column in self.columns])

    def query(self, condition: sql.Composable) -> sql.Composed:
        """Its rows under a condition; `month` and `bucket`, if it has them, are the last two columns."""
        expressions = [column.expression for column in self.columns]
        expressions += [each for each in (self.month, self.bucket) if each is not None]
        return sql.SQL("select {} from {} where {}").format(sql.SQL(", ").join(expressions), self.identifier, condition)

    @property
    def sums(self) -> list[Column]:
        """The columns whose sums are checked after the extract."""
        return [column for column in self.columns if pa.types.is_decimal(column.arrow_type)]


def form_of(tables: Sequence[Table]) -> str:
    """A hash of how the values are written. Files with another hash can't be used with these."""
    written = [
        (table.name, [(column.name, column.expression.as_string(), str(column.arrow_type)) for column in table.columns])
        for table in tables
    ]
    return hashlib.sha256(repr(written).encode()).hexdigest()[:16]


def read_tables(connection: Connection, *, buckets: int, salt: str) -> list[Table]:
    """The extracted tables, with the types that their columns have here. Raises DatabaseError if one is missing.

    `buckets`: into how many the shops are divided. `salt`: a secret of this extract, see `_masked`.
    """
    return list(_read_tables(connection, buckets=buckets, salt=salt))


def _read_tables(connection: Connection, *, buckets: int, salt: str) -> Iterator[Table]:
    for name, wanted in TABLES.items():
        types = dict(connection.execute(_TYPES, [name]).fetchall())
        if missing := [column for column in wanted if column not in types]:
            raise DatabaseError(f"{name} has no column {', '.join(missing)}: run `regulars migrate`.")
        columns = tuple(column_of(column, types[column], salt=salt) for column in wanted)
        if name not in MONTH_OF:
            yield Table(name, columns)
            continue
        # Folder names have years of four digits.
        month = sql.SQL("coalesce(to_char(coalesce({}) at time zone 'UTC', 'YYYY-MM'), 'none')").format(
            sql.SQL(", ").join(_moment(column) for column in MONTH_OF[name])
        )
        bucket = sql.SQL("('x' || substr(md5(shop_id::text), 1, 4))::bit(16)::integer % {}").format(buckets)
        yield Table(name, columns, month, bucket)


def _moment(name: str) -> sql.Composed:
    """A finite moment as timestamptz; a naive one is UTC."""
    column = sql.Identifier(name)
    return sql.SQL("case when isfinite({column}) then regulars.as_utc({column}) end").format(column=column)


def column_of(name: str, data_type: str, *, salt: str = "") -> Column:
    """How a column of this type is extracted; `salt`: see `read_tables`."""
    column = sql.Identifier(name)
    kind = data_type.partition("(")[0]
    match kind:
        case "smallint" | "integer" | "bigint":
            return Column(name, data_type, column, pa.int64())
        case "boolean":
            # As pyarrow reads it.
            return Column(name, data_type, sql.SQL("{}::integer").format(column), pa.bool_())
        case "numeric":
            return Column(name, data_type, _finite(column, 12), pa.decimal128(38, 12))
        case "real" | "double precision":
            # As numeric they have 15 significant digits.
            return Column(name, data_type, _finite(column, 20), pa.decimal128(38, 20))
        case "date":
            return Column(name, data_type, _bounded(column, sql.SQL("null")), pa.date32())
        case "timestamp without time zone":
            return Column(name, data_type, _bounded(column, sql.SQL("null")), pa.timestamp("us"))
        case "timestamp with time zone":
            infinite = sql.SQL("timestamptz {}").format(sql.Literal(INFINITE)) if name in _COUNTED else sql.SQL("null")
            return Column(name, data_type, _bounded(column, infinite), pa.timestamp("us", tz="UTC"))
    if name == "timezone":
        # Only PostgreSQL knows which zones it reads; the text is kept, since it is published.
        known = sql.SQL("case when regulars.is_time_zone({column}::text) then {column}::text end").format(column=column)
        return Column(name, data_type, known, pa.string())
    if name in _FREE:
        return Column(name, data_type, _masked(name, salt=salt), pa.string())
    return Column(name, data_type, sql.SQL("{}::text").format(column), pa.string())


def _finite(column: sql.Identifier, scale: int) -> sql.Composed:
    """A number, NULL for NaN and infinity as in staging, rounded to Parquet's scale."""
    return sql.SQL(
        "case when {column}::numeric not in ('NaN', 'Infinity', '-Infinity') "
        "then trim_scale(round({column}::numeric, {scale})) end"
    ).format(column=column, scale=scale)


def _bounded(column: sql.Identifier, infinite: sql.Composable) -> sql.Composed:
    """A time; `infinite` instead of an infinite one, which staging reads as NULL."""
    return sql.SQL("case when isfinite({column}) then {column} when {column} is not null then {infinite} end").format(
        column=column, infinite=infinite
    )


def _masked(name: str, *, salt: str) -> sql.Composable:
    """A text. One that looks like a contact, which staging hides, is replaced by another that does.

    Equal texts stay equal, since slugs are joined, and staging on Spark hides them too. Without the salt, the text
    could be found by trying every phone number.
    """
    text = f"cast({name} as text)"
    if name == "referrer":
        text = macro("scheme_and_host", f"trim({text})")
    elif name in _TRIMMED:
        text = f"trim({text})"
    mask = f"encode(sha256(convert_to('{salt}' || {text}, 'UTF8')), 'hex') || '@hidden.invalid'"
    # Our own text throughout: the names of the table above, the project's macros, and hexadecimal digits.
    return sql.SQL(f"case when {macro('looks_like_contact', text)} then {mask} else {text} end")


@cache
def macro(name: str, argument: str) -> str:
    """PostgreSQL's SQL of a macro of the project."""
    folder = project_folder() / "macros"
    texts = [path.read_text(encoding="utf-8") for each in ("matches", name) for path in folder.rglob(f"{each}.sql")]
    # It makes SQL, not HTML.
    template = Environment().from_string("".join(texts), globals={"adapter": _Adapter})  # noqa: S701
    _Adapter.macros = template.module
    return str(getattr(template.module, name)(argument)).strip()


class _Adapter:
    """Stands in for dbt's `adapter` in macros."""

    macros: Any = None

    @classmethod
    def dispatch(cls, name: str) -> Any:
        return getattr(cls.macros, f"postgres__{name}")
