"""The figures of the page about where customers come from and what they buy: links, campaigns and networks."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from regulars.dashboard.language.catalogue import N_, ngettext
from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.pages.figures import Figure, named, span
from regulars.dashboard.pages.formatting import money, number, percent, shortened
from regulars.dashboard.pages.months import months_between
from regulars.dashboard.period_schemas import PeriodLink
from regulars.dashboard.schemas import CampaignRow, LinkRow, NetworkMonth, NetworkSwitch

MAX_LINKS = 12
MAX_MONTHS = 24
MAX_NETWORKS = 5
MAX_COLUMNS = 12
UNKNOWN = "unknown"
OTHERS = N_("other networks")


def links(rows: Sequence[LinkRow | PeriodLink], *, currency: str) -> Figure:
    """The links with the largest revenue, each by its own sales and by those to the customers whom it brought."""
    sold = sorted(
        (row for row in rows if row.sales or row.first_touch_net_amount),
        key=lambda row: row.last_touch_net_amount,
        reverse=True,
    )
    if not sold:
        return Figure("links", (), _("No link has brought a sale yet."))
    drawn = tuple(
        {"link": _called(row.link), "rank": rank, "touch": touch, "net": float(net)}
        for rank, row in enumerate(sold[:MAX_LINKS])
        for touch, net in ((_("Last touch"), row.last_touch_net_amount), (_("First touch"), row.first_touch_net_amount))
    )
    largest = ", ".join(
        f"{shortened(_called(row.link))} {money(row.last_touch_net_amount, currency)}" for row in sold[:3]
    )
    known = [row for row in sold if row.link != UNKNOWN]
    answer = _("No sale has come by a known link yet.")
    if known:
        best = known[0]
        answer = ngettext(
            "%(link)s brought the most: %(last)s by its own sales, and %(first)s by all sales to the %(customers)s "
            "customer whose first purchase it brought.",
            "%(link)s brought the most: %(last)s by its own sales, and %(first)s by all sales to the %(customers)s "
            "customers whose first purchase it brought.",
            best.new_customers,
            link=shortened(best.link),
            last=money(best.last_touch_net_amount, currency),
            first=money(best.first_touch_net_amount, currency),
            customers=number(best.new_customers),
        )
    return Figure(
        "links",
        drawn,
        _("Bars of the revenue that each link brought, the largest first: %(links)s.", links=largest),
        answer,
        _("The picture shows the %(shown)s links with the largest revenue of %(all)s.", shown=MAX_LINKS, all=len(sold))
        if len(sold) > MAX_LINKS
        else "",
    )


def _called(link: str) -> str:
    return _("no link") if link == UNKNOWN else link


def campaigns(rows: Sequence[CampaignRow], *, currency: str) -> str:
    """The answer in a sentence, without a picture: most shops have a few campaigns or none."""
    of_campaigns = [row for row in rows if campaign_name(row)]
    if not of_campaigns:
        return _("No visit has named a campaign yet. A link names one by utm_source, utm_medium and utm_campaign.")
    best = max(of_campaigns, key=lambda row: row.last_touch_net_amount)
    return _(
        "%(campaign)s brought the most: %(sales)s from %(visits)s, %(amount)s.",
        campaign=shortened(campaign_name(best)),
        sales=ngettext("%(count)s sale", "%(count)s sales", best.sales, count=number(best.sales)),
        visits=ngettext("%(count)s visit", "%(count)s visits", best.visits, count=number(best.visits)),
        amount=money(best.last_touch_net_amount, currency),
    )


def campaign_name(row: CampaignRow) -> str:
    """Its source, medium and name, as far as they are known; empty if none is."""
    return " · ".join(name for name in (row.utm_source, row.utm_medium, row.utm_campaign) if name != UNKNOWN)


def networks(months: Sequence[NetworkMonth], switches: Sequence[NetworkSwitch], *, unfinished: date) -> Figure:
    """Each network's share of a month's sales; the smaller ones are drawn together."""
    if not months:
        return Figure("networks", (), _("Nobody has bought yet: the first sale names the first network."))
    shown = months_between(months[0].month, months[-1].month, most=MAX_MONTHS)
    names = main_networks(months)
    shares: defaultdict[tuple[date, str], Decimal] = defaultdict(Decimal)
    for row in months:
        shares[row.month, row.network if row.network in names else OTHERS] += row.share_of_sales
    drawn = tuple(
        {"month": month.isoformat(), "network": network_name(name), "rank": rank, "share": float(shares[month, name])}
        for month in shown
        for rank, name in enumerate([*names, OTHERS] if len({row.network for row in months}) > len(names) else names)
    )
    last = months[-1].month
    of_last = [row for row in months if row.month == last]
    answer = _(
        "Of the sales of %(month)s: %(shares)s. %(switched)s",
        month=named(last, unfinished),
        shares=", ".join(f"{network_name(row.network)} {percent(row.share_of_sales, 0)}" for row in of_last[:3]),
        switched=_switched(switches, last, is_over=last < unfinished),
    )
    return Figure(
        "networks",
        drawn,
        _(
            "Columns of each network's share of sales by month, %(months)s. %(answer)s",
            months=span(shown[0], shown[-1]),
            answer=answer,
        ),
        answer,
        _("The picture shows the latest %(months)s months.", months=MAX_MONTHS) if shown[0] > months[0].month else "",
    )


def network_name(network: str) -> str:
    """The storefront's name, or the words for no network."""
    return {UNKNOWN: _("unknown"), OTHERS: _(OTHERS)}.get(network, network)


def main_networks(months: Sequence[NetworkMonth], *, limit: int = MAX_NETWORKS) -> list[str]:
    """The networks with the most sales over all months, the largest first."""
    sales: Counter[str] = Counter()
    for row in months:
        sales[row.network] += row.sales
    return [name for name, _ in sales.most_common(limit)]


def network_table(months: Sequence[NetworkMonth]) -> tuple[list[str], dict[date, dict[str, NetworkMonth]]]:
    """The networks with the most sales, and each one's row by month, the latest first."""
    by_month: dict[date, dict[str, NetworkMonth]] = {}
    for row in reversed(months):
        by_month.setdefault(row.month, {})[row.network] = row
    return main_networks(months, limit=MAX_COLUMNS), by_month


def _switched(switches: Sequence[NetworkSwitch], month: date, *, is_over: bool) -> str:
    of_month = [row for row in switches if row.month == month]
    if not switches and is_over:
        return _("No customer's main network has changed.")
    if not switches:
        return _("No customer's main network has changed so far.")
    if not of_month and is_over:
        return _("No customer's main network has changed in that month.")
    if not of_month:
        return _("No customer's main network has changed in that month so far.")
    total, most = sum(row.switches for row in of_month), max(of_month, key=lambda row: row.switches)
    networks = {"before": network_name(most.from_network), "after": network_name(most.to_network)}
    if total == 1:
        return _("Customers' main network changed once, from %(before)s to %(after)s.", **networks)
    if total == most.switches:
        return _(
            "Customers' main network changed %(times)s times, from %(before)s to %(after)s.",
            times=number(total),
            **networks,
        )
    return _(
        "Customers' main network changed %(times)s times, most often from %(before)s to %(after)s (%(most)s).",
        times=number(total),
        most=number(most.switches),
        **networks,
    )
