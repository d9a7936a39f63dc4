"""`abaw cache …`: look at stores, check them, move them about."""

import json
from pathlib import Path
from typing import Any

import click

from .cli_common import ANY, FOLDER, Group, cache_option, quiet_option

layout_option = click.option(
    "--layout",
    type=click.Choice(["abaw4", "npy", "csv", "parquet"]),
    required=True,
    help="abaw4: the challenge winner's HDF5; the others have one file a video.",
)


@click.group(cls=Group)
def cache() -> None:
    """Look at the feature cache, check it, change its form.

    \b
    Example:
      abaw cache info
      abaw cache verify
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


@cache.command()
@click.argument("names", nargs=-1)
@cache_option
@click.option("--repair", is_flag=True, help="Drop what is corrupt, for `abaw extract` to redo.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads that read.")
@click.option(
    "--deep", type=click.IntRange(min=1), metavar="N", help="Compute N frames again and compare."
)
@click.option("--frames", type=ANY, multiple=True, help="With --deep: where the images are.")
@click.option("--weights", help="With --deep: the weights of the store.")
@click.option("--backbone", help="With --deep: FILE.py:FUNCTION, where the store is of one.")
@quiet_option
def verify(
    names: tuple[str, ...],
    cache: Path,
    repair: bool,
    workers: int | None,
    quiet: bool,
    deep: int | None,
    **given: Any,  # noqa: ANN401
) -> None:
    """Read every byte of stores and say what is wrong, by video.

    With --deep, also compute a sample of one store's frames again from their images.

    \b
    Example:
      abaw cache verify
      abaw cache verify mae_cms --repair
      abaw cache verify mae_cms --deep 200 --frames cropped_aligned --weights mae_cms.pth
    """
    from .cache import named_or_all, repair_store, verify_store

    if deep and not (len(names) == 1 and given["frames"] and given["weights"]):
        message = "--deep needs one store by name, --frames TREE and --weights W"
        raise click.UsageError(message)

    results = []
    for name in named_or_all(cache, names):
        found = verify_store(cache / name, workers=workers, progress=not quiet)
        click.echo(found.text())
        dropped = repair_store(cache / name, found) if repair else []
        if repair and not found.is_sound:
            click.echo(f"  repaired: {', '.join(dropped) or 'no video'} dropped; extract again")
        else:
            results.append(found)
    for found in results:
        found.raise_for_problems()
    if deep:
        from .extract import recheck

        checked = recheck(
            cache / names[0], given["frames"], given["weights"], deep, backbone=given["backbone"]
        )
        click.echo(checked.text())
        checked.raise_for_frames()


@cache.command()
@click.argument("name")
@cache_option
@click.option("--store", "backend", type=click.Choice(["hdf5", "zarr"]), help="The new form.")
@click.option("--dtype", type=click.Choice(["float16", "float32"]), help="The new type.")
@click.option("--name", "new_name", help="Write a copy of this name; by default it is replaced.")
def convert(
    name: str,
    cache: Path,
    backend: str | None,
    dtype: Any,  # noqa: ANN401 - one of the choices
    new_name: str | None,
) -> None:
    """Write a store in another form: HDF5 or Zarr, float16 or float32.

    \b
    Example:
      abaw cache convert mae_cms --store zarr
      abaw cache convert mae_cms --dtype float32 --name mae_cms32
    """
    from .cache import convert_store

    click.echo(convert_store(cache / name, backend=backend, dtype=dtype, name=new_name))


@cache.command()
@click.argument("sources", nargs=-1, required=True, type=ANY, metavar="STORES...")
@click.option("--name", required=True, help="The store that they become; may exist already.")
@click.option(
    "--store", type=click.Choice(["hdf5", "zarr"]), default="hdf5", show_default=True, help="Form."
)
@cache_option
def merge(sources: tuple[Path, ...], name: str, store: str, cache: Path) -> None:
    """Bring stores of one embedding, made on several machines, together in one.

    STORES are paths; they stay as they are.

    \b
    Example:
      abaw cache merge /mnt/a/mae_cms.h5 /mnt/b/mae_cms.h5 --name mae_cms
    """
    from .cache import merge_stores, store_path

    out = store_path(cache, name, store)
    click.echo(f"{out}: {merge_stores(sources, out):,} videos")


@cache.command()
@click.argument("names", nargs=-1, required=True)
@click.option("--video", "videos", multiple=True, help="Only this video; repeatable.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@cache_option
def rm(names: tuple[str, ...], videos: tuple[str, ...], yes: bool, cache: Path) -> None:
    """Remove stores, or videos of one store.

    \b
    Example:
      abaw cache rm iresnet18
      abaw cache rm mae_cms --video 12-24-1920x1080 --yes
    """
    from .cache import remove_named

    what = f"{len(videos)} videos of {', '.join(names)}" if videos else ", ".join(names)
    if not yes:
        click.confirm(f"remove {what} from {cache}?", abort=True)
    click.echo(remove_named(cache, names, videos))


@cache.command()
@cache_option
def du(cache: Path) -> None:
    """Say what stores take on the disk: files, parts, leftovers of writers that ended.

    \b
    Example:
      abaw cache du
    """
    from .cache import usage_text

    click.echo(usage_text(cache))


@cache.command("import")
@click.argument("source", type=ANY)
@layout_option
@click.option("--name", required=True, help="Name of the embedding.")
@click.option("--labels", help="Labels store whose frame numbers are taken (abaw4, npy).")
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
