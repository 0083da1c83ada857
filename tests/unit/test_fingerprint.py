"""Which changes to the project make the next refresh compute everything anew."""

from pathlib import Path

import pytest

from flows.building import project

_FILES = {
    "dbt_project.yml": "name: regulars\n",
    "models/marts/orders.sql": "select\n    -- Of the shop.\n    shop_id\nfrom {{ ref('stg_orders') }}\n",
    "models/marts/_marts__models.yml": "models:\n  - name: orders\n",
    "models/marts/_marts__unit_tests.yml": "unit_tests: []\n",
    "models/semantic/_semantic__metrics.yml": "metrics: []\n",
    "macros/money.sql": "{#- Cents. -#}\n{% macro money() %}numeric{% endmacro %}\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for path, text in _FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    monkeypatch.setattr(project, "project_folder", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "old", "new", "counts"),
    [
        ("models/marts/orders.sql", "shop_id", "order_id", True),
        ("models/marts/orders.sql", "'stg_orders'", "'stg_visits'", True),
        ("models/marts/orders.sql", "-- Of the shop.", "-- The shop's.", False),
        ("models/marts/orders.sql", "    -- Of the shop.\n", "", False),
        ("models/marts/_marts__models.yml", "orders", "visits", True),
        ("models/marts/_marts__models.yml", "models:", "# Sales.\nmodels:", False),
        ("models/marts/_marts__models.yml", "orders", "'#orders'", True),
        ("models/marts/_marts__unit_tests.yml", "[]", "[{}]", False),
        ("models/semantic/_semantic__metrics.yml", "[]", "[{}]", False),
        ("macros/money.sql", "Cents.", "Pesewas.", False),
        ("macros/money.sql", "numeric", "bigint", True),
        ("dbt_project.yml", "regulars", "others", True),
    ],
)
def test_what_changes_a_number_counts_and_a_comment_does_not(
    folder: Path, path: str, old: str, new: str, counts: bool
) -> None:
    before = project.fingerprint()
    changed = (folder / path).read_text(encoding="utf-8").replace(old, new)
    assert changed != _FILES[path]
    (folder / path).write_text(changed, encoding="utf-8")
    assert (project.fingerprint() != before) is counts


def test_a_model_that_comes_or_goes_counts(folder: Path) -> None:
    before = project.fingerprint()
    (folder / "models/marts/visits.sql").write_text("select 1\n", encoding="utf-8")
    assert project.fingerprint() != before
    (folder / "models/marts/visits.sql").unlink()
    assert project.fingerprint() == before
    (folder / "models/marts/orders.sql").unlink()
    assert project.fingerprint() != before
