"""Reading an import file: good rows are read, bad ones named by line, and no reason holds personal data."""

import csv
import gzip
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from ingest.bulk.import_file import ImportFile, OrderRow, ShopRow
from ingest.storage.errors import InputError

SECRETS = {
    "customer_name": "Akosua Mensah",
    "customer_email": "akosua@example.com",
    "customer_phone": "0241234567",
}
ORDER = SECRETS | {
    "id": "d6a8c12e-3b1b-5cd4-b43f-8c11281572ca",
    "shop_slug": "ama-data",
    "network": "MTN",
    "volume_gb": "2",
    "base_price": "9.00",
    "profit_amount": "1.00",
    "total_price": "10.00",
    "order_status": "completed",
    "payment_status": "completed",
    "reference_code": "R-1",
    "created_at": "2026-03-14T12:00:00Z",
    "accessed_via_slug": "ama-data",
}


def order(**changes: str) -> dict[str, str]:
    return ORDER | {"id": str(uuid4())} | changes


def write(path: Path, *orders: dict[str, str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=orders[0])
        writer.writeheader()
        writer.writerows(orders)
    return path


def read(path: Path) -> tuple[list[OrderRow], ImportFile[OrderRow]]:
    export = ImportFile(path, OrderRow)
    return [row for _, row in export], export


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "orders.csv"


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("id", "", "id: is empty"),
        ("id", "17", "id: Input should be a valid UUID"),
        ("shop_slug", " ", "shop_slug: is empty"),
        ("shop_slug", "a" * 201, "shop_slug: String should have at most 200 characters"),
        ("total_price", "-0.01", "total_price: Input should be greater than or equal to 0"),
        ("total_price", "NaN", "total_price: Input should be a finite number"),
        ("base_price", "Infinity", "base_price: Input should be a finite number"),
        ("profit_amount", "1.005", "profit_amount: Decimal input should have no more than 2 decimal places"),
        ("total_price", "1e400", "total_price: Decimal input should have no more than 12 digits"),
        ("total_price", "", "total_price: is empty"),
        ("total_price", "1_000", "total_price: is not a number such as 1000.00, in the digits 0 to 9"),
        ("base_price", "1,000.00", "base_price: is not a number such as 1000.00, in the digits 0 to 9"),
        ("profit_amount", "١٠٠", "profit_amount: is not a number such as 1000.00, in the digits 0 to 9"),
        ("total_price", "１０.００", "total_price: is not a number such as 1000.00, in the digits 0 to 9"),
        ("total_price", "1٠0", "total_price: is not a number such as 1000.00, in the digits 0 to 9"),
        ("total_price", "ten", "total_price: Input should be a valid decimal"),
        ("volume_gb", "1_0", "volume_gb: is not a number such as 1000.00, in the digits 0 to 9"),
        ("volume_gb", "٢", "volume_gb: is not a number such as 1000.00, in the digits 0 to 9"),
        ("volume_gb", "-1", "volume_gb: Input should be greater than or equal to 0"),
        ("volume_gb", "NaN", "volume_gb: Input should be a finite number"),
        ("created_at", "", "created_at: is empty"),
        ("created_at", "2026-02-30", "created_at: Input should be a valid datetime"),
        ("created_at", "yesterday", "created_at: Input should be a valid datetime"),
        ("created_at", "infinity", "created_at: Input should be a valid datetime"),
        ("created_at", "20260314", "created_at: is not a time such as 2026-03-14T12:00:00Z"),
        ("created_at", "46095.5", "created_at: is not a time such as 2026-03-14T12:00:00Z"),
        ("created_at", "-1", "created_at: is not a time such as 2026-03-14T12:00:00Z"),
    ],
)
def test_a_bad_cell_is_named_by_line_and_column_and_the_other_rows_are_read(
    path: Path, column: str, value: str, reason: str
) -> None:
    rows, export = read(write(path, order(), order(**{column: value}), order()))
    assert len(rows) == 2
    (reject,) = export.rejects
    assert (reject.file, reject.line) == ("orders.csv", 3)
    assert reject.reason.startswith(reason)


@pytest.mark.parametrize("column", list(ORDER))
@pytest.mark.parametrize("broken", ["", '"', "\udcff", ",,", "\0"], ids=["as it is", "quote", "byte", "commas", "NUL"])
def test_no_reason_repeats_a_phone_a_name_or_an_e_mail(path: Path, column: str, broken: str) -> None:
    """Every column in turn holds personal data, as in a file whose columns have shifted."""
    for secret in SECRETS.values():
        cells = ORDER | {column: secret + broken, "total_price": "-1"}
        text = ",".join(cells) + "\n" + ",".join(cells.values()) + "\n"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        _, export = read(path)
        assert export.rejects
        reasons = " ".join(reject.reason for reject in export.rejects)
        assert not [value for value in SECRETS.values() if value in reasons]


def test_plain_numbers_are_read_in_every_notation(path: Path) -> None:
    rows, export = read(write(path, order(total_price="10", base_price="+9.0", profit_amount="1e0", volume_gb=".5")))
    assert export.rejects == []
    read_as = (rows[0].total_price, rows[0].base_price, rows[0].profit_amount, rows[0].volume_gb)
    assert read_as == (Decimal("10"), Decimal("9"), Decimal("1"), Decimal("0.5"))


def test_empty_cells_are_unknown_and_not_empty_text(path: Path) -> None:
    rows, _ = read(write(path, order(customer_email="", customer_name="  ", volume_gb="", network="")))
    assert (rows[0].customer_email, rows[0].customer_name, rows[0].volume_gb, rows[0].network) == (None,) * 4


def test_a_time_without_an_offset_is_utc(path: Path) -> None:
    rows, _ = read(write(path, order(created_at="2026-03-14 12:00"), order(created_at="2026-03-14T08:00-04:00")))
    assert rows[0].created_at == rows[1].created_at


def test_a_row_of_another_width_is_rejected(path: Path) -> None:
    write(path, order())
    path.write_text(path.read_text() + "a,b\n" + path.read_text().splitlines()[1] + ",more\n")
    rows, export = read(path)
    assert len(rows) == 1
    width = len(ORDER)
    assert [(reject.line, reject.reason) for reject in export.rejects] == [
        (3, f"has 2 columns, the heading has {width}"),
        (4, f"has {width + 1} columns, the heading has {width}"),
    ]


def test_an_unclosed_quote_is_reported_with_the_lines_that_it_swallowed(path: Path) -> None:
    write(path, order(), order(customer_name="OPEN"), order(), order(customer_name='a "b" c'), order())
    path.write_text(path.read_text().replace("OPEN", '"Ama'))
    rows, export = read(path)
    assert len(rows) == 2
    (reject,) = export.rejects
    assert reject.line == 3
    assert "runs on to line 5" in reject.reason


def test_a_quote_that_stays_open_to_the_end_does_not_cost_the_rows_before(path: Path) -> None:
    write(path, order(), order(), order(customer_name="OPEN"), order())
    path.write_text(path.read_text().replace("OPEN", '"Ama'))
    rows, export = read(path)
    assert len(rows) == 2
    assert [reject.line for reject in export.rejects] == [4]
    assert "runs on to line 5" in export.rejects[0].reason


def test_quoted_newlines_blank_lines_and_crlf_are_one_row_each(path: Path) -> None:
    write(path, order(customer_name="Ama\r\nMensah"), order(), order(total_price="-1"))
    path.write_bytes(path.read_bytes() + b"\r\n\r\n")
    rows, export = read(path)
    assert [row.customer_name for row in rows] == ["Ama\r\nMensah", SECRETS["customer_name"]]
    assert [reject.line for reject in export.rejects] == [5]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL], ids=["plain", "quoted"])
def test_a_byte_order_mark_does_not_hide_the_first_column(path: Path, quoting: int) -> None:
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, quoting=quoting).writerows([ORDER, ORDER.values()])
    rows, export = read(path)
    assert (len(rows), export.rejects) == (1, [])


def test_nul_is_dropped_and_an_emoji_stays(path: Path) -> None:
    names = {"customer_name": "Ama\0 🌍", "order_status": "comp\0leted", "reference_code": "\0"}
    rows, export = read(write(path, order(**names)))
    assert export.rejects == []
    assert (rows[0].customer_name, rows[0].order_status, rows[0].reference_code) == (
        "Ama 🌍",
        "completed",
        None,
    )


def test_a_row_in_latin_1_is_rejected_and_the_others_are_read(path: Path) -> None:
    write(path, order(), order(customer_name="José"), order())
    path.write_bytes(path.read_bytes().replace("José".encode(), "José".encode("latin-1")))
    rows, export = read(path)
    assert len(rows) == 2
    assert [(reject.line, reject.reason) for reject in export.rejects] == [
        (3, "not UTF-8: save the export as CSV UTF-8")
    ]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_in_utf_16_is_refused_by_name(path: Path, encoding: str) -> None:
    path.write_bytes(write(path, order()).read_text().encode(encoding))
    with pytest.raises(InputError, match="not UTF-8"):
        read(path)


def test_missing_columns_are_named(path: Path) -> None:
    path.write_text("id,shop_slug\n")
    with pytest.raises(InputError, match=r"lacks the columns customer_name, .*created_at, accessed_via_slug"):
        read(path)


def test_a_column_named_twice_is_refused(path: Path) -> None:
    path.write_text(",".join([*ORDER, "id"]) + "\n")
    with pytest.raises(InputError, match="names a column twice"):
        read(path)


def test_columns_may_come_in_any_order_with_others_between(path: Path) -> None:
    write(path, {"note": "?"} | dict(reversed(list(order().items()))))
    rows, export = read(path)
    assert (len(rows), export.rejects) == (1, [])


def test_a_file_with_only_a_heading_has_no_rows_and_is_no_error(path: Path) -> None:
    path.write_text(",".join(ORDER))
    assert read(path)[0] == []


@pytest.mark.parametrize("name", ["orders.csv", "orders.csv.gz"])
def test_an_empty_file_is_refused_as_empty(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(InputError, match="is empty"):
        read(tmp_path / name)


def test_a_missing_file_is_refused_by_name(path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no file .*orders\.csv"):
        read(path)
    with pytest.raises(InputError, match="can't be read: Is a directory"):
        read(path.parent)


def test_a_gz_file_that_is_not_gzipped_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not gzipped"):
        read(write(tmp_path / "orders.csv.gz", order()))


def test_gzip_is_recognised_whatever_the_name(path: Path) -> None:
    path.write_bytes(gzip.compress(write(path, order()).read_bytes()))
    assert len(read(path)[0]) == 1


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.99])
def test_only_complete_rows_of_a_truncated_gz_file_are_read(tmp_path: Path, share: float) -> None:
    orders = [order(customer_name=f"Buyer {number}") for number in range(400)]
    whole = gzip.compress(write(tmp_path / "whole.csv", *orders).read_bytes())
    cut = tmp_path / "orders.csv.gz"
    cut.write_bytes(whole[: int(len(whole) * share)])
    rows, export = read(cut)
    assert export.is_cut_off
    assert export.last_line == len(rows) + 1
    assert 0 < len(rows) < len(orders)
    assert [str(row.id) for row in rows] == [each["id"] for each in orders[: len(rows)]]


def test_a_gz_file_that_ends_before_its_first_row_is_refused(tmp_path: Path) -> None:
    cut = tmp_path / "orders.csv.gz"
    cut.write_bytes(gzip.compress(write(tmp_path / "whole.csv", order()).read_bytes())[:15])
    with pytest.raises(InputError, match="ends in mid-stream"):
        read(cut)


def test_a_complete_gz_file_is_not_cut_off(tmp_path: Path) -> None:
    (tmp_path / "orders.csv.gz").write_bytes(gzip.compress(write(tmp_path / "whole.csv", order()).read_bytes()))
    rows, export = read(tmp_path / "orders.csv.gz")
    assert (len(rows), export.is_cut_off) == (1, False)


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("timezone", "Accra", "timezone: is not a time zone such as Africa/Accra"),
        ("country", "Ghana", "country: is not a country code such as GH"),
        ("currency", "cedi", "currency: String should match pattern"),
        ("shop_name", "\0", "shop_name: is empty"),
    ],
)
def test_a_bad_shop_is_named_by_line_and_column(path: Path, column: str, value: str, reason: str) -> None:
    shop = {
        "id": str(uuid4()), "user_id": str(uuid4()), "shop_name": "Ama", "shop_slug": "ama",
        "timezone": "Africa/Accra", "currency": "GHS", "country": "GH",
    }  # fmt: skip
    export = ImportFile(write(path, shop, shop | {column: value}), ShopRow)
    assert len(list(export)) == 1
    assert [reject.line for reject in export.rejects] == [3]
    assert export.rejects[0].reason.startswith(reason)
