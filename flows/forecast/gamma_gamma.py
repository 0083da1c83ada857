"""Gamma-gamma: how much a customer spends on a purchase day, if that doesn't depend on how often they buy.

Fader, Hardie & Lee, "RFM and CLV: Using Iso-Value Curves for Customer Base Analysis", Journal of Marketing Research 42
(2005), 415-430; Fader & Hardie, "The Gamma-Gamma Model of Monetary Value" (2013), whose equation numbers these are. A
purchase's amount is gamma(p, nu), and nu is gamma(q, v) among customers.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from flows.forecast.bgnbd import Numbers

# Beyond these, amounts of so many purchases don't determine q or p.
LOWEST, HIGHEST = 1e-3, 1e4

# The model takes amounts to be independent of frequency. Beyond this it would be wrong about the best customers.
HIGHEST_CORRELATION = 0.3


@dataclass(frozen=True, slots=True)
class Spending:
    """Per customer with a positive repeat amount: the number of repeat purchase days, and their mean amount."""

    repeats: Numbers
    amounts: Numbers


@dataclass(frozen=True, slots=True)
class AmountParameters:
    """p and q have no unit; v is an amount in the shop's currency."""

    p: float
    q: float
    v: float


@dataclass(frozen=True, slots=True)
class AmountFit:
    """The likeliest parameters, or the `reason` why none can be used."""

    parameters: AmountParameters | None
    log_likelihood: float | None
    reason: str | None


def log_likelihood(parameters: AmountParameters, spending: Spending) -> float:
    """The logarithm of the likelihood of all customers' mean amounts (1a)."""
    p, q, v = parameters.p, parameters.q, parameters.v
    x, m = spending.repeats, spending.amounts
    each = (
        gammaln(p * x + q)
        - gammaln(p * x)
        - gammaln(q)
        + q * np.log(v)
        + (p * x - 1) * np.log(m)
        + p * x * np.log(x)
        - (p * x + q) * np.log(v + m * x)
    )
    return float(each.sum())


def fit(spending: Spending, *, floor: int) -> AmountFit:
    """Maximum likelihood; nothing where fewer than `floor` customers have an amount, or the model doesn't apply."""
    customers = len(spending.amounts)
    if customers < floor:
        return _none(f"{customers} customers have repeat purchases with a positive amount; {floor} are needed")
    if np.ptp(spending.amounts) == 0:
        return _none("all customers spend the same")
    correlation = float(np.corrcoef(spending.repeats, spending.amounts)[0, 1]) if np.ptp(spending.repeats) else 0.0
    if abs(correlation) > HIGHEST_CORRELATION:
        return _none(
            f"amounts depend on how often a customer buys (correlation {correlation:.2f}; "
            f"the model allows {HIGHEST_CORRELATION})"
        )
    # In units of the mean, so that the search doesn't depend on the currency.
    mean = float(spending.amounts.mean())
    scaled = Spending(repeats=spending.repeats, amounts=spending.amounts / mean)

    def loss(logs: Numbers) -> float:
        value = -log_likelihood(_parameters(logs), scaled) / customers
        return value if np.isfinite(value) else 1e10

    bounds = [(np.log(LOWEST), np.log(HIGHEST))] * 3
    found = minimize(loss, np.log((5.0, 4.0, 1.0)), method="L-BFGS-B", bounds=bounds, tol=1e-11)
    parameters = _parameters(found.x, mean=mean)
    at_limit = any(not np.log(LOWEST) + 0.01 < value < np.log(HIGHEST) - 0.01 for value in found.x)
    found_text = f"p = {parameters.p:.4g}, q = {parameters.q:.4g}, v = {parameters.v:.4g}"
    if not found.success or at_limit:
        return _none(f"no parameters are the likeliest: the search ended at {found_text}")
    if parameters.q <= 1:
        return _none(f"the mean amount has no finite expectation ({found_text})")
    return AmountFit(parameters, log_likelihood(parameters, spending), None)


def expected_amount(parameters: AmountParameters, *, repeats: Numbers, amounts: Numbers) -> Numbers:
    """What a customer is expected to spend on a purchase day (5): their own mean, drawn towards that of all.

    Without a repeat (`repeats` and `amounts` 0) it is the mean of all customers, p v / (q - 1).
    """
    p, q, v = parameters.p, parameters.q, parameters.v
    return p * (v + repeats * amounts) / (p * repeats + q - 1)


def _none(reason: str) -> AmountFit:
    return AmountFit(None, None, reason)


def _parameters(logs: Numbers, *, mean: float = 1.0) -> AmountParameters:
    p, q, v = (float(value) for value in np.exp(logs))
    return AmountParameters(p, q, v * mean)
