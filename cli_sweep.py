"""The command that trains many runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from .cli_common import FOLDER, cache_option, quiet_option

if TYPE_CHECKING:
    from .temporal.search_spec import SearchSpec

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
@click.option(
    "--search",
    "searches",
    metavar="KEY=LOW..HIGH",
    multiple=True,
    help="Search a setting: KEY=LOW..HIGH[:log|:step=S], or KEY=A|B.",
)
@click.option("--trials", type=click.IntRange(min=1), help="Trials of a search.  [default: 50]")
@click.option("--storage", metavar="URL", help="Database of a search that processes share.")
@click.option("--study", help="Name of the search in the database.")
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
    searches: tuple[str, ...],
    trials: int | None,
    storage: str | None,
    study: str | None,
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

    With `search` or --search, settings are searched for: see docs/temporal.md.

    \b
    Example:
      abaw temporal-sweep --features A,B,A+B --encoder gru,lstm --seed 0-2 --out sweeps/encoders
      abaw temporal-sweep sweep.yaml --out sweeps/mine --jobs auto
      abaw temporal-sweep --out sweeps/mine --retry
      abaw temporal-sweep dependency --features A --seed 0-4 --out sweeps/tasks
      abaw temporal-sweep --features A --search learning_rate=1e-4..1e-2:log --out sweeps/rate
    """
    from .temporal.dependency_spec import dependency_sweep
    from .temporal.dependency_sweep import sweep_with_study
    from .temporal.search_spec import search_asked
    from .temporal.sweep import open_spec
    from .temporal.sweep_dry_run import dry_run_text
    from .temporal.sweep_jobs import parse_jobs
    from .temporal.sweep_spec import is_sweep_preset, spec_from_file, spec_from_flags

    has_flags = bool(config or settings or any(varied.values()))
    is_named = spec is not None and is_sweep_preset(spec)
    if spec is not None and has_flags and not is_named:
        message = "a sweep comes from SPEC.yaml or from flags, but got both"
        raise click.UsageError(message)
    flags = {"trials": trials, "storage": storage, "study": study}
    searched = None
    if not is_named:
        searched = search_asked(spec, out, searches, config, settings, varied, **flags)
    elif searches or any(flags.values()):
        message = f"{spec} is a study of its own, but got --search; leave one of them out"
        raise click.UsageError(message)
    if searched is not None:
        _search(searched, cache, out, jobs, retry=retry, dry_run=dry_run, progress=not quiet)
        return
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
    with _goes_on_later(cache, out, jobs):
        result = sweep_with_study(
            chosen, cache, out, jobs=side_by_side, retry=retry, progress=not quiet
        )
    click.echo(result.text())
    result.raise_for_failures()


@contextmanager
def _goes_on_later(cache: Path, out: Path, jobs: str) -> Iterator[None]:
    """Say after Ctrl-C how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        message = (
            f"Stopped; runs that are done stay, the others go on from where they were saved by "
            f"`abaw temporal-sweep --out {out} --cache {cache} --jobs {jobs}`"
        )
        click.echo(message, err=True)
        raise SystemExit(_INTERRUPTED) from None


def _search(
    spec: "SearchSpec",
    cache: Path,
    out: Path,
    jobs: str,
    *,
    retry: bool,
    dry_run: bool,
    progress: bool,
) -> None:
    from .temporal.search_about import plan_search
    from .temporal.sweep_jobs import by_cores, parse_jobs

    side_by_side = parse_jobs(jobs) or by_cores(int(spec.runs.fixed.get("threads", 1)))
    if dry_run:
        click.echo(plan_search(spec, cache))
        return
    from .temporal.search import search

    with _goes_on_later(cache, out, jobs):
        result = search(spec, cache, out, jobs=side_by_side, retry=retry, progress=progress)
    click.echo(result.text())
    result.raise_for_failures()
