"""The figure of the forecast page: the expected purchases, and the error of the last prediction."""

from collections.abc import Sequence
from decimal import Decimal

from regulars.dashboard.language.catalogue import gettext as _
from regulars.dashboard.pages.figures import Figure
from regulars.dashboard.pages.formatting import day, money, number, percent
from regulars.dashboard.pages.reasons import reason
from regulars.dashboard.schemas import ForecastError, ForecastFit, ForecastHorizon


def forecast(
    fits: Sequence[ForecastFit],
    horizons: Sequence[ForecastHorizon],
    errors: Sequence[ForecastError],
    *,
    currency: str,
) -> Figure:
    """`fits`: the attempts, the latest first. It draws the purchases that the fit in use expects."""
    if not horizons:
        return Figure("forecast", (), _why_not(fits))
    rows = tuple(
        {"horizon": _("%(days)s days", days=row.horizon_days), "kind": kind, "purchases": float(purchases)}
        for row in horizons
        for kind, purchases in _bars(row, errors)
    )
    shortest = horizons[0]
    expected = {
        "days": shortest.horizon_days,
        "day": day(shortest.from_day),
        "purchases": number(shortest.expected_purchases),
        "customers": number(shortest.customers),
    }
    if shortest.expected_net_amount is None:
        answer = _(
            "In the %(days)s days from %(day)s on, about %(purchases)s purchases are expected of the %(customers)s "
            "customers so far.",
            **expected,
        )
    else:
        answer = _(
            "In the %(days)s days from %(day)s on, about %(purchases)s purchases are expected of the %(customers)s "
            "customers so far, worth %(amount)s.",
            **expected,
            amount=money(shortest.expected_net_amount, currency),
        )
    answer += f" {error(next((e for e in errors if e.horizon_days == shortest.horizon_days), None))}"
    summary = _("Bars of the purchases that are expected within each horizon. %(answer)s", answer=answer)
    return Figure("forecast", rows, summary, answer)


def error(row: ForecastError | None) -> str:
    """How wrong the last prediction over these days was, or when it can be known."""
    if row is None or row.actual_purchases is None or row.expected_purchases is None:
        when = row.next_matures_on if row else None
        if when is None:
            return ""
        return _("From %(day)s on, the first such prediction can be compared with what came.", day=day(when))
    told: dict[str, object] = {"expected": number(row.expected_purchases), "came": number(row.actual_purchases)}
    if row.purchases_error is None:
        return _("The last such prediction expected %(expected)s, and %(came)s came.", **told)
    if row.purchases_error == 0:
        return _("The last such prediction expected %(expected)s, and %(came)s came: exact.", **told)
    told["percent"] = percent(abs(row.purchases_error) / 100)
    if row.purchases_error > 0:
        return _("The last such prediction expected %(expected)s, and %(came)s came: %(percent)s too many.", **told)
    return _("The last such prediction expected %(expected)s, and %(came)s came: %(percent)s too few.", **told)


def _bars(row: ForecastHorizon, errors: Sequence[ForecastError]) -> list[tuple[str, Decimal | int]]:
    bars: list[tuple[str, Decimal | int]] = [(_("Expected next"), row.expected_purchases)]
    last = next((e for e in errors if e.horizon_days == row.horizon_days), None)
    if last and last.expected_purchases is not None and last.actual_purchases is not None:
        bars += [(_("Expected last time"), last.expected_purchases), (_("Came"), last.actual_purchases)]
    return bars


def _why_not(fits: Sequence[ForecastFit]) -> str:
    if not fits:
        return _("Not predicted yet: a refresh fits the shop once a week, as soon as enough customers have come back.")
    why = reason(fits[0].reason) if fits[0].reason else _("the fit did not converge")
    return _("Not predicted yet: %(reason)s.", reason=why)
