"""Where, in which precision and how networks run. The one module of `core` that imports torch."""

import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Final, Literal, ParamSpec, TypeVar, cast, get_args

import torch

from .errors import UsageError
from .files import write_json_atomic
from .machine import cpu_name

Precision = Literal["fp32", "bf16", "fp16"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)

_DTYPE: Final[dict[Precision, torch.dtype]] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
ResultT = TypeVar("ResultT")
P = ParamSpec("P")
Failure = Callable[[str], Exception]
"""Makes the error to be raised of the reason that torch gives."""

_PROBE_SIDE: Final = 256
_PROBE_GAIN: Final = 1.2
"""A lower precision is chosen only if its matrix products are faster than fp32 by this factor."""


def resolve_device(text: str) -> torch.device:
    """Return the device that `text` names; `auto` is CUDA, else MPS, else the CPU.

    Raises:
        UsageError: the name is unknown, or this machine or this torch has no such device.
    """
    if text == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(text)
    except RuntimeError:
        message = f"--device must be auto, cpu, cuda, cuda:N or mps, but got {text!r}"
        raise UsageError(message) from None
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    found = {"cpu": True, "cuda": (device.index or 0) < n_cuda}
    found["mps"] = torch.backends.mps.is_available()
    if not found.get(device.type, False):
        message = (
            f"the device {text!r} is not there: torch {torch.__version__} finds {n_cuda} CUDA "
            f"devices and {'an' if found['mps'] else 'no'} MPS device; use --device auto"
        )
        raise UsageError(message)
    return device


def resolve_precision(text: str, device: torch.device) -> Precision:
    """Return the precision that `text` names; `auto` is what the device is fast at.

    `auto` measures: small matrix products in bfloat16 (float16 on a CUDA device without bfloat16)
    against float32. What torch *can* do is no guide: a CPU without bfloat16 instructions runs
    bfloat16 more than a hundred times slower than float32. The answer is kept in the user's cache
    folder, per device and torch version.

    Raises:
        UsageError: the name is unknown.
    """
    if text in PRECISIONS:
        return text
    if text != "auto":
        message = f"--precision must be auto, {', '.join(PRECISIONS)}, but got {text!r}"
        raise UsageError(message)
    return _fast_precision(str(device))


@cache
def _fast_precision(device_text: str) -> Precision:
    return in_own_thread(lambda: _measured_precision(torch.device(device_text)))


def _measured_precision(device: torch.device) -> Precision:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    key = f"{device.type} {name}, torch {torch.__version__}"
    path = _probe_file()
    known = _read_probes(path)
    if known.get(key) in PRECISIONS:
        return cast(Precision, known[key])
    lower: Precision = "bf16"
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        lower = "fp16"
    try:
        fast = _seconds(device, _DTYPE[lower])
    except (RuntimeError, TypeError):  # a device without the type says so in either way
        fast = float("inf")
    answer: Precision = "fp32"
    if _seconds(device, torch.float32) > _PROBE_GAIN * fast:
        answer = lower
    with suppress(OSError):  # a read-only home: the next process measures again
        write_json_atomic(path, {**known, key: answer})
    return answer


def _seconds(device: torch.device, dtype: torch.dtype) -> float:
    """Return the best of three times of one small matrix product."""
    a = torch.ones(_PROBE_SIDE, _PROBE_SIDE, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(4):  # the first one warms up and is beaten by the others
        _wait(device)
        start = time.perf_counter()
        a @ a
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _probe_file() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "abaw" / "precision.json"


def _read_probes(path: Path) -> dict[str, str]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


@contextmanager
def autocast(device: torch.device, precision: Precision) -> Iterator[None]:
    """Run the block in `precision`; in fp32 this does nothing."""
    if precision == "fp32":
        yield
        return
    with torch.autocast(device.type, dtype=_DTYPE[precision]):
        yield


def in_own_thread(call: Callable[[], ResultT]) -> ResultT:
    """Return what `call` returns, run in a thread that ends with it.

    The threads that share an operation on the CPU belong to the thread that runs it and stay with
    it, idle. Once they are more than there are cores, torch's OpenMP no longer has any of them
    spin while it waits for the others, and networks of many small layers take up to twice as long.
    So what needs torch before a run must not leave threads to the main thread.
    """
    with ThreadPoolExecutor(1, "torch") as executor:
        return executor.submit(call).result()


@contextmanager
def compute_thread() -> Iterator[Executor]:
    """Yield a thread for networks, in which numbers mean the same in every run.

    Numbers below the normal range count as 0: many a processor takes a hundred times as long for
    one, and published face networks hold thousands of them. The setting belongs to a thread and to
    those that it begins, so it takes a new one to reach all that share an operation. On CUDA,
    convolutions that are asked for in fp32 would run in TF32, and an algorithm could be chosen anew
    in each process; both are off while the thread lives.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = False, False, True
    try:
        with ThreadPoolExecutor(1, "compute", torch.set_flush_denormal, (True,)) as executor:
            yield executor
    finally:
        cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic = before


def compiled(
    forward: Callable[P, ResultT], failure: Failure, *, dynamic: bool | None = False
) -> Callable[P, ResultT]:
    """Return what computes the same, compiled by the first call for its shapes.

    Args:
        forward: a network, or a function of tensors.
        failure: the error for what cannot be compiled here; it comes from a call.
        dynamic: whether other sizes are expected; None finds out by and by.
    """
    from torch._dynamo.exc import TorchDynamoException  # a second to import

    fast: Callable[P, ResultT] = torch.compile(forward, dynamic=dynamic)

    def run(*args: P.args, **kwargs: P.kwargs) -> ResultT:
        try:
            return fast(*args, **kwargs)
        except TorchDynamoException as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise failure(reason) from error

    return run


def check_compiler(device: torch.device, failure: Failure) -> None:
    """Compile a trifle on the device, before anything is begun.

    Raises:
        Exception: what `failure` makes: torch cannot compile there.
    """
    trifle = compiled(lambda numbers: torch.relu(numbers + 1), failure)
    in_own_thread(lambda: trifle(torch.ones(8, device=device)))
