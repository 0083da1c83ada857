"""What the demo prints of a shop: its nine cards, and its customers by month."""

from typing import Any

from psycopg.rows import dict_row
from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ingest.storage.connections import Connection
from regulars.dashboard.cards import CARDS, Card
from regulars.dashboard.pages.formatting import amount, number, percent
from regulars.demo.sample_data import Shop

_Row = dict[str, Any]


_CARDS = """
    select
        shop_overview.*,
        coalesce(this_month.new_customers, 0) as new_customers_month
    from analytics.shop_overview
    left join analytics.monthly_acquisition as this_month
        on shop_overview.shop_id = this_month.shop_id
        and date_trunc('month', regulars.today(shop_overview.time_zone)) = this_month.month
    where shop_overview.shop_id = %s
"""


def read(connection: Connection, shop: Shop) -> tuple[_Row, list[_Row]]:
    """A shop's cards, and its rows of `monthly_acquisition` in order, by column name."""
    parameters = [shop.shop_id]
    with connection.cursor(row_factory=dict_row) as cursor:
        cards = cursor.execute(_CARDS, parameters).fetchone()
        months = cursor.execute("select * from analytics.monthly_acquisition where shop_id = %s", parameters).fetchall()
    return cards or {}, sorted(months, key=lambda row: row["month"])


def shop_panel(shop: Shop, cards: _Row, months: list[_Row], *, width: int) -> RenderableType:
    """A shop's nine cards, and its customers by month. An unknown number (None) is a dash, never 0."""
    grid = Table.grid(expand=True)
    texts = [
        Text.assemble((_formatted(card, cards, shop.currency), "bold"), "\n", (card.label, "dim"), "\n")
        for card in CARDS
    ]
    for first in range(0, len(texts), 3):
        grid.add_row(*texts[first : first + 3])
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for heading in ("Month", "New", "Returning", "Active", "Sales", f"Revenue {shop.currency}", ""):
        table.add_column(heading, justify="left" if heading in ("Month", "") else "right", no_wrap=True)
    scale = max(0, width - 70) / max((int(month["active_customers"]) for month in months), default=1)
    for month in months:
        new, returning, active = (int(month[f"{kind}_customers"]) for kind in ("new", "returning", "active"))
        head = round(new * scale)
        bar = Text.assemble(("▒" * head, "green"), ("█" * (round(active * scale) - head), "cyan"))
        counts = (number(count) for count in (new, returning, active, month["sales"]))
        table.add_row(f"{month['month']:%b %Y}", *counts, amount(month["net_amount"], shop.currency), bar)
    title = f"[bold]{shop.name}[/] · {shop.time_zone}"
    legend = "[green]▒[/] new [cyan]█[/] returning"
    return Panel(Group(grid, table), title=title, subtitle=legend, padding=(1, 2), width=width)


def _formatted(card: Card, cards: _Row, currency: str) -> str:
    value = cards.get(card.name)
    if value is None:
        return "—"
    if card.kind == "money":
        return f"{currency} {amount(value, currency)}"
    share = cards.get(card.share) if card.share else None
    return number(value) if share is None else f"{number(value)} ({percent(share / 100)})"
