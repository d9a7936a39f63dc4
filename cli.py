"""The command line: parse, call one function, print.

No logic lives here, and no import that `abaw --help` does not need: every command imports what it
calls. Results go to stdout, progress and notes to stderr.
"""

import json
from pathlib import Path
from typing import Any, Literal

import click

from . import __version__
from .cli_cache import cache as cache_commands
from .cli_common import ANY, FILE, FOLDER, HELP, Group, cache_option, quiet_option, set_option
from .cli_ensemble import temporal_ensemble
from .cli_folds import folds as folds_command
from .cli_sweep import temporal_sweep


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


@main.command("temporal-train")
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


@main.command("temporal-predict")
@click.argument("run", type=FOLDER)
@click.option("--split", type=click.Choice(["train", "val", "test"]), required=True)
@click.option("--out", type=ANY, required=True, help="The file, or folder of files, to write.")
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


@main.command()
@click.argument("predictions", type=ANY)
@click.argument("annotations", type=ANY, required=False)
@click.option("--split", default="val", show_default=True, help="Split of a store or folder.")
@cache_option
@click.option("--json", "as_json", is_flag=True, help="All figures with all digits.")
def score(
    predictions: Path, annotations: Path | None, split: str, cache: Path, as_json: bool
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

    scores = score_file(predictions, annotations or cache / "labels", split)
    click.echo(json.dumps(scores.to_dict(), indent=2) if as_json else scores.text())


@main.command()
@click.argument("runs", type=FOLDER, nargs=-1, required=True, metavar="RUNS...")
@cache_option
def report(runs: tuple[Path, ...], cache: Path) -> None:
    """Print the scores of many runs as a table, under the constant predictor.

    \b
    Example:
      abaw report runs/*
    """
    from .temporal.report import score_table

    click.echo(score_table(runs, cache))
