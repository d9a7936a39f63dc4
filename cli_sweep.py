"""The command that trains many runs."""

from pathlib import Path
from typing import Final

import click

from .cli_common import FOLDER, cache_option, quiet_option

_INTERRUPTED: Final = 130
"""Exit code of what Ctrl-C ended."""


@click.command("temporal-sweep")
@click.argument("spec", type=click.Path(path_type=Path), required=False)
@click.option("--features", help="Embeddings and combinations, e.g. A,B,A+B.")
@click.option("--encoder", help="Encoders, e.g. gru,lstm.")
@click.option("--framework", help="Frameworks, e.g. se,sbe.")
@click.option("--fold", help="Folds, e.g. 0-5.")
@click.option("--seed", help="Seeds of the model, e.g. 0-2.")
@click.option("--config", help="YAML file of settings, or a preset, that all runs begin with.")
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="One setting of all runs; KEY=A|B varies it.",
)
@click.option("--out", type=FOLDER, required=True, help="Folder of the sweep and its runs.")
@click.option(
    "--jobs", default="1", show_default=True, help="Runs side by side; auto tries what is quickest."
)
@click.option("--retry", is_flag=True, help="Try runs again that failed before.")
@click.option("--dry-run", is_flag=True, help="Only tell the runs, and about how long they take.")
@cache_option
@quiet_option
def temporal_sweep(
    spec: Path | None,
    config: str | None,
    settings: tuple[str, ...],
    out: Path,
    jobs: str,
    retry: bool,
    dry_run: bool,
    cache: Path,
    quiet: bool,
    **varied: str | None,
) -> None:
    """Stage 2: train every combination of features, encoders, frameworks, folds and seeds.

    SPEC.yaml holds `grid` (setting: list of values), and may hold `fixed` settings and a `config`.
    Runs that are done are not done again; started again without SPEC and flags, a sweep goes on.
    SPEC may be `dependency` too: a study of which tasks gain from which others, for `abaw report`.

    Side by side, runs divide the cores among them (unless --set threads=N) and map their features
    once. Curves of all runs: tensorboard --logdir OUT.

    \b
    Example:
      abaw temporal-sweep --features A,B,A+B --encoder gru,lstm --seed 0-2 --out sweeps/encoders
      abaw temporal-sweep sweep.yaml --out sweeps/mine --jobs auto
      abaw temporal-sweep --out sweeps/mine --retry
      abaw temporal-sweep dependency --features A --seed 0-4 --out sweeps/tasks
    """
    from .temporal.dependency_spec import dependency_sweep
    from .temporal.dependency_sweep import sweep_with_study
    from .temporal.sweep import open_spec
    from .temporal.sweep_dry_run import dry_run_text
    from .temporal.sweep_jobs import parse_jobs
    from .temporal.sweep_spec import is_sweep_preset, spec_from_file, spec_from_flags

    has_flags = bool(config or settings or any(varied.values()))
    is_named = spec is not None and is_sweep_preset(spec)
    if spec is not None and has_flags and not is_named:
        message = "a sweep comes from SPEC.yaml or from flags, but got both"
        raise click.UsageError(message)
    asked = None
    if is_named:
        asked = dependency_sweep(config, settings, varied)
    elif spec is not None:
        asked = spec_from_file(spec)
    elif has_flags:
        asked = spec_from_flags(config, settings, varied)
    chosen = asked if dry_run and asked is not None else open_spec(asked, out)
    side_by_side = parse_jobs(jobs)
    if dry_run:
        click.echo(dry_run_text(chosen, cache, out, side_by_side))
        return
    try:
        result = sweep_with_study(
            chosen, cache, out, jobs=side_by_side, retry=retry, progress=not quiet
        )
    except KeyboardInterrupt:
        message = (
            f"Stopped; runs that are done stay, the others go on from where they were saved by "
            f"`abaw temporal-sweep --out {out} --cache {cache} --jobs {jobs}`"
        )
        click.echo(message, err=True)
        raise SystemExit(_INTERRUPTED) from None
    click.echo(result.text())
    result.raise_for_failures()
