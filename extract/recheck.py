"""A sample of a store's frames computed again from their images, and compared."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..cache import EmbeddingStore, open_store
from ..cache.admission import check_same_spec
from ..cache.convert import CONVERTED
from ..cache.loss import SPREAD_FRAMES, shares_of, spread_of
from ..cache.object_path import AnyPath
from ..core.device import compute_thread, resolve_device
from ..core.errors import UsageError
from .backbones import LoadedBackbone, load_backbone
from .errors import FramesError
from .frames import FrameSet, SourceVideo, find_videos
from .lane import Lane, Outlet
from .meter import Meter
from .options import RunOptions
from .requests import EmbeddingRequest
from .settings import run_settings
from .staleness import Work
from .stream import FrameStream
from .writing import BackgroundWriter

MOST_APART: Final[Mapping[str, float]] = {"fp32": 0.05, "bf16": 0.3, "fp16": 0.1}
"""Compute precision -> largest distance of an embedding that is the same: the root mean square
over dimensions of the difference in units of spread, rounding by the stored type apart. Other
frames are 1.4 apart."""
_SEED: Final = 0
_SHOWN: Final = 5
_IDENTITY: Final = (
    "backbone",
    "weights",
    "channels",
    "dim",
    "options",
    "version",
    "position_table",
)
"""Fields of a spec that are no settings."""


@dataclass(frozen=True)
class Recheck:
    """What computing frames again has shown."""

    store: AnyPath
    n_frames: int
    """Frames compared."""
    n_videos: int
    """Videos that they are of."""
    n_absent: int
    """Frames of the sample whose image is not in the trees, or cannot be read now."""
    largest: float
    """The largest distance, see `MOST_APART`."""
    apart: tuple[tuple[str, int, float], ...]
    """(video, frame number, distance) of frames that are not the same."""

    def text(self) -> str:
        """Return it for people to read."""
        absent = f", {self.n_absent} more have no image here" if self.n_absent else ""
        line = (
            f"{self.store}: {self.n_frames} frames of {self.n_videos} videos computed again"
            f"{absent}: at most {100 * self.largest:.2g} % of the spread apart"
        )
        shown = [
            f"  {video} frame {frame}: {100 * far:.0f} % apart"
            for video, frame, far in self.apart[:_SHOWN]
        ]
        rest = len(self.apart) - len(shown)
        return "\n".join([line, *shown, *([f"  and {rest} more"] if rest else [])])

    def raise_for_frames(self) -> None:
        """Raise FramesError if a frame is not what is stored.

        Raises:
            FramesError: names the first one.
        """
        if self.apart:
            video, frame, _ = self.apart[0]
            message = (
                f"frames must give the embeddings that {self.store} holds, but {len(self.apart)} "
                f"of {self.n_frames} do not, frame {frame} of {video!r} the first; if the images "
                f"were changed run `abaw extract`, else the store is not of these weights and "
                f"settings: remove it and extract again"
            )
            raise FramesError(message)


def recheck(
    path: Path,
    trees: Sequence[Path],
    weights: str,
    n_frames: int,
    *,
    backbone: str | None = None,
    device: str = "auto",
) -> Recheck:
    """Compute a sample of the frames of a store again, and compare.

    The settings are those in the store, the sample is the same in every call, spread evenly over
    all frames.

    Args:
        path: of the store, with or without its suffix.
        trees: where the images are.
        weights: as `abaw extract` got them; those of other content are refused.
        n_frames: size of the sample.
        backbone: where the name in the store does not tell all: `folder/file.py:function`.
        device: where to compute.

    Raises:
        UsageError: the store holds labels, or an argument cannot be used.
        FingerprintError: weights or code are not those of the store.
        FramesError: no frame of the store is in the trees.
    """
    with open_store(path) as store:
        if not isinstance(store, EmbeddingStore):
            message = f"{store.path} holds labels, which have no images to be computed again from"
            raise UsageError(message)
        loaded = _load(store, weights, backbone)
        sample = _sample(store, n_frames)
        places = _places(sample, store, find_videos(trees))
        if not places:
            message = (
                f"frames of {store.path} must be in the trees to be computed again, but none of "
                f"{sum(map(len, sample.values()))} that were looked for is; give the trees that it "
                f"was extracted from"
            )
            raise FramesError(message)
        return _compared(store, sample, _computed(store, loaded, places, device))


def _load(store: EmbeddingStore, weights: str, backbone: str | None) -> LoadedBackbone:
    spec = store.spec
    settings: dict[str, Any] = {
        name: getattr(spec, name)
        for name in spec.__dataclass_fields__
        if name not in _IDENTITY and getattr(spec, name) != ""
    }
    settings |= {k: v for k, v in spec.options.items() if k in ("min_side", "max_side")}
    if spec.position_table == "interpolated":
        settings["position_table"] = "interpolate"
    request = EmbeddingRequest(
        name=store.name, backbone=backbone or spec.backbone, weights=weights, settings=settings
    )
    loaded = load_backbone(request)
    options = {key: value for key, value in spec.options.items() if key != CONVERTED}
    check_same_spec(store.path, replace(spec, options=options), loaded.spec)
    return loaded


def _sample(store: EmbeddingStore, n_frames: int) -> dict[str, NDArray[np.int64]]:
    """Return video -> rows in it, rising: a random one of each of `n_frames` equal stretches."""
    n = min(n_frames, store.n_frames)
    edges = np.linspace(0, store.n_frames, n + 1).astype(np.int64)
    rows = np.random.default_rng(_SEED).integers(edges[:-1], edges[1:])
    starts = np.cumsum(store.lengths) - store.lengths
    video = np.searchsorted(starts, rows, side="right") - 1
    return {store.videos[int(n)]: rows[video == n] - starts[n] for n in np.unique(video)}


def _places(
    sample: Mapping[str, NDArray[np.int64]], store: EmbeddingStore, frames: FrameSet
) -> list[tuple[SourceVideo, int]]:
    """Return the source frames of the sample that are there, in order."""
    found = []
    for video, rows in sample.items():
        source = frames.videos.get(video)
        if source is None:
            continue
        for number in store[video].frame[rows].tolist():
            position = int(np.searchsorted(source.numbers, number))
            if position < source.n_frames and source.numbers[position] == number:
                found.append((source, position))
    return found


def _computed(
    store: EmbeddingStore,
    loaded: LoadedBackbone,
    places: list[tuple[SourceVideo, int]],
    device: str,
) -> dict[tuple[str, int], NDArray[np.float32]]:
    """Return (video, frame number) -> embedding, through the same machinery as extraction."""
    options = RunOptions(device=device, allow_precision=True)
    settings = run_settings(
        store.path, store.run_settings, resolve_device(device), options, loaded.cpu_batch_sizes
    )
    found: dict[tuple[str, int], NDArray[np.float32]] = {}

    def keep(video: str, **values: Any) -> None:  # noqa: ANN401 - as `StoreWriter.add` takes them
        for number, row in zip(values["frame"].tolist(), values["embedding"], strict=True):
            found[video, number] = row

    ranges: dict[str, list[tuple[int, int]]] = {}
    for source, position in places:
        ranges.setdefault(source.video, []).append((position, position + 1))
    works = {video: Work(video, 1, tuple(cuts), "sample") for video, cuts in ranges.items()}
    with (
        ThreadPoolExecutor(options.n_workers, "decode") as pool,
        BackgroundWriter() as background,
        compute_thread() as computing,
    ):
        outlet = Outlet(store.name, keep, works, loaded.spec)
        lane = Lane([loaded], [outlet], settings, computing, background, Meter())
        for source, position, frame in FrameStream(
            places, pool, options.n_workers, settings.batch_size
        ):
            lane.push(source, position, frame)
        lane.finish()
        background.join()
    return found


def _compared(
    store: EmbeddingStore,
    sample: Mapping[str, NDArray[np.int64]],
    computed: Mapping[tuple[str, int], NDArray[np.float32]],
) -> Recheck:
    n_videos = int(np.searchsorted(np.cumsum(store.lengths), SPREAD_FRAMES)) + 1
    first = [rows for rows, _ in store.read(store.videos[:n_videos])]
    spread = spread_of(np.concatenate(first)[:SPREAD_FRAMES])
    varies = spread > 0
    rounding = store.loss["largest"] if store.loss else 0.0
    distances: list[tuple[str, int, float]] = []
    apart: list[tuple[str, int, float]] = []
    n_absent = 0
    for video, rows in sample.items():
        record = store[video]
        most = rounding + max(MOST_APART[name] for name in record.precision.split("+"))
        for row in rows.tolist():
            number = int(record.frame[row])
            if (video, number) not in computed:
                n_absent += 1
                continue
            error = computed[video, number].astype(np.float64) - record.embedding[row]
            shares = shares_of(error, spread)[varies]
            far = float(np.sqrt((shares**2).mean())) if len(shares) else 0.0
            distances.append((video, number, far))
            if far > most:
                apart.append(distances[-1])
    return Recheck(
        store.path,
        len(distances),
        len({video for video, _, _ in distances}),
        n_absent,
        max((far for _, _, far in distances), default=0.0),
        tuple(apart),
    )
