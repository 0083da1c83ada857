"""Continues an extract: keeps its files, and reads again the rows that the change log names."""

import shutil
from functools import reduce
from pathlib import Path
from typing import LiteralString

import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from flows.spark.columns import Table
from flows.spark.parquet import open_file, write_file
from flows.spark.reading import read_rows
from flows.spark.snapshot import Snapshot
from ingest.storage.connections import Connection

# Changes that are not published, and those published since the extract.
_CHANGED: LiteralString = """
    select entity_id from regulars.unextracted where entity = {entity}
    union
    select entity_id from regulars.batch where entity = {entity}
    union
    select entity_id from regulars.changes where entity = {entity}
"""

# For each table, the columns by which the log names its rows, and the entity whose id is there. A tracking row without
# a visit is named by its order.
NAMED_BY: dict[str, dict[str, str]] = {
    "public.shop_orders": {"id": "order"},
    "public.shop_profits": {"id": "profit"},
    "public.withdrawal_requests": {"id": "withdrawal"},
    "regulars.tracking": {"id": "visit", "shop_order_id": "order"},
}

# Where more than this share changed, reading everything is less work.
_MOST = 0.2

# More files than this in a folder become one.
_MOST_FILES = 8


def is_worth_it(connection: Connection) -> bool:
    """Whether few enough rows changed, by what the log has, to continue an extract."""
    changed, orders = connection.execute(
        "select (select count(*) from regulars.unextracted) + (select count(*) from regulars.batch) "
        "+ (select count(*) from regulars.changes), "
        "(select greatest(reltuples, 0) from pg_class where oid = 'public.shop_orders'::regclass)"
    ).fetchone() or (0, 0)
    return bool(changed <= max(_MOST * orders, 10_000))


def continue_table(snapshot: Snapshot, table: Table, kept: Path, folder: Path) -> None:
    """Makes `folder` of the files in `kept`, with the present rows in place of those that changed.

    Files without such rows are the same files, by another name; `kept` stays as it is.
    """
    queries = {column: sql.SQL(_CHANGED).format(entity=entity) for column, entity in NAMED_BY[table.name].items()}
    keys = {
        column: pa.array([str(key) for (key,) in snapshot.holder.execute(query)], pa.string())
        for column, query in queries.items()
    }
    for path in sorted(kept.glob("**/*.parquet")):
        _keep(path, folder / path.relative_to(kept), keys)
    named = [sql.SQL("{} in ({})").format(sql.Identifier(column), query) for column, query in queries.items()]
    # A name that no earlier file has.
    name = f"since-{snapshot.as_of:%Y%m%dT%H%M%S%f}"
    read_rows(snapshot, table, folder, condition=sql.SQL(" or ").join(named), name=name)
    for inner in {path.parent for path in folder.glob("**/*.parquet")}:
        _merge(inner, name=name)


def _keep(path: Path, target: Path, keys: dict[str, pa.Array]) -> None:
    with open_file(path) as file:
        named = file.read(columns=list(keys))
        is_named = [pc.is_in(named.column(column), value_set=changed) for column, changed in keys.items()]
        is_left = pc.invert(reduce(pc.or_, is_named))
        if not pc.all(is_left, min_count=0).as_py():
            rows = file.read().filter(is_left)
            if rows.num_rows:
                write_file(rows, target)
            return
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(path)
    except OSError:
        # Not every file system has hard links.
        shutil.copyfile(path, target)


def _merge(folder: Path, *, name: str) -> None:
    """Makes one file of many, so that their number doesn't grow with every extract."""
    paths = sorted(folder.glob("*.parquet"))
    if len(paths) <= _MOST_FILES:
        return
    contents = []
    for path in paths:
        with open_file(path) as file:
            contents.append(file.read())
    write_file(pa.concat_tables(contents), folder / f"{name}-merged.parquet")
    for path in paths:
        path.unlink()
