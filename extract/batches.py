"""One embedding on its way: frames in, batches of one fixed shape, pieces into the store."""

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..cache import EmbeddingSpec, Failure, StoreWriter
from ..core.device import Precision, autocast
from .backbones import LoadedBackbone
from .frames import DecodedFrame, SourceVideo, stat_hash
from .preprocess import Preprocessor


class Item(NamedTuple):
    """A source frame that was read, for one embedding."""

    source: SourceVideo
    version: int
    position: int
    frame: DecodedFrame


@dataclass(frozen=True)
class RunSettings:
    """What must stay the same within a store, so that resumed equals uninterrupted."""

    device: str
    precision: Precision
    batch_size: int
    threads: int
    """CPU threads of one operation; it decides the order of sums."""


class EmbeddingLane:
    """Runs one network over a stream of frames and hands the rows to its store, in order.

    Every batch has the same shape: it fills across the borders of videos, and the last one is
    padded. A frame's embedding so depends neither on its batch mates nor on where a run began.
    While a batch is computed on a GPU, the next one is prepared.

    Args:
        loaded: the network.
        writer: its store.
        settings: device, precision, batch size and threads.
    """

    def __init__(self, loaded: LoadedBackbone, writer: StoreWriter, settings: RunSettings) -> None:
        self.spec: EmbeddingSpec = loaded.spec
        self.writer = writer
        self.n_forward = 0
        """Batches computed."""
        self.n_frames = 0
        """Frames embedded."""
        self._settings = settings
        self._device = torch.device(settings.device)
        memory = torch.channels_last if loaded.channels_last else torch.contiguous_format
        self._memory_format = memory
        self._module = loaded.module.to(self._device).to(memory_format=memory)
        self._preprocess = Preprocessor(loaded.spec)
        self._items: deque[Item] = deque()
        self._batch: list[NDArray[np.uint8]] = []
        self._computed: deque[NDArray[np.float32]] = deque()
        self._in_flight: tuple[torch.Tensor, int] | None = None

    @property
    def batch_size(self) -> int:
        """Frames of a batch."""
        return self._settings.batch_size

    def push(self, item: Item) -> None:
        """Take the next frame; it may complete a batch."""
        self._items.append(item)
        if item.frame.pixels is not None:
            self._batch.append(item.frame.pixels)
            if len(self._batch) == self._settings.batch_size:
                self._launch()

    def finish(self) -> None:
        """Compute what is left, padded to a whole batch, and hand everything to the store."""
        if self._batch:
            self._launch()
        self._collect()
        self._hand_over()

    def _launch(self) -> None:
        """Start a batch, then fetch the one before."""
        n_frames = len(self._batch)
        with torch.inference_mode():
            prepared = self._prepared(self._batch)
            if n_frames < self._settings.batch_size:
                padding = prepared.new_zeros(
                    self._settings.batch_size - n_frames, *prepared.shape[1:]
                )
                prepared = torch.cat([prepared, padding])
            prepared = prepared.contiguous(memory_format=self._memory_format)
            if self._device.type == "cpu" and torch.get_num_threads() != self._settings.threads:
                torch.set_num_threads(self._settings.threads)
            with autocast(self._device, self._settings.precision):
                output = self._module(prepared).float()
        self.n_forward += 1
        self.n_frames += n_frames
        self._batch = []
        self._collect()
        self._in_flight = (output, n_frames)
        self._hand_over()

    def _prepared(self, frames: list[NDArray[np.uint8]]) -> torch.Tensor:
        """Return the normalised batch; frames of one size go to the device together."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, frame in enumerate(frames):
            by_size.setdefault(frame.shape, []).append(place)
        if len(by_size) == 1:
            return self._preprocess(self._on_device(frames))
        done: list[torch.Tensor | None] = [None] * len(frames)
        for places in by_size.values():
            group = self._preprocess(self._on_device([frames[place] for place in places]))
            for place, row in zip(places, group, strict=True):
                done[place] = row
        return torch.stack([row for row in done if row is not None])

    def _on_device(self, frames: list[NDArray[np.uint8]]) -> torch.Tensor:
        stacked = torch.from_numpy(np.stack(frames))
        if self._device.type == "cuda":
            return stacked.pin_memory().to(self._device, non_blocking=True)
        return stacked.to(self._device)

    def _collect(self) -> None:
        """Fetch the batch in flight."""
        if self._in_flight is not None:
            output, n_frames = self._in_flight
            self._in_flight = None
            self._computed.extend(output[:n_frames].cpu().numpy())

    def _hand_over(self) -> None:
        """Give the store all leading frames whose rows are there, a call per video."""
        group: list[Item] = []
        rows: list[NDArray[np.float32]] = []
        while self._items:
            item = self._items[0]
            is_readable = item.frame.pixels is not None
            if is_readable and not self._computed:
                break
            if group and not _continues(group[-1], item):
                self._add(group, rows)
                group, rows = [], []
            group.append(self._items.popleft())
            if is_readable:
                rows.append(self._computed.popleft())
        if group:
            self._add(group, rows)

    def _add(self, group: list[Item], rows: list[NDArray[np.float32]]) -> None:
        source, start = group[0].source, group[0].position
        frames = source.frames[start : start + len(group)]
        numbers = [f.number for f, i in zip(frames, group, strict=True) if not i.frame.reason]
        self.writer.add(
            source.video,
            version=group[0].version,
            source_start=start,
            source_length=len(group),
            source_total=len(source.frames),
            frame=np.array(numbers, np.int32),
            embedding=np.stack(rows) if rows else np.empty((0, self.spec.dim), np.float32),
            failures=[
                Failure(source.video, f.number, i.frame.reason)
                for f, i in zip(frames, group, strict=True)
                if i.frame.reason
            ],
            input_hash=sum(item.frame.input_hash for item in group) % (1 << 128),
            stat_hash=stat_hash(frames),
            precision=self._settings.precision,
        )


def _continues(last: Item, item: Item) -> bool:
    return (
        item.source is last.source
        and item.version == last.version
        and item.position == last.position + 1
    )
