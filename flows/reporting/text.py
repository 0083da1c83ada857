"""The report of a refresh in words and tables: for Prefect as Markdown, for the terminal as sections."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from flows.nodes import ALL_TESTS
from flows.reporting.report import MOST_RUNS, Node, Report

# Models that changed nothing are listed only if they are among the longest.
_LONGEST = 8
_LARGEST = 8

_NAMES = {"refresh": "Refresh", "partial": "Partial rebuild", "rebuild": "Rebuild"}


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, paragraphs, and a table whose first column is text and whose others are numbers."""

    title: str
    text: Sequence[str] = ()
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = field(default_factory=list)


def sections(report: Report) -> Iterator[Section]:
    """The whole report."""
    yield _outcome(report)
    if report.models:
        yield _models(report)
    if report.steps:
        rows = [(words(name), *times) for name, *times in map(_timed, report.steps)]
        yield Section("Steps", columns=("step", "took", "usually", ""), rows=rows)
    yield _orders(report)
    if report.slowest:
        yield Section(
            f"Slowest models of this run and the {MOST_RUNS} before",
            columns=("model", "median", "longest", "in all", "runs"),
            rows=[
                (
                    model.name,
                    seconds(model.median_seconds),
                    seconds(model.longest_seconds),
                    seconds(model.total_seconds),
                    f"{model.runs}",
                )
                for model in report.slowest
            ],
        )
    yield Section(
        "Disk",
        [places(report)],
        ("relation", "place", "size"),
        [(space.relation, space.place, size(space.size_bytes)) for space in report.disk[:_LARGEST]],
    )


def markdown(report: Report) -> str:
    """The report for Prefect's pages."""
    return "\n".join(line for section in sections(report) for line in _markdown(section))


def outcome(report: Report) -> str:
    """One sentence: how it ended, and how long it took compared with usual."""
    what = f"{_NAMES[report.mode]} {report.refresh_id}"
    match report.status:
        case "running":
            return f"{what} is running, at {words(report.step or 'its beginning')}."
        case "abandoned":
            return f"{what} was killed at {words(report.step or 'its beginning')}."
        case "failed":
            nodes = f", in {', '.join(report.failed_at)}" if report.failed_at else ""
            return f"{what} failed at {words(report.step or 'its beginning')}{nodes}, after {took(report)}."
    return f"{what} succeeded in {took(report)}."


def took(report: Report) -> str:
    """How long it took, and usually takes."""
    usual = "" if report.usual_seconds is None else f", usually {seconds(report.usual_seconds)}"
    return f"{seconds(report.seconds or 0)}{usual}"


def changed(report: Report) -> str:
    """Two sentences: what came in, and what changed for readers."""
    what = f"{_counted(report.changes or 0, 'raw row')} had changed."
    relations = [node for node in report.models if node.rows_changed]
    if not relations:
        return f"{what} Nothing changed for readers."
    added, removed = (sum(getattr(node, name) or 0 for node in relations) for name in ("rows_added", "rows_removed"))
    return f"{what} {_counted(added, 'row')} added and {removed:,} removed, in {_counted(len(relations), 'relation')}."


def recomputed(report: Report) -> str:
    """One sentence: what it recomputed, and why. The report must have a reason."""
    what = "everything" if report.mode == "rebuild" else "a part of the models"
    return f"It recomputed {what}, because {report.reason}."


def places(report: Report) -> str:
    """The disk by place."""
    sizes = report.places
    return f"{size(sum(sizes.values()))}: " + ", ".join(f"{place} {size(held)}" for place, held in sizes.items())


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def words(step: str) -> str:
    return step.replace("_", " ")


def seconds(length: float) -> str:
    """A duration to read: 12 ms, 3.4 s, 2 min 05 s."""
    if length < 0.0995:
        return f"{length * 1000:.0f} ms"
    if length < 99.95:
        return f"{length:.1f} s"
    minutes, rest = divmod(round(length), 60)
    return f"{minutes:,} min {rest:02} s"


def size(held: float) -> str:
    """Bytes to read, in powers of 1024."""
    for unit in ("B", "kB", "MB", "GB"):
        if held < 1024:
            return f"{held:.0f} {unit}" if unit in ("B", "kB") or held >= 100 else f"{held:.1f} {unit}"
        held /= 1024
    return f"{held:,.1f} TB"


def _outcome(report: Report) -> Section:
    text = []
    if report.reason:
        text.append(recomputed(report))
    if report.status == "succeeded":
        text.append(f"{changed(report)} The numbers are as of {report.as_of:%Y-%m-%d %H:%M:%S} UTC.")
    if report.error:
        text.append(report.error)
    return Section(outcome(report).removesuffix("."), [*text, *report.warnings])


def _models(report: Report) -> Section:
    shown = [node for at, node in enumerate(report.models) if at < _LONGEST or node.rows_changed or node.has_failed]
    rest = [node for node in report.models if node not in shown]
    text = [
        f"{len(rest)} more changed nothing and took {seconds(sum(node.seconds for node in rest))}."
    ] if rest else []  # fmt: skip
    for node in report.tests:
        if node.name == ALL_TESTS:
            usual = "" if node.usual_seconds is None else f", usually {seconds(node.usual_seconds)}"
            text.append(f"All data tests took {seconds(node.seconds)}{usual}.")
    return Section(
        "Models",
        text,
        ("model", "added", "removed", "took", "usually", ""),
        [
            (name, _count(node.rows_added), _count(node.rows_removed), *times)
            for node, (name, *times) in ((node, _timed(node)) for node in shown)
        ],
    )


def _orders(report: Report) -> Section:
    text = [
        f"{report.matched or 0:,} orders matched, {report.unreadable or 0:,} left because their phone can't be read. "
        f"{report.orders_to_match:,} wait for the next refresh, as do {report.failed_checkouts:,} failed checkouts."
    ]
    rows = [(left.reason, f"{left.orders:,}", f"{left.new_orders:,}") for left in report.left]
    return Section("Orders and customers", text, ("left, because", "orders", "new") if rows else (), rows)


def _timed(node: Node) -> tuple[str, str, str, str]:
    """Name, time, usual time, and how many times the usual, where that is noticeable."""
    usual = node.usual_seconds
    times = f"{node.seconds / usual:.1f} times that" if usual and node.seconds > 1 and node.seconds > 2 * usual else ""
    return (
        node.name,
        seconds(node.seconds),
        "" if usual is None else seconds(usual),
        "failed" if node.has_failed else times,
    )


def _count(rows: int | None) -> str:
    return "" if rows is None else f"{rows:,}"


def _markdown(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield ""
    for text in section.text:
        yield text.replace("\n", "  \n")
        yield ""
    if section.rows:
        yield f"| {' | '.join(section.columns)} |"
        yield f"|---|{'---:|' * (len(section.columns) - 1)}"
        for row in section.rows:
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
        yield ""
