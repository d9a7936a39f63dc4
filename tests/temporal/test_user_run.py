"""A run of a user's own encoder."""

from pathlib import Path

import pytest

from abaw.cache import FingerprintError
from abaw.temporal.predict import predict
from abaw.temporal.train import train

from .made import config, write_cache

MINE = (
    "import torch\n"
    "from abaw.temporal.nets.encoders import Encoder\n"
    "class Mine(Encoder):\n"
    "    def __init__(self, n_features, config, layers):\n"
    "        super().__init__()\n"
    "        self.linear = torch.nn.Linear(n_features, 4)\n"
    "        self.n_outputs, self.is_causal = 4, True\n"
    "    def forward(self, features, is_frame, state=None):\n"
    "        return self.linear(features), None\n"
)


def test_a_run_with_a_users_encoder_predicts_from_any_folder_until_its_code_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    cache = write_cache(tmp_path / "cache")
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "mine.py").write_text(MINE)
    monkeypatch.chdir(folder)
    settings = config(features=("face_a",), encoder="mine.py:Mine", epochs=1)
    run = train(settings, cache, out=tmp_path / "runs", progress=False)
    assert run.folder.parent == tmp_path / "runs"
    monkeypatch.chdir(tmp_path)
    predict(run.folder, "val", tmp_path / "val.csv", cache)
    moved = tmp_path / "moved.py"
    moved.write_text(MINE)
    again = config(features=("face_a",), encoder=f"{moved}:Mine", epochs=1)
    assert train(again, cache, out=tmp_path / "runs", progress=False).was_there
    (folder / "mine.py").write_text(MINE.replace("self.linear(features)", "-self.linear(features)"))
    with pytest.raises(FingerprintError, match="bring the old code back, or train again"):
        predict(run.folder, "val", tmp_path / "val.csv", cache)
