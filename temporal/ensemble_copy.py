"""Copies what an ensemble's prediction needs of its runs into its own folder.

members/<name>-<identity>/run.json, model.safetensors      one a run, under names that are safe

Code is not copied: a user's own encoder is known by the hash in `run.json`, and whoever predicts
must have the same code. A folder of models that came from elsewhere brings no code to run.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..core.files import atomic_write
from ..core.names import slug
from .ensemble_members import MemberRun
from .errors import TemporalError
from .run_folder import MODEL_FILE, RUN_FILE

MEMBERS_FOLDER: Final = "members"
_COPIED: Final = (MODEL_FILE, RUN_FILE)
"""The file that tells that a run is finished comes last."""
_LONGEST_NAME: Final = 80


def copy_runs(runs: Sequence[MemberRun], out: Path) -> dict[str, str]:
    """Copy models and settings of runs, and return identity -> folder, as seen from `out`.

    Raises:
        TemporalError: a run lacks a file.
    """
    for run in runs:
        for name in _COPIED:
            if not (run.folder / name).is_file():
                message = (
                    f"a run that is copied must hold {name}, but {run.folder} does not; train it "
                    f"again, or leave runs where they are by --no-copy"
                )
                raise TemporalError(message)
    folders = {}
    for run in runs:
        folder = f"{MEMBERS_FOLDER}/{_safe_name(run)}"
        folders[run.identity] = folder
        for name in _COPIED:
            _copy(run.folder / name, out / folder / name)
    return folders


def _safe_name(run: MemberRun) -> str:
    name = slug(run.folder.resolve().name).removesuffix(run.identity).strip("-_")
    return "-".join([*filter(None, [name[:_LONGEST_NAME]]), run.identity])


def _copy(source: Path, target: Path) -> None:
    if target.exists() and source.samefile(target):
        return
    with source.open("rb") as read, atomic_write(target) as write:
        shutil.copyfileobj(read, write)


def copied_folders(ensemble_file: Path) -> set[str]:
    """Return the folders of copied runs that an ensemble's file names; none if it cannot be read.

    Only names directly below `members/` count, so that nothing else is ever taken for a copy.
    """
    try:
        members = json.loads(ensemble_file.read_text())["members"]
        named = [str(run["folder"]) for member in members for run in member["runs"]]
    except (OSError, ValueError, KeyError, TypeError):
        return set()
    return {
        name
        for name in named
        if (parts := name.split("/"))[0] == MEMBERS_FOLDER
        and len(parts) == 2
        and parts[1] not in {"", ".", ".."}
    }


def remove_copies(out: Path, folders: Iterable[str]) -> None:
    """Remove copied runs that are not needed any more; what else lies in their folders stays."""
    for folder in folders:
        for name in reversed(_COPIED):
            (out / folder / name).unlink(missing_ok=True)
        with suppress(OSError):
            (out / folder).rmdir()
    with suppress(OSError):
        (out / MEMBERS_FOLDER).rmdir()


def needed_code(runs: Sequence[MemberRun]) -> dict[str, str]:
    """Return the own encoders that runs need -> what their code is known by."""
    return {
        str(run.facts["config"]["encoder"]): str(run.facts["encoder_code"])
        for run in runs
        if run.facts.get("encoder_code")
    }
