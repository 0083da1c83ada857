"""What the history keeps of an error says what to do and names nobody."""

import errno

import psycopg
import pytest

from flows.errors import BuildFailed, description


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (BuildFailed("customers failed."), "BuildFailed: customers failed."),
        (OSError(errno.ENOSPC, "No space left on device", "0209876543"), "OSError: No space left on device"),
        (OSError("0209876543"), "OSError."),
        (ValueError("0209876543 can't be read"), "ValueError."),
        (psycopg.DataError("It is too long\nDETAIL: (0209876543)"), "DataError: It is too long"),
    ],
)
def test_the_history_keeps_what_went_wrong_without_a_value(error: Exception, kept: str) -> None:
    assert description(error) == kept
