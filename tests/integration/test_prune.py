"""`regulars prune`: fewer rows, the same numbers."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from flows.history import count_old, forget_old
from flows.steps import run_refresh
from ingest import Checkout, track
from ingest.bulk import folding
from ingest.bulk.folding import Folded, find_old_visits, fold_old_visits
from ingest.spool.file import Spool
from ingest.storage.connections import Connection
from tests.conftest import Database
from tests.integration.test_command import regulars
from tests.person import a_past, erased, traces
from tests.snapshot import snapshot
from tests.storefront import add_order, add_shop, fetch

_BEFORE = date(2025, 3, 1)
_NOON = datetime(2025, 1, 15, 12, tzinfo=UTC)
_COUNTED = (
    "select shop_id, visit_date, visit_month, slug, link, referrer, utm_source, utm_medium, utm_campaign, "
    "sum(visit_count) from analytics.visits group by 1, 2, 3, 4, 5, 6, 7, 8, 9 order by 1, 2, 3, 4, 5, 6, 7, 8, 9"
)


def _visit(connection: Connection, shop: UUID, at: datetime, slug: str | None = "promo", **facts: str) -> UUID:
    row = connection.execute(
        "insert into regulars.tracking (shop_id, accessed_at, accessed_via_slug, referrer, utm_source) "
        "values (%s, %s, %s, %s, %s) returning id",
        [shop, at, slug, facts.get("referrer"), facts.get("utm_source")],
    ).fetchone()
    assert row
    return row[0]  # type: ignore[no-any-return]


def _old_visits(connection: Connection) -> tuple[UUID, UUID]:
    """Two shops whose days begin at other hours, and visits that are alike in some things and differ in others."""
    accra, york = add_shop(connection), add_shop(connection, "york", timezone="America/New_York")
    connection.execute(
        "insert into shop_slugs (shop_id, slug, label, valid_from) values (%s, 'turns', 'a link', %s), "
        "(%s, 'turns ', 'the same', 'infinity'), (%s, ' turns', 'earlier', %s)",
        [accra, _NOON, accra, accra, _NOON - timedelta(days=9)],
    )
    for shop in (accra, york):
        for hours in (0, 1, 2, 16, 17, 24):
            _visit(connection, shop, _NOON + timedelta(hours=hours))
        for address in (
            "https://wa.me/233240000001",
            "https://wa.me/233240000002?text=hi",
            "http://other.example",
            "wa",
        ):
            _visit(connection, shop, _NOON, referrer=address)
            _visit(connection, shop, _NOON + timedelta(minutes=3), referrer=address, utm_source="flyer")
        for slug in (None, "", " promo", "flyer", "flyer"):
            _visit(connection, shop, _NOON, slug)
        bought = _visit(connection, shop, _NOON)
        order = add_order(connection, shop, at=_NOON)
        track(connection, Checkout(shop_id=shop, order_id=order, phone="0241234567", visit_id=bought))
        for day in (27, 28, 29, 30):
            # Around the end of the last month that is pruned, in both zones.
            _visit(connection, shop, datetime(2025, 2, 1, 1, tzinfo=UTC) + timedelta(days=day))
            _visit(connection, shop, datetime(2025, 2, 1, 2, tzinfo=UTC) + timedelta(days=day))
    # Its slug becomes another link's at noon.
    for minutes in (-2, -1, 0, 1):
        _visit(connection, accra, _NOON + timedelta(minutes=minutes), "turns")
    return accra, york


def test_folding_old_visits_changes_no_number_in_a_refresh_or_a_rebuild(built: Database) -> None:
    with built.connect() as connection:
        _old_visits(connection)
        run_refresh(built.settings)
        # Notes its first attempt at a forecast.
        run_refresh(built.settings)
        before, counted = snapshot(connection), fetch(connection, _COUNTED)
        rows = len(before.pop("visits"))

        would = find_old_visits(connection, before=_BEFORE)
        assert fold_old_visits(connection, before=_BEFORE) == would
        assert 0 < would.kept < would.rows
        assert find_old_visits(connection, before=_BEFORE) == Folded(0, 0)

        for mode in ("refresh", "rebuild"):
            assert run_refresh(built.settings, mode=None if mode == "refresh" else "rebuild").mode == mode
            after = snapshot(connection)
            assert len(after.pop("visits")) == rows - would.rows + would.kept
            assert after == before
            assert fetch(connection, _COUNTED) == counted


def test_only_visits_that_are_alike_but_for_the_time_of_day_are_folded(connection: Connection) -> None:
    accra, york = _old_visits(connection)
    fold_old_visits(connection, before=_BEFORE)
    counts = {
        shop: sorted(
            fetch(
                connection,
                "select (accessed_at at time zone timezone)::text, visit_count from regulars.tracking as visits "
                "inner join user_shops on visits.shop_id = user_shops.id "
                "where shop_id = %s and accessed_via_slug = 'promo' and utm_source is null and referrer is null "
                "and shop_order_id is null",
                shop,
            )
        )
        for shop in (accra, york)
    }
    assert counts == {
        accra: [
            # "wa" is no address, so it is shown like none.
            ("2025-01-15 12:00:00", 4), ("2025-01-16 04:00:00", 3), ("2025-02-28 01:00:00", 2),
            ("2025-03-01 01:00:00", 1), ("2025-03-01 02:00:00", 1), ("2025-03-02 01:00:00", 1),
            ("2025-03-02 02:00:00", 1), ("2025-03-03 01:00:00", 1), ("2025-03-03 02:00:00", 1),
        ],
        york: [
            ("2025-01-15 07:00:00", 5), ("2025-01-16 00:00:00", 2), ("2025-02-27 20:00:00", 2),
            ("2025-02-28 20:00:00", 2), ("2025-03-01 20:00:00", 1), ("2025-03-01 21:00:00", 1),
            ("2025-03-02 20:00:00", 1), ("2025-03-02 21:00:00", 1),
        ],
    }  # fmt: skip
    assert fetch(
        connection, "select distinct referrer from regulars.tracking where visit_count > 1 and referrer is not null"
    ) == [("https://wa.me",)]
    turns = "select visit_count from regulars.tracking where accessed_via_slug = 'turns' order by accessed_at"
    assert fetch(connection, turns) == [(2,), (2,)]


def test_later_visits_of_a_folded_day_are_added_to_it(connection: Connection) -> None:
    shop = add_shop(connection)
    for _ in range(2):
        for minutes in range(3):
            _visit(connection, shop, _NOON + timedelta(minutes=minutes))
        fold_old_visits(connection, before=_BEFORE)
    assert fetch(connection, "select accessed_at, visit_count from regulars.tracking") == [(_NOON, 6)]


def test_a_visit_that_somebody_is_buying_with_is_not_waited_for_and_not_folded(migrated: Database) -> None:
    with migrated.connect() as connection, migrated.connect() as checkout:
        shop = add_shop(connection)
        visits = [_visit(connection, shop, _NOON + timedelta(minutes=minutes)) for minutes in range(4)]
        order = add_order(connection, shop)
        with checkout.transaction():
            track(checkout, Checkout(shop_id=shop, order_id=order, phone="0241234567", visit_id=visits[0]))
            assert fold_old_visits(connection, before=_BEFORE) == Folded(3, 1)
        assert fetch(
            connection, "select id, visit_count, shop_order_id from regulars.tracking order by accessed_at"
        ) == [(visits[0], 1, order), (visits[1], 3, None)]


def test_a_visit_that_was_bought_with_after_it_was_found_is_not_folded(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = add_shop(connection)
    visits = [_visit(connection, shop, _NOON + timedelta(minutes=minutes)) for minutes in range(4)]
    found = list(folding._batches(connection, _BEFORE))
    order = add_order(connection, shop)
    track(connection, Checkout(shop_id=shop, order_id=order, phone="0241234567", visit_id=visits[1]))
    # The checkout comes between finding and folding.
    monkeypatch.setattr(folding, "_batches", lambda *_: found)
    fold_old_visits(connection, before=_BEFORE)
    assert fetch(connection, "select id, visit_count from regulars.tracking order by accessed_at") == [
        (visits[0], 3),
        (visits[1], 1),
    ]


def test_folding_in_many_batches_folds_the_same(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    _old_visits(connection)
    would = find_old_visits(connection, before=_BEFORE)
    monkeypatch.setattr(folding, "_BATCH_ROWS", 3)
    done: list[int] = []
    assert fold_old_visits(connection, before=_BEFORE, on_batch=done.append) == would
    assert len(done) > 5
    assert done[-1] == would.rows


@pytest.mark.usefixtures("erasure_key")
def test_an_erasure_after_pruning_is_complete(connection: Connection, spool: Spool) -> None:
    a_past(connection, add_shop(connection), spool)
    connection.execute("update regulars.tracking set accessed_at = %s where accessed_at is not null", [_NOON])
    fold_old_visits(connection, before=_BEFORE)
    erased(connection, spool)
    assert traces(connection, spool) == []


def _add_refreshes(connection: Connection, *ended: tuple[str, str]) -> None:
    for status, day in ended:
        connection.execute(
            "insert into regulars.refreshes (mode, status, fingerprint, as_of, started_at, finished_at) "
            "values ('refresh', %(status)s, 'same', %(day)s, %(day)s, %(day)s)",
            {"status": status, "day": day},
        )


def test_old_refreshes_are_forgotten_but_for_the_last_success_and_what_came_after_it(connection: Connection) -> None:
    _add_refreshes(
        connection, ("succeeded", "2024-01-01"), ("failed", "2024-01-02"), ("succeeded", "2024-01-03"),
        ("failed", "2024-01-04"),
    )  # fmt: skip
    assert count_old(connection, before=_BEFORE) == 2
    assert forget_old(connection, before=_BEFORE) == 2
    kept = "select status, started_at::date::text from regulars.refreshes order by refresh_id"
    assert fetch(connection, kept) == [("succeeded", "2024-01-03"), ("failed", "2024-01-04")]
    _add_refreshes(connection, ("succeeded", "2025-03-01"), ("succeeded", "2025-04-01"))
    assert forget_old(connection, before=_BEFORE) == 2
    assert fetch(connection, kept) == [("succeeded", "2025-03-01"), ("succeeded", "2025-04-01")]


def test_without_a_success_no_refresh_is_forgotten(connection: Connection) -> None:
    _add_refreshes(connection, ("failed", "2024-01-01"))
    assert forget_old(connection, before=_BEFORE) == 0


def test_the_command_says_what_it_would_do_and_then_does_it(migrated: Database, tmp_path: Path) -> None:
    where = {"home": tmp_path, "database_url": migrated.conninfo}
    with migrated.connect() as connection:
        shop = add_shop(connection)
        for minutes in range(3):
            _visit(connection, shop, _NOON + timedelta(minutes=minutes))
        _add_refreshes(connection, ("succeeded", "2024-01-01"), ("succeeded", "2024-01-02"))
        dry = json.loads(regulars("prune", "--dry-run", "--json", **where).stdout)  # type: ignore[arg-type]
        assert (dry["visit_rows"], dry["visit_rows_kept"], dry["refreshes"]) == (3, 1, 1)
        assert fetch(connection, "select count(*) from regulars.tracking") == [(3,)]
        done = regulars("prune", **where)  # type: ignore[arg-type]
        assert done.returncode == 0, done.stderr
        assert "3 rows were folded into 1" in done.stdout
        assert "1 refreshes were deleted" in done.stdout
        assert fetch(connection, "select visit_count from regulars.tracking") == [(3,)]
        assert fetch(connection, "select count(*) from regulars.refreshes") == [(1,)]
    refused = regulars("prune", "--older-than", "0", **where)  # type: ignore[arg-type]
    assert refused.returncode == 2
    assert "Traceback" not in refused.stderr
