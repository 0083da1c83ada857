"""Which customers a list or a file holds, and in which order: the parameters, read strictly."""

import re
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

Sort = Literal[
    "last_purchase", "-last_purchase",
    "first_purchase", "-first_purchase",
    "total_spent", "-total_spent",
    "total_purchases", "-total_purchases",
]  # fmt: skip

MAX_LIMIT = 200
MAX_OFFSET = 1_000_000


def _whole_number(value: object) -> object:
    """Plain digits only: pydantic would also take `1.0`, ` 7` and `1_000`."""
    if isinstance(value, str) and not (value.isascii() and value.removeprefix("-").isdecimal() and len(value) < 12):
        raise ValueError("is not a whole number")
    return value


def _at_most_max_limit(value: object) -> object:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        digits = value.lstrip("0") or "0"
        # Converting a number of thousands of digits takes too long.
        return str(MAX_LIMIT) if len(digits) > len(str(MAX_LIMIT)) else str(min(int(digits), MAX_LIMIT))
    return value


def _true_or_false(value: object) -> object:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("is not true or false")
    return value


def _storable(value: object) -> object:
    """PostgreSQL text can't hold NUL, and UTF-8 can't hold half of a surrogate pair."""
    if isinstance(value, str) and value != value.replace("\0", "").encode("utf-8", "ignore").decode("utf-8"):
        raise ValueError("holds a character that no text can have")
    return value


def none_if_blank(value: object) -> object:
    """Forms send empty fields too."""
    return None if isinstance(value, str) and not value.strip() else value


def _plain_amount(value: object) -> object:
    """Digits with a point at most: Decimal would also take `1e9`, `NaN` and `Infinity`."""
    if isinstance(value, str) and not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,4})?", value.strip()):
        raise ValueError("is not an amount such as 12.50")
    return value.strip() if isinstance(value, str) else value


MAX_SILENCE = 36_500

Amount = Annotated[
    Decimal | None,
    BeforeValidator(_plain_amount),
    BeforeValidator(none_if_blank),
    WithJsonSchema({"type": "number", "format": "decimal"}),
]
Count = Annotated[int | None, Field(ge=1, le=1_000_000), BeforeValidator(_whole_number), BeforeValidator(none_if_blank)]
Days = Annotated[
    int | None, Field(ge=0, le=MAX_SILENCE), BeforeValidator(_whole_number), BeforeValidator(none_if_blank)
]
Text = Annotated[str | None, Field(max_length=100), BeforeValidator(_storable), BeforeValidator(none_if_blank)]


class CustomerFilter(BaseModel):
    """Which customers, and in which order. An unknown field raises."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sort: Sort = Field(
        "-last_purchase", description="With -, the largest or latest first. The customer's id breaks ties."
    )
    repeat: Annotated[bool | None, BeforeValidator(_true_or_false), BeforeValidator(none_if_blank)] = Field(
        None, description="true: two purchases or more; false: one."
    )
    search: Text = Field(
        None,
        description="A phone number in any spelling, its last digits (three or more), or parts of a name and an e-mail "
        "address in any order.",
    )
    segment: Text = Field(None, description="The segment's name, as in `segments`.")
    slug: Text = Field(None, description="The link of the first purchase; `unknown`: none.")
    last_slug: Text = Field(None, description="The link of the last purchase; `unknown`: none.")
    network: Text = Field(None, description="The network ordered most often.")
    min_spent: Amount = Field(None, description="Spent so far, less refunds: at least.")
    max_spent: Amount = Field(None, description="Spent so far, less refunds: at most.")
    min_purchases: Count = Field(None, description="At least so many purchases.")
    max_purchases: Count = Field(None, description="At most so many purchases.")
    min_silent_days: Days = Field(
        None, description="At least so many local days since the last purchase; 0: it was today."
    )
    max_silent_days: Days = Field(None, description="At most so many local days since the last purchase.")

    @property
    def given(self) -> dict[str, Any]:
        """The filters that are set, without the order."""
        return self.model_dump(include=set(CustomerFilter.model_fields) - {"sort"}, exclude_none=True)


Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT), BeforeValidator(_whole_number)]
ClampedLimit = Annotated[
    int,
    Field(ge=1, description=f"More than {MAX_LIMIT} counts as {MAX_LIMIT}."),
    BeforeValidator(_whole_number),
    BeforeValidator(_at_most_max_limit),
]


class CustomerQuery(CustomerFilter):
    """One page of customers."""

    limit: Limit = 50
    offset: Annotated[int, BeforeValidator(_whole_number)] = Field(0, ge=0, le=MAX_OFFSET)
    cursor: Annotated[str | None, Field(max_length=400), BeforeValidator(none_if_blank)] = Field(
        None, description="The previous page's next_cursor, with the same sort and without an offset."
    )

    @model_validator(mode="after")
    def _one_way_of_paging(self) -> Self:
        if self.cursor is not None and self.offset:
            raise ValueError("cursor and offset don't go together")
        return self
