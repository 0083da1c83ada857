"""The figures of the page about where customers come from and what they buy: links, campaigns and networks."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from regulars.dashboard.pages.figures import Figure, span
from regulars.dashboard.pages.formatting import counted, full_month, money, number, percent, shortened
from regulars.dashboard.pages.months import months_between
from regulars.dashboard.period_schemas import PeriodLink
from regulars.dashboard.schemas import CampaignRow, LinkRow, NetworkMonth, NetworkSwitch

MAX_LINKS = 12
MAX_MONTHS = 24
MAX_NETWORKS = 5
MAX_COLUMNS = 12
UNKNOWN = "unknown"
OTHERS = "other networks"


def links(rows: Sequence[LinkRow | PeriodLink], *, currency: str, limit: int = MAX_LINKS) -> Figure:
    """The links with the largest revenue, each by its own sales and by those to the customers whom it brought."""
    sold = sorted(
        (row for row in rows if row.sales or row.first_touch_net_amount),
        key=lambda row: row.last_touch_net_amount,
        reverse=True,
    )
    if not sold:
        return Figure("links", (), "No link has brought a sale yet.")
    drawn = tuple(
        {"link": _called(row.link), "rank": rank, "touch": touch, "net": float(net)}
        for rank, row in enumerate(sold[:limit])
        for touch, net in (("Last touch", row.last_touch_net_amount), ("First touch", row.first_touch_net_amount))
    )
    largest = ", ".join(
        f"{shortened(_called(row.link))} {money(row.last_touch_net_amount, currency)}" for row in sold[:3]
    )
    known = [row for row in sold if row.link != UNKNOWN]
    answer = "No sale has come by a known link yet."
    if known:
        best = known[0]
        answer = (
            f"{shortened(best.link)} brought the most: {money(best.last_touch_net_amount, currency)} by its own sales, "
            "and "
            f"{money(best.first_touch_net_amount, currency)} by all sales to the "
            f"{counted(best.new_customers, 'customer')} whose first purchase it brought."
        )
    return Figure(
        "links",
        drawn,
        f"Bars of the revenue that each link brought, the largest first: {largest}.",
        answer,
        f"The picture shows the {limit} links with the largest revenue of {len(sold)}." if len(sold) > limit else "",
    )


def _called(link: str) -> str:
    return "no link" if link == UNKNOWN else link


def campaigns(rows: Sequence[CampaignRow], *, currency: str) -> str:
    """The answer in a sentence. There is no picture: most shops have a handful of campaigns, or none."""
    named = [row for row in rows if campaign_name(row)]
    if not named:
        return "No visit has named a campaign yet. A link names one by utm_source, utm_medium and utm_campaign."
    best = max(named, key=lambda row: row.last_touch_net_amount)
    return (
        f"{shortened(campaign_name(best))} brought the most: {counted(best.sales, 'sale')} from "
        f"{counted(best.visits, 'visit')}, {money(best.last_touch_net_amount, currency)}."
    )


def campaign_name(row: CampaignRow) -> str:
    """Its source, medium and name, as far as they are known; empty where none is."""
    return " · ".join(name for name in (row.utm_source, row.utm_medium, row.utm_campaign) if name != UNKNOWN)


def networks(months: Sequence[NetworkMonth], switches: Sequence[NetworkSwitch], *, unfinished: date) -> Figure:
    """Each network's share of a month's sales; the smaller ones are drawn together."""
    if not months:
        return Figure("networks", (), "Nobody has bought yet: the first sale names the first network.")
    shown = months_between(months[0].month, months[-1].month, most=MAX_MONTHS)
    names = main_networks(months)
    shares: defaultdict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for row in months:
        shares[row.month, row.network if row.network in names else OTHERS] += row.share_of_sales
    drawn = tuple(
        {"month": month.isoformat(), "network": name, "rank": rank, "share": float(shares[month, name])}
        for month in shown
        for rank, name in enumerate([*names, OTHERS] if len({row.network for row in months}) > len(names) else names)
    )
    last = months[-1].month
    of_last = [row for row in months if row.month == last]
    so_far = " so far" if last >= unfinished else ""
    parts = [f"{row.network} {percent(row.share_of_sales, 0)}" for row in of_last[:3]]
    answer = f"Of the sales of {full_month(last)}{so_far}: {', '.join(parts)}. {_switched(switches, last, so_far)}"
    return Figure(
        "networks",
        drawn,
        f"Columns of each network's share of sales by month, {span(shown[0], shown[-1])}. {answer}",
        answer,
        f"The picture shows the latest {MAX_MONTHS} months." if shown[0] > months[0].month else "",
    )


def main_networks(months: Sequence[NetworkMonth], *, limit: int = MAX_NETWORKS) -> list[str]:
    """The networks with the most sales over all months, the largest first."""
    sales: Counter[str] = Counter()
    for row in months:
        sales[row.network] += row.sales
    return [name for name, _ in sales.most_common(limit)]


def network_table(months: Sequence[NetworkMonth]) -> tuple[list[str], dict[date, dict[str, NetworkMonth]]]:
    """The networks with the most sales, and by month, the latest first, the row of each."""
    by_month: dict[date, dict[str, NetworkMonth]] = {}
    for row in reversed(months):
        by_month.setdefault(row.month, {})[row.network] = row
    return main_networks(months, limit=MAX_COLUMNS), by_month


def _switched(switches: Sequence[NetworkSwitch], month: date, so_far: str) -> str:
    of_month = [row for row in switches if row.month == month]
    if not of_month:
        return f"No customer's main network has changed{' in that month' if switches else ''}{so_far}."
    total, most = sum(row.switches for row in of_month), max(of_month, key=lambda row: row.switches)
    times = "once" if total == 1 else f"{number(total)} times"
    often = f" ({number(most.switches)})" if total > most.switches else ""
    most_often = "most often " if total > most.switches else ""
    return f"Customers' main network changed {times}, {most_often}from {most.from_network} to {most.to_network}{often}."
