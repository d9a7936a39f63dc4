"""How the rows were made: settings that vary, data, versions, machines."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ..config import CARRIED_OUT
from .board import REPEATS, Row
from .parts import Html, Section, count, details, joined, paragraph, table, tag
from .report_data import ReportData
from .section_ablation import setting, varied_settings

SETTINGS: Final = "Settings"
TITLE: Final = "Provenance"


def settings(data: ReportData) -> Section:
    """Return the settings that vary over the rows, and those that all share."""
    rows = [row for row in data.board.ranked if row.config is not None]
    if not rows:
        return Section(SETTINGS, left_out="no row is of runs")
    varied = varied_settings(rows)
    parts: list[Html] = []
    if varied:
        heads = ("row", *varied)
        body = [[row.name, *(setting(row, name) for name in varied)] for row in rows]
        parts.append(table(heads, body, "The settings in which the rows differ"))
    else:
        parts.append(paragraph("All rows have the same settings."))
    shared = [
        (name, setting(rows[0], name))
        for name in sorted(rows[0].config or {})
        if name not in varied and name not in {*REPEATS, *CARRIED_OUT}
    ]
    text = f"{count(len(shared), 'setting')} that all rows share"
    parts.append(details(text, table(("setting", "value"), shared, text)))
    return Section(SETTINGS, joined(parts))


def provenance(data: ReportData) -> Section:
    """Return stores, labels, versions, machines and the folder of every run."""
    board = data.board
    entries = [entry for row in board.ranked for entry in row.entries]
    stores: dict[tuple[str, str], Mapping[str, Any]] = {}
    for entry in entries:
        for name, store in entry.facts["stores"].items():
            stores.setdefault((name, store["fingerprint"]), store)
    body = [
        (
            name,
            str(store.get("dim", "n/a")),
            str(store.get("objective") or "n/a"),
            str(store.get("licence") or "n/a"),
            tag("code", fingerprint[:16]),
        )
        for (name, fingerprint), store in sorted(stores.items(), key=lambda item: item[0])
    ]
    heads = ("embedding", "dim", "objective of its network", "licence", "fingerprint")
    parts = [
        table(heads, body, "Embeddings that the runs learnt from", (1,)),
        table(("", ""), _made(entries_made(entries), data), "Made with"),
    ]
    runs = [line for row in board.ranked for line in _lines(row)]
    text = f"The folders of {count(len(runs), 'run')}"
    columns = ("row", "folder", "identity", "fold", "seed", "best epoch")
    parts.append(details(text, table(columns, runs, text, (3, 4, 5))))
    return Section(TITLE, joined(parts))


def entries_made(entries: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Return what is kept of how each run was made."""
    return [made for entry in entries if (made := entry.facts.get("made"))]


def _made(made: Sequence[Mapping[str, Any]], data: ReportData) -> list[tuple[object, object]]:
    labels = data.board.labels
    dates = sorted(str(one["date"]) for one in made if one.get("date"))
    versions: dict[str, set[str]] = {}
    for one in made:
        for package, version in one.get("versions", {}).items():
            versions.setdefault(package, set()).add(str(version))
    lines: list[tuple[object, object]] = [
        ("labels", tag("span", f"{labels.name} ", tag("code", labels.fingerprint[:16]))),
        ("finished", " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "n/a"),
        ("processor", _every(one.get("cpu") for one in made)),
        ("device", _every(one.get("device") for one in made)),
        ("commit", _every(one.get("commit") for one in made)),
    ]
    lines += [(name, ", ".join(sorted(some))) for name, some in versions.items()]
    return lines


def _every(values: Iterable[object]) -> str:
    return ", ".join(sorted({str(value) for value in values if value})) or "n/a"


def _lines(row: Row) -> list[list[object]]:
    lines: list[list[object]] = []
    for entry in row.entries:
        config = entry.facts.get("config") or {}
        cells = [entry.facts.get("identity"), config.get("fold"), config.get("seed")]
        cells.append(entry.facts.get("best_epoch"))
        texts = ["" if cell is None else str(cell) for cell in cells]
        lines.append([row.name, tag("code", entry.folder), *texts])
    return lines
