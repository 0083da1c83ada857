"""How many connections an owner, and reads of customers, may hold at once, so that nobody holds all of them."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from regulars.dashboard.errors import NotLoaded, TooManyAtOnce

Kind = Literal["numbers", "customers", "export"]
"""What a transaction reads: precomputed numbers, single customers, or a whole file of them."""

_MOST_WAITING = 12
"""How many of an owner's requests wait for that owner's others: each holds one of the process's forty threads."""


class Shares:
    """Of `connections` in all,

    - an owner holds half at most, and one less than that with reads of customers, so that slow requests don't delay
      other owners, and those that read customers don't delay the owner's others;
    - an owner holds one for an export besides, which may take minutes, and all owners' exports half;
    - of three or more, reads of customers and exports leave one in four to reads of the numbers.
    """

    def __init__(self, connections: int) -> None:
        of_owner = max(1, connections // 2)
        self._of_owner = of_owner
        self._customers_of_owner = max(1, of_owner - 1)
        self._exports = max(1, connections // 2)
        self._customers_and_exports = connections - (max(1, connections // 4) if connections > 2 else 0)
        # For a single connection, requests wait at the pool.
        self._is_shared = connections > 1
        self._changed = threading.Condition()
        self._held: Counter[tuple[str, Kind]] = Counter()
        self._held_by_all: Counter[Kind] = Counter()
        self._waiting: Counter[str] = Counter()

    @contextmanager
    def hold(self, sub: str, kind: Kind, *, timeout: float) -> Iterator[None]:
        """Waits `timeout` seconds at most.

        Raises TooManyAtOnce if it waited for the owner's own requests, and NotLoaded if for those of others.
        """
        if not self._is_shared and kind != "export":
            yield
            return
        with self._changed:
            self._wait(sub, kind, until=time.monotonic() + timeout)
            self._held[sub, kind] += 1
            self._held_by_all[kind] += 1
        try:
            yield
        finally:
            with self._changed:
                _subtract(self._held, (sub, kind))
                _subtract(self._held_by_all, kind)
                self._changed.notify_all()

    def _wait(self, sub: str, kind: Kind, *, until: float) -> None:
        if self._owner_may(sub, kind) and self._all_may(kind):
            return
        if self._waiting[sub] >= _MOST_WAITING:
            raise TooManyAtOnce
        self._waiting[sub] += 1
        try:
            while not (self._owner_may(sub, kind) and self._all_may(kind)):
                left = until - time.monotonic()
                if left <= 0:
                    raise NotLoaded if self._owner_may(sub, kind) else TooManyAtOnce
                self._changed.wait(left)
        finally:
            _subtract(self._waiting, sub)

    def _owner_may(self, sub: str, kind: Kind) -> bool:
        if kind == "export":
            return self._held[sub, "export"] < 1
        customers = self._held[sub, "customers"]
        has_room = customers + self._held[sub, "numbers"] < self._of_owner
        return has_room and (kind == "numbers" or customers < self._customers_of_owner)

    def _all_may(self, kind: Kind) -> bool:
        exports = self._held_by_all["export"]
        if kind == "numbers":
            return True
        if kind == "export" and exports >= self._exports:
            return False
        return exports + self._held_by_all["customers"] < self._customers_and_exports


def _subtract(counter: Counter[Any], key: object) -> None:
    """Forgets owners without a request."""
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
