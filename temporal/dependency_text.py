"""A dependency study as text, for terminals."""

from collections.abc import Callable, Mapping

from ..core.table import text_table
from ..core.tasks import Task
from .dependency import JudgedGain, Study
from .metrics import figure
from .paired_gain import SIGNIFICANT
from .suggested_graph import Edge
from .task_measure import MEASURE


def study_text(study: Study) -> str:
    """Return the matrices, what they name and the graph that they suggest."""
    config = study.config
    recordings = ", ".join(f"{n} ({task})" for task, n in study.n_recordings.items())
    n_all = set(study.n_recordings.values())
    counted = str(n_all.pop()) if len(n_all) == 1 else recordings
    lines = [
        f"task dependency: {'+'.join(config.features)}, {config.encoder}, {study.n_seeds} seeds, "
        f"{counted} recordings",
        "",
        "labels alone: first canonical correlation of the annotations",
        *_matrix(study, lambda e: figure(study.association.matrix[e], 2)),
    ]
    if study.association.pearson is not None:
        lines.append(
            f"valence and arousal: Pearson {study.association.pearson:+.3f}, "
            f"CCC {figure(study.association.ccc, 3)}"
        )
    lines += [
        "",
        f"gain of the target from the source's hidden state; * p < {SIGNIFICANT:g} over seeds and "
        f"recordings, Holm",
        *_gains(study, study.hidden),
        "",
        "gain from the source's true labels (ORACLE: an upper bound, no prediction)",
        *_gains(study, study.truth),
        "",
        *suggestion(study),
    ]
    if study.random:
        lines.append(f"RANDOM WEIGHTS: {', '.join(study.random)}")
    return "\n".join(lines)


def suggestion(study: Study) -> list[str]:
    """Return which edges are named, which are left out and why, and what to type."""
    if not study.named:
        return ["no edge: no target gains significantly from another task; use single or se"]
    lines = []
    for edge in study.named:
        tested = study.hidden[edge]
        low, high = tested.gain.interval
        lines.append(
            f"{edge[0]}>{edge[1]} {tested.gain.value:+.3f} (95 % {low:+.3f} to {high:+.3f}, "
            f"p {tested.p:.2g}){_fate(study, edge)}"
        )
    lines.append(f'suggested: --framework "{study.framework}"')
    return lines


def _fate(study: Study, edge: Edge) -> str:
    """Return why an edge is left out of the graph, if it is."""
    if edge in study.against_cycles:
        return ": left out, larger gains lead the other way"
    if edge not in study.shortcuts:
        return ""
    tested = study.shortcuts[edge]
    if tested is None:
        return ": left out, a longer path leads there; what it adds is not trained yet"
    added = f"adds {tested.gain.value:+.3f} (p {tested.p:.2g}) to the longer path"
    return f": {added}" if tested.is_named else f": left out, {added}"


def _gains(study: Study, tested: Mapping[Edge, JudgedGain]) -> list[str]:
    def cell(edge: Edge) -> str:
        one = tested[edge]
        return f"{one.gain.value:+.3f}{'*' if one.is_significant else ' '}"

    return _matrix(study, cell, alone=True)


def _matrix(study: Study, cell: Callable[[Edge], str], *, alone: bool = False) -> list[str]:
    """Return a row for each source, a column for each target."""
    tasks = study.tasks
    rows: list[tuple[str, ...]] = []
    if alone:
        rows.append(("source \\ target", *tasks))
        rows.append(("measure", *(MEASURE[task] + " " for task in tasks)))
        rows.append(("alone", *(f"{study.alone[task][0]:.3f} " for task in tasks)))
    else:
        rows.append(("", *tasks))

    def at(source: Task, target: Task) -> str:
        return "- " if source == target else cell((source, target))

    rows += [(source, *(at(source, target) for target in tasks)) for source in tasks]
    return text_table(rows, range(1, len(tasks) + 1))
