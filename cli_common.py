"""What the commands share: a group that prints errors in one line, types and options."""

import errno
import os
import re
from pathlib import Path
from typing import Any, Final

import click

from .core.errors import AbawError

_ADVICE: Final = {
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS),
        "give a place that you may read and write, or change the permissions of this one",
    ),
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "make room there and run the same command again"
    ),
}
"""What no program can help -> what a user can do about it."""


class Group(click.Group):
    """A group that prints an `AbawError` as one line; a bug keeps its traceback."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except AbawError as error:
            click.echo(f"Error: {' '.join(str(error).split())}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno not in _ADVICE:
                raise
            click.echo(f"Error: {_refused(error)}", err=True)
            ctx.exit(AbawError.exit_code)


def _refused(error: OSError) -> str:
    """Return what the system refused, and what to do, as a sentence."""
    assert error.errno is not None
    reason, advice = os.strerror(error.errno), _ADVICE[error.errno]
    if error.filename is None:  # of the HDF5 library, whose own words name the file
        return f"the system says {reason}: {' '.join(str(error).split())}; {advice}"
    place = os.fsdecode(error.filename)
    return f"{place} is to be read or written, but the system says {reason}; {advice}"


class _Place(click.Path):
    """A path that a file or folder can be at: nothing above it is a file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: ANN401
        """Return the path, or refuse it as what it is below."""
        path = super().convert(value, param, ctx)
        assert isinstance(path, Path)
        for above in path.parents:
            if above.is_dir():
                break
            if above.exists() or above.is_symlink():
                found = "a file" if above.exists() else "a link that leads nowhere"
                self.fail(f"{path} must be in folders, but {above} is {found}", param, ctx)
        return path


HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
FOLDER = _Place(path_type=Path, file_okay=False)
OUT = _Place(path_type=Path)
"""A file or folder to write."""
FILE = click.Path(path_type=Path, dir_okay=False)
ANY = click.Path(path_type=Path)


def _in_files(_: click.Context, __: click.Parameter, cache: Path) -> Path:
    """Refuse an address of object storage, which a path would be made of."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", str(cache)):
        message = (
            f"--cache is a folder of files, but {str(cache)!r} is an address; stores on object "
            f"storage are opened in Python, by open_store(ObjectPath(store, path))"
        )
        raise click.UsageError(message)
    return cache


cache_option = click.option(
    "--cache",
    type=FOLDER,
    envvar="ABAW_CACHE",
    default=Path("features"),
    show_default=True,
    callback=_in_files,
    help="Folder of the feature cache; or set ABAW_CACHE.",
)
set_option = click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="One setting; may be given several times.",
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
