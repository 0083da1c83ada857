"""How soon an owner sees something on a slow phone: `python -m benchmarks.first_paint --help`.

Chromium at 390 pixels, its processor slowed down four times, over a slow 4G network as Lighthouse defines it (150 ms
there and back, 1.6 Mbit/s down, 750 kbit/s up), which it emulates. Each page is opened in a new context, so with an
empty cache, and then again. The first and the largest contentful paint are the browser's own figures, counted from the
click. The pages are of a shop with some thousands of customers.
"""

import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from playwright.sync_api import Browser, Page, sync_playwright
from pydantic import SecretStr
from rich.console import Console

from benchmarks.database import open_database, own_database
from benchmarks.generated_orders import generate_orders, settle
from benchmarks.served import served
from flows.steps import run_refresh
from ingest.storage.settings import Settings
from regulars.dashboard.security.tokens import Keys

RESULTS = Path(__file__).with_name("first_paint.json")
PAGES = ("/", "/customers", "/retention", "/links", "/forecast", "/segments")

_SECRET = "the-secret-of-the-benchmark-and-of-nothing-else"
_SLOWER = 4
_NETWORK = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1.6e6 / 8,
    "uploadThroughput": 750e3 / 8,
}

# Resolves once nothing larger was painted for half a second.
_PAINTS = """
() => new Promise(resolve => {
  let largest = 0, timer;
  const settled = () => {
    const first = performance.getEntriesByName("first-contentful-paint")[0];
    const bytes = performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
      .reduce((sum, entry) => sum + entry.transferSize, 0);
    resolve({first: first ? first.startTime : null, largest, bytes});
  };
  new PerformanceObserver(list => {
    for (const entry of list.getEntries()) largest = entry.startTime;
    clearTimeout(timer);
    timer = setTimeout(settled, 500);
  }).observe({type: "largest-contentful-paint", buffered: true});
  timer = setTimeout(settled, 5000);
})
"""


@dataclass(frozen=True, slots=True)
class Paint:
    """Milliseconds, medians; and the bytes that came over the network."""

    page: str
    cache: str
    first_ms: int
    largest_ms: int
    kilobytes: float


def measure(browser: Browser, address: str, keys: Keys, owner: str, *, times: int) -> Iterator[Paint]:
    for path in PAGES:
        paints: dict[str, list[dict[str, float]]] = {"empty": [], "filled": []}
        for _ in range(times):
            context = browser.new_context(viewport={"width": 390, "height": 844}, base_url=address)
            page = context.new_page()
            page.goto(f"/sign-in?token={keys.sign_in_link_token(owner)}")
            page.context.new_cdp_session(page).send("Network.clearBrowserCache")
            _slow_down(page)
            for taken in paints.values():
                page.goto(path)
                if page.locator("form[action='/sign-out']").count() != 1:
                    raise RuntimeError(f"{path} is not the owner's page")
                taken.append(page.evaluate(_PAINTS))
                page.goto("about:blank")
            context.close()
        for cache, taken in paints.items():
            yield Paint(
                path,
                cache,
                first_ms=round(median(each["first"] for each in taken)),
                largest_ms=round(median(each["largest"] for each in taken)),
                kilobytes=round(median(each["bytes"] for each in taken) / 1000, 1),
            )


def _slow_down(page: Page) -> None:
    tools = page.context.new_cdp_session(page)
    tools.send("Network.enable")
    tools.send("Network.emulateNetworkConditions", _NETWORK)
    tools.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWER})


def main(
    orders: Annotated[int, typer.Option(help="Orders of 200 shops; the largest is looked at")] = 200_000,
    times: Annotated[int, typer.Option(help="How often each page is opened")] = 5,
    quick: Annotated[bool, typer.Option(help="Few of everything: to see that it runs")] = False,
    results: Annotated[Path, typer.Option(help="Where the figures go")] = RESULTS,
) -> None:
    """Measure the first paint of every page on a slow phone."""
    orders, times = (5_000, 1) if quick else (orders, times)
    console = Console(highlight=False)
    paints = []
    with own_database("regulars_bench_paint") as settings, open_database(settings) as connection:
        generate_orders(connection, orders)
        run_refresh(settings, mode="rebuild")
        settle(connection)
        row = connection.execute(
            "select user_id::text, count(*) from public.user_shops "
            "inner join analytics.customers on customers.shop_id = user_shops.id "
            "group by user_id order by 2 desc limit 1"
        ).fetchone()
        owner, customers = row or ("", 0)
        keys = Keys(Settings.from_environment().model_copy(update={"jwt_secret": SecretStr(_SECRET)}))
        with (
            served("dashboard", settings, {"REGULARS_JWT_SECRET": _SECRET}) as address,
            sync_playwright() as playwright,
        ):
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            for paint in measure(browser, address, keys, owner, times=times):
                paints.append(paint)
                console.print(" | ".join(["", *map(str, asdict(paint).values()), ""]).strip())
            browser.close()
    results.write_text(json.dumps([asdict(paint) for paint in paints], indent=1) + "\n")
    console.print(f"A shop of {customers:,} customers")


if __name__ == "__main__":
    typer.run(main)
