"""docs/metrics.md: the metrics' definitions as Markdown, from the files that dbt and MetricFlow read."""

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

# In the order of the page.
METRICS = ("_semantic__metrics_of_sales.yml", "_semantic__metrics_of_retention.yml")


def definitions(models: Path) -> str:
    """The page, from `semantic/` in the folder of models."""
    folder = models / "semantic"
    measures = {
        measure["name"]: (model["model"][len("ref('") : -len("')")], measure)
        for model in _read(folder / "_semantic__models.yml")["semantic_models"]
        for measure in model.get("measures", [])
    }
    metrics = {metric["name"]: metric for name in METRICS for metric in _read(folder / name)["metrics"]}
    parts = [(folder / "introduction.md").read_text(encoding="utf-8"), *_orders(folder / "example_orders.csv")]
    section = None
    for metric in metrics.values():
        if metric["config"]["meta"]["section"] != section:
            section = metric["config"]["meta"]["section"]
            parts += ["", f"## {section}"]
        parts += ["", *_metric(metric, metrics, measures)]
    return "\n".join(parts) + "\n"


def _read(path: Path) -> dict[str, Any]:
    # Installed with dbt.
    import yaml  # type: ignore[import-untyped]

    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _orders(path: Path) -> Iterator[str]:
    yield "| shop | order | customer | ordered at | status | price | network | link |"
    yield "|---|---|---|---|---|---|---|---|"
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            names = ("shop", "number", "customer", "ordered_at", "order_status", "total", "network", "link")
            yield f"| {' | '.join(row[name] for name in names)} |"


def _metric(
    metric: dict[str, Any], metrics: dict[str, dict[str, Any]], measures: dict[str, tuple[str, dict[str, Any]]]
) -> Iterator[str]:
    meta = metric["config"]["meta"]
    yield f"### {metric['label']}"
    yield f"`{metric['name']}`. {metric['description']}"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for name, value in _formula(metric, metrics, measures):
        yield f"| {name} | {value} |"
    yield f"| window | {meta['window']} |"
    yield "| zone | The shop's own. |"
    yield f"| statuses | {meta['statuses']} |"
    if published := meta.get("published"):
        yield f"| published | {_published(published)} |"
    example = meta["example"]
    at = ", ".join(_shown(example[name]) for name in ("month", "at") if name in example)
    yield f"| example | {example['shop']}, {at}: **{example['result']}**. {example['because']} |"


def _shown(at: date | str) -> str:
    return f"{at:%B %Y}" if isinstance(at, date) else f"`{at}`"


def _formula(
    metric: dict[str, Any], metrics: dict[str, dict[str, Any]], measures: dict[str, tuple[str, dict[str, Any]]]
) -> Iterator[tuple[str, str]]:
    params = metric["type_params"]
    if metric["type"] == "ratio":
        for part in ("numerator", "denominator"):
            yield part, f"`{params[part]}`: {metrics[params[part]]['description']}"
        return
    if metric["type"] == "derived":
        yield (
            "numerator",
            f"`{params['expr']}`"
            + "".join(
                f"; `{part['alias']}` is `{part['name']}` of {part['offset_window']} before"
                for part in params["metrics"]
                if "offset_window" in part
            ),
        )
    else:
        measure = params["measure"]
        relation, found = measures[measure["name"] if isinstance(measure, dict) else measure]
        added = "added up so far" if metric["type"] == "cumulative" else "added up"
        yield "numerator", f"{found['description']} (`{found.get('expr', found['name'])}` of `{relation}`, {added}.)"
    share_of = metric["config"]["meta"].get("share_of")
    yield "denominator", f"None; for the share, `{share_of}`." if share_of else "None."


def _published(published: dict[str, Any]) -> str:
    only = "".join(f", where `{name} = {value}`" for name, value in published.get("where", {}).items())
    return f"`{published['relation']}.{published['column']}`{only}"
