"""The French catalogue is whole, and numbers, dates and stored reasons are written as the language does."""

import re
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, format_percent

from flows.forecast import bgnbd, fitting, gamma_gamma
from regulars.dashboard.language import choice
from regulars.dashboard.language.catalogue import DEFAULT, LANGUAGES, LOCALE, gettext, ngettext, speaking
from regulars.dashboard.pages import charts, comparisons, formatting, order_words, reasons, rhythm_words, segment_words
from regulars.dashboard.pages.figures import Figure
from regulars.dashboard.pages.files import _TABLES
from regulars.dashboard.period_schemas import PeriodNumbers
from regulars.dashboard.queries import definitions
from regulars.dashboard.queries.periods import PeriodQuery, resolve
from regulars.dashboard.schemas import CustomerRow
from regulars.dashboard.segment_schemas import CustomerAtRisk
from tests.rows import example

_ROOT = Path(__file__).resolve().parents[2]
_NARROW, _NO_BREAK = "\u202f", "\u00a0"


@pytest.fixture(scope="module")
def extracted(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The texts that the code and the templates hold, as `make texts` collects them."""
    where = tmp_path_factory.mktemp("texts") / "regulars.pot"
    subprocess.run(
        [
            sys.executable, "-m", "babel.messages.frontend", "--quiet", "extract", "--mapping-file", "pyproject.toml",
            "--keywords", "N_", "--output-file", str(where), "regulars/dashboard",
        ],
        check=True, cwd=_ROOT, timeout=60,
    )  # fmt: skip
    with where.open("rb") as file:
        return read_po(file)


@pytest.fixture(scope="module", params=[language for language in LANGUAGES if language != DEFAULT])
def translated(request: pytest.FixtureRequest) -> Catalog:
    with (LOCALE / request.param / "LC_MESSAGES" / "regulars.po").open("rb") as file:
        return read_po(file, locale=request.param)


def _messages(catalogue: Catalog) -> list[Message]:
    return [message for message in catalogue if message.id]


def _key(message: Message) -> tuple[object, object]:
    return message.id, message.context


def _all(texts: object) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)  # type: ignore[call-overload]


def test_the_catalogue_has_every_text_of_the_pages_and_no_other(extracted: Catalog, translated: Catalog) -> None:
    asked, known = ({_key(message) for message in _messages(of)} for of in (extracted, translated))
    assert (asked - known, known - asked) == (set(), set()), "run `make texts`, then translate what is new"
    assert len(asked) > 400


def test_every_text_is_translated_and_none_is_fuzzy(translated: Catalog) -> None:
    messages = _messages(translated)
    assert [message.id for message in messages if not all(_all(message.string)) or message.fuzzy] == []
    plural = [message for message in messages if message.pluralizable]
    assert plural
    assert {len(message.string) for message in plural} == {translated.num_plurals}


def test_placeholders_and_markup_are_the_same_in_both_languages(translated: Catalog) -> None:
    def parts(text: str) -> list[str]:
        return sorted(re.findall(r"%\(\w+\)s|</?\w+>", text))

    wrong = [
        (message.id, text)
        for message in _messages(translated)
        for english, text in zip(_all(message.id), _all(message.string), strict=True)
        if parts(text) != parts(english)
    ]
    assert wrong == []


def test_french_signs_have_their_spaces(translated: Catalog) -> None:
    bare = [
        text for message in _messages(translated) for text in _all(message.string)
        if re.search(r"[^\u202f\u00a0][;?!»](\s|$)|[^\u202f\u00a0\d]:\s|«[^\u00a0]|'", text)
    ]  # fmt: skip
    assert bare == []


@pytest.mark.parametrize("value", ["0", "7", "999", "1000", "12345.5", "1234567.895", "-4321.25"])
@pytest.mark.parametrize("language", list(LANGUAGES))
def test_numbers_are_those_of_the_cldr(language: str, value: str) -> None:
    with speaking(language):
        written = formatting.decimal(Decimal(value), 2)
        percent = formatting.percent(Decimal(value) / 100)
    cldr = format_decimal(Decimal(value), format="#,##0.00", locale=language, decimal_quantization=True)
    if not value.endswith("5"):  # Babel rounds half to even
        assert written == cldr.replace("-", "\u2212")
    assert percent.endswith(format_percent(0, locale=language).removeprefix("0"))


def test_money_dates_and_changes_are_written_as_each_language_does() -> None:
    def written() -> list[str]:
        return [
            formatting.money(Decimal("1234.5"), "GHS"), formatting.money(Decimal("1234"), "XOF"),
            formatting.amount(Decimal("1234.5"), "XOF"), formatting.percent(0.07), formatting.change(Decimal("-0.082")),
            formatting.number(1_234_567), formatting.volume(Decimal("1.50")), formatting.day(date(2026, 8, 1)),
            formatting.moment(datetime(2026, 2, 3, 4, 5, tzinfo=UTC), UTC), formatting.full_month(date(2026, 2, 1)),
            formatting.span(date(2026, 11, 1), date(2026, 11, 24)),
            formatting.span(date(2025, 12, 30), date(2026, 1, 2)),
        ]  # fmt: skip

    assert written() == [
        f"GHS{_NO_BREAK}1,234.50", f"XOF{_NO_BREAK}1,234", "1,235", "7.0%", "−8%", "1,234,567", "1.5", "1 Aug 2026",
        "3 Feb 2026, 04:05", "February 2026", "1 to 24 Nov 2026", "30 Dec 2025 to 2 Jan 2026",
    ]  # fmt: skip
    with speaking("fr"):
        assert written() == [
            f"1{_NARROW}234,50{_NO_BREAK}GHS", f"1{_NARROW}234{_NO_BREAK}F{_NARROW}CFA", f"1{_NARROW}235",
            f"7,0{_NO_BREAK}%", f"−8{_NO_BREAK}%", f"1{_NARROW}234{_NARROW}567", "1,5", "1er août 2026",
            "3 févr. 2026, 04:05", "février 2026", "1er au 24 nov. 2026", "30 déc. 2025 au 2 janv. 2026",
        ]  # fmt: skip


def test_nobody_and_one_are_singular_in_french_and_nobody_is_plural_in_english() -> None:
    counted = ("%(count)s sale", "%(count)s sales")
    assert [ngettext(*counted, n, count=n) for n in (0, 1, 2)] == ["0 sales", "1 sale", "2 sales"]
    with speaking("fr"):
        assert [ngettext(*counted, n, count=n) for n in (0, 1, 2)] == ["0 vente", "1 vente", "2 ventes"]


def test_what_moved_is_told_in_french() -> None:
    days = {"first_day": date(2026, 11, 18), "last_day": date(2026, 11, 24)}
    names = ("sales", "new_customers", "net_amount", "profit_amount", "refunded_amount")
    now, then = (PeriodNumbers.model_validate(dict.fromkeys(names, number) | days) for number in (107, 100))
    period = resolve(PeriodQuery(period="7"), today=date(2026, 11, 25))
    with speaking("fr"):
        (sales,) = (row for row in comparisons.by_day(period, now, then, currency="XOF") if row.name == "sales")
    assert (sales.label, sales.change) == ("Ventes", f"+7{_NO_BREAK}%")
    assert sales.sentence.replace(_NO_BREAK, " ") == (
        "Les 7 derniers jours : 107. C’est 7 % de plus que les 7 jours précédents : 100."
    )


@pytest.mark.parametrize(
    ("gap", "of_shop", "days", "english", "french"),
    [
        ("9", False, 24, "buys every 9 days; 24 days ago",
         "achète tous les 9 jours ; dernier achat : il y a 24 jours"),
        ("9.25", False, 1, "buys every 9.3 days; 1 day ago",
         "achète tous les 9,3 jours ; dernier achat : il y a 1 jour"),
        ("1", True, 0, "the shop's customers buy every day; today",
         "les clients de la boutique achètent tous les jours ; dernier achat : aujourd’hui"),
        (None, None, 2, "nobody has come back to the shop on another day yet; 2 days ago",
         "personne n’est encore revenu un autre jour à la boutique ; dernier achat : il y a 2 jours"),
    ],
)  # fmt: skip
def test_a_rhythm_is_told_in_both_languages(
    gap: str | None, of_shop: bool | None, days: int, english: str, french: str
) -> None:
    row = example(CustomerAtRisk, gap_days=gap, uses_shop_median=of_shop, days_since=days)
    assert rhythm_words.reason(row) == english
    with speaking("fr"):
        assert rhythm_words.reason(row).replace(_NO_BREAK, " ").replace(_NARROW, " ") == french


def _stored_reasons() -> list[str]:
    """Reasons as the forecast writes them, by histories and amounts that each of them is about."""
    few = bgnbd.Histories(*(np.array([1.0]) for _ in range(4)))
    young = bgnbd.Histories(repeats=np.ones(99), last=np.ones(99), age=np.ones(99), customers=np.ones(99))
    steady = bgnbd.Parameters(r=1.0, alpha=1.0, a=1.0, b=1.0)
    extreme = bgnbd.Parameters(r=1.0, alpha=bgnbd.HIGHEST, a=1.0, b=1.0)
    repeats = np.arange(1.0, 41.0)

    def amounts(of: np.ndarray, repeats: np.ndarray = repeats, floor: int = 1) -> str | None:
        return gamma_gamma.fit(gamma_gamma.Spending(repeats=repeats, amounts=of), floor=floor).reason

    found = [
        fitting._below_floor(few, 1), fitting._below_floor(young, 10_000),
        bgnbd._reason(steady, few, has_ended=False), bgnbd._reason(extreme, few, has_ended=True),
        amounts(repeats, floor=99), amounts(np.ones(40)), amounts(repeats),
        "no parameters are the likeliest: the search ended at p = 1e+04, q = 2, v = 3",
        "the mean amount has no finite expectation (p = 1, q = 0.9, v = 3)",
        "what its parameters predict can't be computed", "fewer than 50 customers: 12",
        "nothing is predicted of a person who was erased", "the shop has no prediction yet; the next refresh makes one",
        "the first purchase came after the latest prediction, which begins on 2026-03-08",
    ]  # fmt: skip
    return [reason for reason in found if reason]


def test_stored_reasons_are_told_in_french_with_their_figures_and_others_as_they_are() -> None:
    stored = _stored_reasons()
    assert len(stored) == len(reasons._REASONS), "each reason once"
    for reason in stored:
        assert reasons.reason(reason) == reason
        with speaking("fr"):
            told = reasons.reason(reason)
        assert told != reason
        figures = re.compile(r"\d[\d.e+]*")
        assert sorted(figures.findall(told)) == sorted(figures.findall(reason))
    with speaking("fr"):
        assert reasons.reason("something of the shop's own") == "something of the shop's own"


def test_words_for_what_the_database_holds_are_in_the_catalogue() -> None:
    with speaking("fr"):
        assert order_words.status("completed") == "Terminée"
        assert order_words.status("odd_one") == "Odd_one"
        assert [segment_words.label("champions"), segment_words.label("my own")] == ["Meilleurs", "My own"]
        columns = {name for model, _ in _TABLES.values() for name in model.model_fields} | set(CustomerRow.model_fields)
        assert [name for name in columns if definitions.heading(name) == name] == []
        models = {CustomerRow, *(model for model, _ in _TABLES.values())}
        french = {(model, name): definitions.definition(model, name) for model in models for name in model.model_fields}
    english = {(model, name): definitions.definition(model, name) for model, name in french}
    assert [key for key in english if english[key] == french[key]] == []


def test_a_picture_is_drawn_and_kept_by_language() -> None:
    rows = tuple(
        {"month": f"2026-{n:02}-01", "kind": "New", "customers": 1500 * n, "unfinished": False} for n in (2, 8)
    )
    figure = Figure("acquisition", rows, "A picture.")
    keys, texts = {}, {}
    for language in LANGUAGES:
        with speaking(language):
            keys[language] = charts.key(figure, theme="light", size="wide", currency="XOF")
            svg = charts.draw(figure, theme="light", size="wide", currency="XOF")
        texts[language] = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert len(set(keys.values())) == len(LANGUAGES)
    assert {"Aug", "Customers", "Returning"} <= set(texts["en"])
    assert {"août", "Clients", "De retour"} <= set(texts["fr"])


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("fr", "fr"), ("FR", "fr"), ("fr-CI,fr;q=0.9,en;q=0.8", "fr"), ("en;q=0.1, fr;q=0.9", "fr"),
        ("de, fr;q=0.5", "fr"), ("de", "en"), ("*", "en"), ("fr;q=0, en", "en"), ("fr;q=nonsense", "en"),
        (",;=q,", "en"), ("x" * 9000, "en"), ("de," * 1000 + "fr", "en"),
    ],
)  # fmt: skip
def test_a_browser_gets_the_language_that_it_wants_most(header: str, language: str) -> None:
    assert choice.asked_for(header) == language


def test_a_text_outside_of_a_request_is_in_english() -> None:
    with speaking("fr"):
        assert gettext("There is nothing here") != "There is nothing here"
    assert gettext("There is nothing here") == "There is nothing here"
