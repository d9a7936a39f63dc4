"""Features that several runs on one machine have in common: one file that all of them map.

Each process that keeps features in memory makes its own copy of them. Runs side by side of one
sweep share it: whoever comes first writes the matrix to a file, the others wait for it, and all map
it, so that the machine holds its pages once. A mapping is private: not even a bug in one run can
change what another sees.
"""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from ...core.files import temporary_name
from .features import FeatureMaker
from .timeline import Timeline

_ROOM: Final = 256 << 20
"""Bytes that must stay free on the disk: checkpoints and logs are written there too."""


@dataclass
class SharedFeatures:
    """A folder of feature matrices, each under the name of all that decides it."""

    folder: Path
    stores: dict[str, Any]
    """Name of each embedding -> fingerprint, digest of its frames: what rows of it hold."""
    notes: list[str] = field(default_factory=list)
    """Why something could not be shared, for people to read."""

    def matrix(self, maker: FeatureMaker, lines: Sequence[Timeline]) -> torch.Tensor | None:
        """Return the features (N + 1, F) float32 of all frames, as `features_of_all` makes them.

        None if there is no room for the file; a note then says so.
        """
        shape = sum(map(len, lines)) + 1, maker.n_features
        n_bytes = 4 * shape[0] * shape[1]
        path = self.folder / f"{self._key(maker, lines)}.f32"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(path.with_suffix(".lock")):
                if not path.exists() or path.stat().st_size != n_bytes:
                    self._write(path, n_bytes, maker, lines)
            flat = torch.from_file(str(path), shared=False, size=shape[0] * shape[1])
        except (OSError, RuntimeError) as error:  # RuntimeError: torch cannot map it
            self.notes.append(
                f"features could not be shared in {self.folder} ({error}), so each run keeps a "
                f"copy of its own in memory"
            )
            return None
        return flat.view(shape)

    def _key(self, maker: FeatureMaker, lines: Sequence[Timeline]) -> str:
        """Return the hash of what the stores hold, which rows are taken, and what becomes of them.

        Statistics are part of it by their values: they tell of the split that they are from.
        """
        facts = [self.stores, maker.context_mean, maker.video_mean, [x.video for x in lines]]
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        digest.update(maker.standardizer.mean.tobytes() + maker.standardizer.scale.tobytes())
        for line in lines:
            digest.update(len(line).to_bytes(8, "little"))
            for rows in line.rows:
                digest.update(rows.tobytes())
        return digest.hexdigest()[:32]

    def _write(
        self, path: Path, n_bytes: int, maker: FeatureMaker, lines: Sequence[Timeline]
    ) -> None:
        """Write a matrix, whole or not at all; it need not outlive a power cut.

        Raises:
            OSError: there is no room.
        """
        free = shutil.disk_usage(self.folder).free
        if free < n_bytes + _ROOM:
            message = f"{(n_bytes + _ROOM) / 1e9:.1f} GB of disk needed, {free / 1e9:.1f} GB free"
            raise OSError(message)
        temporary = temporary_name(path)
        try:
            with temporary.open("wb") as stream:
                for line in lines:
                    stream.write(maker.features(line, 0, len(line)).tobytes())
                stream.write(bytes(4 * maker.n_features))  # the row of padding
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def remove_shared(folder: Path) -> None:
    """Remove what `SharedFeatures` left in a folder; who still maps it keeps what he has."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process of this machine in at a time; a process that dies lets go."""
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
