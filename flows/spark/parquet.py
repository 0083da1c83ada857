"""Writes the rows of a table to Parquet files in their folders, with bounded memory."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Context, Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flows.spark.columns import BUCKET, MONTH

# Rows of a row group: as many as a reader holds in memory at once.
_ROW_GROUP = 250_000

# Python's own has 28 digits.
_EXACT = Context(prec=100)


class Folders:
    """Takes batches of rows and writes them to files below `root`, by month and bucket where the rows have these.

    The files are named `name` and a number. It holds `budget` bytes of rows at most, besides one batch; beyond that it
    writes files, those of the largest folders first. A file gets its name when it is complete.
    """

    def __init__(self, root: Path, schema: pa.Schema, *, name: str, budget: int) -> None:
        self._root = root
        self._schema = schema
        self._name = name
        self._budget = budget
        self._held: dict[Path, list[pa.Table]] = defaultdict(list)
        self._sizes: dict[Path, int] = defaultdict(int)
        self._files = 0

    def add(self, rows: pa.Table) -> None:
        """`rows` have the schema's columns and, where they are divided, also month and bucket."""
        for folder, part in self._divided(rows):
            self._held[folder].append(part)
            self._sizes[folder] += part.nbytes
        if sum(self._sizes.values()) > self._budget:
            for folder in sorted(self._sizes, key=self._sizes.__getitem__, reverse=True):
                self._write(folder)
                if sum(self._sizes.values()) <= self._budget / 2:
                    break

    def close(self) -> None:
        """Writes the remaining rows."""
        for folder in list(self._held):
            self._write(folder)

    def _divided(self, rows: pa.Table) -> Iterable[tuple[Path, pa.Table]]:
        if MONTH not in rows.column_names:
            yield self._root, rows
            return
        # Sorted by folder, so that each one's rows are a slice.
        rows = rows.sort_by([(MONTH, "ascending"), (BUCKET, "ascending")])
        contents = rows.drop_columns([MONTH, BUCKET])
        begin = 0
        groups = rows.group_by([MONTH, BUCKET], use_threads=False).aggregate([([], "count_all")])
        for group in groups.to_pylist():
            folder = self._root / f"{MONTH}={group[MONTH]}" / f"{BUCKET}={group[BUCKET]}"
            # A copy: a slice would hold all of the batch.
            part = contents.slice(begin, group["count_all"])
            yield folder, pa.concat_tables([part]).combine_chunks()
            begin += group["count_all"]

    def _write(self, folder: Path) -> None:
        rows = pa.concat_tables(self._held.pop(folder)).cast(self._schema)
        del self._sizes[folder]
        write_file(rows, folder / f"{self._name}-{self._files:05}.parquet")
        self._files += 1


def write_file(rows: pa.Table, path: Path) -> None:
    """A file that gets its name when it is complete; Spark ignores names that begin with a dot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    pq.write_table(rows, unfinished, compression="zstd", row_group_size=_ROW_GROUP)
    unfinished.replace(path)


class Damaged(Exception):
    """A file that can't be read as Parquet; its argument is the path."""


@contextmanager
def open_file(path: Path) -> Iterator[pq.ParquetFile]:
    """Raises Damaged, in the block too."""
    try:
        with pq.ParquetFile(path) as file:
            yield file
    except pa.ArrowException:
        raise Damaged(path) from None
    except OSError as error:
        if error.errno is not None:
            raise
        # pyarrow's own.
        raise Damaged(path) from None


def count(folder: Path, names: Sequence[str]) -> tuple[int, dict[str, Decimal]]:
    """How many rows the files in a folder have, and the exact sum of each of these columns."""
    rows, sums = 0, dict.fromkeys(names, Decimal(0))
    for path in folder.glob("**/*.parquet"):
        with open_file(path) as file:
            rows += file.metadata.num_rows
            for batch in file.iter_batches(columns=list(names)) if names else ():
                for name in names:
                    # Wide enough for any sum.
                    amounts = batch.column(name).cast(pa.decimal256(76, 20))
                    sums[name] = _EXACT.add(sums[name], pc.sum(amounts, min_count=0).as_py() or Decimal(0))
    return rows, sums
