"""A real Chromium on a real dashboard."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from typer.testing import CliRunner

from regulars.cli.app import app as command
from regulars.dashboard.app import create_app
from tests.conftest import NAME, Database, Server
from tests.owners import SECRET, TwoOwners, copy_of, count_this_month, settings_of, two_owners
from tests.programs import find_program
from tests.served import served

# Without a sandbox, because CI runs as root in a container; and without requests to other hosts.
_ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dashboard:
    owners: TwoOwners
    database: Database
    address: str

    def link(self, shop: str) -> str:
        """What `regulars token` prints."""
        environment = {
            "DATABASE_URL": self.database.conninfo,
            "REGULARS_JWT_SECRET": SECRET,
            "REGULARS_DASHBOARD_URL": self.address,
        }
        printed = CliRunner().invoke(command, ["token", "--shop", shop], env=environment)
        assert printed.exit_code == 0, printed.output
        return printed.stdout.splitlines()[0]


@dataclass(slots=True)
class Visit:
    """A page, and everything that went wrong on it."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)

    def record_faults(self) -> None:
        self.page.on("console", lambda told: self._record(told.type in ("error", "warning"), told.text))
        self.page.on("pageerror", lambda error: self._record(True, str(error)))
        self.page.on("request", lambda asked: self._record(not asked.url.startswith(self.address), asked.url))
        self.page.on("requestfailed", lambda asked: self._record(asked.failure != "net::ERR_ABORTED", asked.url))
        self.page.on("response", lambda answer: self._record(answer.status >= 400, f"{answer.status} {answer.url}"))
        self.page.on("framenavigated", lambda frame: self._record("token" in urlsplit(frame.url).query, frame.url))

    def _record(self, is_fault: bool, told: str) -> None:
        if is_fault:
            self.faults.append(told)


Looks = Callable[..., AbstractContextManager[Visit]]


# One of each for all files of this folder, and no longer: Playwright keeps an event loop running, which others may not.


@pytest.fixture(scope="package")
def dashboard(server: Server, built_template: str) -> Iterator[Dashboard]:
    owners = two_owners(server, built_template)
    with (
        copy_of(server, owners, name=f"{NAME}_browser") as database,
        served(create_app(settings_of(database, dashboard_connections=8)), headers={}) as client,
    ):
        yield Dashboard(owners, database, str(client.base_url).rstrip("/"))


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    where = find_program("chromium", package="chromium")
    expect.set_options(timeout=20_000)  # the machine may be busy
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=where, args=_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def looks(browser: Browser, dashboard: Dashboard) -> Looks:
    """Opens a page in a context of its own; `shop` signs its owner in by a link."""
    count_this_month(dashboard.database, dashboard.owners)

    @contextmanager
    def open_page(*, width: int = 1280, scheme: str = "light", shop: str | None = None, **more: Any) -> Iterator[Visit]:
        context = browser.new_context(
            viewport={"width": width, "height": 844}, color_scheme=scheme, base_url=dashboard.address, **more
        )
        try:
            visit = Visit(context.new_page(), dashboard.address)
            visit.record_faults()
            if shop is not None:
                visit.page.goto(dashboard.link(shop))
            yield visit
        finally:
            context.close()

    return open_page
