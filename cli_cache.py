"""`abaw cache …`: look at stores, check them, move them about."""

import json
from pathlib import Path
from typing import Any

import click

from .cli_common import ANY, FOLDER, Group, cache_option

layout_option = click.option(
    "--layout",
    type=click.Choice(["abaw4", "npy", "csv", "parquet"]),
    required=True,
    help="abaw4: the challenge winner's HDF5; the others have one file a video.",
)


@click.group(cls=Group)
def cache() -> None:
    """Look at the feature cache.

    \b
    Example:
      abaw cache info
    """


@cache.command()
@click.argument("names", nargs=-1)
@cache_option
@click.option("--json", "as_json", is_flag=True, help="All of it, for programs.")
def info(names: tuple[str, ...], cache: Path, as_json: bool) -> None:
    """Say what the cache holds: videos, frames, weights, licence, fingerprint, versions.

    \b
    Example:
      abaw cache info densenet121
    """
    from .cache import describe_cache

    description = describe_cache(cache, names)
    click.echo(json.dumps(description.facts, indent=2) if as_json else description.text())


@cache.command("import")
@click.argument("source", type=ANY)
@layout_option
@click.option("--name", required=True, help="Name of the embedding.")
@click.option("--labels", help="Labels store to take frame numbers from (abaw4, npy).")
@click.option("--columns", default="", metavar="PATTERNS", help="Features, like 'AU*_r,gaze_*'.")
@click.option("--face-id", type=int, help="Take the rows of this face.")
@click.option("--frame-offset", type=int, help="Add to frame numbers; 1 if they count from 0.")
@click.option("--license", "licence", help="Licence of the features, recorded in the store.")
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="Type of the stored numbers.",
)
@click.option(
    "--store",
    type=click.Choice(["hdf5", "zarr"]),
    default="hdf5",
    show_default=True,
    help="Form of a new store.",
)
@cache_option
def import_command(source: Path, layout: Any, name: str, cache: Path, **options: Any) -> None:  # noqa: ANN401
    """Make a store of features that another program wrote: OpenFace, py-feat, NumPy, HDF5.

    Run again, it imports only the videos that are new or changed.

    \b
    Example:
      abaw cache import openface --layout csv --name openface --columns 'AU*_r,gaze_*'
      abaw cache import features/mae.h5 --layout abaw4 --name mae --labels labels
    """
    from .cache import import_features

    summary = import_features(cache, name, source, layout, **options)
    click.echo(summary.text())
    summary.raise_for_videos()


@cache.command("export")
@click.argument("names", nargs=-1, required=True)
@layout_option
@click.option("--out", type=FOLDER, required=True, help="A new folder.")
@click.option("--labels", help="Labels store whose frames are the rows (abaw4; default labels).")
@cache_option
def export_command(
    names: tuple[str, ...],
    layout: Any,  # noqa: ANN401
    out: Path,
    labels: str | None,
    cache: Path,
) -> None:
    """Write embeddings in the layout of another program.

    \b
    Example:
      abaw cache export densenet121 iresnet18 --layout abaw4 --out data_root
      abaw cache export densenet121 --layout npy --out exported
    """
    from .cache import export_features

    click.echo(export_features(cache, names, out, layout, labels))
