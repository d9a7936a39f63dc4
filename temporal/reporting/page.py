"""The report as one HTML file: no script, nothing from elsewhere, to read, keep and print.

A section is a function that takes `ReportData` and returns a `Section`; a new one is one more line
in `SECTIONS`, at the place where it is to be read.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from ...core.provenance import package_versions
from ..errors import PredictionError
from . import (
    section_ablation,
    section_aus,
    section_cost,
    section_curves,
    section_expressions,
    section_plane,
    section_provenance,
    section_scores,
    section_significance,
    section_traces,
)
from .board import Board
from .parts import Html, Section, joined, tag
from .report_data import ReportData

SectionMaker = Callable[[ReportData], Section]

SECTIONS: Final[tuple[tuple[str, SectionMaker], ...]] = (
    (section_scores.SUMMARY, section_scores.summary),
    (section_scores.LEADERBOARD, section_scores.leaderboard),
    (section_ablation.TITLE, section_ablation.ablation),
    (section_significance.TITLE, section_significance.significance_section),
    (section_curves.TITLE, section_curves.curves),
    (section_expressions.TITLE, section_expressions.expressions),
    (section_aus.TITLE, section_aus.aus),
    (section_traces.TITLE, section_traces.traces),
    (section_plane.TITLE, section_plane.plane),
    (section_cost.TITLE, section_cost.cost),
    (section_provenance.SETTINGS, section_provenance.settings),
    (section_provenance.TITLE, section_provenance.provenance),
)
"""Title, for when it cannot be made, and what makes it."""

_N_ABOUT: Final = 3
"""Sections at the end that are about how the runs were made: cost, settings, provenance."""
_STYLE: Final = Path(__file__).with_name("page.css")
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""What the file may load: nothing but the images that are in it; a name cannot make it do more."""


def page(
    board: Board | None, videos: tuple[str, ...] = (), studies: Sequence[tuple[str, str]] = ()
) -> str:
    """Return the page about the rows of a board and about dependency studies.

    Args:
        board: the rows; None if there are only studies.
        videos: whose traces it shows; by default some are chosen.
        studies: title and HTML of a section about each study.

    Raises:
        UsageError: a video has no validation row.
    """
    about = "Dependency of the tasks on each other."
    name = "task dependency"
    made: list[Section] = []
    if board is not None:
        data = ReportData(board, videos)
        made = [_made(title, make, data) for title, make in SECTIONS]
        about = f"Scores on the {data.scope}."
        name = board.best.name
    # Before what says how all was made.
    place = max(len(made) - _N_ABOUT, 0)
    made[place:place] = [Section(title, html) for title, html in studies]
    there = [section for section in made if not section.left_out]
    entries = [tag("li", tag("a", section.title, href=f"#{section.anchor}")) for section in there]
    body = [tag("section", tag("h2", one.title, id=one.anchor), Html(one.html)) for one in there]
    title = f"abaw report: {name}"
    version = package_versions()["abaw"]
    head = joined(
        [
            Html('<meta charset="utf-8">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
            Html('<link rel="icon" href="data:,">'),
            tag("title", title),
            Html(f"<style>{_STYLE.read_text()}</style>"),
        ]
    )
    navigation = tag("nav", tag("h2", "Contents"), tag("ol", *entries), aria_label="Contents")
    heading = tag(
        "header",
        tag("p", "abaw · stage 2", class_="kicker"),
        tag("h1", "Temporal models of affect"),
        tag("p", about),
    )
    footer = tag("footer", *_left_out(made), tag("p", f"Made by abaw {version}."))
    main = tag("main", heading, *body, footer)
    return (
        f'<!doctype html>\n<html lang="en">\n{tag("head", head)}\n'
        f"{tag('body', navigation, main)}\n</html>\n"
    )


def _made(title: str, make: SectionMaker, data: ReportData) -> Section:
    try:
        return make(data)
    except PredictionError as error:  # of one row; what needs no predictions is shown all the same
        return Section(title, left_out=str(error))


def _left_out(sections: list[Section]) -> list[Html]:
    missing = [section for section in sections if section.left_out]
    if not missing:
        return []
    items = [tag("li", tag("b", one.title), f": {one.left_out}") for one in missing]
    return [tag("h2", "Left out"), tag("ul", *items, class_="left-out")]
