"""In which precision a run trains, and that it does train in it; what torch.compile changes."""

from pathlib import Path

import pytest
import torch

from abaw.core import device as device_module
from abaw.temporal.precision import training_precision
from abaw.temporal.train import train

from .made import config, write_cache

CPU = torch.device("cpu")


@pytest.mark.parametrize(("fast", "wide"), [("fp32", "fp32"), ("bf16", "bf16"), ("fp16", "fp32")])
def test_auto_is_bf16_for_wide_networks_where_the_hardware_is_fast_at_it(
    monkeypatch: pytest.MonkeyPatch, fast: str, wide: str
):
    monkeypatch.setattr(device_module, "_fast_precision", lambda device: fast)
    assert training_precision(config(hidden_size=512), CPU) == wide
    assert training_precision(config(hidden_size=64), CPU) == "fp32"
    assert training_precision(config(hidden_size=64, precision="bf16"), CPU) == "bf16"


@pytest.mark.heavy
@pytest.mark.parametrize("encoder", ["gru", "lstm", "transformer"])
def test_a_run_in_bf16_learns_like_one_in_fp32(tmp_path: Path, encoder: str):
    cache = write_cache(tmp_path / "cache", n_train=20, n_val=6)
    found = {}
    for precision in ("fp32", "bf16"):
        settings = config(
            features=("face_a",), encoder=encoder, precision=precision, epochs=12, projection=32
        )
        run = train(settings, cache, out=tmp_path / "runs", progress=False)
        assert run.facts["precision"] == precision
        found[precision] = run.scores["P_MTL"]
    assert found["bf16"] != found["fp32"]
    assert found["bf16"] == pytest.approx(found["fp32"], abs=0.15)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, while it traces
def test_a_compiled_network_trains_to_the_same_numbers(tmp_path: Path):
    cache = write_cache(tmp_path / "cache")
    plain = {"features": ("face_a",), "dropout": 0.0, "input_dropout": 0.0, "epochs": 2}
    for encoder in ("gru", "transformer"):
        scores = [
            train(
                config(**plain, encoder=encoder, compile=is_compiled),
                cache,
                out=tmp_path / "runs",
                progress=False,
            ).scores["P_MTL"]
            for is_compiled in (False, True)
        ]
        assert scores[1] == pytest.approx(scores[0], abs=1e-3)
