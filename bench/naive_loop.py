"""Extraction over the loop that people write, with the same network on the same device.

python bench/naive_loop.py

The loop: one video at a time, PIL and torchvision transforms, a DataLoader-free batch of the
video's frames, fp32, `np.save` per video; the fastest of the batch sizes tried, and one image at a
time beside it. Networks are loaded before the clock starts, on both sides.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import device_name, spread, wait
from torchvision import transforms
from trees import drawn_frames, tree_of

from abaw.core.device import in_own_thread, resolve_device, resolve_precision
from abaw.extract import EmbeddingRequest, RunOptions, load_backbone, run

REPEATS = 5
BATCH_SIZES = (8, 16, 32)
BACKBONES = {"densenet121": 960, "iresnet50": 288, "mae_vit_base_patch16": 72}
"""Backbone -> frames, a third in each of three videos."""
DEVICE = resolve_device("auto")


def loop(tree: Path, out: Path, request: EmbeddingRequest, batch_size: int) -> tuple[float, int]:
    """Seconds and frames of the loop, which leaves no threads behind that slow what follows."""
    return in_own_thread(lambda: _loop(tree, out, request, batch_size))


def _loop(tree: Path, out: Path, request: EmbeddingRequest, batch_size: int) -> tuple[float, int]:
    loaded = load_backbone(request)
    spec, model = loaded.spec, loaded.module.to(DEVICE)
    filters = transforms.InterpolationMode
    transform = transforms.Compose(
        [
            transforms.Resize(
                (spec.input_size, spec.input_size),
                filters.BICUBIC if spec.interpolation == "bicubic" else filters.BILINEAR,
            ),
            transforms.ToTensor(),
            transforms.Normalize(spec.mean, spec.std),
        ]
    )
    out.mkdir()
    n_frames = 0
    start = time.perf_counter()
    for folder in sorted(path for path in tree.iterdir() if path.is_dir()):
        rows = []
        paths = sorted(folder.glob("*.jpg"))
        for first in range(0, len(paths), batch_size):
            images = [Image.open(path).convert("RGB") for path in paths[first : first + batch_size]]
            batch = torch.stack([transform(image) for image in images]).to(DEVICE)
            with torch.no_grad():
                rows.append(model(batch).cpu().numpy())
        np.save(out / f"{folder.name}.npy", np.concatenate(rows))
        n_frames += len(paths)
    wait(DEVICE)
    return time.perf_counter() - start, n_frames


def ours(tree: Path, cache: Path, request: EmbeddingRequest) -> float:
    """Seconds of extraction without loading the network."""
    load_backbone(request)  # the first time reads files that the second has at hand
    start = time.perf_counter()
    load_backbone(request)
    loading = time.perf_counter() - start
    start = time.perf_counter()
    run([tree], [request], cache, RunOptions(), progress=False)
    return time.perf_counter() - start - loading


def main() -> None:
    """Print the ratio of each backbone."""
    precision = resolve_precision("auto", DEVICE)
    print(
        f"{REPEATS} interleaved repeats, {torch.get_num_threads()} threads, {device_name(DEVICE)}, "
        f"extraction in {precision}, the loop in fp32"
    )
    for name, n_all in BACKBONES.items():
        request = EmbeddingRequest(name="bench", backbone=name, weights="random:0")
        with tempfile.TemporaryDirectory() as text:
            folder = Path(text)
            tree = tree_of(drawn_frames(folder / "sample"), folder / "tree", n_all, n_all // 3)
            tried = {
                size: loop(tree, folder / f"try{size}", request, size)[0] for size in BATCH_SIZES
            }
            best = min(tried, key=tried.__getitem__)
            batched, single, own = [], [], []
            for repeat in range(REPEATS):
                seconds, n_frames = loop(tree, folder / f"b{repeat}", request, best)
                batched.append(n_frames / seconds)
                own.append(n_frames / ours(tree, folder / f"o{repeat}", request))
                seconds, n_frames = loop(tree, folder / f"s{repeat}", request, 1)
                single.append(n_frames / seconds)
        over = [mine / theirs for mine, theirs in zip(own, batched, strict=True)]
        over_one = [mine / theirs for mine, theirs in zip(own, single, strict=True)]
        print(f"{name}, {n_frames} frames")
        print(
            f"  loop, batch {best}: {spread(batched, 1)} frames/s; one image: {spread(single, 1)}"
        )
        print(f"  extraction: {spread(own, 1)} frames/s")
        print(f"  over the loop {spread(over, 2)}; over one image at a time {spread(over_one, 2)}")


if __name__ == "__main__":
    main()
