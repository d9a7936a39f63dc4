"""The commands of stage 2 for one run: train, predict, score, report."""

import json
from pathlib import Path
from typing import Any, Literal

import click

from .cli_common import ANY, FILE, FOLDER, OUT, cache_option, quiet_option, set_option


@click.command("temporal-train")
@click.argument("features", metavar="A+B")
@click.option("--encoder", help="Temporal encoder, e.g. gru.")
@click.option("--framework", help="Multi-task framework, e.g. se.")
@click.option("--fold", metavar="K", help="0 is the official split; all: no validation.")
@click.option("--seed", type=int, help="Seed of the model.")
@click.option("--labels", help="Labels store: labels, or NAME for labels-NAME.")
@click.option("--config", help="YAML file of settings, or a preset such as paper-gru.")
@set_option
@click.option("--run", "run_dir", type=FOLDER, help="Folder of the run; by default auto-named.")
@click.option(
    "--out", type=FOLDER, default=Path("runs"), show_default=True, help="Where auto-named runs go."
)
@cache_option
@quiet_option
def temporal_train(
    features: str,
    config: str | None,
    settings: tuple[str, ...],
    run_dir: Path | None,
    out: Path,
    cache: Path,
    quiet: bool,
    **named: Any,  # noqa: ANN401
) -> None:
    """Stage 2: train one temporal multi-task model on the cached embeddings A+B.

    \b
    Example:
      abaw temporal-train densenet121
      abaw temporal-train mae_vit_small_patch16+densenet121 --seed 1 --set epochs=60
    """
    from .temporal.config import config_from_command
    from .temporal.train import train

    resolved = config_from_command(features, config, settings, **named)
    click.echo(train(resolved, cache, run_dir, out=out, progress=not quiet).text())


@click.command("temporal-predict")
@click.argument("run", type=FOLDER)
@click.option("--split", type=click.Choice(["train", "val", "test"]), required=True)
@click.option("--out", type=OUT, required=True, help="The file, or folder of files, to write.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["csv", "parquet", "submission"]),
    help="By default what the suffix of --out says, else csv.",
)
@click.option("--list", "list_path", type=FILE, help="Other test list than the labels store's.")
@click.option("--raw", "is_raw", is_flag=True, help="Leave smoothing and fitted thresholds out.")
@cache_option
def temporal_predict(
    run: Path,
    split: str,
    out: Path,
    form: Literal["csv", "parquet", "submission"] | None,
    list_path: Path | None,
    is_raw: bool,
    cache: Path,
) -> None:
    """Predict every frame that a split lists, with the best model of a run, or with an ensemble.

    A submission has the rows of the official list, in its order, in the form of the labels' own
    challenge: one file, or a folder with a file for each video where the list only names videos. A
    line <video>,<frames> of such a list says how long a video is. A listed frame without a crop
    gets the prediction of the nearest frame of its video; a video without any embedding gets the
    constants that score best on the training split, and a warning.

    \b
    Example:
      abaw temporal-predict runs/densenet121-gru-se-s0-1a2b3c4d --split test --out test.csv
      abaw temporal-predict runs/RUN --split test --format submission --out predictions.txt
    """
    from .temporal.predict import predict

    click.echo(predict(run, split, out, cache, list_path, form, is_raw=is_raw).text())


@click.command()
@click.argument("predictions", type=ANY)
@click.argument("annotations", type=ANY, required=False)
@click.option("--split", default="val", show_default=True, help="Split of a store or folder.")
@click.option("--fold", type=int, default=0, help="Fold of the cache's fold file; 0 is official.")
@click.option("--folds", default="folds", show_default=True, help="Name of the fold file.")
@cache_option
@click.option("--json", "as_json", is_flag=True, help="All figures with all digits.")
def score(
    predictions: Path,
    annotations: Path | None,
    split: str,
    fold: int,
    folds: str,
    cache: Path,
    as_json: bool,
) -> None:
    """Score predictions by the challenge's official measure.

    PREDICTIONS is a table (CSV or Parquet), or a submission: a file, or a folder with a file for
    each video; what is not predicted is n/a. ANNOTATIONS is a multi-task annotation file, the
    folder of one task or a labels store; by default the cache's labels.

    \b
    Example:
      abaw score val.csv data/annotations/validation_set_annotations.txt
    """
    from .temporal.score import score_file

    scores = score_file(predictions, annotations or cache / "labels", split, fold, folds)
    click.echo(json.dumps(scores.to_dict(), indent=2) if as_json else scores.text())


@click.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUNS...")
@click.option("--html", type=FILE, help="Write a page with tables and plots, one file.")
@click.option("--csv", type=FILE, help="Write the table with all digits.")
@click.option("--markdown", type=FILE, help="Write the table as Markdown.")
@click.option("--latex", type=FILE, help="Write the table for LaTeX with booktabs.")
@click.option(
    "--video", "videos", metavar="ID", multiple=True, help="A video whose traces the page shows."
)
@cache_option
def report(
    runs: tuple[Path, ...],
    html: Path | None,
    csv: Path | None,
    markdown: Path | None,
    latex: Path | None,
    videos: tuple[str, ...],
    cache: Path,
) -> None:
    """Print the scores of many runs as a table, under the constant predictor.

    RUNS are folders of runs or ensembles, or folders that hold them, as that of a sweep. Runs that
    differ in seeds or folds only are one row, mean ± standard deviation; * marks the best.

    \b
    Example:
      abaw report runs/*
      abaw report sweeps/mine --html report.html --latex table.tex
      abaw report sweeps/tasks
    """
    from .temporal.report import ReportFiles
    from .temporal.report import report as make_report

    click.echo(make_report(runs, cache, ReportFiles(html, csv, markdown, latex, videos)))
