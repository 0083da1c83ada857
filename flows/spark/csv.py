"""Converts rows between the CSV of PostgreSQL's COPY and Arrow."""

import io
import re
from collections.abc import Iterator

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from flows.errors import ExtractFailed
from flows.spark.columns import BUCKET, MONTH, Table

# Bytes of text that are decoded at once.
_BLOCK = 8 * 2**20

_PLACE = re.compile(r"column #(\d+)")


def blocks(rows: psycopg.Copy) -> Iterator[bytes]:
    """Texts of whole rows."""
    held: list[bytes] = []
    size = 0
    for row in rows:
        held.append(bytes(row))
        size += len(row)
        if size >= _BLOCK:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)


def decode(text: bytes, table: Table) -> pa.Table:
    """Whole rows of a table. Raises ExtractFailed, which names the column but not the value, if one can't be read."""
    names = [column.name for column in table.columns]
    types = {column.name: column.arrow_type for column in table.columns}
    if table.month is not None:
        names += [MONTH, BUCKET]
        types |= {MONTH: pa.string(), BUCKET: pa.string()}
    try:
        return pa_csv.read_csv(
            pa.BufferReader(text),
            # Several connections decode at once.
            read_options=pa_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(text) + 1),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True),
            # COPY writes nothing for NULL, and quotes an empty text.
            convert_options=pa_csv.ConvertOptions(
                column_types=types, strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
            ),
        )
    except pa.ArrowInvalid as error:
        found = _PLACE.search(str(error))
        name = names[int(found[1])] if found else "a column"
        kind = f", which is no {types[name]}" if found else ""
        raise ExtractFailed(
            f"{table.name}.{name} holds a value that Spark has no place for{kind}: correct it, and run it again."
        ) from None


# An amount has at least its cents, and no further zeros; pyarrow would write 0 with many places as 0E-n.
_SHORTER = ((r"^0E-\d+$", "0.00"), (r"^(-?\d+\.\d\d\d*?)0*$", r"\1"))


def encode(batch: pa.RecordBatch) -> bytes:
    """Rows as COPY reads them; their numbers are the same, whatever places they have."""
    columns = [_shorter(column) if pa.types.is_decimal(column.type) else column for column in batch.columns]
    text = io.BytesIO()
    pa_csv.write_csv(
        pa.RecordBatch.from_arrays(columns, names=batch.schema.names),
        text,
        # NULL is nothing, and an empty text is quoted.
        pa_csv.WriteOptions(include_header=False, quoting_style="all_valid"),
    )
    return text.getvalue()


def _shorter(column: pa.Array) -> pa.Array:
    text = column.cast(pa.string())
    for pattern, replacement in _SHORTER:
        text = pc.replace_substring_regex(text, pattern, replacement)
    return text
