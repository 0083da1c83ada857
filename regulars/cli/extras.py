"""The optional parts of an installation, and the error where one is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from ingest.storage.errors import SettingError

PACKAGES = {
    "ingest-api": {"anyio", "fastapi", "prometheus_client", "starlette", "uvicorn"},
    "dashboard": {
        "altair",
        "anyio",
        "babel",
        "cachetools",
        "fastapi",
        "jinja2",
        "jwt",
        "markupsafe",
        "starlette",
        "uvicorn",
        "vl_convert",
        "xlsxwriter",
    },
}
"""What the code of each extra imports beyond the packages of `regulars[pipeline]` and of a checkout."""


def is_installed(extra: str) -> bool:
    """Whether all packages of an extra are there. It imports none."""
    return all(map(find_spec, PACKAGES[extra]))


@contextmanager
def needs(extra: str, *, subject: str) -> Iterator[None]:
    """Around the imports of a part. Raises SettingError where a package of `extra` is not installed.

    Any other module that can't be imported, such as one of a storefront that has the name of one of ours, raises
    its own error: installing the extra would not help.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in PACKAGES[extra]:
            raise
        raise SettingError(f"{subject} more than the other commands: pip install 'regulars[{extra}]'.") from None
