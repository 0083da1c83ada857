"""BG/NBD and gamma-gamma against the literature, against integrals, and at their edges."""

from collections import Counter
from datetime import date
from itertools import pairwise
from math import exp, lgamma, log

import numpy as np
import pytest
from scipy import integrate

from flows.forecast import bgnbd, gamma_gamma
from flows.forecast.bgnbd import Histories, Parameters
from flows.forecast.gamma_gamma import AmountParameters, Spending
from tests.cdnow import CALIBRATION_END, Days, purchase_days

# What the literature reports for the sample: r, alpha, a, b.
PAPER = Parameters(0.243, 4.414, 0.793, 2.426)


def histories_of(days: Days, *, through: date) -> Histories:
    counted: Counter[tuple[int, int, int]] = Counter()
    for bought in days.values():
        known = sorted(day for day in bought if day <= through)
        counted[(len(known) - 1, (known[-1] - known[0]).days, (through - known[0]).days)] += 1
    repeats, last, age = np.array(list(counted), dtype=np.float64).T
    return Histories(repeats, last / 7, age / 7, np.array(list(counted.values()), dtype=np.float64))


def spending_of(days: Days, *, through: date) -> Spending:
    rows = []
    for bought in days.values():
        known = sorted(day for day in bought if day <= through)
        amount = sum(float(bought[day]) for day in known[1:])
        if amount > 0:
            rows.append((len(known) - 1, amount / (len(known) - 1)))
    repeats, amounts = np.array(rows, dtype=np.float64).T
    return Spending(repeats, amounts)


def _gamma_density(value: float, shape: float, rate: float) -> float:
    return exp(shape * log(rate) - lgamma(shape) + (shape - 1) * log(value) - rate * value) if value else 0.0


def _beta_density(value: float, a: float, b: float) -> float:
    return exp(lgamma(a + b) - lgamma(a) - lgamma(b) + (a - 1) * log(value) + (b - 1) * log(1 - value))


def one(repeats: float, last: float, age: float) -> Histories:
    return Histories(*(np.array([value], dtype=np.float64) for value in (repeats, last, age, 1)))


@pytest.mark.parametrize(
    ("sample", "customers", "parameters", "log_likelihood"),
    [
        (True, 2_357, (0.243, 4.414, 0.793, 2.426), -9_582.4),
        (False, 23_570, (0.2516, 4.789, 0.7234, 2.161), -95_368.4),
    ],
    ids=["the literature's sample", "all customers"],
)
def test_the_fit_to_cdnow_is_that_of_the_literature(
    sample: bool, customers: int, parameters: tuple[float, ...], log_likelihood: float
) -> None:
    histories = histories_of(purchase_days(sample=sample), through=CALIBRATION_END)
    assert histories.customers.sum() == customers
    found = bgnbd.fit(histories)
    assert found.reason is None
    fitted = (found.parameters.r, found.parameters.alpha, found.parameters.a, found.parameters.b)
    assert fitted == pytest.approx(parameters, abs=6e-4)
    assert found.log_likelihood == pytest.approx(log_likelihood, abs=0.06)


def test_the_amounts_of_cdnows_sample_are_those_of_the_literature() -> None:
    """Fader & Hardie (2013), section 4: 946 customers, p 6.25, q 3.74, v 15.44."""
    spending = spending_of(purchase_days(sample=True), through=CALIBRATION_END)
    found = gamma_gamma.fit(spending, floor=100)
    assert len(spending.amounts) == 946
    assert found.reason is None
    assert found.parameters is not None
    assert found.parameters.p == pytest.approx(6.25, abs=0.01)
    assert found.parameters.q == pytest.approx(3.74, abs=0.01)
    assert found.parameters.v == pytest.approx(15.44, abs=0.02)


def test_the_paper_s_customer_is_expected_to_buy_as_often_as_it_says() -> None:
    """The example of "Implementing the BG/NBD Model in Excel" (2005): x 2, t_x 30.43, T 38.86, 39 weeks, 1.226."""
    assert bgnbd.expected_purchases(PAPER, one(2, 30.43, 38.86), weeks=39)[0] == pytest.approx(1.226, abs=5e-4)


@pytest.mark.parametrize("history", [(0, 0, 30), (1, 5, 30), (4, 20.5, 31), (7, 12, 12)])
def test_the_likelihood_is_the_integral_over_all_rates_and_dropouts(history: tuple[float, float, float]) -> None:
    repeats, last, age = history

    def integrand(p: float, rate: float) -> float:
        still_here = (1 - p) ** repeats * rate**repeats * exp(-rate * age)
        gone = p * (1 - p) ** (repeats - 1) * rate**repeats * exp(-rate * last) if repeats else 0.0
        return (still_here + gone) * _gamma_density(rate, 2.0, 6.0) * _beta_density(p, 1.5, 2.5)

    expected, _ = integrate.dblquad(integrand, 0, 6, 0, 1, epsabs=0, epsrel=1e-7)
    found = bgnbd.log_likelihood(Parameters(2.0, 6.0, 1.5, 2.5), one(repeats, last, age))
    assert found == pytest.approx(log(expected), abs=1e-5)


@pytest.mark.parametrize(
    ("a", "b"), [(0.4, 2.2), (1 - 1e-9, 2.2), (1.0, 2.2), (1 + 1e-5, 2.2), (2.7, 2.2), (2_600, 1_820)]
)
@pytest.mark.parametrize("history", [(0, 0, 30), (3, 20, 31), (60, 50, 52)])
@pytest.mark.parametrize("weeks", [30 / 7, 365 / 7])
def test_expected_purchases_are_the_integral_over_all_dropouts(
    a: float, b: float, history: tuple[float, float, float], weeks: float
) -> None:
    """Of a customer who is alive: (1 - exp(-rate p t)) / p, over the rate and over p given the history."""
    repeats, last, age = history
    parameters = Parameters(0.8, 5.0, a, b)

    def integrand(p: float) -> float:
        stays = (1 + p * weeks / (5.0 + age)) ** -(0.8 + repeats)
        return (1 - stays) / p * _beta_density(p, a, b + repeats)

    # Where all drop out alike, the density is a narrow peak.
    mean = a / (a + b + repeats)
    parts = sorted({0.0, 1e-3, 1e-2, 0.1, 0.9 * mean, mean, 1 - 0.9 * (1 - mean), 1.0})
    if_alive = sum(integrate.quad(integrand, *ends, limit=200)[0] for ends in pairwise(parts))
    alive = bgnbd.probability_alive(parameters, one(repeats, last, age))[0]
    found = bgnbd.expected_purchases(parameters, one(repeats, last, age), weeks=weeks)[0]
    assert found == pytest.approx(if_alive * alive, rel=1e-4)


def test_the_probability_to_be_alive_follows_from_the_odds_of_having_left() -> None:
    # Worked by hand: it is 1/3 * ((4 + 16) / (4 + 6))^3 = 8/3 times as likely that they left after the last purchase.
    assert bgnbd.probability_alive(Parameters(1.0, 4.0, 1.0, 2.0), one(2, 6, 16))[0] == pytest.approx(3 / 11)
    assert bgnbd.probability_alive(PAPER, one(0, 0, 31))[0] == 1


@pytest.mark.parametrize(
    "history",
    [(0, 0, 0), (0, 0, 5_000), (2_000, 1_999, 2_000), (2_000, 285, 5_000), (1, 0.15, 5_000)],
    ids=["today", "a century ago", "every day", "every day, long gone", "twice, long gone"],
)
def test_extreme_histories_have_finite_figures(history: tuple[float, float, float]) -> None:
    for parameters in (PAPER, Parameters(1e-3, 1e-3, 1e-3, 1e-3), Parameters(5e3, 5e3, 5e3, 5e3)):
        single = one(*history)
        assert np.isfinite(bgnbd.log_likelihood(parameters, single))
        assert 0 <= bgnbd.probability_alive(parameters, single)[0] <= 1
        for weeks in (30 / 7, 365 / 7):
            expected = bgnbd.expected_purchases(parameters, single, weeks=weeks)[0]
            assert 0 <= expected < 10_000


def test_parameters_whose_predictions_are_beyond_the_numbers_of_a_computer_are_refused() -> None:
    extreme = Parameters(9_000, 1, 9_000, 9_000)
    assert "can't be computed" in str(bgnbd._reason(extreme, one(3, 20, 100), has_ended=True))
    assert bgnbd._reason(PAPER, one(3, 20, 100), has_ended=True) is None


def test_customers_who_all_bought_once_have_no_likeliest_parameters() -> None:
    ages = np.arange(1, 101, dtype=np.float64)
    none = np.zeros_like(ages)
    found = bgnbd.fit(Histories(none, none, ages, np.full_like(ages, 10_000)))
    assert found.reason is not None
    assert "limit" in found.reason


@pytest.mark.parametrize("amounts", [(3.0, 7.5), (25.0, 0.01)])
def test_the_likelihood_of_amounts_is_the_integral_over_all_scales(amounts: tuple[float, float]) -> None:
    p, q, v = 2.5, 3.0, 12.0
    repeats = (1.0, 4.0)

    def density(amount: float, count: float) -> float:
        def integrand(scale: float) -> float:
            return _gamma_density(amount, p * count, scale * count) * _gamma_density(scale, q, v)

        return float(integrate.quad(integrand, 0, 20, epsabs=0, limit=500)[0])

    expected = sum(log(density(amount, count)) for amount, count in zip(amounts, repeats, strict=True))
    found = gamma_gamma.log_likelihood(AmountParameters(p, q, v), Spending(np.array(repeats), np.array(amounts)))
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_customer_s_expected_amount_lies_between_their_own_mean_and_everybody_s() -> None:
    parameters = AmountParameters(6.25, 3.74, 15.44)
    everybody = 6.25 * 15.44 / 2.74
    expected = gamma_gamma.expected_amount(
        parameters, repeats=np.array([0.0, 1.0, 50.0]), amounts=np.array([0.0, 100.0, 100.0])
    )
    assert expected[0] == pytest.approx(everybody)
    assert everybody < expected[1] < expected[2] < 100


@pytest.mark.parametrize(
    ("repeats", "amounts", "reason"),
    [
        (np.full(50, 2.0), np.linspace(1, 9, 50), "50 customers"),
        (np.arange(1, 201.0), np.full(200, 10.0), "spend the same"),
        (np.arange(1, 201.0), np.arange(1, 201.0), "correlation 1.00"),
        (np.full(0, 1.0), np.full(0, 1.0), "0 customers"),
    ],
    ids=["too few", "one price", "frequent buyers spend more", "nobody"],
)
def test_amounts_that_the_model_does_not_fit_are_refused_with_the_reason(
    repeats: np.ndarray, amounts: np.ndarray, reason: str
) -> None:
    found = gamma_gamma.fit(Spending(repeats, amounts), floor=100)
    assert found.parameters is None
    assert found.reason is not None
    assert reason in found.reason
