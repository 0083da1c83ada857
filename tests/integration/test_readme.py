"""The README's examples do what it says."""

import re
from pathlib import Path

import pytest

from flows.steps import run_refresh
from tests.conftest import Database
from tests.storefront import add_order, add_shop, fetch

_README = Path(__file__).parents[2] / "README.md"


def _examples(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _README.read_text(encoding="utf-8"), re.DOTALL)


def test_the_examples_of_checkout_and_analyst_run(
    built: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DATABASE_URL", built.conninfo)
    monkeypatch.setenv("REGULARS_HOME", str(tmp_path))
    # The tracker's background thread and a busy machine: the example is about what it does, not how fast.
    monkeypatch.setenv("REGULARS_TRACK_BUDGET_MS", "20000")
    with built.connect() as connection:
        shop = add_shop(connection, "ama-data")
        order = add_order(connection, shop, phone=None, total="12.00")
        (example,) = _examples("python")
        exec(compile(example, "README.md", "exec"), {"shop_id": shop, "order_id": order})
        assert fetch(connection, "select accessed_via_slug, shop_order_id from regulars.tracking") == [
            ("march-promo", order)
        ]
        run_refresh(built.settings)
        (question,) = _examples("sql")
        answer = [tuple(map(str, row)) for row in fetch(connection, question)]
        assert answer == [("march-promo", "1", "0.000", "12.00")]
        assert fetch(connection, "select bool_and(is_reconciled) from analytics.reconciliation") == [(True,)]
