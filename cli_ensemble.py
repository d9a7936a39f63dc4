"""The command that mixes runs."""

from pathlib import Path

import click

from .cli_common import FOLDER, cache_option


@click.command("temporal-ensemble")
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUNS...")
@click.option("--out", type=FOLDER, required=True, help="Folder of the ensemble.")
@click.option(
    "--best",
    type=click.IntRange(min=1),
    metavar="N",
    help="Take the N members with the best mean P_MTL over their folds; by default all.",
)
@click.option("--fold", "folds", help="Take the runs of these folds only, e.g. 0 or 1-6.")
@click.option(
    "--copy/--no-copy",
    default=True,
    show_default=True,
    help="Copy the runs that count, so that the folder predicts alone; or refer to them.",
)
@click.option(
    "--weights",
    type=click.Choice(["equal", "fitted", "greedy"]),
    default="fitted",
    show_default=True,
    help="The same for all, least squares, or forward selection by each task's measure.",
)
@click.option(
    "--expression",
    type=click.Choice(["mean", "vote"]),
    default="mean",
    show_default=True,
    help="Mean probabilities of expressions, or a vote of the models.",
)
@click.option(
    "--smoothing",
    type=click.Choice(["none", "box", "gaussian", "median"]),
    default="box",
    show_default=True,
    help="Kind of smoothing over time whose widths are fitted.",
)
@click.option(
    "--thresholds/--no-thresholds",
    "tune_thresholds",
    default=True,
    show_default=True,
    help="Fit each AU's threshold.",
)
@cache_option
def temporal_ensemble(
    runs: tuple[Path, ...],
    out: Path,
    best: int | None,
    folds: str | None,
    copy: bool,
    weights: str,
    expression: str,
    smoothing: str,
    tune_thresholds: bool,
    cache: Path,
) -> None:
    """Weigh finished runs on their validation predictions; the result predicts like a run.

    RUNS are folders of runs, or of many, as a sweep's: its runs that failed or are not finished
    are told and left out. Runs that differ only in their fold are one member. Choosing by
    validation scores, with --best or by weights, is in-sample: the figures called nested choose
    anew without the rows that they are scored on. Code of your own encoders is not copied.

    \b
    Example:
      abaw temporal-ensemble sweeps/encoders --best 5 --weights greedy --out ensembles/final
      abaw temporal-ensemble sweeps/folds --fold 1-6 --out ensembles/folds
      abaw temporal-ensemble runs/a runs/b --out ensembles/ab --weights greedy --expression vote
    """
    from .temporal.ensemble import EnsembleSettings, ensemble
    from .temporal.ensemble_members import folds_from_text

    settings = EnsembleSettings(
        weights,  # type: ignore[arg-type] # checked there, as the next two
        expression,  # type: ignore[arg-type]
        smoothing,  # type: ignore[arg-type]
        tune_thresholds,
        best=best,
        folds=folds_from_text(folds),
    )
    click.echo(ensemble(runs, out, cache, settings, copy=copy).text())
