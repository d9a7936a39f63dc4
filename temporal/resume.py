"""The state of a run that is not finished: one file, replaced as a whole every few steps."""

import io
from pathlib import Path
from typing import Any, Final

import torch

from ..core.errors import UsageError
from ..core.files import atomic_write
from .errors import TemporalError

STATE_FILE: Final = "training.pt"
_FORMAT: Final = 1


def save_state(folder: Path, run_identity: str, state: dict[str, Any]) -> None:
    """Write the state of a run, in the place of the one before."""
    stream = io.BytesIO()
    torch.save({"format": _FORMAT, "identity": run_identity, "state": state}, stream)
    with atomic_write(folder / STATE_FILE) as file:
        file.write(stream.getvalue())


def load_state(folder: Path, run_identity: str) -> dict[str, Any] | None:
    """Return the state that a run was left in, its tensors on the CPU; None if there is none.

    Raises:
        TemporalError: the file cannot be read.
        UsageError: another run is there.
    """
    path = folder / STATE_FILE
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        identity, state = found["identity"], found["state"]
        is_known = found["format"] == _FORMAT
    except Exception as error:  # torch raises what it likes for a damaged file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        message = (
            f"{path} must hold the state of a run that was broken off, but cannot be read: "
            f"{reason}; remove it, and the run begins again"
        )
        raise TemporalError(message) from error
    if not is_known:
        message = (
            f"{path} must be of format {_FORMAT}, but is of {found['format']}; finish it with the "
            f"version of abaw that began it, or remove it, and the run begins again"
        )
        raise TemporalError(message)
    if identity != run_identity:
        message = (
            f"{folder} holds another run that was broken off (identity {identity}, asked for "
            f"{run_identity}: settings or data differ); give another --run, or remove it"
        )
        raise UsageError(message)
    return dict(state)


def remove_state(folder: Path) -> None:
    """Remove the state of a run that is finished."""
    (folder / STATE_FILE).unlink(missing_ok=True)
