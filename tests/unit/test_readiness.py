"""What `/readyz` answers: each thing by its name, promptly, and without asking more often than twice a second."""

import asyncio
import json
import time

import pytest
from anyio.to_thread import current_default_thread_limiter

from web.readiness import Readiness


class Database:
    def __init__(self) -> None:
        self.is_up = True
        self.asked = 0

    def answers(self) -> bool:
        self.asked += 1
        time.sleep(0.05)
        return self.is_up


@pytest.mark.parametrize(
    ("up", "status", "told"),
    [
        ((True, True), 200, {"status": "ready", "database": "up", "spool": "up"}),
        ((True, False), 503, {"status": "not ready", "database": "up", "spool": "down"}),
        ((False, True), 503, {"status": "not ready", "database": "down", "spool": "up"}),
    ],
)
def test_all_must_be_up_and_each_is_named(up: tuple[bool, bool], status: int, told: dict[str, str]) -> None:
    readiness = Readiness({"database": lambda: up[0], "spool": lambda: up[1]})
    answer = asyncio.run(readiness.answer())
    assert (answer.status_code, json.loads(bytes(answer.body))) == (status, told)
    assert answer.headers["cache-control"] == "no-store"


def test_many_who_ask_at_once_cost_one_check_and_what_changes_is_seen_soon() -> None:
    database = Database()
    readiness = Readiness({"database": database.answers})

    async def ask() -> None:
        answers = await asyncio.gather(*(readiness.answer() for _ in range(50)))
        assert ({answer.status_code for answer in answers}, database.asked) == ({200}, 1)
        database.is_up = False
        began = time.monotonic()
        while (await readiness.answer()).status_code == 200:
            assert time.monotonic() - began < 5
            await asyncio.sleep(0.02)
        assert database.asked == 2

    asyncio.run(ask())


def test_it_is_answered_while_every_thread_of_the_server_is_busy() -> None:
    async def ask() -> int:
        limiter = current_default_thread_limiter()
        limiter.total_tokens = 1
        await limiter.acquire_on_behalf_of("a request that waits for the database")
        return (await asyncio.wait_for(Readiness({"database": lambda: True}).answer(), 5)).status_code

    assert asyncio.run(ask()) == 200
