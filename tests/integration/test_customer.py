"""`regulars customer` and `regulars erase`, as an operator runs them."""

import json
from pathlib import Path
from typing import Any

import pytest

from ingest.spool.file import SPOOL, Spool
from tests.conftest import Database
from tests.integration.test_command import regulars
from tests.person import E164, EMAIL, KEY, NAME, a_past, is_personal, traces
from tests.storefront import add_shop


@pytest.mark.usefixtures("takes_long")
def test_the_commands_report_what_is_held_erase_it_and_never_print_the_phone(
    migrated: Database, tmp_path: Path
) -> None:
    where: dict[str, Any] = {"home": tmp_path, "database_url": migrated.conninfo, "REGULARS_ERASURE_KEY": KEY}
    spool = Spool(tmp_path / SPOOL)
    with migrated.connect() as connection:
        shop = add_shop(connection)
        orders = a_past(connection, shop, spool)

    person = ["--shop", "ama-data", "--phone", "024-555-0123"]
    held = json.loads(regulars("customer", *person, "--json", **where).stdout)
    assert (held["phone"], held["customer"]["email"], held["customer"]["customer_name"]) == (E164, EMAIL, NAME)
    assert {each["order_id"] for each in held["orders"]} == {
        str(orders[name]) for name in ("tracked", "untracked", "failed", "spooled", "moved here")
    }
    assert {each["order_id"] for each in held["visits"]} == {str(orders["tracked"]), str(orders["moved here"])}
    assert [each["event"]["slug"] for each in held["conflicts"]] == ["promo", "b"]
    assert [each["order_id"] for each in held["failures"]] == [str(orders["failed"])]
    assert len(held["spooled"]) == 2
    assert "0203334444" not in json.dumps(held)
    report = regulars("customer", *person, **where).stdout
    for words in (E164, EMAIL, NAME, "orders: 5", "spooled: 2", str(orders["failed"]), "half an entry"):
        assert words in report
    assert "0203334444" not in report

    keyless = regulars("erase", *person, **(where | {"REGULARS_ERASURE_KEY": ""}))
    assert (keyless.returncode, "token_urlsafe" in keyless.stderr) == (1, True)
    short = regulars("erase", *person, **(where | {"REGULARS_ERASURE_KEY": "short"}))
    assert (short.returncode, "REGULARS_ERASURE_KEY: is shorter than 32" in short.stderr) == (1, True)

    first = regulars("erase", *person, "--by", "Yaw [dpo] [/]", **where)
    assert (first.returncode, first.stderr) == (0, "")
    assert "by Yaw [dpo] [/]; 5 orders and 5 kept events no longer hold an identity" in first.stdout
    second = regulars("erase", *person, **where)
    assert "Already erased: " in second.stdout
    assert not is_personal(first.stdout + second.stdout + keyless.stderr + short.stderr)
    with migrated.connect() as connection:
        assert traces(connection, spool) == []
    after = regulars("customer", *person, **where)
    assert (after.returncode, "nothing about that phone: it was erased on 20" in after.stderr) == (1, True)
    keyless = regulars("customer", *person, **(where | {"REGULARS_ERASURE_KEY": ""}))
    assert "nothing about that phone." in keyless.stderr
