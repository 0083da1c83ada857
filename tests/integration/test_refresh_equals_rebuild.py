"""After any history of the raw rows, written by SQL past ingest, refreshes leave what a rebuild from nothing makes."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, example, given, note, settings

from flows.steps import run_refresh
from tests.conftest import NAME, Server
from tests.histories import NIGHTS, History, Step, apply, begin
from tests.snapshot import snapshot

# Histories that always run. Add one that has failed, as Hypothesis prints it, with what was wrong. Each of these fails
# when the part that its name is about is taken out of the trigger or macro.
_KEPT: dict[str, History] = {
    "a corrected phone takes a purchase from a customer, whose first purchase is deleted the night after": [
        ([Step("insert visit", 0, 1, 2), Step("insert profit", 3, 2, 1)], []),
        ([Step("order's phone", 4, 3, 0)], [Step("order's status", 3, 3, 0)]),
        ([Step("delete order", 1, 0, 0)], []),
    ],
    "an order with a visit moves to another shop while its refund is not committed yet": [
        ([Step("insert visit", 0, 1, 2), Step("visit's order", 0, 3, 0)], []),
        ([Step("order's shop", 3, 1, 0)], [Step("order's status", 3, 3, 0)]),
    ],
    "slugs become one link, which is renamed and taken apart again, under orders that they brought": [
        (
            [
                Step("insert visit", 0, 1, 2),
                Step("visit's order", 0, 3, 0),
                Step("insert visit", 0, 2, 3),
                Step("visit's order", 1, 1, 0),
                Step("slug's link", 0, 1, 1),
                Step("slug's link", 0, 2, 1),
            ],
            [],
        ),
        (
            [
                Step("slug's link", 0, 1, 2),
                Step("slug's link", 3, 1, 5),
                Step("slug's link", 3, 2, 9),
                Step("visit's campaign", 0, 1, 1),
            ],
            [Step("slug's link", 0, 2, 2)],
        ),
        ([Step("delete slug", 0, 1, 0), Step("order's network", 3, 1, 1)], []),
    ],
    "a shop's time zone moves its sales to other months, and its profits are truncated": [
        ([Step("insert profit", 3, 2, 1), Step("insert withdrawal", 0, 2, 1)], [Step("insert visit", 1, 2, 5)]),
        ([Step("shop's zone", 0, 0, 0), Step("truncate profits", 0, 0, 0)], [Step("delete visit", 0, 0, 0)]),
    ],
}


def test_a_refresh_ends_where_a_rebuild_does(server: Server, built_template: str) -> None:
    @settings(
        # Besides the kept ones, each run draws new histories; `pytest --hypothesis-profile long` draws many.
        max_examples=100 if settings.get_current_profile_name() == "long" else 4,
        deadline=None,
        # A night takes seconds, so shrinking would take hours. A failing history is printed as it is.
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(nights=NIGHTS)
    def property_holds(nights: History) -> None:
        note(repr(nights))
        database = server.create(NAME, template=built_template)
        with database.connect() as connection, database.connect() as late:
            begin(connection)
            for committed, held in nights:
                for step in committed:
                    apply(connection, step)
                late.execute("set lock_timeout = '500ms'")
                late.execute("begin")
                for step in held:
                    apply(late, step)
                done = run_refresh(database.settings)
                assert done.mode == "refresh"
                late.execute("commit")
            run_refresh(database.settings)
            refreshed = snapshot(connection)
            assert snapshot(connection, "building") == refreshed
            # In place, where what is equal is left alone, and from nothing.
            for from_nothing in (False, True):
                if from_nothing:
                    connection.execute("drop schema analytics, building cascade")
                run_refresh(database.settings, mode="rebuild")
                rebuilt = snapshot(connection)
                for relation in rebuilt:
                    assert refreshed[relation] == rebuilt[relation], relation
                assert refreshed.keys() == rebuilt.keys()
            assert connection.execute("select * from analytics.reconciliation where not is_reconciled").fetchall() == []

    for history in _KEPT.values():
        property_holds = example(nights=history)(property_holds)
    property_holds()
    server.drop(NAME)
