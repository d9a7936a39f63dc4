"""`abaw folds`."""

from pathlib import Path

import click

from .cli_common import cache_option


@click.command()
@click.option(
    "--k",
    type=click.IntRange(min=2),
    default=6,
    show_default=True,
    help="Number of validation sets that train and val are dealt into.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--labels",
    default="labels",
    show_default=True,
    help="Labels store: labels, or NAME for labels-NAME.",
)
@click.option("--name", default="folds", show_default=True, help="NAME is written as folds-NAME.")
@click.option(
    "--same",
    metavar="REGEX",
    help="Its first group, searched in a video's id, is the id of the recording; besides _left "
    "and _right.",
)
@cache_option
def folds(k: int, seed: int, labels: str, name: str, same: str | None, cache: Path) -> None:
    """Deal the recordings of train and val into folds that are alike in their labels.

    Fold 0 is the official split. In folds 1 to K each recording is validated on once, and never
    trained on in the same fold. `abaw temporal-train --fold K` trains on one.

    \b
    Example:
      abaw folds --k 6 --seed 0
      abaw folds --k 5 --labels va6 --name va6
    """
    from .temporal.data.fold_report import make_folds

    click.echo(make_folds(cache, labels, name, k, seed, same))
