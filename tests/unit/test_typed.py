"""Our types are checked in the code of those who install us."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
# Kept between runs: without it mypy reads pydantic and psycopg anew, which takes ten seconds.
_CACHE = str(_ROOT / ".mypy_cache" / "checkout")
_PACKAGES = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
    "packages"
]

_CHECKOUT = """
from uuid import uuid4

from {package} import Checkout, Tracker

with Tracker() as tracker:
    answer = tracker.track(Checkout(shop_id=uuid4(), order_id=uuid4(), phone="0241234567"))
    reveal_type(answer.outcome)
    tracker.track(answer)
"""


@pytest.mark.parametrize("package", _PACKAGES)
def test_a_package_is_marked_as_typed(package: str) -> None:
    assert (_ROOT / package / "py.typed").is_file()


@pytest.mark.usefixtures("takes_long")
@pytest.mark.parametrize("package", ["ingest", "regulars"])
def test_a_checkouts_own_code_is_checked_against_our_types(tmp_path: Path, package: str) -> None:
    (tmp_path / "checkout.py").write_text(_CHECKOUT.format(package=package))
    said = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-color-output", "--cache-dir", _CACHE, "checkout.py"],
        cwd=tmp_path, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "new_customer" in said
    assert "py.typed" not in said
    assert said.strip().endswith("Found 1 error in 1 file (checked 1 source file)"), said
