"""Which customers a list or a file holds, and in which order: the parameters, read strictly."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

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
        # A number of thousands of digits is not worth reading.
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


def _none_if_blank(value: object) -> object:
    """A form sends its empty fields too."""
    return None if isinstance(value, str) and not value.strip() else value


Text = Annotated[str | None, Field(max_length=100), BeforeValidator(_storable), BeforeValidator(_none_if_blank)]


class CustomerFilter(BaseModel):
    """Which customers, and in which order. An unknown field raises."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sort: Sort = Field(
        "-last_purchase", description="With -, the largest or latest first. The customer's id breaks ties."
    )
    repeat: Annotated[bool | None, BeforeValidator(_true_or_false), BeforeValidator(_none_if_blank)] = Field(
        None, description="true: two purchases or more; false: one."
    )
    search: Text = Field(
        None, description="A phone number in any spelling, or a part of an e-mail address (with @) or of a name."
    )
    slug: Text = Field(None, description="The link of the first purchase; `unknown`: none.")
    network: Text = Field(None, description="The network ordered most often.")


Limit = Annotated[int, BeforeValidator(_whole_number), Field(ge=1, le=MAX_LIMIT)]
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
    cursor: Annotated[str | None, Field(max_length=400), BeforeValidator(_none_if_blank)] = Field(
        None, description="The previous page's next_cursor, with the same sort and without an offset."
    )

    @model_validator(mode="after")
    def _one_way_of_paging(self) -> Self:
        if self.cursor is not None and self.offset:
            raise ValueError("cursor and offset don't go together")
        return self
