"""The command that mixes runs."""

from pathlib import Path

import click

from .cli_common import FOLDER, cache_option


@click.command("temporal-ensemble")
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUNS...")
@click.option("--out", type=FOLDER, required=True, help="Folder of the ensemble.")
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
    weights: str,
    expression: str,
    smoothing: str,
    tune_thresholds: bool,
    cache: Path,
) -> None:
    """Weigh finished runs on their validation predictions; the result predicts like a run.

    Runs that differ only in their fold are one member.

    \b
    Example:
      abaw temporal-ensemble runs/* --out ensembles/all
      abaw temporal-ensemble runs/a runs/b --out ensembles/ab --weights greedy --expression vote
    """
    from .temporal.ensemble import EnsembleSettings, ensemble

    settings = EnsembleSettings(weights, expression, smoothing, tune_thresholds)  # type: ignore[arg-type] # checked there
    click.echo(ensemble(runs, out, cache, settings).text())
