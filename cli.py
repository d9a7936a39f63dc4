"""The command line: parse, call one function, print.

No logic lives here, and no import that `abaw --help` does not need: every command imports what it
calls. Results go to stdout, progress and notes to stderr.
"""

from pathlib import Path
from typing import Any

import click

from . import __version__
from .cli_cache import cache as cache_commands
from .cli_common import ANY, FILE, FOLDER, HELP, Group, cache_option, quiet_option, set_option
from .cli_ensemble import temporal_ensemble
from .cli_folds import folds as folds_command
from .cli_sweep import temporal_sweep
from .cli_temporal import report, score, temporal_predict, temporal_train


@click.group(cls=Group, context_settings=HELP)
@click.version_option(__version__, prog_name="abaw")
def main() -> None:
    """Facial affect in video: extract embeddings once, train many temporal models.

    \b
    Example:
      abaw sample data
      abaw extract data/cropped_aligned --backbone densenet121 --weights random:0
      abaw labels data/annotations
      abaw temporal-train densenet121
    """


main.add_command(cache_commands, "cache")
main.add_command(folds_command, "folds")
for command in (temporal_train, temporal_predict, score, report):
    main.add_command(command)
main.add_command(temporal_ensemble)
main.add_command(temporal_sweep)


@main.command()
@click.argument("out", type=FOLDER)
@click.option("--preset", default="default", show_default=True, help="demo, default or bench.")
@click.option("--seed", type=int, default=None, help="Another seed draws another data set.")
@set_option
def sample(out: Path, preset: str, seed: int | None, settings: tuple[str, ...]) -> None:
    """Write a drawn data set in the challenge's own form to OUT.

    \b
    Example:
      abaw sample data --preset demo
    """
    from .sample import settings_from_text, write_sample

    click.echo(write_sample(out, settings_from_text(preset, seed, settings)).text())


@main.command()
@click.argument("trees", type=ANY, nargs=-1, required=True, metavar="FRAMES...")
@click.option("--backbone", help="A name from `abaw backbones`, timm/NAME or FILE.py:FUNCTION.")
@click.option("--weights", help="FILE, pretrained, random:SEED, own, none or a hub id; no default.")
@click.option("--name", help="Name of the embedding; by default the backbone's.")
@click.option("--license", "licence", help="Licence of the weights, recorded in the store.")
@click.option(
    "--allow-missing",
    metavar="PATTERN",
    multiple=True,
    help="Keys like head.* that the weights may lack, if the embedding does not depend on them.",
)
@click.option(
    "--allow-unexpected",
    metavar="PATTERN",
    multiple=True,
    help="Keys that the weights may have besides the network's.",
)
@set_option
@click.option("--config", type=FILE, help="embeddings.yaml: several embeddings in one pass.")
@click.option("--only", multiple=True, help="Only this embedding of --config; repeatable.")
@cache_option
@click.option(
    "--store",
    type=click.Choice(["hdf5", "zarr"]),
    default="hdf5",
    show_default=True,
    help="Form of new stores.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, mps.")
@click.option("--devices", help="Several devices, a process each: 0,1,2 (CUDA) or cpu,cpu.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="auto asks the hardware what it is fast at.",
)
@click.option("--allow-precision", is_flag=True, help="Go on in another precision than before.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Frames per forward pass.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads that decode images.")
@click.option(
    "--commit-every",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    help="Seconds of work a kill can cost.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Take the first frame of each video and every N-th after it.",
)
@click.option(
    "--on-error",
    type=click.Choice(["record", "fail"]),
    default="record",
    show_default=True,
    help="What an unreadable frame does.",
)
@click.option("--shard", metavar="I/N", help="This job's part of the videos, like 1/4.")
@click.option("--prune", is_flag=True, help="Drop stored videos that are in none of FRAMES.")
@click.option(
    "--break-lock",
    is_flag=True,
    help="Make a store one file although another machine's process, now dead, held its lock.",
)
@click.option("--compile", is_flag=True, help="Run networks through torch.compile.")
@click.option(
    "--dry-run", is_flag=True, help="Say per video what would be done, why, and how long it takes."
)
@quiet_option
def extract(
    trees: tuple[Path, ...],
    backbone: str | None,
    weights: str | None,
    name: str | None,
    licence: str | None,
    settings: tuple[str, ...],
    config: Path | None,
    only: tuple[str, ...],
    allow_missing: tuple[str, ...],
    allow_unexpected: tuple[str, ...],
    cache: Path,
    quiet: bool,
    devices: str | None,
    shard: str | None,
    **run_flags: Any,  # noqa: ANN401
) -> None:
    """Stage 1: run backbones over every face frame in FRAMES once, into the cache.

    FRAMES are trees of face crops, <video>/00001.jpg; several trees are one set of videos.

    \b
    Example:
      abaw extract data/cropped_aligned --backbone densenet121 --weights random:0
      abaw extract data/cropped_aligned --config embeddings.yaml
    """
    from .extract import RunOptions, parse_devices, parse_shard, requests_from_command, run

    requests = requests_from_command(
        backbone, weights, name, licence, settings, config, only, allow_missing, allow_unexpected
    )
    options = RunOptions(
        devices=parse_devices(devices) if devices else (),
        shard=parse_shard(shard) if shard else None,
        **run_flags,
    )
    summary = run(trees, requests, cache, options, progress=not quiet)
    click.echo(summary.text())
    summary.raise_for_unreadable_videos()


@main.command()
def backbones() -> None:
    """List the backbones with input size, dimensions and accepted weights.

    \b
    Example:
      abaw backbones
    """
    from .extract import backbones_text

    click.echo(backbones_text())


@main.command()
@click.argument("folder", type=FOLDER, required=False)
@click.option("--train", type=FILE, help="Multi-task annotation file of the training split.")
@click.option("--val", type=FILE, help="Multi-task annotation file of the validation split.")
@click.option("--test", type=FILE, help="List of the test split: frames, or videos.")
@click.option(
    "--frames", type=ANY, multiple=True, help="Tree of crops, folder or archive: find missing ones."
)
@click.option("--name", default="labels", show_default=True, help="NAME is stored as labels-NAME.")
@cache_option
def labels(
    folder: Path | None,
    train: Path | None,
    val: Path | None,
    test: Path | None,
    frames: tuple[Path, ...],
    name: str,
    cache: Path,
) -> None:
    """Read annotation files into a labels store, and report everything odd in them.

    FOLDER holds the multi-task challenge's files under their own names, or Train_Set and
    Validation_Set of one task with a file for each video; or name multi-task files one by one.

    \b
    Example:
      abaw labels data/annotations --frames data/cropped_aligned
      abaw labels annotations/VA_Estimation_Challenge --name va6 --test va_test_set_sample.txt
    """
    from .temporal.data.annotations import import_annotations

    click.echo(import_annotations(cache, name, folder, train, val, test, frames))
