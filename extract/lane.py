"""One network on its way through the frames: batches of one fixed shape in, rows out to stores."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..cache import EmbeddingSpec, Failure
from ..core.device import Precision, autocast, compiled
from .backbones import Embedder, LoadedBackbone, forward_all
from .batches import PendingBatch, Pixels, to_device
from .decode import DecodedFrame
from .errors import cannot_compile
from .frames import HASH_MODULUS, SourceVideo, stat_hash
from .meter import Meter
from .preprocess import Preprocessor, size_problem
from .staleness import Work
from .writing import BackgroundWriter

_IN_FLIGHT: Final = {"cuda": 2}
"""Batches that are not fetched. A GPU has the next one there while it computes one; elsewhere the
next one is gathered meanwhile."""


@dataclass(frozen=True)
class RunSettings:
    """What must stay the same within a store, so that resumed equals uninterrupted."""

    device: str
    precision: Precision
    batch_size: int
    threads: int
    """CPU threads of one operation; it decides the order of sums."""
    compile: bool = False
    """Whether the network runs through `torch.compile`, whose kernels sum in other orders."""


@dataclass
class Outlet:
    """Where one embedding of a lane goes, and which frames it still needs."""

    name: str
    add: Callable[..., None]
    """`StoreWriter.add`, or what stands for it."""
    works: Mapping[str, Work]
    limits: EmbeddingSpec
    """Whose `min_side` and `max_side` count."""
    n_frames: int = 0
    """Frames embedded."""

    def version(self, video: str, position: int) -> int:
        """Return the version that a frame is needed for, or 0 if it is not needed."""
        work = self.works[video]
        for start, stop in work.ranges:
            if start <= position < stop:
                return work.version
        return 0

    def reason(self, frame: DecodedFrame) -> str:
        """Return why a frame has no embedding; empty if it has one."""
        if frame.pixels is None:
            return frame.reason
        height, width, _ = frame.pixels.shape
        return size_problem(height, width, self.limits)


class _Item(NamedTuple):
    """A source frame that waits for its row."""

    source: SourceVideo
    position: int
    frame: DecodedFrame
    """Without its pixels."""
    versions: tuple[int, ...]
    """For each outlet; 0 if it does not need the frame."""
    reasons: tuple[str, ...]
    """For each outlet; why it gets no embedding, or empty."""
    row: int
    """Number of its row, counted from the beginning; -1 if no outlet gets one."""


class Lane:
    """Runs one network over a stream of frames; each embedding taken of it is an outlet.

    Every batch has the same shape: it fills across the borders of videos, and the last one is
    padded. A frame's embedding so depends neither on its batch mates nor on where a run began.
    While a batch is computed, the next one is gathered; stores are written in the background.

    Args:
        loaded: the embeddings, of one network and one preprocessing.
        outlets: where they go, in the same order.
        settings: device, precision, batch size and threads.
        computing: one thread, see `compute_thread`.
        background: stores what is computed.
        meter: where the time goes.
        burst: batches that are computed one after another. Of several networks that take turns on
            a CPU, each has to fetch its weights into the processor's caches anew.
    """

    def __init__(
        self,
        loaded: Sequence[LoadedBackbone],
        outlets: Sequence[Outlet],
        settings: RunSettings,
        computing: Executor,
        background: BackgroundWriter,
        meter: Meter,
        burst: int = 1,
    ) -> None:
        self.outlets = tuple(outlets)
        self.settings = settings
        self.n_forward = 0
        """Batches computed."""
        self._dims = [one.spec.dim for one in loaded]
        self._computing = computing
        self._background = background
        self._meter = meter
        self._device = torch.device(settings.device)
        last = torch.channels_last if loaded[0].channels_last else torch.contiguous_format
        self._memory_format = last

        def placed() -> list[Embedder]:
            return [one.module.to(self._device).to(memory_format=last) for one in loaded]

        forward: Callable[..., list[torch.Tensor]] = partial(
            forward_all, computing.submit(placed).result()
        )
        self._forward = compiled(forward, cannot_compile) if settings.compile else forward
        self._preprocess = Preprocessor(loaded[0].spec)
        self._burst = burst
        self._n_in_flight = max(burst, _IN_FLIGHT.get(self._device.type, 1))
        self._batch: list[Pixels] = []
        self._full: list[list[Pixels]] = []
        """Batches that wait for the others of their burst."""
        self._items: deque[_Item] = deque()
        self._in_flight: deque[Future[PendingBatch]] = deque()
        self._rows: list[list[NDArray[np.float32]]] = [[] for _ in outlets]
        self._first_row = 0
        """Number of the first of `_rows`, counted from the beginning."""
        self._n_rows = 0
        """Rows in `_rows`."""
        self._n_pushed = 0
        """Readable frames so far."""

    def push(self, source: SourceVideo, position: int, frame: DecodedFrame) -> None:
        """Take the next frame, if any outlet needs it; it may complete a batch."""
        versions = tuple(outlet.version(source.video, position) for outlet in self.outlets)
        if not any(versions):
            return
        reasons = tuple(outlet.reason(frame) for outlet in self.outlets)
        row = -1
        if frame.pixels is not None:
            is_wanted = any(
                version and not reason for version, reason in zip(versions, reasons, strict=True)
            )
            if is_wanted:
                self._batch.append(frame.pixels)
                row = self._n_pushed
                self._n_pushed += 1
            frame = frame._replace(pixels=None)
        self._items.append(_Item(source, position, frame, versions, reasons, row))
        if len(self._batch) == self.settings.batch_size:
            self._full.append(self._batch)
            self._batch = []
            if len(self._full) >= self._burst:
                self._launch()

    def drain(self) -> None:
        """Hand what was computed to the stores; frames of batches not launched are dropped."""
        while self._in_flight:
            self._fetch()
        self._hand_over()

    def finish(self) -> None:
        """Compute what is left, padded to a whole batch, and hand everything to the stores."""
        if self._batch:
            self._full.append(self._batch)
            self._batch = []
        self._launch()
        self.drain()

    def _launch(self) -> None:
        """Have the full batches computed, and fetch the oldest if enough are in flight."""
        for batch in self._full:
            self._in_flight.append(self._computing.submit(self._compute, batch))
        self.n_forward += len(self._full)
        self._full = []
        while len(self._in_flight) > self._n_in_flight:
            self._fetch()
        self._hand_over()

    def _compute(self, frames: list[Pixels]) -> PendingBatch:
        """Compute one batch; runs in the compute thread."""
        if self._device.type == "cpu" and torch.get_num_threads() != self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        with torch.inference_mode():
            prepared = self._prepared(frames)
            n_missing = self.settings.batch_size - len(frames)
            if n_missing:
                padding = prepared.new_zeros(n_missing, *prepared.shape[1:])
                prepared = torch.cat([prepared, padding])
            prepared = prepared.contiguous(memory_format=self._memory_format)
            with autocast(self._device, self.settings.precision):
                outputs = [output.float() for output in self._forward(prepared)]
            return PendingBatch(outputs, len(frames))

    def _prepared(self, frames: list[Pixels]) -> torch.Tensor:
        """Return the normalised batch; frames of one size go to the device together."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, frame in enumerate(frames):
            by_size.setdefault(frame.shape, []).append(place)
        if len(by_size) == 1:
            return self._preprocess(to_device(frames, self._device))
        groups = [
            self._preprocess(to_device([frames[place] for place in places], self._device))
            for places in by_size.values()
        ]
        order = [place for places in by_size.values() for place in places]
        back = torch.tensor(np.argsort(order), device=self._device)
        return torch.cat(groups)[back]

    def _fetch(self) -> None:
        """Take the rows of the oldest batch in flight."""
        with self._meter.timing("device"):
            batch = self._in_flight.popleft().result()
            fetched = batch.rows()
        for rows, new in zip(self._rows, fetched, strict=True):
            rows.append(new)
        self._n_rows += batch.n_frames

    def _hand_over(self) -> None:
        """Give the stores all leading frames whose rows are there."""
        ready: list[_Item] = []
        end = self._first_row + self._n_rows
        while self._items and self._items[0].row < end:
            ready.append(self._items.popleft())
        if not ready:
            return
        # Rows are fetched by whole batches, and a batch's frames are all pushed before it is
        # launched: every row that is there has its item in `ready`.
        for index, (outlet, rows, dim) in enumerate(
            zip(self.outlets, self._rows, self._dims, strict=True)
        ):
            joined = np.concatenate(rows) if rows else np.empty((0, dim), np.float32)
            for group in _groups(ready, index):
                places = [item.row - self._first_row for item in group if not item.reasons[index]]
                outlet.n_frames += len(places)
                store = partial(
                    _store, outlet, group, index, joined[places], self.settings.precision
                )
                with self._meter.timing("write"):
                    self._background.submit(store)
        self._first_row += self._n_rows
        self._n_rows = 0
        self._rows = [[] for _ in self.outlets]


def _groups(items: list[_Item], outlet: int) -> list[list[_Item]]:
    """Return what one outlet needs, cut where the video, its version or the positions break off."""
    groups: list[list[_Item]] = []
    for item in items:
        if not item.versions[outlet]:
            continue
        last = groups[-1][-1] if groups else None
        if (
            last is not None
            and item.source is last.source
            and item.versions[outlet] == last.versions[outlet]
            and item.position == last.position + 1
        ):
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _store(
    outlet: Outlet, group: list[_Item], index: int, rows: NDArray[np.float32], precision: str
) -> None:
    """Add consecutive frames of a video to the store of an outlet."""
    source, start = group[0].source, group[0].position
    stop = start + len(group)
    numbers = source.numbers[start:stop].tolist()
    pairs = [(number, item.reasons[index]) for number, item in zip(numbers, group, strict=True)]
    outlet.add(
        source.video,
        version=group[0].versions[index],
        source_start=start,
        source_length=len(group),
        source_total=source.n_frames,
        frame=np.array([number for number, reason in pairs if not reason], np.int32),
        embedding=rows,
        failures=[Failure(source.video, number, reason) for number, reason in pairs if reason],
        input_hash=sum(item.frame.input_hash for item in group) % HASH_MODULUS,
        # So that the next run looks again at a file that the system did not give.
        stat_hash=stat_hash(
            source, start, stop, {item.position for item in group if item.frame.is_absent}
        ),
        precision=precision,
    )
