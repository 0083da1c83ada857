"""`/readyz`: it names each component, shows its present state, and checks it once for many callers."""

import asyncio
import json
import time

import pytest
from anyio.to_thread import current_default_thread_limiter

from regulars.web.readiness import Readiness


class Database:
    def __init__(self) -> None:
        self.is_up = True
        self.asked = 0

    def answers(self) -> bool:
        self.asked += 1
        time.sleep(0.05)
        return self.is_up


@pytest.mark.parametrize(
    ("up", "status", "body"),
    [
        ((True, True), 200, {"status": "ready", "database": "up", "spool": "up"}),
        ((True, False), 503, {"status": "not ready", "database": "up", "spool": "down"}),
        ((False, True), 503, {"status": "not ready", "database": "down", "spool": "up"}),
    ],
)
def test_all_must_be_up_and_each_is_named(up: tuple[bool, bool], status: int, body: dict[str, str]) -> None:
    readiness = Readiness({"database": lambda: up[0], "spool": lambda: up[1]})
    answer = asyncio.run(readiness.answer())
    assert (answer.status_code, json.loads(bytes(answer.body))) == (status, body)
    assert answer.headers["cache-control"] == "no-store"


def test_concurrent_requests_share_a_check_and_none_gets_an_older_result() -> None:
    database = Database()
    readiness = Readiness({"database": database.answers})

    async def ask() -> None:
        answers = await asyncio.gather(*(readiness.answer() for _ in range(50)))
        assert {answer.status_code for answer in answers} == {200}
        assert database.asked <= 2
        for is_up, status in ((False, 503), (True, 200)):
            database.is_up = is_up
            assert (await readiness.answer()).status_code == status

    asyncio.run(ask())


def test_it_answers_while_every_thread_of_the_server_is_busy() -> None:
    async def ask() -> int:
        limiter = current_default_thread_limiter()
        limiter.total_tokens = 1
        await limiter.acquire_on_behalf_of("a request that waits for the database")
        return (await asyncio.wait_for(Readiness({"database": lambda: True}).answer(), 5)).status_code

    assert asyncio.run(ask()) == 200
