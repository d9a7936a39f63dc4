"""The page of a report: its figures, its names, and that it needs nothing from elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.core.tasks import AUS, EXPRESSIONS
from abaw.temporal.reporting.board import KEYS, read_board
from abaw.temporal.reporting.page import SECTIONS, page
from abaw.temporal.reporting.report_data import ReportData
from abaw.temporal.reporting.section_expressions import confusion, mean_parts
from abaw.temporal.reporting.section_traces import traces
from abaw.temporal.score import score_file

from .browser import browser, find_browser
from .made_report import VIDEOS, Reported
from .made_runs import edit_run

pytestmark = pytest.mark.heavy

HOSTILE_VIDEO = """<img src=x onerror=alert(1)>"'&$x_{1}$</script>"""
HOSTILE_RUN = """<img src=x onerror=alert(2)>"'&$y^{2}$ --> %s"""
VOID = {"meta", "link", "br", "wbr", "img", "use", "path", "circle", "rect", "image", "stop"}


class Parsed(HTMLParser):
    """Tags with attributes, the text of every element of a kind, and whether tags are balanced."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"} and self.rows:
            self.rows[-1].append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if self._open[-1:] and {"td", "th"} & set(self._open[-3:]) and self.rows:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    folder = tmp_path_factory.mktemp("made")
    made = Reported(folder, (*VIDEOS, HOSTILE_VIDEO), n=80)
    for seed in (0, 1):
        made.add(f"one-{seed}", 0.4, features="face", seed=seed)
        made.add(f"two-{seed}", 0.7, features="face+hair", encoder="none", seed=seed)
        made.add(f"three-{seed}", 0.8, features="hair", framework="sbe", seed=seed)
    made.add(HOSTILE_RUN, 0.5, features="face", hidden_size=16)
    (made.folder / "failures.json").write_text('{"lost": "<b>gone</b>"}')
    edit_run(made.folder / "three-0", cost=None)  # of before it was kept
    return made


@pytest.fixture(scope="module")
def file(made: Reported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    arguments = ["report", str(made.folder), "--cache", str(made.cache), "--html", str(path)]
    result = CliRunner().invoke(main, [*arguments, "--video", HOSTILE_VIDEO, "--video", "e"])
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="module")
def parsed(file: Path) -> Parsed:
    return Parsed(file.read_text())


def test_the_leaderboard_has_the_figures_of_the_saved_predictions(made: Reported, parsed: Parsed):
    scores = [
        score_file(made.folder / f"one-{seed}" / "val_predictions.csv", made.cache / "labels.h5")
        for seed in (0, 1)
    ]
    (row,) = [row for row in parsed.rows if row[:3] == ["1", "one-0", "2"]]
    for cell, key in zip(row[3:], KEYS, strict=False):
        values = [getattr(one, key) for one in scores]
        assert cell == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def test_every_section_is_there_and_in_the_contents(parsed: Parsed, file: Path):
    anchors = [a["href"] for tag, a in parsed.tags if tag == "a"]
    ids = {a["id"] for tag, a in parsed.tags if tag == "h2" and "id" in a}
    assert {f"#{name}" for name in ids} == set(anchors)
    assert len(anchors) == len(SECTIONS)
    assert "Left out" not in file.read_text()


def test_names_from_data_are_text_and_nothing_else(file: Path, parsed: Parsed):
    text = file.read_text()
    assert "<img" not in text
    assert "<script" not in text
    assert "<b>gone" not in text
    assert not any(name.startswith("on") for _, given in parsed.tags for name in given)
    whole = "".join(parsed.text)
    assert HOSTILE_RUN in whole
    assert HOSTILE_VIDEO in whole


def test_the_page_asks_for_nothing_from_elsewhere(file: Path, parsed: Parsed):
    for tag, given in parsed.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            value = given.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, name, value)
    style = re.sub(r"url\(#[^)]*\)", "", file.read_text())
    assert "url(" not in style
    assert "@import" not in style
    policies = [given for tag, given in parsed.tags if given.get("http-equiv")]
    assert "default-src 'none'" in policies[0]["content"]
    assert len(file.read_bytes()) < 3 * 2**20


def test_every_drawing_says_what_it_is_and_ids_are_there_once(parsed: Parsed):
    drawings = [given for tag, given in parsed.tags if tag == "svg"]
    assert len(drawings) > 8
    assert all(one["role"] == "img" and one["aria-label"] for one in drawings)
    ids = [given["id"] for _, given in parsed.tags if "id" in given]
    assert len(ids) == len(set(ids))
    captions = [tag for tag, _ in parsed.tags if tag in {"figure", "figcaption"}]
    assert captions.count("figure") == captions.count("figcaption")


def test_the_same_runs_make_the_same_file(made: Reported, file: Path):
    board = read_board([made.folder], made.cache)
    assert page(board, (HOSTILE_VIDEO, "e")) == file.read_text()


def test_runs_without_a_result_and_without_costs_are_told(file: Path, parsed: Parsed):
    assert ["lost", "failed: <b>gone</b>"] in parsed.rows
    costs = [row for row in parsed.rows if row[0] == "three-0"]
    assert any("n/a" in row for row in costs)


def test_what_there_is_nothing_to_show_of_is_left_out_with_a_reason(made: Reported):
    text = page(read_board([made.folder / "one-0", made.folder / "one-1"], made.cache))
    left_out = text[text.index("Left out") :]
    assert "all rows have the same settings" in left_out
    assert '<h2 id="ablation"' not in text


def test_predictions_that_are_gone_take_only_their_sections_with_them(tmp_path: Path):
    made = Reported(tmp_path)
    (made.add("one", 0.5) / "val_predictions.csv").unlink()
    text = page(read_board([made.folder], made.cache))
    left_out = text[text.index("Left out") :]
    for title in ("Significance", "Traces", "Valence-arousal plane"):
        assert title in left_out
    assert '<h2 id="leaderboard"' in text
    assert '<h2 id="expressions"' in text
    assert "Without a confusion matrix" in text


def test_a_video_that_is_not_there_is_answered_with_the_nearest(made: Reported, tmp_path: Path):
    arguments = ["report", str(made.folder), "--cache", str(made.cache)]
    html = ["--html", str(tmp_path / "r.html")]
    result = CliRunner().invoke(main, [*arguments, *html, "--video", "d_lef"])
    assert result.exit_code == 2
    assert "did you mean d_left" in result.output
    result = CliRunner().invoke(main, [*arguments, "--video", "d"])
    assert result.exit_code == 2
    assert "needs --html" in result.output


def test_the_confusion_matrix_counts_the_rows_and_gives_the_f1_of_each_class(made: Reported):
    board = read_board([made.folder], made.cache)
    data = ReportData(board)
    counts = confusion(data.best[:1])
    is_labelled = made.rows.is_labelled.expression
    assert (
        counts.sum(axis=1).tolist()
        == np.bincount(made.rows.labels.expression[is_labelled], minlength=8).tolist()
    )
    f1 = 2 * np.diag(counts) / (counts.sum(axis=0) + counts.sum(axis=1))
    scores = board.best.scores[0]["per_expression"]
    assert f1.tolist() == pytest.approx([scores[name] for name in EXPRESSIONS])
    aus = mean_parts(board.best, "per_au", AUS)
    both = np.mean([[one["per_au"][name] for name in AUS] for one in board.best.scores], axis=0)
    assert aus.tolist() == pytest.approx(both.tolist())


def test_without_a_choice_the_best_the_median_and_the_worst_video_are_shown(made: Reported):
    section = traces(ReportData(read_board([made.folder], made.cache)))
    shown = re.findall(r"<b>([^<]*)</b> \(the (\w+) of", section.html)
    assert [why for _, why in shown] == ["best", "median", "worst"]
    pairs = re.findall(r"CCC ([\d.]+) of valence, ([\d.]+) of arousal", section.html)
    sums = [float(valence) + float(arousal) for valence, arousal in pairs]
    assert sums[0] > sums[1] > sums[2]


PAPER = 718
"""CSS pixels between the margins of A4."""
LOOK = """(() => {
  const small = [...document.querySelectorAll('svg')].filter(one => {
    const box = one.getBoundingClientRect();
    return box.width < 100 || box.height < 60;
  }).length;
  const cut = [...document.querySelectorAll('h1,h2,p,dd,dt,figcaption,caption,li,summary')].filter(
    one => one.offsetParent && one.scrollWidth > one.clientWidth + 1
      && getComputedStyle(one).display !== 'inline'
  ).map(one => one.textContent.slice(0, 60));
  const outside = [...document.querySelectorAll('svg text')].filter(one => {
    const box = one.getBoundingClientRect(), all = one.ownerSVGElement.getBoundingClientRect();
    return box.left < all.left - 2 || box.right > all.right + 2
      || box.top < all.top - 2 || box.bottom > all.bottom + 2;
  }).map(one => one.textContent);
  return {width: document.documentElement.scrollWidth, small, cut, outside,
          n: document.querySelectorAll('svg').length};
})()"""


@pytest.mark.heavy
@pytest.mark.skipif(find_browser() is None, reason="no chromium or chrome on the path")
def test_a_browser_shows_it_whole_at_both_widths_without_a_complaint(file: Path, tmp_path: Path):
    with browser(tmp_path / "profile") as tab:
        for width in (1280, 400):
            tab.open(file, width)
            look = tab.ask(LOOK)
            assert look["width"] <= width
            assert look["n"] > 8
            assert (look["small"], look["cut"], look["outside"]) == (0, [], [])
            asked = [one["request"]["url"] for one in tab.told("Network.requestWillBeSent")]
            assert [url for url in asked if not url.startswith("data:")] == [file.as_uri()]
            assert tab.told("Log.entryAdded", "Runtime.exceptionThrown") == []
            assert tab.told("Runtime.consoleAPICalled", "Page.javascriptDialogOpening") == []
        tab.open(file, PAPER)
        tab.call("Emulation.setEmulatedMedia", media="print")
        assert tab.ask("document.documentElement.scrollWidth") <= PAPER
        assert tab.pdf().startswith(b"%PDF")
