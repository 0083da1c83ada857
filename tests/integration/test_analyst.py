"""`regulars docs` describes what the database holds, and `regulars sql` opens psql with an analyst's rights."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from flows.clients import NoClient, find_clients
from flows.steps import run_refresh
from ingest.spool.file import Spool
from ingest.storage.connections import Connection
from ingest.storage.errors import DatabaseError
from regulars.cli import sql as sql_command
from tests.conftest import NAME, Database, Server
from tests.integration.test_command import regulars
from tests.person import a_past, is_personal
from tests.storefront import add_shop, fetch

_PAGE = Path(__file__).parents[2] / "docs" / "questions.md"


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A refreshed database in which a known person has bought, and `regulars` run on it."""

    database: Database
    home: Path

    def run(self, *arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
        return regulars(*arguments, home=self.home, database_url=self._where(changed))

    def open_psql(self, *arguments: str, **changed: Any) -> subprocess.Popen[str]:
        """`regulars sql` in a process group of its own, as a shell starts it."""
        pipes = {name: changed.pop(name, subprocess.PIPE) for name in ("stdin", "stdout", "stderr")}
        variables = {"DATABASE_URL": self._where(changed), "REGULARS_HOME": str(self.home)}
        return subprocess.Popen(
            [sys.executable, "-m", "regulars", "sql", *arguments],
            env=os.environ | variables, text=True, start_new_session=True, **pipes,
        )  # fmt: skip

    def ask(self, script: str, *arguments: str, **changed: str) -> tuple[int, str, str]:
        """Runs a script from standard input: exit status, output, errors."""
        with self.open_psql("--csv", "--tuples-only", "--no-psqlrc", *arguments, **changed) as process:
            output, errors = process.communicate(script, timeout=60)
        return process.returncode, output.strip(), errors.strip()

    def _where(self, changed: dict[str, str]) -> str:
        return make_conninfo(self.database.conninfo, **changed)


@pytest.fixture(scope="module")
def refreshed(
    server: Server,
    migrated_template: str,
    builds_models: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Refreshed]:
    # A name and a home of its own: other tests create and drop databases under the common name meanwhile.
    database, home = server.create(f"{NAME}_analyst", template=migrated_template), tmp_path_factory.mktemp("analyst")
    with database.connect() as connection:
        a_past(connection, add_shop(connection), Spool(home / "spool"))
    run_refresh(database.settings.model_copy(update={"home": home}))
    yield Refreshed(database, home)
    server.drop(database.name)


@pytest.fixture(scope="module")
def page(refreshed: Refreshed) -> str:
    done = refreshed.run("docs", "--output", str(refreshed.home / "page"))
    path = refreshed.home / "page" / "index.html"
    assert (done.returncode, done.stderr) == (0, "")
    assert str(path) in done.stdout
    return path.read_text(encoding="utf-8")


def _artifacts(page: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest and the catalog that the page holds."""
    (start,) = (match.end() for match in re.finditer(r"\{manifest:(?=\{\"metadata\")", page))
    manifest, length = json.JSONDecoder().raw_decode(page[start:])
    catalog, _ = json.JSONDecoder().raw_decode(page[start + length :].removeprefix(",catalog:"))
    return manifest, catalog


@pytest.fixture
def analyst(refreshed: Refreshed) -> Iterator[Connection]:
    with refreshed.database.connect() as connection:
        connection.execute("set role regulars_analyst")
        yield connection


def test_the_page_describes_every_column_that_the_database_has(refreshed: Refreshed, page: str) -> None:
    manifest, catalog = _artifacts(page)
    described = {
        (node["schema"], node["name"], column["name"])
        for name, node in manifest["nodes"].items()
        if name.startswith("model.")
        for column in node["columns"].values()
        if node["description"] and column["description"]
    }
    listed = {
        (node["metadata"]["schema"], node["metadata"]["name"], column)
        for node in catalog["nodes"].values()
        for column in node["columns"]
    }
    with refreshed.database.connect() as connection:
        found = fetch(
            connection,
            "select relation.relnamespace::regnamespace::text, relation.relname::text, attribute.attname::text "
            "from pg_class as relation inner join pg_attribute as attribute on relation.oid = attribute.attrelid "
            "where relation.relnamespace in ('analytics'::regnamespace, 'staging'::regnamespace) "
            "and relation.relkind in ('r', 'v', 'm') and attribute.attnum > 0 and not attribute.attisdropped",
        )
    assert described == listed == set(found)
    assert len(found) > 150


def test_the_description_of_an_amount_names_the_currency_and_that_of_a_day_or_month_says_local(page: str) -> None:
    amount = re.compile(r"(_amount|_profit|_spent|_value|_ltv|_revenue|_balance|^amount|^withdrawn)$")
    said = {amount: "currency", re.compile(r"^(?!is_)(?!.*(_to_date|_per_month)$).*(_date|_month)$|^month$"): "local"}
    columns = [
        (node["name"], name, column["description"])
        for node in _artifacts(page)[0]["nodes"].values()
        if node["resource_type"] == "model"
        for name, column in node["columns"].items()
    ]
    for pattern, word in said.items():
        told = {(model, name): text for model, name, text in columns if pattern.search(name)}
        assert len(told) >= 15
        assert [where for where, text in told.items() if word not in text] == []


def test_the_page_says_which_relations_change_without_a_refresh(page: str) -> None:
    models = [node for name, node in _artifacts(page)[0]["nodes"].items() if name.startswith("model.")]
    clock = {node["name"] for node in models if "changes without a refresh" in node["description"]}
    assert {"cohort_windows", "lifetime_values", "link_analytics"} <= clock
    assert clock == {node["name"] for node in models if node["original_file_path"].startswith("models/current/")}


def test_the_page_draws_the_lineage_from_the_storefront_to_the_dashboard(page: str) -> None:
    manifest, _ = _artifacts(page)
    parents = manifest["parent_map"]
    above, waiting = set(), ["exposure.regulars.dashboard"]
    while waiting:
        waiting += parents.get(name := waiting.pop(), [])
        above.add(name)
    assert "model.regulars.purchases" in above
    assert "source.regulars.storefront.shop_orders" in above


def test_the_page_needs_no_network_and_no_other_file(page: str) -> None:
    assert "default-src 'none'" in page[: page.index("<script")]
    assert re.findall(r"<script[^>]*\ssrc=", page) == []
    assert re.findall(r"<link[^>]*stylesheet", page) == []
    assert _artifacts(page)[0]["metadata"]["send_anonymous_usage_stats"] is False


def test_the_page_holds_no_row_and_nothing_of_this_machine(refreshed: Refreshed, page: str) -> None:
    with refreshed.database.connect() as connection:
        ids = fetch(
            connection, "select shop_id::text from analytics.orders union select order_id::text from analytics.orders"
        )
    assert len(ids) > 5
    assert [value for (value,) in ids if str(value) in page] == []
    assert not is_personal(page)
    assert str(refreshed.home) not in page
    assert str(Path(__file__).parents[2]) not in page


@pytest.mark.usefixtures("takes_long")
def test_docs_of_a_database_without_numbers_say_to_refresh(migrated: Database, tmp_path: Path) -> None:
    done = regulars("docs", home=tmp_path, database_url=migrated.conninfo)
    assert (done.returncode, done.stdout) == (1, "")
    assert "run `regulars refresh`" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "docs").exists()


def test_psql_opens_as_the_analyst_read_only_and_with_a_timeout(refreshed: Refreshed) -> None:
    shown = "current_user, current_setting('search_path'), current_setting('transaction_read_only')"
    assert refreshed.ask(f"select {shown}, current_setting('statement_timeout')") == (
        0, "regulars_analyst,analytics,on,1min", ""
    )  # fmt: skip
    assert refreshed.ask("show statement_timeout", "--timeout", "600")[1] == "10min"
    status, _, told = refreshed.ask("select pg_sleep(30)", "--timeout", "1")
    assert (status, "statement timeout" in told) == (3, True)


def test_a_query_comes_as_an_argument_or_through_a_pipe_and_an_error_is_the_exit_status(refreshed: Refreshed) -> None:
    query = "select count(*) from customers"
    asked = refreshed.run("sql", "-At", "-c", query)
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "2\n", "")
    assert refreshed.run("sql", "--", "-At", "-c", query).stdout == "2\n"
    assert refreshed.ask(query) == (0, "2", "")
    status, answered, told = refreshed.ask("select 1; select * from nowhere; select 2;")
    assert (status, answered) == (3, "1")
    assert 'relation "nowhere" does not exist' in told
    assert refreshed.run("sql", "-c", "select * from nowhere").returncode == 1


def test_another_database_of_the_server_is_opened_as_the_analyst_too(refreshed: Refreshed) -> None:
    elsewhere = make_conninfo(refreshed.database.conninfo, dbname="postgres")
    for where in ("postgres", f'"{elsewhere}"'):
        _, told, _ = refreshed.ask(f"\\c {where}\nselect current_database(), current_user")
        assert told.endswith("postgres,regulars_analyst")


def test_an_analyst_can_not_write_even_where_the_transaction_is_read_write(refreshed: Refreshed) -> None:
    statements = [
        "delete from analytics.customers",
        "update analytics.shops set currency = 'EUR'",
        "insert into analytics.shops select * from analytics.shops",
        "refresh materialized view analytics.shop_overview",
        "drop table analytics.customers",
        "create table analytics.mine ()",
        "select regulars.grant_roles()",
    ]
    _, _, told = refreshed.ask(";\n".join(statements), "--set=ON_ERROR_STOP=0")
    assert told.count("ERROR: ") == len(statements)
    assert told.count("in a read-only transaction") >= 5
    _, _, told = refreshed.ask(
        ";\n".join(["set default_transaction_read_only = off", *statements]), "--set=ON_ERROR_STOP=0"
    )
    assert len(re.findall("ERROR:  (?:permission denied|must be owner)", told)) == len(statements)


@pytest.mark.parametrize("relation", ["regulars.customers", "public.shop_orders", "regulars.failures"])
def test_an_analyst_cannot_read_who_people_are(analyst: Connection, relation: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        analyst.execute(f"select * from {relation}")


def test_an_analyst_reads_all_of_schema_analytics_and_no_other_relation(analyst: Connection) -> None:
    readable = fetch(
        analyst,
        "select relnamespace::regnamespace::text, count(*) from pg_class "
        "where relkind in ('r', 'p', 'v', 'm', 'f', 'S') "
        "and relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace) "
        "and has_schema_privilege(relnamespace, 'usage') and has_any_column_privilege(oid, 'select') group by 1",
    )
    there = fetch(
        analyst,
        "select count(*) from pg_class where relnamespace = 'analytics'::regnamespace and relkind in ('r', 'v', 'm')",
    )
    assert readable == [("analytics", there[0][0])]


def test_no_value_that_an_analyst_reads_is_a_phone_an_e_mail_or_a_name(
    refreshed: Refreshed, analyst: Connection
) -> None:
    relations = fetch(
        analyst,
        "select oid::regclass::text from pg_class "
        "where relnamespace = 'analytics'::regnamespace and relkind in ('r', 'v', 'm')",
    )
    rows = {name: fetch(analyst, f"select everything::text from {name} as everything") for (name,) in relations}
    assert len(rows["analytics.orders"]) == 6
    assert all(rows[f"analytics.{name}"] for name in ("customers", "visits", "shops", "cohort_windows"))
    text = str(rows)
    assert not is_personal(text)
    assert not re.search("20333444|20111222|20999888|@", text)
    with refreshed.database.connect() as connection:
        # Personal data would have been recognised.
        assert all(
            is_personal(str(row)) for row in fetch(connection, "select * from regulars.customers where email > ''")
        )


def test_the_password_is_not_on_a_command_line(refreshed: Refreshed) -> None:
    told = "\\! tr '\\\\0' ' ' < /proc/$PPID/cmdline\n\\! echo \" $PGPASSWORD\""
    status, output, _ = refreshed.ask(told, password="s3cret-of-ama")
    command, _, password = output.rpartition(" ")
    assert (status, password) == (0, "s3cret-of-ama")
    assert "--dbname" in command
    assert "s3cret" not in command


def test_ctrl_c_cancels_the_query_and_psql_goes_on(refreshed: Refreshed, analyst: Connection) -> None:
    running = (
        "select count(*) from pg_stat_activity "
        "where application_name = 'regulars_sql' and state = 'active' and datname = current_database()"
    )
    keyboard, terminal = os.openpty()
    process = refreshed.open_psql(
        "--no-psqlrc", "--pset=pager=off", "-At", stdin=terminal, stdout=terminal, stderr=terminal
    )
    try:
        os.write(keyboard, b"select pg_sleep(60);\n")
        analyst.execute("reset role")
        _wait(lambda: fetch(analyst, running) == [(1,)])
        os.killpg(process.pid, signal.SIGINT)
        _wait(lambda: fetch(analyst, running) == [(0,)])
        os.write(keyboard, b"select 6 * 7;\n\\q\n")
        assert process.wait(30) == 0
        os.close(terminal)
        shown = _read(keyboard)
    finally:
        process.kill()
        process.wait()
        os.close(keyboard)
    assert "canceling statement due to user request" in shown
    assert re.search(r"\b42\r", shown)
    assert "Traceback" not in shown


def _wait(is_so: Callable[[], bool]) -> None:
    for _ in range(300):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("it took too long")


def _read(terminal: int) -> str:
    shown = b""
    # Linux reports the end of a terminal as an error.
    with suppress(OSError):
        while chunk := os.read(terminal, 65536):
            shown += chunk
    return shown.decode()


def test_without_psql_on_the_path_it_is_the_one_of_the_embedded_server(
    refreshed: Refreshed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "pginstall18" in find_clients("psql")[0]
    assert refreshed.ask("select 1") == (0, "1", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(NoClient, match="postgresql-client"):
        find_clients("psql")


def test_a_missing_role_says_to_migrate(refreshed: Refreshed, monkeypatch: pytest.MonkeyPatch) -> None:
    # The role belongs to the server, and other tests need it there.
    monkeypatch.setattr(sql_command, "ROLE", "regulars_test_nobody")
    with pytest.raises(DatabaseError, match="regulars_test_nobody is missing: run `regulars migrate`"):
        sql_command.analyst_session(refreshed.database.conninfo, timeout=60)


def test_a_pooler_that_drops_startup_options_is_refused(refreshed: Refreshed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_command, "_options", lambda _: "")
    with pytest.raises(DatabaseError, match="without a pooler"):
        sql_command.analyst_session(refreshed.database.conninfo, timeout=60)


def test_a_database_without_regulars_in_it_says_to_migrate(empty: Database) -> None:
    with pytest.raises(DatabaseError, match=f"{empty.name} has nothing for an analyst: run `regulars migrate`"):
        sql_command.analyst_session(empty.conninfo, timeout=60)


def test_a_login_that_may_not_become_the_analyst_is_told_what_to_grant(refreshed: Refreshed, login: str) -> None:
    done = refreshed.run("sql", "-c", "select 1", user=login, password="s3cret")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"`grant regulars_analyst to {login};`" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def login(refreshed: Refreshed) -> Iterator[str]:
    """A login that has no rights."""
    with refreshed.database.connect() as connection:
        name = f"{NAME}_kojo"
        connection.execute(f"create role {name} login password 's3cret'")
        yield name
        connection.execute(f"drop owned by {name}; drop role {name}")


def test_a_login_created_as_the_docs_say_reads_what_an_analyst_may_and_nothing_else(
    refreshed: Refreshed, login: str
) -> None:
    (told,) = re.findall(r"```\n(create role .*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    told = told.replace("kojo", login).replace("storefront", refreshed.database.name)
    with refreshed.database.connect() as connection:
        connection.execute(f"drop role {login}")
        connection.execute(told.replace("\\password", "alter role").strip() + " password 's3cret'")
    own = {"user": login, "password": "s3cret"}
    with psycopg.connect(make_conninfo(refreshed.database.conninfo, **own), autocommit=True) as connection:
        assert connection.execute("select count(*) from customers").fetchone() == (2,)
        connection.execute("reset role; set default_transaction_read_only = off")
        for statement in ("select * from regulars.customers", "delete from analytics.customers"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
    assert refreshed.ask("select count(*) from customers", **own) == (0, "2", "")
