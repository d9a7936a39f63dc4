"""The command that trains many runs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .cli_common import FOLDER, cache_option, quiet_option

if TYPE_CHECKING:
    from .temporal.search_spec import SearchSpec


@click.command("temporal-sweep")
@click.argument("spec", type=click.Path(path_type=Path, dir_okay=False), required=False)
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
@click.option("--jobs", default="1", show_default=True, help="Runs side by side; auto: by cores.")
@click.option("--retry", is_flag=True, help="Try runs again that failed before.")
@click.option("--dry-run", is_flag=True, help="Only say which runs there are.")
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

    With `search` or --search, settings are searched for: see docs/temporal.md.

    \b
    Example:
      abaw temporal-sweep --features A,B,A+B --encoder gru,lstm --seed 0-2 --out sweeps/encoders
      abaw temporal-sweep sweep.yaml --out sweeps/mine --jobs auto
      abaw temporal-sweep --out sweeps/mine --retry
      abaw temporal-sweep --features A --search learning_rate=1e-4..1e-2:log --out sweeps/rate
    """
    from .temporal.search_spec import search_asked
    from .temporal.sweep import n_jobs, open_spec, plan_sweep, plan_text, sweep
    from .temporal.sweep_spec import spec_from_file, spec_from_flags

    has_flags = bool(config or settings or any(varied.values()))
    if spec is not None and has_flags:
        message = "a sweep comes from SPEC.yaml or from flags, but got both"
        raise click.UsageError(message)
    flags = {"trials": trials, "storage": storage, "study": study}
    searched = search_asked(spec, out, searches, config, settings, varied, **flags)
    if searched is not None:
        _search(searched, cache, out, jobs, retry=retry, dry_run=dry_run, progress=not quiet)
        return
    asked = None
    if spec is not None:
        asked = spec_from_file(spec)
    elif has_flags:
        asked = spec_from_flags(config, settings, varied)
    chosen = asked if dry_run and asked is not None else open_spec(asked, out)
    side_by_side = n_jobs(jobs, int(chosen.fixed.get("threads", 1)))
    if dry_run:
        click.echo(plan_text(plan_sweep(chosen, cache, out), side_by_side))
        return
    result = sweep(chosen, cache, out, jobs=side_by_side, retry=retry, progress=not quiet)
    click.echo(result.text())
    result.raise_for_failures()


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
    from .temporal.sweep import n_jobs

    side_by_side = n_jobs(jobs, int(spec.runs.fixed.get("threads", 1)))
    if dry_run:
        click.echo(plan_search(spec, cache))
        return
    from .temporal.search import search

    result = search(spec, cache, out, jobs=side_by_side, retry=retry, progress=progress)
    click.echo(result.text())
    result.raise_for_failures()
