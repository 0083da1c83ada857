"""docs/questions.md: an analyst runs every query, and Python counts the answers a second time from the orders."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.steps import run_refresh
from regulars.demo.sample_data import make_sample_data
from tests import answers, customer_answers, more_answers
from tests.conftest import NAME, Server
from tests.sample_shops import NOW, SampleShops, with_policy, write_shop
from tests.scores import read_grid
from tests.storefront import add_forecasts, fetch

_PAGE = (Path(__file__).parents[2] / "docs" / "questions.md").read_text(encoding="utf-8")
_QUESTIONS = re.findall(r"^## (\d+)\. (.+)\n((?:(?!^## ).*\n)*)", _PAGE, re.MULTILINE)
_SQL = re.compile(r"```sql\n(.*?)```", re.DOTALL)
_ANSWERS = [*answers.ANSWERS, *more_answers.ANSWERS, *customer_answers.ANSWERS]
_EACH = pytest.mark.parametrize("number", range(len(_ANSWERS)), ids=[answer.__name__ for answer in _ANSWERS])


@pytest.fixture(scope="module")
def refreshed(server: Server, migrated_template: str, builds_models: None) -> Iterator[SampleShops]:  # noqa: ARG001
    database, data = server.create(NAME, template=migrated_template), make_sample_data(seed=12)
    with database.connect() as connection:
        for shop in data.shops:
            write_shop(connection, shop)
    run_refresh(database.settings)
    with database.connect() as connection:
        add_forecasts(connection)
        # A cell of each shop's own changes the segment of those in it.
        connection.execute(
            "insert into regulars.segment_grid (shop_id, recency_score, value_score, segment) "
            "select id, %s, %s, %s from public.user_shops",
            customer_answers.OWN_CELL,
        )
    # A rebuild, since a refresh would replace these forecasts by fits.
    run_refresh(database.settings, mode="rebuild")
    with database.connect() as connection:
        grid = read_grid(connection)
        people = {
            (shop_id, phone): person
            for shop_id, phone, person in fetch(connection, "select shop_id, phone_number, id from regulars.customers")
        }
        orders = [order for shop in data.shops for order in with_policy(shop, people)]
        connection.execute("set role regulars_analyst; set search_path = ''; set timezone = 'Pacific/Auckland'")
        connection.execute("select set_config('regulars.now', %s, false)", [NOW.isoformat()])
        yield SampleShops(connection, data, orders, grid)
    server.drop(NAME)


def _query(number: int) -> str:
    (query,) = _SQL.findall(_QUESTIONS[number][2])
    return str(query)


def _schemas(plan: object) -> Iterator[str]:
    if isinstance(plan, dict):
        yield from (str(value) for key, value in plan.items() if key == "Schema")
        yield from (schema for value in plan.values() for schema in _schemas(value))
    elif isinstance(plan, list):
        yield from (schema for value in plan for schema in _schemas(value))


def test_every_question_has_a_number_and_one_query() -> None:
    assert [int(number) for number, _, _ in _QUESTIONS] == list(range(1, len(_ANSWERS) + 1))
    assert all(question.endswith("?") for _, question, _ in _QUESTIONS)
    assert [len(_SQL.findall(answer)) for _, _, answer in _QUESTIONS] == [1] * len(_ANSWERS)
    assert len(_SQL.findall(_PAGE)) == len(_ANSWERS)


@_EACH
def test_the_answer_is_what_the_orders_say(refreshed: SampleShops, number: int) -> None:
    expected = Counter(_ANSWERS[number](refreshed))
    assert {row[0] for row in expected} == {shop.slug for shop in refreshed.data.shops}
    assert Counter(fetch(refreshed.connection, _query(number))) == expected


@_EACH
def test_a_query_reads_nothing_but_schema_analytics(refreshed: SampleShops, number: int) -> None:
    ((plan,),) = fetch(refreshed.connection, f"explain (verbose, format json) {_query(number)}")
    assert set(_schemas(plan if isinstance(plan, list) else json.loads(str(plan)))) == {"analytics"}


@_EACH
def test_every_join_names_the_shop_and_every_amount_its_currency(number: int) -> None:
    query = _query(number)
    joins = re.split(r"\b(?:inner|left) join\b", query)[1:]
    conditions = [re.split(r"\b(?:where|group by|select)\b", join)[0] for join in joins]
    assert joins
    assert [condition for condition in conditions if "shop_id = " not in condition] == []
    last = query[query.rindex("\nselect") if "\nselect" in query else 0 :]
    if re.search(r"_amount|_spent|spent_|_ltv|from_new", last):
        assert "shops.currency" in last
