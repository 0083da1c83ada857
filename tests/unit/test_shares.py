"""What an owner, and what reads customers, may hold of the connections at once."""

import threading
import time
from contextlib import ExitStack

import pytest

from regulars.dashboard.errors import NotLoaded, TooManyAtOnce
from regulars.dashboard.queries.shares import Kind, Shares

A, B, C = "ama", "kofi", "esi"


def _held(shares: Shares, stack: ExitStack, sub: str, kind: Kind, *, most: int = 99) -> int:
    """Takes as many as it gets."""
    for number in range(most):
        try:
            stack.enter_context(shares.hold(sub, kind, timeout=0))
        except (TooManyAtOnce, NotLoaded):
            return number
    return most


@pytest.mark.parametrize(
    ("connections", "numbers", "customers"), [(2, 1, 1), (3, 1, 1), (4, 2, 1), (8, 4, 3), (100, 50, 49)]
)
def test_an_owner_holds_half_at_most_and_always_leaves_some_to_others(
    connections: int, numbers: int, customers: int
) -> None:
    for kind, most in (("numbers", numbers), ("customers", customers)):
        shares = Shares(connections)
        with ExitStack() as stack:
            assert _held(shares, stack, A, kind) == most  # type: ignore[arg-type]
            if connections > 2:
                # With an export too.
                assert _held(shares, stack, A, "export") == 1
                assert most + 1 < connections
            if connections > 3:
                # Nor is an owner's own overview behind the owner's customers.
                assert _held(shares, stack, A, "numbers") == numbers - most
            assert _held(shares, stack, B, "numbers", most=1) == 1
        with ExitStack() as stack:
            assert _held(shares, stack, A, kind) == most, "what was held was not given back"  # type: ignore[arg-type]


@pytest.mark.parametrize("connections", [3, 4, 8, 100])
def test_reads_of_customers_and_exports_of_any_number_of_owners_leave_some_to_the_numbers(connections: int) -> None:
    shares = Shares(connections)
    with ExitStack() as stack:
        exports = sum(_held(shares, stack, f"owner {number}", "export") for number in range(connections))
        reads = sum(_held(shares, stack, f"owner {number}", "customers") for number in range(connections))
        assert exports == connections // 2
        assert reads >= 1
        assert exports + reads == connections - max(1, connections // 4)
        with pytest.raises(NotLoaded), shares.hold("somebody", "customers", timeout=0):
            pass
        assert _held(shares, stack, "somebody", "numbers", most=1) == 1


def test_with_one_connection_everybody_waits_at_the_pool() -> None:
    shares = Shares(1)
    with ExitStack() as stack:
        assert _held(shares, stack, A, "customers", most=9) == 9
        assert _held(shares, stack, A, "export") == 1


def test_who_waits_gets_what_is_given_back_and_few_may_wait() -> None:
    shares, got = Shares(2), []

    def wait() -> None:
        try:
            with shares.hold(A, "numbers", timeout=20):
                got.append("a share")
        except TooManyAtOnce:
            got.append("nothing")

    threads = [threading.Thread(target=wait) for _ in range(30)]
    began = time.monotonic()
    with shares.hold(A, "numbers", timeout=0):
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 5
        while len(got) < 18 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert got == ["nothing"] * 18
    for thread in threads:
        thread.join()
    assert got.count("a share") == 12
    assert time.monotonic() - began < 9, "nobody was told that a share was given back"
    assert not shares._held
    assert not shares._waiting
