"""The further answers of docs/questions.md, counted from the orders."""

from collections.abc import Callable, Iterator

from tests.sample_shops import Row, SampleShops

ANSWERS: list[Callable[[SampleShops], Iterator[Row]]] = []
