"""One embedding on its way: frames in, batches of one fixed shape, pieces into the store."""

from collections import deque
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ..cache import EmbeddingSpec, Failure, StoreWriter
from ..core.device import Precision, autocast
from .backbones import LoadedBackbone
from .decode import DecodedFrame
from .frames import HASH_MODULUS, SourceVideo, stat_hash
from .preprocess import Preprocessor

BATCH_MULTIPLE: Final = 8
"""Batch sizes are multiples of this. Matrix kernels compute the rows that remain after whole blocks
in another order of sums; at a batch of 5, an IResNet's last layer gives a frame another embedding
(by 2e-6 of its size) in the last place than in the first."""


class Item(NamedTuple):
    """A source frame on its way through a lane."""

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


class _Pending:
    """The output of a batch on its way to the host; only `rows` waits for it."""

    def __init__(self, output: torch.Tensor, n_frames: int) -> None:
        self._n_frames = n_frames
        self._event: torch.cuda.Event | None = None
        if output.is_cuda:
            # A plain copy would wait for the batches launched after this one as well.
            self._host = torch.empty(output.shape, dtype=output.dtype, pin_memory=True)
            self._host.copy_(output, non_blocking=True)
            self._event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._event.record()
        else:
            self._host = output

    def rows(self) -> NDArray[np.float32]:
        """Return the embeddings of the real frames, (n, D)."""
        if self._event is not None:
            self._event.synchronize()
        return self._host[: self._n_frames].cpu().numpy()


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
        self.settings = settings
        self.n_forward = 0
        """Batches computed."""
        self.n_frames = 0
        """Frames embedded."""
        self._device = torch.device(settings.device)
        memory = torch.channels_last if loaded.channels_last else torch.contiguous_format
        self._memory_format = memory
        self._module = loaded.module.to(self._device).to(memory_format=memory)
        self._preprocess = Preprocessor(loaded.spec)
        self._items: deque[Item] = deque()
        self._batch: list[NDArray[np.uint8]] = []
        self._computed: deque[NDArray[np.float32]] = deque()
        self._in_flight: _Pending | None = None

    def push(self, item: Item) -> None:
        """Take the next frame; it may complete a batch."""
        pixels = item.frame.pixels
        if pixels is not None:
            self._batch.append(pixels)
            item = item._replace(frame=item.frame._replace(pixels=None))
        self._items.append(item)
        if len(self._batch) == self.settings.batch_size:
            self._launch()

    def drain(self) -> None:
        """Hand what was computed to the store; frames of a batch that is not full are dropped."""
        self._collect()
        self._hand_over()

    def finish(self) -> None:
        """Compute what is left, padded to a whole batch, and hand everything to the store."""
        if self._batch:
            self._launch()
        self.drain()

    def _launch(self) -> None:
        """Start a batch, then fetch the one before."""
        if self._device.type == "cpu" and torch.get_num_threads() != self.settings.threads:
            torch.set_num_threads(self.settings.threads)
        n_frames = len(self._batch)
        with torch.inference_mode():
            prepared = self._prepared(self._batch)
            n_missing = self.settings.batch_size - n_frames
            if n_missing:
                padding = prepared.new_zeros(n_missing, *prepared.shape[1:])
                prepared = torch.cat([prepared, padding])
            prepared = prepared.contiguous(memory_format=self._memory_format)
            with autocast(self._device, self.settings.precision):
                output = self._module(prepared).float()  # (batch_size, D)
            pending = _Pending(output, n_frames)
        self.n_forward += 1
        self.n_frames += n_frames
        self._batch = []
        self._collect()
        self._in_flight = pending
        if self._device.type == "cpu":
            self._collect()  # nothing is in flight there
        self._hand_over()

    def _prepared(self, frames: list[NDArray[np.uint8]]) -> torch.Tensor:
        """Return the normalised batch; frames of one size go to the device together."""
        by_size: dict[tuple[int, ...], list[int]] = {}
        for place, frame in enumerate(frames):
            by_size.setdefault(frame.shape, []).append(place)
        if len(by_size) == 1:
            return self._preprocess(self._on_device(frames))
        groups = [
            self._preprocess(self._on_device([frames[place] for place in places]))
            for places in by_size.values()
        ]
        order = [place for places in by_size.values() for place in places]
        back = torch.tensor(np.argsort(order), device=self._device)
        return torch.cat(groups)[back]

    def _on_device(self, frames: list[NDArray[np.uint8]]) -> torch.Tensor:
        """Return frames of one size as uint8 (B, H, W, 3)."""
        stacked = torch.from_numpy(np.stack(frames))
        if self._device.type == "cuda":
            return stacked.pin_memory().to(self._device, non_blocking=True)
        return stacked.to(self._device)

    def _collect(self) -> None:
        """Fetch the batch in flight."""
        if self._in_flight is not None:
            self._computed.extend(self._in_flight.rows())
            self._in_flight = None

    def _hand_over(self) -> None:
        """Give the store all leading frames whose rows are there, a call per video."""
        group: list[Item] = []
        rows: list[NDArray[np.float32]] = []
        while self._items:
            item = self._items[0]
            is_readable = not item.frame.reason
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
        stop = start + len(group)
        pairs = [
            (number, item.frame)
            for number, item in zip(source.numbers[start:stop].tolist(), group, strict=True)
        ]
        self.writer.add(
            source.video,
            version=group[0].version,
            source_start=start,
            source_length=len(group),
            source_total=source.n_frames,
            frame=np.array([number for number, read in pairs if not read.reason], np.int32),
            embedding=np.stack(rows) if rows else np.empty((0, self.spec.dim), np.float32),
            failures=[
                Failure(source.video, number, read.reason) for number, read in pairs if read.reason
            ],
            input_hash=sum(read.input_hash for _, read in pairs) % HASH_MODULUS,
            # So that the next run looks again at a file that the system did not give.
            stat_hash=stat_hash(
                source, start, stop, {item.position for item in group if item.frame.is_absent}
            ),
            precision=self.settings.precision,
        )


def _continues(last: Item, item: Item) -> bool:
    return (
        item.source is last.source
        and item.version == last.version
        and item.position == last.position + 1
    )
