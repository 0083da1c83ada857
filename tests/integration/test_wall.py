"""The wall, tried from outside as two owners, an analyst and nobody, with SQL alone."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg import sql

from flows.steps import run_refresh
from ingest.storage.connections import Connection, connect
from ingest.storage.migrations import migrate
from ingest.storage.roles import grant_roles
from tests.conftest import NAME, Database, Server
from tests.storefront import MOMENT, add_forecasts, add_order, add_shop, fetch

_ROLES = ("regulars_checkout", "regulars_owner", "regulars_analyst")

_RELATIONS = """
    select namespace.nspname, class.relname, class.relkind, class.relrowsecurity,
        coalesce(class.reloptions, '{}'), coalesce(pg_get_viewdef(class.oid), ''),
        (
            select coalesce(array_agg(pg_get_expr(policy.polqual, policy.polrelid)), '{}')
            from pg_policy as policy
            where
                policy.polrelid = class.oid
                and (policy.polroles = '{0}' or 'regulars_owner'::regrole = any (policy.polroles))
        )
    from pg_class as class
    inner join pg_namespace as namespace on class.relnamespace = namespace.oid
    where
        class.relkind in ('r', 'p', 'v', 'm', 'f')
        and namespace.nspname not in ('pg_catalog', 'information_schema')
        and exists (
            select 1
            from pg_attribute as attribute
            where
                attribute.attrelid = class.oid
                and attribute.attname = 'shop_id'
                and has_column_privilege('regulars_owner', class.oid, attribute.attnum, 'select')
        )
    order by namespace.nspname, class.relname
"""


def _trade(connection: Connection, slug: str, *, first: int) -> tuple[UUID, UUID]:
    """A shop with sales, a refund, visits and money; answers it and its owner."""
    shop = add_shop(connection, slug)
    for number in range(6):
        order = add_order(connection, shop, phone=f"0{first}12345{number % 4:02d}", total=f"{first + number}.00")
        connection.execute(
            "insert into shop_profits (id, shop_id, shop_order_id, profit_amount, status, created_at) "
            "values (%s, %s, %s, 1, 'credited', now())",
            [uuid4(), shop, order],
        )
        connection.execute(
            "insert into regulars.tracking (shop_id, accessed_via_slug, accessed_at) values (%s, %s, now())",
            [shop, f"{slug}-{number}"],
        )
    add_order(connection, shop, phone=f"0{first}9999999", order_status="refunded")
    # One buyer comes back after a week, for another network, and has an order refunded.
    buyer, later = f"0{first}1234500", MOMENT + timedelta(days=7)
    for _ in range(3):
        add_order(connection, shop, phone=buyer, network="Telecel", at=later)
    add_order(connection, shop, phone=buyer, order_status="refunded", at=later)
    connection.execute("insert into shop_slugs (shop_id, slug) values (%s, %s)", [shop, slug])
    ((owner,),) = fetch(connection, "select user_id from user_shops where id = %s", shop)
    assert isinstance(owner, UUID)
    return shop, owner


@pytest.fixture(scope="module")
def walled_template(server: Server, built_template: str) -> str:
    database = server.create(NAME, template=built_template)
    with database.connect() as connection:
        _trade(connection, "ama-data", first=24)
        _trade(connection, "kofi-data", first=20)
        shops = [shop for shop, _ in _owners(connection)]
        for shop in shops:
            for number in range(60):
                add_order(connection, shop, phone=f"0275550{number:03d}", total=f"{1 + number}.00")
    run_refresh(database.settings)
    with database.connect() as connection:
        add_forecasts(connection)
        # Somebody moves to another segment.
        for shop in shops:
            for _ in range(3):
                add_order(connection, shop, phone="0275550000", total="900.00", at=MOMENT + timedelta(days=14))
    run_refresh(database.settings)
    return server.rename(database, f"{NAME}_walled")


@pytest.fixture
def walled(server: Server, walled_template: str) -> Iterator[Database]:
    """Two owners with a shop each, refreshed."""
    yield server.create(NAME, template=walled_template)
    server.drop(NAME)


@contextmanager
def _as(connection: Connection, role: str, claims: str | None = None) -> Iterator[Connection]:
    """As the API asks: for one transaction."""
    with connection.transaction():
        connection.execute("select set_config('role', %s, true)", [role])
        if claims is not None:
            connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        yield connection


def _claims(owner: object) -> str:
    return json.dumps({"sub": str(owner), "role": "authenticated"})


def _owners(connection: Connection) -> list[tuple[UUID, UUID]]:
    return fetch(connection, "select id, user_id from user_shops order by shop_slug")  # type: ignore[return-value]


def _faces(connection: Connection) -> list[str]:
    names = fetch(
        connection,
        "select relname from pg_class where relnamespace = 'dashboard'::regnamespace and relkind = 'v' "
        "and relname <> 'freshness' order by relname",
    )
    return [str(name) for (name,) in names]


def _rows(connection: Connection, relation: str) -> set[tuple[object, ...]]:
    """Each row, as text: some have columns that can't be hashed."""
    query = sql.SQL("select shop_id, walled::text from {} as walled").format(sql.Identifier("dashboard", relation))
    return set(connection.execute(query).fetchall())


def _assert_disjoint(connection: Connection, *, without: frozenset[str] = frozenset()) -> None:
    (ama, ama_owner), (kofi, kofi_owner) = _owners(connection)
    faces = [face for face in _faces(connection) if face not in without]
    assert {"customers", "customer_contacts", "shop_profiles", "shop_overview", "cohort_retention"} <= set(faces)
    for face in faces:
        with _as(connection, "regulars_owner", _claims(ama_owner)):
            hers = _rows(connection, face)
        with _as(connection, "regulars_owner", _claims(kofi_owner)):
            his = _rows(connection, face)
        assert {shop for shop, _ in hers} == {ama}, face
        assert {shop for shop, _ in his} == {kofi}, face


def test_two_owners_see_disjoint_rows_of_everything_before_and_after_a_rebuild(walled: Database) -> None:
    with walled.connect() as connection:
        _assert_disjoint(connection)
        run_refresh(walled.settings, mode="rebuild")
        _assert_disjoint(connection)
        connection.execute("drop schema analytics, building cascade")
        run_refresh(walled.settings, mode="rebuild")
        # The record of what was shown is lost with the schema.
        _assert_disjoint(connection, without=frozenset({"segment_changes"}))
        with _as(connection, "regulars_analyst"):
            assert fetch(connection, "select count(distinct shop_id) from analytics.customers") == [(2,)]


def test_every_model_that_holds_a_shop_has_its_view_for_owners(walled: Database) -> None:
    with walled.connect() as connection:
        models = fetch(
            connection,
            "select relname from pg_class where relnamespace = 'analytics'::regnamespace "
            "and (relkind = 'r' or 'security_invoker=true' = any (reloptions))",
        )
        assert {"customers", "cohort_windows"} <= {str(name) for (name,) in models} <= set(_faces(connection))


@pytest.mark.parametrize(
    "claims", [None, "", "{}", '{"sub": null}', '{"sub": ""}', '{"role": "service_role"}', '{"sub": ["x"]}', "[]", "1"]
)
def test_without_an_owner_in_the_claims_nothing_is_seen(walled: Database, claims: str | None) -> None:
    with walled.connect() as connection:
        for face in _faces(connection):
            with _as(connection, "regulars_owner", claims):
                assert _rows(connection, face) == set(), face


def test_what_an_owner_was_is_gone_with_the_transaction(walled: Database) -> None:
    with walled.connect() as connection:
        (_, owner), _ = _owners(connection)
        with _as(connection, "regulars_owner", _claims(owner)):
            assert _rows(connection, "customers")
        with _as(connection, "regulars_owner"):
            assert _rows(connection, "customers") == set()


@pytest.mark.parametrize("role", ["regulars_owner", "regulars_analyst", "regulars_checkout"])
def test_raw_tables_and_the_schema_of_regulars_are_closed_to(walled: Database, role: str) -> None:
    with walled.connect() as connection:
        (_, owner), _ = _owners(connection)
        closed = fetch(
            connection,
            "select relnamespace::regnamespace::text, relname from pg_class "
            "where relkind in ('r', 'v', 'm') "
            "and relnamespace::regnamespace::text in ('public', 'regulars', 'building')",
        )
        assert len(closed) > 15
        for schema, name in closed:
            with pytest.raises(psycopg.errors.InsufficientPrivilege), _as(connection, role, _claims(owner)):
                connection.execute(sql.SQL("select * from {} limit 1").format(sql.Identifier(str(schema), str(name))))


def test_marts_are_closed_to_owners_by_their_own_name(walled: Database) -> None:
    with walled.connect() as connection:
        (_, owner), _ = _owners(connection)
        for (name,) in fetch(
            connection, "select relname from pg_class where relnamespace = 'analytics'::regnamespace and relkind <> 'i'"
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege), _as(connection, "regulars_owner", _claims(owner)):
                connection.execute(sql.SQL("select * from {} limit 1").format(sql.Identifier("analytics", str(name))))


def test_nobody_writes_through_the_wall(walled: Database) -> None:
    with walled.connect() as connection:
        (_, owner), _ = _owners(connection)
        for role, schema in (("regulars_owner", "dashboard"), ("regulars_analyst", "analytics")):
            for statement in ("delete from {}.customers", "update {}.customers set total_spent = 0"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege), _as(connection, role, _claims(owner)):
                    connection.execute(statement.format(schema))  # type: ignore[arg-type]


def test_a_leaky_function_in_a_condition_sees_nothing_of_another_shop(walled: Database) -> None:
    with walled.connect() as connection:
        connection.execute("create schema leaks")
        connection.execute(
            "create function leaks.tell(value text) returns boolean language plpgsql cost 0.0000001 as $$ "
            "begin raise notice '%', value; return true; end $$"
        )
        connection.execute("grant usage on schema leaks to regulars_owner")
        told: list[str] = []
        connection.add_notice_handler(lambda notice: told.append(str(notice.message_primary)))
        (ama, ama_owner), _ = _owners(connection)
        for face in _faces(connection):
            told.clear()
            with _as(connection, "regulars_owner", _claims(ama_owner)):
                read = connection.execute(
                    sql.SQL("select count(*) from {} as walled where leaks.tell(walled.shop_id::text)").format(
                        sql.Identifier("dashboard", face)
                    )
                ).fetchone()
            assert set(told) == {str(ama)}, face
            assert read == (len(told),)


def _is_walled(relation: tuple[object, ...]) -> bool:
    _, _, kind, has_row_security, options, definition, conditions = relation
    if kind == "r":
        assert isinstance(conditions, list)
        return bool(has_row_security and conditions) and all("own_shops()" in str(known) for known in conditions)
    if kind == "v" and "security_invoker=true" in options:  # type: ignore[operator]
        # It reads with the owner's rights: what it reads is in this list too.
        return True
    return kind == "v" and "security_barrier=true" in options and "own_shops()" in str(definition)  # type: ignore[operator]


def _open_relations(connection: Connection) -> list[str]:
    """What holds a shop_id and can be read by owners without the wall."""
    readable = fetch(connection, _RELATIONS)
    assert len(readable) > 20
    return [f"{relation[0]}.{relation[1]}" for relation in readable if not _is_walled(relation)]


def test_no_relation_that_holds_a_shop_is_readable_by_owners_without_the_wall(walled: Database) -> None:
    with walled.connect() as connection:
        assert _open_relations(connection) == []
        # The list can fail: each of these is a hole.
        for hole, name in (
            ("grant select on analytics.reconciliation to regulars_owner", "analytics.reconciliation"),
            ("alter table analytics.shop_overview disable row level security", "analytics.shop_overview"),
            ("grant select on public.shop_orders to public; alter table shop_orders disable row level security",
             "public.shop_orders"),
            ("alter view dashboard.slug_analytics set (security_invoker = false)", "dashboard.slug_analytics"),
            ("create policy hole on analytics.customers for select using (true)", "analytics.customers"),
            ("create table dashboard.notes (shop_id uuid); grant select on dashboard.notes to regulars_owner",
             "dashboard.notes"),
        ):  # fmt: skip
            with connection.transaction(force_rollback=True):
                connection.execute(hole)  # type: ignore[arg-type]
                assert name in _open_relations(connection)


def test_an_analyst_reads_every_shop_in_analytics_and_nothing_else(walled: Database) -> None:
    with walled.connect() as connection:
        shops = {shop for shop, _ in _owners(connection)}
        models = fetch(
            connection,
            "select relname from pg_class "
            "where relnamespace = 'analytics'::regnamespace and relkind in ('r', 'm', 'v') and relname <> 'time_spine'",
        )
        with _as(connection, "regulars_analyst"):
            for (name,) in models:
                query = sql.SQL("select shop_id from {}").format(sql.Identifier("analytics", str(name)))
                assert {shop for (shop,) in connection.execute(query)} == shops, name
        with pytest.raises(psycopg.errors.InsufficientPrivilege), _as(connection, "regulars_analyst"):
            connection.execute("select * from dashboard.customer_contacts")


@pytest.mark.usefixtures("counts_on_time")
def test_owners_who_read_while_models_are_replaced_meet_no_gap(walled: Database) -> None:
    stop = threading.Event()
    failures: list[str] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        with walled.connect() as connection:
            (_, owner), _ = _owners(connection)
            connection.execute("set statement_timeout = '2s'")
            faces = _faces(connection)
            while not stop.is_set():
                for face in faces:
                    try:
                        with _as(connection, "regulars_owner", _claims(owner)):
                            if len({shop for shop, _ in _rows(connection, face)}) != 1:
                                failures.append(f"{face} shows not one shop")
                    except psycopg.Error as error:
                        failures.append(f"{face}: {error}")
                    reads += 1
                    # The refresh is in this process, and would wait for the interpreter.
                    stop.wait(0.005)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with walled.connect() as connection:
            run_refresh(walled.settings, mode="rebuild")
            connection.execute("update shop_orders set total_price = total_price + 1")
            run_refresh(walled.settings)
    finally:
        stop.set()
        reader.join()
    assert failures == []
    assert reads > 100


def test_who_began_to_read_before_a_model_was_replaced_does_not_find_it_empty(walled: Database) -> None:
    with walled.connect() as connection, walled.connect() as reader:
        (shop, owner), _ = _owners(connection)
        reader.execute("begin isolation level repeatable read")
        reader.execute("select set_config('request.jwt.claims', %s, true)", [_claims(owner)])
        run_refresh(walled.settings, mode="rebuild")
        for name in ("shop_overview", "monthly_acquisition", "cohort_retention", "slug_analytics", "repeat_rates"):
            query = sql.SQL("select count(*) > 0 from {} where shop_id = %s").format(sql.Identifier("dashboard", name))
            assert reader.execute(query, [shop]).fetchone() == (True,), name


def test_every_card_and_chart_changes_in_the_same_moment(walled: Database) -> None:
    stop = threading.Event()
    torn: list[tuple[object, ...]] = []
    seen: set[object] = set()

    def read() -> None:
        with walled.connect() as connection:
            (shop, owner), _ = _owners(connection)
            while not stop.is_set():
                with _as(connection, "regulars_owner", _claims(owner)):
                    ((card, months, cohorts, links),) = fetch(
                        connection,
                        "select (select customer_revenue from dashboard.shop_overview where shop_id = %(shop)s), "
                        "(select sum(net_amount) from dashboard.monthly_acquisition where shop_id = %(shop)s), "
                        "(select sum(net_amount) from dashboard.cohort_retention where shop_id = %(shop)s), "
                        "(select sum(net_amount) from dashboard.slug_analytics where shop_id = %(shop)s)".replace(
                            "%(shop)s", f"'{shop}'"
                        ),
                    )
                seen.add(card)
                if not card == months == cohorts == links:
                    torn.append((card, months, cohorts, links))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with walled.connect() as connection:
            for mode in (None, "rebuild"):
                connection.execute("update shop_orders set total_price = total_price + 1")
                run_refresh(walled.settings, mode=mode)  # type: ignore[arg-type]
    finally:
        stop.set()
        reader.join()
    assert torn == []
    assert len(seen) == 3


def _rename(connection: Connection, role: str, name: str) -> None:
    connection.execute(sql.SQL("alter role {} rename to {}").format(*map(sql.Identifier, (role, name))))


def test_where_roles_may_not_be_made_the_sql_is_told_and_the_wall_completed_later(server: Server) -> None:
    """As on a hosted database: the roles are the server's, and ours is no superuser."""
    database = server.create(NAME)
    with database.connect() as admin:
        admin.execute("create role regulars_test_migrator login password 'migrator'")
        for role in _ROLES:
            _rename(admin, role, f"{role}_away")
        try:
            admin.execute(
                sql.SQL("alter database {} owner to regulars_test_migrator").format(sql.Identifier(database.name))
            )
            where = psycopg.conninfo.make_conninfo(
                database.conninfo, user="regulars_test_migrator", password="migrator"
            )
            with connect(where) as theirs:
                migrate(theirs)
                assert grant_roles(theirs) == [f"create role {role} nologin;" for role in _ROLES]
        finally:
            for role in _ROLES:
                admin.execute(
                    sql.SQL("alter role {} rename to {}").format(*map(sql.Identifier, (f"{role}_away", role)))
                )
        with connect(where) as theirs:
            assert grant_roles(theirs) == []
        for privilege in (
            "has_table_privilege('regulars_owner', 'dashboard.customer_contacts', 'select')",
            "has_schema_privilege('regulars_analyst', 'analytics', 'usage')",
            "has_schema_privilege('regulars_checkout', 'regulars', 'usage')",
        ):
            assert fetch(admin, f"select {privilege}") == [(True,)], privilege
    server.drop(NAME)
    with psycopg.connect(database.conninfo.replace(NAME, "postgres"), autocommit=True) as admin:
        admin.execute("drop role regulars_test_migrator")
