"""Real faults under `regulars refresh`: it says what is wrong and exits with 1, the last good numbers stay up, and it
is right again when the cause is gone.

What a lost mart, a mart edited by hand, a lock and an unreachable server do is in test_refresh.py,
test_refresh_damage.py and test_command.py.
"""

import errno
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from flows import history
from flows.building.plan import forget_plan
from flows.lock import BUILDING
from flows.steps import Run, Step, publish, run_refresh
from ingest.spool.file import SPOOL
from ingest.storage.connections import Connection
from ingest.storage.migrations import migrate
from regulars.__main__ import main
from tests.conftest import NAME, Database, Server
from tests.project import Project
from tests.snapshot import snapshot
from tests.standing import migrating_user
from tests.storefront import add_order, add_shop, fetch


@pytest.fixture(scope="module")
def shop(server: Server, builds_models: None) -> Iterator[Database]:  # noqa: ARG001
    """A shop with orders, refreshed by a user who is no superuser. Each test leaves it sound for the next."""
    made = server.create(NAME)
    with migrating_user(server, made.name, "nosuperuser createrole") as user:
        where = make_conninfo(made.conninfo, user=user, password=user)
        database = Database(made.settings.model_copy(update={"database_url": where}), made.name, where)
        with database.connect() as connection:
            migrate(connection)
            add_order(connection, add_shop(connection))
        for _ in range(2):
            run_refresh(database.settings)
        yield database


@dataclass(frozen=True, slots=True)
class Command:
    """The command, run in this process, because importing dbt takes longer than a refresh."""

    shop: Database
    printed: pytest.CaptureFixture[str]

    def run(self) -> tuple[int, str]:
        """Its exit status, and what it wrote to stderr. What it doesn't turn into a message fails the test here."""
        self.printed.readouterr()
        with pytest.raises(SystemExit) as raised:
            main()
        return int(raised.value.code or 0), self.printed.readouterr().err

    def meets(self, fault: AbstractContextManager[object], *told: str, orders: int = 1000) -> None:
        """With `orders` to publish, the command fails under the fault and succeeds after it."""
        with self.shop.connect() as connection:
            _sell(connection, orders)
            before = snapshot(connection)
            with fault:
                self.fails(*told)
                assert snapshot(connection) == before
            self.is_right_again(connection)

    def fails(self, *told: str) -> None:
        status, error = self.run()
        assert status == 1
        # After a line for each step that began.
        _, _, message = error.rpartition("\nError: ")
        assert message
        for text in told:
            assert text in message

    def is_right_again(self, connection: Connection) -> None:
        status, error = self.run()
        assert (status, "Error" in error) == (0, False)
        assert fetch(connection, "select total_orders, customer_revenue from analytics.shop_overview") == fetch(
            connection, "select count(*), sum(total_price) from shop_orders"
        )


@pytest.fixture
def command(shop: Database, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("DATABASE_URL", shop.conninfo)
    monkeypatch.setenv("REGULARS_HOME", str(home))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr("sys.argv", ["regulars", "refresh"])
    return Command(shop, capsys)


def _sell(connection: Connection, orders: int = 1000) -> None:
    (shop_id,) = fetch(connection, "select id from user_shops")[0]
    connection.execute(
        "insert into shop_orders (shop_id, customer_phone, total_price, order_status, payment_status) "
        "select %s, '02455' || (10000 + number), 10, 'completed', 'completed' from generate_series(1, %s) as number",
        [shop_id, orders],
    )


@contextmanager
def _undone(connection: Connection, fault: str, cure: str, *names: str) -> Iterator[None]:
    identifiers = [sql.Identifier(name) for name in names]
    connection.execute(sql.SQL(fault).format(*identifiers))
    try:
        yield
    finally:
        connection.execute(sql.SQL(cure).format(*identifiers))


def test_a_read_only_database_is_told(server: Server, command: Command) -> None:
    with server.admin() as admin:
        command.meets(
            _undone(
                admin,
                "alter database {} set default_transaction_read_only = on",
                "alter database {} reset default_transaction_read_only",
                command.shop.name,
            ),
            "read-only transaction",
            "Make the database writable",
        )


@pytest.mark.parametrize(
    ("right", "relation"),
    [
        pytest.param("update", "public.shop_orders", id="for matching"),
        pytest.param("select", "public.shop_profits", id="for a model"),
        pytest.param("insert", "analytics.customers", id="for publishing"),
    ],
)
def test_a_right_that_was_revoked_is_told_with_its_table(command: Command, right: str, relation: str) -> None:
    with command.shop.connect() as owner:
        command.meets(
            _undone(
                owner,
                f"revoke {right} on {relation} from {{}}",
                f"grant {right} on {relation} to {{}}",
                owner.info.user,
            ),
            f"permission denied for table {relation.partition('.')[2]}",
        )


@pytest.mark.parametrize(
    ("step", "by_dbt"),
    [("match_customers", False), ("build_marts", False), ("build_marts", True), ("publish", False)],
    ids=["matching", "a build by the recorded plan", "a build by dbt", "publishing"],
)
def test_a_disk_that_fills_up_is_told(
    server: Server, command: Command, monkeypatch: pytest.MonkeyPatch, step: str, by_dbt: bool
) -> None:
    if by_dbt:
        forget_plan(command.shop.settings)
    with _small_disk(server, command.shop) as disk:
        # So many that no relation has room for them in the pages that an earlier failure left empty.
        command.meets(_filled(disk, step, monkeypatch), "No space left on device", orders=5000)


@contextmanager
def _small_disk(server: Server, database: Database) -> Iterator[Path]:
    """Moves the database to a disk of its own in memory, and back. Needs root, who may mount one."""
    with server.admin() as admin:
        ((data,),) = fetch(admin, "show data_directory")
        data_folder = Path(str(data))
        if server.settings.database_url is not None or not data_folder.is_dir():
            pytest.skip("The server's disk is not this machine's.")
        with tempfile.TemporaryDirectory(prefix="regulars-") as disk, _mounted(Path(disk), "size=256m"):
            owner = data_folder.stat()
            folder = Path(disk) / "tablespace"
            folder.mkdir()
            os.chown(folder, owner.st_uid, owner.st_gid)
            Path(disk).chmod(0o755)
            admin.execute(sql.SQL("create tablespace regulars_test location {}").format(sql.Literal(str(folder))))
            try:
                _move(admin, database, "regulars_test")
                yield Path(disk)
            finally:
                _move(admin, database, "pg_default")
                admin.execute("drop tablespace regulars_test")


def _move(admin: Connection, database: Database, tablespace: str) -> None:
    admin.execute("select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s", [database.name])
    names = [sql.Identifier(name) for name in (database.name, tablespace)]
    admin.execute(sql.SQL("alter database {} set tablespace {}").format(*names))


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mount.returncode != 0:
        pytest.skip(f"This test needs root, who may mount a file system: {mount.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


_BUILDERS = "select count(*) from pg_stat_activity where datname = current_database() and application_name = %s"


@contextmanager
def _filled(disk: Path, step: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fills the disk at a step of the refresh: somebody else's file that grows. The step's begin is only watched."""
    filler, enter = disk / "filler", history.enter

    def fill(connection: Connection, refresh_id: int, entered: str) -> None:
        enter(connection, refresh_id, entered)
        if entered == step:
            # A session that ends leaves its temporary tables' room behind, a moment after its client.
            deadline = time.monotonic() + 10
            while fetch(connection, _BUILDERS, BUILDING) != [(0,)] and time.monotonic() < deadline:
                time.sleep(0.01)
            with filler.open("wb") as file:
                while (room := os.statvfs(disk)).f_bavail:
                    try:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, room.f_bavail * room.f_bsize)
                    except OSError as error:
                        # The server may have taken some of it meanwhile.
                        if error.errno != errno.ENOSPC:
                            raise

    monkeypatch.setattr(history, "enter", fill)
    try:
        yield
    finally:
        monkeypatch.setattr(history, "enter", enter)
        filler.unlink(missing_ok=True)


def test_a_spool_that_cannot_be_opened_is_a_warning_and_stops_no_shop(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What dbt has parsed, so that it need not do so again.
    (tmp_path / "dbt").symlink_to(home.resolve() / "dbt")
    monkeypatch.setenv("REGULARS_HOME", str(tmp_path))
    (tmp_path / SPOOL).mkdir()
    with command.shop.connect() as connection:
        _sell(connection, 1)
        command.is_right_again(connection)
        ((warnings,),) = fetch(connection, "select warnings from regulars.refreshes order by refresh_id desc limit 1")
    assert f"Events wait in the spool: {tmp_path / SPOOL} can't be written" in str(warnings)


def test_a_model_that_cannot_be_read_is_told_with_its_name(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path, monkeypatch)
    with command.shop.connect() as connection:
        _sell(connection)
        before = snapshot(connection)
        for path, right, wrong, *told in (
            (
                "marts/customers.sql",
                "sum(net_amount) as",
                "sum(net_amount as",
                "customers: ",
                "syntax error at or near",
            ),
            ("marts/customers.sql", "ref('purchases')", "ref('purchase')", "customers", "purchase"),
            ("marts/customers.sql", "{{ in_batch", "{{ in_batch(", "customers"),
            ("marts/_marts__models.yml", "models:", "models: [", "_marts__models.yml"),
        ):
            project.change(path, (right, wrong))
            command.fails(*told)
            assert snapshot(connection) == before
            project.change(path, (wrong, right))
        command.is_right_again(connection)


def test_the_history_has_no_value_of_a_row_that_postgresql_refused(shop: Database) -> None:
    with shop.connect() as connection:
        (shop_id,) = fetch(connection, "select id from user_shops")[0]
        connection.execute("alter table regulars.customers add constraint nobody_new check (false) not valid")
        try:
            add_order(connection, shop_id, phone="0209876543")  # type: ignore[arg-type]
            with pytest.raises(psycopg.errors.CheckViolation, match="209876543"):
                run_refresh(shop.settings)
        finally:
            connection.execute("alter table regulars.customers drop constraint nobody_new")
        failed = history.last(connection)
        assert failed
        assert "nobody_new" in str(failed.error)
        assert "209876543" not in str(failed.error)
        run_refresh(shop.settings)


def test_a_folder_that_cannot_be_written_is_told(
    command: Command, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "dbt").symlink_to(home.resolve() / "dbt")
    monkeypatch.setenv("REGULARS_HOME", str(folder))
    command.meets(_mounted(folder, "ro"), "Read-only file system")


def test_what_is_no_error_of_ours_leaves_its_kind_in_the_history_and_a_phone_nowhere(shop: Database) -> None:
    def break_off(step: Step, run: Run) -> object:
        if step is publish:
            raise ValueError("0209876543 can't be read")
        return step(run)

    with shop.connect() as connection:
        ((shop_id,),) = fetch(connection, "select id from user_shops")
        # From a checkout of a newer release.
        event = {"shop_id": str(shop_id), "order_id": str(uuid4()), "phone": "0209876543", "of_a_newer_release": 1}
        connection.execute(
            "insert into regulars.failures (order_id, shop_id, event, reason) values (%s, %s, %s, 'a deadlock')",
            [event["order_id"], shop_id, json.dumps(event)],
        )
        with pytest.raises(ValueError, match="209876543"):
            run_refresh(shop.settings, perform=break_off)
        failed = history.last(connection)
        assert failed
        assert failed.error == "ValueError."
        assert run_refresh(shop.settings).status == "succeeded"
        assert fetch(connection, "select tries, reason from regulars.failures") == [(3, "ValidationError")]
        assert fetch(connection, "select 1 from regulars.refreshes as r where strpos(r::text, '209876543') > 0") == []
        connection.execute("truncate regulars.failures")
