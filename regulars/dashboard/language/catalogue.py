"""The texts that owners read, in the language of the request that is being answered; outside of one, in English.

English is in the code. `locale/<language>/LC_MESSAGES/regulars.po` has the other languages, and is read when a text of
the language is first asked for. CONTRIBUTING says how a text is added.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LANGUAGES = {"en": "English", "fr": "Français"}
"""Each by its own name."""
DEFAULT = "en"

LOCALE = Path(__file__).parents[1] / "locale"

_current: ContextVar[str] = ContextVar("language", default=DEFAULT)


def language() -> str:
    """The language of the request that is being answered: a key of LANGUAGES."""
    return _current.get()


@contextmanager
def speaking(chosen: str) -> Iterator[None]:
    """Texts, numbers and dates are in this language; in threads too that the block starts by anyio."""
    before = _current.set(chosen)
    try:
        yield
    finally:
        _current.reset(before)


def gettext(text: str, /, **values: object) -> str:
    """The text with its %(name)s filled in."""
    found = _translations(language()).gettext(text)
    return found % values if values else found


def ngettext(one: str, many: str, count: int, /, **values: object) -> str:
    """The text for a count, with its %(name)s filled in; the count itself only if it is one of the values."""
    found = _translations(language()).ngettext(one, many, count)
    return found % values if values else found


def pgettext(context: str, text: str, /, **values: object) -> str:
    """The text in the sense that the context names, where one English text has two translations."""
    found = _translations(language()).pgettext(context, text)
    return found % values if values else found


def N_(text: str) -> str:
    """Marks a constant text for the catalogue; `gettext` translates it where it is shown."""
    return text


@cache
def _translations(chosen: str) -> NullTranslations:
    if chosen == DEFAULT:
        return NullTranslations()
    with (LOCALE / chosen / "LC_MESSAGES" / "regulars.po").open("rb") as file:
        catalogue = read_po(file, locale=chosen)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)
