"""`abaw cache …`: look at stores, check them, move them about."""

import json
from pathlib import Path

import click

from .cli_common import Group, cache_option


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
