"""The table of a report in files: CSV with all digits, Markdown and LaTeX to paste."""

import csv
import re
import statistics
from pathlib import Path

import pytest
from click.testing import CliRunner

from abaw.cli import main
from abaw.temporal.reporting.board import KEYS
from abaw.temporal.reporting.table_files import latex_escaped, markdown_escaped
from abaw.temporal.score import score_file

from .made_report import Reported

pytestmark = pytest.mark.heavy

HOSTILE = r"50%_of {a}|<b>&#$~^\x"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Reported:
    made = Reported(tmp_path_factory.mktemp("made"))
    for seed in (0, 1, 2):
        made.add(f"one-{seed}", 0.5, features="face", seed=seed)
    # What the row is called, for nothing else tells it from the first.
    made.add(HOSTILE, 0.4, features="face", hidden_size=16)
    return made


@pytest.fixture(scope="module")
def files(made: Reported, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("tables")
    names = {"csv": folder / "t.csv", "markdown": folder / "t.md", "latex": folder / "t.tex"}
    options = [part for name, path in names.items() for part in (f"--{name}", str(path))]
    result = CliRunner().invoke(
        main, ["report", str(made.folder), "--cache", str(made.cache), *options]
    )
    assert result.exit_code == 0, result.output
    for path in names.values():
        assert f"wrote {path}" in result.output
    return names


def recomputed(made: Reported) -> dict[str, list[float]]:
    """Measure -> what each run of the first row scores, from its saved predictions."""
    scores = [
        score_file(made.folder / f"one-{seed}" / "val_predictions.csv", made.cache / "labels.h5")
        for seed in (0, 1, 2)
    ]
    return {key: [getattr(one, key) for one in scores] for key in KEYS}


def test_the_csv_has_all_digits_of_the_scores_of_the_saved_predictions(made, files):
    lines = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert [line["row"] for line in lines] == ["constant", HOSTILE, "one-0"]
    first = lines[2]
    assert (first["n_runs"], first["seeds"], first["folds"]) == ("3", "0 1 2", "0")
    for key, values in recomputed(made).items():
        assert float(first[key]) == statistics.mean(values)
        assert float(first[f"{key}_sd"]) == statistics.stdev(values)
    assert (first["seconds"], first["n_parameters"]) == ("2.5", "1234")
    assert lines[1]["P_MTL_sd"] == ""


def test_the_markdown_table_has_as_many_cells_in_every_line_and_the_same_figures(made, files):
    lines = files["markdown"].read_text().splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(line) for line in cells} == {len(KEYS) + 2}
    assert set("".join(cells[1])) <= set(" :-")
    (first,) = [line for line in cells if "one" in line[0]]
    for cell, values in zip(first[2:], recomputed(made).values(), strict=True):
        text = f"{statistics.mean(values):.3f} ± {statistics.stdev(values):.3f}"
        assert cell.strip().strip("*") == text
    best = [line for line in cells[2:] if line[-1].strip().startswith("**")]
    assert len(best) == 1


def test_the_latex_table_is_whole_and_names_are_set_as_they_are(made, files):
    text = files["latex"].read_text()
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {len(KEYS) + 1}
    plain = re.sub(r"\\[{}%]", "", text.split("\n", 1)[1])
    assert plain.count("{") == plain.count("}")
    assert "%" not in plain
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}", r"\end{tabular}"):
        assert rule in text
    assert latex_escaped(HOSTILE) in text
    assert HOSTILE not in text
    values = recomputed(made)["P_MTL"]
    assert rf"{statistics.mean(values):.3f} $\pm$ {statistics.stdev(values):.3f}" in text


def test_what_means_something_is_escaped():
    assert latex_escaped("a_b & 5% #1 {x} ~ ^ \\ $") == (
        r"a\_b \& 5\% \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$"
    )
    assert markdown_escaped("a|b\n*c* <d>") == r"a\|b \*c\* \<d\>"
