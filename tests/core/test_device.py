"""Where networks run and in which precision."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from abaw.core.device import (
    PRECISIONS,
    _fast_precision,
    _probe_file,
    autocast,
    compute_thread,
    resolve_device,
    resolve_precision,
)
from abaw.core.errors import UsageError

CPU = torch.device("cpu")


def test_auto_is_the_fastest_kind_of_device_there_is():
    expected = "cpu"
    if torch.backends.mps.is_available():
        expected = "mps"
    if torch.cuda.is_available():
        expected = "cuda"
    assert resolve_device("auto").type == expected
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize("text", ["gpu", "", "cuda:x", "cpu0"])
def test_a_name_that_is_no_device_is_refused(text: str):
    with pytest.raises(UsageError, match="auto, cpu, cuda") as caught:
        resolve_device(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["cuda:99", "xpu", "meta"])
def test_a_device_that_is_not_there_is_refused_with_those_that_are(text: str):
    with pytest.raises(UsageError, match="CUDA devices") as caught:
        resolve_device(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", PRECISIONS)
def test_a_named_precision_is_taken_as_it_is(text: str):
    assert resolve_precision(text, CPU) == text


def test_an_unknown_precision_is_refused_with_the_known():
    with pytest.raises(UsageError, match=r"auto, fp32, bf16, fp16.*'int8'"):
        resolve_precision("int8", CPU)


def test_the_probe_is_kept_for_this_processor_and_torch_and_believed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _fast_precision.cache_clear()
    measured = resolve_precision("auto", CPU)
    (key,) = known = json.loads(_probe_file().read_text())
    assert known[key] == measured
    assert key.startswith("cpu ")
    assert torch.__version__ in key
    # Another answer in the file is taken: nothing is measured twice.
    other = "bf16" if measured == "fp32" else "fp32"
    _probe_file().write_text(json.dumps({key: other, "a GPU": "fp16"}))
    assert resolve_precision("auto", CPU) == measured  # this process has its answer
    _fast_precision.cache_clear()
    assert resolve_precision("auto", CPU) == other
    _fast_precision.cache_clear()


@pytest.mark.parametrize("content", ["", "[1]", '{"cpu": 3}', "{"])
def test_a_damaged_probe_file_is_measured_anew(tmp_path, monkeypatch, content: str):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    _probe_file().parent.mkdir(parents=True)
    _probe_file().write_text(content)
    _fast_precision.cache_clear()
    assert resolve_precision("auto", CPU) in PRECISIONS
    _fast_precision.cache_clear()


def test_a_home_that_cannot_be_written_does_no_harm(tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    _fast_precision.cache_clear()
    assert resolve_precision("auto", CPU) in PRECISIONS
    _fast_precision.cache_clear()


@pytest.mark.skipif(
    not Path("/proc/cpuinfo").is_file() or "flags" not in Path("/proc/cpuinfo").read_text(),
    reason="/proc/cpuinfo does not tell what this processor can do",
)
def test_auto_is_fp32_on_a_processor_without_bfloat16_instructions():
    flags = Path("/proc/cpuinfo").read_text()
    if "avx512_bf16" in flags or "amx_bf16" in flags:
        pytest.skip("this processor has bfloat16 instructions")
    assert resolve_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_a_block_computes_in_its_precision_and_what_follows_does_not(precision: str, dtype):
    a = torch.ones(4, 4)
    with autocast(CPU, precision):
        assert (a @ a).dtype == dtype
    assert (a @ a).dtype == torch.float32


def test_only_this_module_of_core_loads_torch():
    script = (
        "import abaw.core.names, abaw.core.files, abaw.core.registry, abaw.core.provenance, sys\n"
        "print('torch' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ
    )
    assert result.stdout.strip() == "False"


def _of_tiny_numbers() -> torch.Tensor:
    """Return what two threads make of numbers below the normal range."""
    torch.set_num_threads(2)
    return torch.full((1 << 20,), 1e-39) * 0.5


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two threads at work")
def test_tiny_numbers_are_0_in_every_thread_of_an_operation_and_only_there():
    before = torch.get_num_threads()
    try:
        assert (_of_tiny_numbers() > 0).all()  # also sets torch's threads up without it
        with compute_thread() as computing:
            assert (computing.submit(_of_tiny_numbers).result() == 0).all()
        assert (_of_tiny_numbers() > 0).all()
    finally:
        torch.set_num_threads(before)


def test_fp32_convolutions_are_fp32_while_networks_run():
    cudnn = torch.backends.cudnn
    before = cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic
    with compute_thread():
        assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic) == (False, False, True)
    assert (cudnn.allow_tf32, cudnn.benchmark, cudnn.deterministic) == before
