"""How far bf16 moves embeddings from fp32, and float16 in the store what was computed.

python bench/precision_effect.py

Centred cosines of bf16 with fp32, and what linear probes make of embeddings computed in fp32 or
bf16, written to a store as float32 or float16 and read from it: CCC of valence and arousal (ridge)
and P_MTL, each with what changes from fp32 in float32.

The raw cosine is flattered by the mean that all embeddings of a random network have in common, so
the mean is removed first. Where the processor has no bf16 instructions, matrix products and
convolutions are emulated: their operands are what bf16 holds, the sums are in fp32 (as hardware
has it), and the result is rounded to bf16; everything else runs in bf16 as it is.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from open_store import SPEC
from sample_check import Part, probe, read_part
from timing import device_name
from torch.utils._python_dispatch import TorchDispatchMode

from abaw.cache import EmbeddingStore, StoreWriter, open_store
from abaw.cache.spec import StoredDtype
from abaw.core.device import autocast, compute_thread, resolve_device, resolve_precision
from abaw.extract import EmbeddingRequest, load_backbone
from abaw.extract.decode import read_frame
from abaw.extract.frames import find_videos
from abaw.extract.preprocess import Preprocessor
from abaw.sample import SampleSettings, write_sample

BACKBONES = ("densenet121", "iresnet50", "mae_vit_base_patch16")
SAMPLE = SampleSettings(n_train_videos=12, n_val_videos=10, n_test_videos=0, frames=24, seed=100)
DTYPES: Final[tuple[StoredDtype, ...]] = ("float32", "float16")
BATCH = 16
DEVICE = resolve_device("auto")
_SUMS = ("convolution", "mm", "addmm", "bmm", "baddbmm", "_scaled_dot_product")


class EmulatedBf16(TorchDispatchMode):
    """Computes bf16 products and convolutions in fp32 and rounds their results."""

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation."""
        name = func.__name__.split(".")[0]
        if not name.startswith(_SUMS):
            return func(*args, **(kwargs or {}))
        found = [item for item in args if isinstance(item, torch.Tensor)]
        if not any(item.dtype == torch.bfloat16 for item in found):
            return func(*args, **(kwargs or {}))
        wide = [item.float() if isinstance(item, torch.Tensor) else item for item in args]
        out = func(*wide, **(kwargs or {}))
        if isinstance(out, torch.Tensor):
            return out.bfloat16()
        return (out[0].bfloat16(), *out[1:])


def embed(tree: Path, backbone: str, precision: str) -> dict[tuple[str, int], np.ndarray]:
    """(video, frame number) -> embedding, float64."""
    loaded = load_backbone(EmbeddingRequest(name="x", backbone=backbone, weights="random:0"))
    module, preprocess = loaded.module.to(DEVICE), Preprocessor(loaded.spec)
    is_emulated = precision == "bf16" and resolve_precision("auto", DEVICE) == "fp32"
    places, rows, pixels = [], [], []

    def forward() -> None:
        frames = torch.from_numpy(np.stack(pixels)).to(DEVICE)
        with torch.inference_mode(), EmulatedBf16() if is_emulated else nullcontext():
            prepared = preprocess(frames)
            with autocast(DEVICE, precision):
                rows.append(module(prepared).double().cpu().numpy())
        pixels.clear()

    with compute_thread() as computing:
        for source in find_videos([tree]).videos.values():
            for position in range(source.n_frames):
                read = read_frame(source, position)
                if read.pixels is None:
                    continue
                pixels.append(read.pixels)
                places.append((source.video, int(source.numbers[position])))
                if len(pixels) == BATCH:
                    computing.submit(forward).result()
        if pixels:
            computing.submit(forward).result()
    return dict(zip(places, np.concatenate(rows), strict=True))


def stored(
    folder: Path, found: Mapping[tuple[str, int], np.ndarray], dtype: StoredDtype
) -> tuple[dict[tuple[str, int], np.ndarray], Mapping[str, Any] | None]:
    """Return (video, frame number) -> embedding as a store gives it, and what it says of its loss.

    Raises:
        CacheError: float16 would lose too much of a dimension.
    """
    videos: dict[str, list[int]] = {}
    for video, frame in found:
        videos.setdefault(video, []).append(frame)
    spec = replace(SPEC, dim=len(next(iter(found.values()))), dtype=dtype)
    with StoreWriter.open(folder / "stored.h5", spec, {}, commit_every=1e9) as writer:
        for number, (video, frames) in enumerate(videos.items()):
            writer.add(
                video,
                version=1,
                source_start=0,
                source_length=len(frames),
                source_total=len(frames),
                frame=np.array(frames, np.int32),
                embedding=np.array([found[video, frame] for frame in frames], np.float32),
                input_hash=number,
                stat_hash=number,
                precision="unknown",
            )
        writer.compact()
    with open_store(folder / "stored.h5") as store:
        assert isinstance(store, EmbeddingStore)
        records = [store[video] for video in store]
        read = {
            (record.video, int(frame)): row.astype(np.float64)
            for record in records
            for frame, row in zip(record.frame, record.embedding, strict=True)
        }
        return read, store.loss


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Cosine of each pair of rows."""
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / norms


def rows_of(part: Part, names: list[str], found: dict[tuple[str, int], np.ndarray]) -> np.ndarray:
    """Embeddings of a part's frames."""
    pairs = zip(part.video, part.frame, strict=True)
    return np.array([found[names[video], int(frame)] for video, frame in pairs])


def main() -> None:
    """Print the cosines of each backbone, and its scores by precision and stored type."""
    is_emulated = resolve_precision("auto", DEVICE) == "fp32"
    how = "emulated: no bf16 instructions here" if is_emulated else "as the hardware has it"
    print(f"bf16 ({how}), random weights, {device_name(DEVICE)}")
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        write_sample(folder, SAMPLE)
        tree = folder / "cropped_aligned"
        train, val = read_part(folder, "train"), read_part(folder, "val")
        names = {
            id(part): video_names(folder, split) for part, split in ((train, "train"), (val, "val"))
        }
        for backbone in BACKBONES:
            made = {precision: embed(tree, backbone, precision) for precision in ("fp32", "bf16")}
            one, other = (np.array([*made[precision].values()]) for precision in ("fp32", "bf16"))
            raw = cosines(one, other)
            centred = cosines(one - one.mean(axis=0), other - other.mean(axis=0))
            print(
                f"{backbone}, {len(one)} frames: centred cosine {np.median(centred):.5f} (least "
                f"{centred.min():.5f}), raw {np.median(raw):.5f}"
            )
            base = None
            for precision, found in made.items():
                for dtype in DTYPES:
                    with tempfile.TemporaryDirectory() as place:
                        read, loss = stored(Path(place), found, dtype)
                    scores = probe(
                        train, val, lambda part, f=read: rows_of(part, names[id(part)], f)
                    )
                    row = np.array([scores[:2].mean(), scores[-1]])
                    base = row if base is None else base
                    print(f"  {precision} in {dtype}: {row_text(row, base)}{loss_text(loss)}")


def row_text(row: np.ndarray, base: np.ndarray) -> str:
    """Scores of one row and how far they are from the first one's."""
    cells = zip(("ridge's CCC", "P_MTL"), row, row - base, strict=True)
    return ", ".join(f"{name} {value:.4f} ({change:+.4f})" for name, value, change in cells)


def loss_text(loss: Mapping[str, Any] | None) -> str:
    """What a store says of its loss; nothing of float32."""
    if loss is None:
        return ""
    return (
        f"; a number is within {100 * loss['largest']:.2g} % of its dimension's spread, "
        f"{100 * loss['mean']:.2g} % on average"
    )


def video_names(folder: Path, split: str) -> list[str]:
    """Videos of a split in the order of `Part.video`."""
    from abaw.sample.write import ANNOTATION_FILES

    lines = (folder / "annotations" / ANNOTATION_FILES[split]).read_text().splitlines()[1:]
    paths = [line.split(",")[0] for line in lines]
    present = [path for path in paths if (folder / "cropped_aligned" / path).exists()]
    return sorted({path.split("/")[0] for path in present})


if __name__ == "__main__":
    main()
