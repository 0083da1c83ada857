"""BG/NBD: how often customers buy until they drop out, neither of which a shop can see.

Fader, Hardie & Lee, "'Counting Your Customers' the Easy Way: An Alternative to the Pareto/NBD Model", Marketing Science
24 (2005), 275-284; equation numbers are theirs. A customer buys at a rate that is gamma(r, alpha) among customers, and
drops out after a purchase with a probability that is beta(a, b) among them.

Of each customer it needs three numbers: `repeats` (x), the purchase days after the first; `last` (t_x), the weeks from
the first to the last of them, 0 without a repeat; and `age` (T), the weeks from the first to the end of the data.
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

Numbers = NDArray[np.float64]

# Beyond these a parameter isn't that of a real shop: a mean rate, or a share of customers, of a ten-thousandth.
LOWEST, HIGHEST = 1e-4, 1e4


@dataclass(frozen=True, slots=True)
class Histories:
    """Distinct purchase histories, one array each, and how many customers have each of them. Times are in weeks."""

    repeats: Numbers
    last: Numbers
    age: Numbers
    customers: Numbers


@dataclass(frozen=True, slots=True)
class Parameters:
    """r and alpha: of the purchase rate, purchases per week. a and b: of the probability to drop out."""

    r: float
    alpha: float
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class Fit:
    """The likeliest parameters; `reason` says why they can't be used, or is None."""

    parameters: Parameters
    log_likelihood: float
    reason: str | None


def log_likelihood(parameters: Parameters, histories: Histories) -> float:
    """The logarithm of the likelihood of all customers' histories (6), summed in logarithms so that none underflows."""
    r, alpha, a, b = parameters.r, parameters.alpha, parameters.a, parameters.b
    x = histories.repeats.astype(np.intp)
    # What depends on x alone is computed once for each x.
    counts = np.arange(x.max() + 1)
    common = (gammaln(r + counts) - gammaln(r) + r * np.log(alpha) - betaln(a, b))[x]
    still_here = betaln(a, b + counts)[x] - (r + x) * np.log(alpha + histories.age)
    # B(a + 1, b + x - 1) has no meaning without a repeat, and isn't used there.
    gone = betaln(a + 1, b + np.maximum(counts, 1) - 1)[x] - (r + x) * np.log(alpha + histories.last)
    each = common + np.where(x > 0, np.logaddexp(still_here, gone), still_here)
    return float(np.dot(histories.customers, each))


def fit(histories: Histories) -> Fit:
    """Maximum likelihood, searched over the parameters' logarithms."""
    size = float(histories.customers.sum())
    mean_age = max(float(np.dot(histories.customers, histories.age)) / size, 1.0)

    def loss(logs: Numbers) -> float:
        value = -log_likelihood(_parameters(logs), histories) / size
        return value if np.isfinite(value) else 1e10

    bounds = [(np.log(LOWEST), np.log(HIGHEST))] * 4
    # The values of a typical shop; if the search fails, those of a shop in which hardly anybody drops out.
    for start in ((0.5, mean_age / 4, 0.8, 2.5), (1.0, mean_age, 0.3, 10.0)):
        found = minimize(loss, np.log(start), method="L-BFGS-B", bounds=bounds, tol=1e-11)
        parameters = _parameters(found.x)
        reason = _reason(parameters, histories, has_ended=bool(found.success))
        if reason is None:
            break
    return Fit(parameters, log_likelihood(parameters, histories), reason)


def probability_alive(parameters: Parameters, histories: Histories) -> Numbers:
    """The probability that a customer has not dropped out by the end of the data; 1 without a repeat, as the model
    lets nobody leave before one. Fader, Hardie & Lee, "Computing P(alive) Using the BG/NBD Model" (2008), (5)."""
    r, alpha, a, b = parameters.r, parameters.alpha, parameters.a, parameters.b
    x, last, age = histories.repeats, histories.last, histories.age
    log_odds_gone = (
        np.log(a) - np.log(b + np.maximum(x, 1) - 1) + (r + x) * (np.log(alpha + age) - np.log(alpha + last))
    )
    alive = np.exp(-np.logaddexp(0.0, log_odds_gone))
    return cast("Numbers", np.where(x > 0, alive, 1.0))


def expected_purchases(parameters: Parameters, histories: Histories, *, weeks: float) -> Numbers:
    """Purchase days that a customer is expected to have in the `weeks` after the end of the data (10).

    Theirs is (1 - z)^(r + x) * 2F1(r + x, b + x; c; z), Euler's transform of it (1 - z)^(a - 1) * 2F1(c - r - x, a - 1;
    c; z). One factor underflows while the other overflows, for a frequent buyer or where `a` is large: of the two, the
    form with the smaller exponent is computed.
    """
    r, alpha, b = parameters.r, parameters.alpha, parameters.b
    # The formula divides 0 by 0 at a = 1; next to it, it is its limit to six digits.
    a = parameters.a if abs(parameters.a - 1) > 1e-6 else 1 + 1e-6
    x, age = histories.repeats, histories.age
    z = weeks / (alpha + age + weeks)
    c = a + b + x - 1
    theirs = r + x < a - 1
    remaining = (1 - z) ** np.where(theirs, r + x, a - 1) * hyp2f1(
        np.where(theirs, r + x, c - r - x), np.where(theirs, b + x, a - 1), c, z
    )
    if_alive = c / (a - 1) * (1 - remaining)
    return cast("Numbers", np.maximum(if_alive, 0.0) * probability_alive(parameters, histories))


def _parameters(logs: Numbers) -> Parameters:
    return Parameters(*(float(value) for value in np.exp(logs)))


def _reason(parameters: Parameters, histories: Histories, *, has_ended: bool) -> str | None:
    if not has_ended:
        return "the search for the likeliest parameters did not end"
    at_limit = [
        f"{name} = {value:.4g}"
        for name, value in asdict(parameters).items()
        if not LOWEST * 1.01 < value < HIGHEST / 1.01
    ]
    if at_limit:
        return f"no parameters are the likeliest: the search ran to its limit ({', '.join(at_limit)})"
    # A shop's refresh doesn't fail for a figure that 2F1 can't give.
    with np.errstate(all="ignore"):
        expected = [expected_purchases(parameters, histories, weeks=weeks) for weeks in (0, 30 / 7, 90 / 7, 365 / 7)]
    if not all(np.all(np.isfinite(later)) and np.all(later >= earlier) for earlier, later in pairwise(expected)):
        return "what its parameters predict can't be computed"
    return None
