"""A published number is complete: its model describes it, a response returns it, and a card words it.

Where one of these fails, CONTRIBUTING says what adding a metric takes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from regulars.dashboard.cards import CARDS, DAILY, MONTHLY, Card
from regulars.dashboard.period_schemas import PeriodNewcomers, PeriodSums
from regulars.dashboard.schemas import AcquisitionMonth, Cards, Money, Number, Overview, RevenueDay, Row, Sql

_MODELS = Path(__file__).resolve().parents[2] / "models"

# What a response says once, at its head, or only the operator reads.
_NOT_RETURNED = {"shop_id", "currency", "time_zone", "refreshed_at"}


def _models(folder: str) -> dict[str, list[str]]:
    """Model → its described columns, in the order of the file."""
    described: dict[str, list[str]] = {}
    for path in (_MODELS / folder).rglob("*.yml"):
        for model in yaml.safe_load(path.read_text()).get("models", ()):
            columns = model.get("columns", ())
            described[model["name"]] = [column["name"] for column in columns if column.get("description")]
    return described


def _rows(parent: type[Row] = Row) -> Iterator[type[Row]]:
    for row in parent.__subclasses__():
        yield row
        yield from _rows(row)


_ALL, _DASHBOARD = _models("."), _models("dashboard")
_ROWS = [row for row in _rows() if row.relation in _ALL]


def _columns(row: type[Row]) -> list[str]:
    """The fields that are the relation's own columns."""
    return [
        name for name, field in row.model_fields.items() if not any(isinstance(item, Sql) for item in field.metadata)
    ]


@pytest.mark.parametrize("row", _ROWS, ids=lambda row: row.__name__)
def test_every_field_of_a_row_is_a_column_that_its_model_describes(row: type[Row]) -> None:
    assert [name for name in _columns(row) if name not in _ALL[row.relation]] == []


@pytest.mark.parametrize("row", [row for row in _ROWS if row is not RevenueDay], ids=lambda row: row.__name__)
def test_every_field_that_the_api_returns_has_an_example(row: type[Row]) -> None:
    assert [name for name, field in row.model_fields.items() if not field.examples] == []


@pytest.mark.parametrize("model", sorted(_DASHBOARD))
def test_every_column_of_a_dashboard_model_is_returned(model: str) -> None:
    returned = {name for row in _ROWS if row.relation == model for name in _columns(row)}
    assert [name for name in _DASHBOARD[model] if name not in returned | _NOT_RETURNED] == []


def test_every_number_of_the_overview_is_on_a_card_and_has_a_field_in_the_models_order() -> None:
    columns = [name for name in _DASHBOARD["shop_overview"] if name not in _NOT_RETURNED]
    shown = [name for card in CARDS for name in (card.name, card.share) if name is not None]
    # A card may also be about the current month, which depends on the clock and so is no column.
    assert [name for name in shown if name in columns] == columns
    assert list(Cards.model_fields) == columns
    assert set(shown) <= set(Overview.model_fields)


def test_there_are_nine_cards_each_with_a_label_of_its_own() -> None:
    assert len({card.label for card in CARDS}) == len(CARDS) == 9


@pytest.mark.parametrize("card", CARDS, ids=lambda card: card.name)
def test_the_kind_of_a_card_is_its_fields_type_and_its_share_is_a_percentage(card: Card) -> None:
    hints = get_type_hints(Overview, include_extras=True)
    hint: Any = hints[card.name]
    kinds = get_args(hint) if type(None) in get_args(hint) else (hint,)
    assert card.kind == ("money" if Money in kinds else "count")
    assert card.kind == "money" or int in kinds or int in get_args(kinds[0])
    assert card.share is None or Number in get_args(hints[card.share])


def test_every_monthly_figure_is_a_field_of_the_month_and_every_daily_one_of_a_periods_sums() -> None:
    assert {name for name, _, _ in MONTHLY} <= set(AcquisitionMonth.model_fields)
    assert {name for name, _, _ in DAILY} <= {*PeriodSums.model_fields, *PeriodNewcomers.model_fields}
