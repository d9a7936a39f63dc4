"""Frames/s of the JPEG decoders that Python has, and which of them sees damage.

python bench/decode.py [FRAME_TREE]

Each decoder makes an RGB array of every frame, from bytes in memory, in 1, 2, … threads as
extraction has them: 8 frames a task. Ratios are to Pillow with as many threads. Then single bits
of the files are flipped: a decoder that gives pixels other than the undamaged file's without a
word would put a wrong embedding into a store. Those that are not installed are left out.
"""

import importlib.util
import io
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from timing import device_name, spread

from abaw.extract.decode import decode
from abaw.sample import SampleSettings, write_sample

REPEATS = 7
N_FRAMES = 1500
TASK_FRAMES = 8
N_FLIPS = 1000
SAMPLE = SampleSettings(n_train_videos=4, n_val_videos=1, n_test_videos=0, frames=60)

Pixels = NDArray[np.uint8]
Decoder = Callable[[bytes], Pixels]


def pillow(data: bytes) -> Pixels:
    """Pillow, as everyone has it."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def here(data: bytes) -> Pixels:
    """What extraction decodes with."""
    pixels, reason = decode(data)
    if pixels is None:
        raise ValueError(reason)
    return pixels


def decoders() -> dict[str, Decoder]:
    """Every decoder that is installed, exact settings (no fast DCT) where there is a choice."""
    found: dict[str, Decoder] = {"Pillow": pillow}
    if importlib.util.find_spec("torchvision"):
        from torchvision.io import ImageReadMode, decode_jpeg

        def torchvision(data: bytes) -> Pixels:
            raw = torch.from_numpy(np.frombuffer(data, np.uint8).copy())
            return decode_jpeg(raw, ImageReadMode.RGB).permute(1, 2, 0).numpy()

        found["torchvision.io"] = torchvision
    if importlib.util.find_spec("simplejpeg"):
        import simplejpeg

        def simple(data: bytes) -> Pixels:
            return simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False)

        found["simplejpeg"] = simple
    if importlib.util.find_spec("turbojpeg"):
        import turbojpeg

        try:
            handle = turbojpeg.TurboJPEG()
        except RuntimeError as error:  # it loads the system's library, which may not be there
            print(f"PyTurboJPEG left out: {error}")
        else:
            found["PyTurboJPEG"] = lambda data: handle.decode(data, turbojpeg.TJPF_RGB)
    if importlib.util.find_spec("cv2"):
        import cv2

        def opencv(data: bytes) -> Pixels:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
            if pixels is None:
                message = "no image"
                raise ValueError(message)
            return pixels

        found["OpenCV"] = opencv
    found["abaw.extract.decode"] = here
    return found


def rate(decoder: Decoder, files: list[bytes], pool: ThreadPoolExecutor) -> float:
    """Frames/s."""
    tasks = [files[at : at + TASK_FRAMES] for at in range(0, len(files), TASK_FRAMES)]
    start = time.perf_counter()
    for _ in pool.map(lambda task: [decoder(data) for data in task], tasks):
        pass
    return len(files) / (time.perf_counter() - start)


def silent(decoder: Decoder, files: list[bytes]) -> tuple[int, int]:
    """Of single-bit flips: how many change the pixels, and how many of those go unnoticed.

    A flip that is noticed counts as one that changes them.
    """
    draw = random.Random(0)
    n_changed = n_silent = 0
    for _ in range(N_FLIPS):
        data = draw.choice(files)
        damaged = bytearray(data)
        damaged[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        try:
            pixels = decoder(bytes(damaged))
        except Exception:  # whatever a decoder raises, it has noticed
            n_changed += 1
            continue
        if not np.array_equal(pixels, pillow(data)):
            n_changed += 1
            n_silent += 1
    return n_changed, n_silent


def main() -> None:
    """Measure on the JPEG frames of a tree, or on drawn ones."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(folder) / "cropped_aligned"
        if len(sys.argv) == 1:
            write_sample(Path(folder), SAMPLE)
        found = [path.read_bytes() for path in sorted(tree.rglob("*.jpg"))]
    files = (found * -(-N_FRAMES // len(found)))[:N_FRAMES]
    size = statistics.mean(map(len, files))
    print(
        f"{REPEATS} interleaved repeats, {N_FRAMES} frames of {size / 1024:.1f} KiB on average, "
        f"{device_name(torch.device('cpu'))}"
    )
    known = decoders()
    rates: dict[tuple[str, int], list[float]] = {}
    threads = sorted({1, 2, os.cpu_count() or 1})
    for _ in range(REPEATS):
        for n_threads in threads:
            with ThreadPoolExecutor(n_threads) as pool:
                for name, decoder in known.items():
                    rates.setdefault((name, n_threads), []).append(rate(decoder, files, pool))
    for name, decoder in known.items():
        print(name)
        for n_threads in threads:
            own, base = rates[name, n_threads], rates["Pillow", n_threads]
            ratio = [mine / theirs for mine, theirs in zip(own, base, strict=True)]
            print(f"  {n_threads} threads: {spread(own, 0)} frames/s, x{spread(ratio, 2)}")
        equal = sum(np.array_equal(decoder(data), pillow(data)) for data in found)
        n_changed, n_silent = silent(decoder, found)
        print(f"  equal to Pillow: {equal} of {len(found)} files")
        print(f"  bit flips: {n_silent} of {n_changed} that change the pixels go unnoticed")


if __name__ == "__main__":
    main()
