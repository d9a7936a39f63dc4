"""The folder of a run: what is in it, its name, and how it is read back.

run.json                config, stores, versions, seeds, scores: written last, so it means done
model.safetensors       the best checkpoint, with the standardisation
metrics.jsonl           one line an epoch
val_predictions.csv     the best checkpoint's predictions of the validation split; those of an
                        oracle, which was fed true labels, are oracle_predictions.csv
events.out.tfevents.*   the same curves for TensorBoard
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ..cache import EmbeddingStore, FingerprintError, LabelStore, open_store
from ..core.errors import UsageError
from ..core.files import atomic_write
from ..core.tasks import Task
from .config import CARRIED_OUT, RunConfig
from .data.features import FeatureMaker
from .data.standardize import Standardizer
from .errors import TemporalError
from .metrics import figure
from .nets.build import build_network
from .nets.encoders import encoder_identity
from .nets.frameworks import Framework

RUN_FILE: Final = "run.json"
MODEL_FILE: Final = "model.safetensors"
METRICS_FILE: Final = "metrics.jsonl"
VAL_PREDICTIONS_FILE: Final = "val_predictions.csv"
_ORACLE_FILE: Final = "oracle_predictions.csv"
"""Of another name, so that nothing that reads honest predictions takes them for such."""
RUN_FORMAT: Final = 2

_SCORE_KEYS: Final = ("CCC_V", "CCC_A", "F1_EXPR", "F1_AU", "P_MTL")


@dataclass(frozen=True)
class RunResult:
    """A finished run."""

    folder: Path
    facts: dict[str, Any]
    """What `run.json` holds."""
    was_there: bool = False
    """The same run had been done before, so nothing was trained."""
    notes: tuple[str, ...] = ()
    """What did not go as it was meant to on the way, for people to read."""

    @property
    def scores(self) -> dict[str, Any] | None:
        """The validation scores of the best checkpoint; None if all was trained on."""
        scores: dict[str, Any] | None = self.facts["scores"]
        return scores

    def text(self) -> str:
        """Return the scores for people to read."""
        scores = self.scores
        cells = [f"{key} {figure(scores[key], 3)}" for key in _SCORE_KEYS if scores is not None]
        text = ", ".join(cells) if cells else "trained on all, nothing to score it on"
        if processed := self.facts.get("postprocess"):
            nested, inside = (processed[key]["P_MTL"] for key in ("nested", "in_sample"))
            if nested is not None:
                text += f"; post-processed {nested:.3f} ({inside:.3f} in-sample)"
        best = f"{'best' if cells else 'last'} epoch {self.facts['best_epoch']}"
        done = "done before" if self.was_there else best
        random = " (RANDOM WEIGHTS)" if self.facts["random_weights"] else ""
        oracle = " (ORACLE: fed true labels)" if self.facts.get("oracle") else ""
        return f"{self.folder}{random}{oracle}: {text} ({done})"


def open_embeddings(cache: Path, names: Sequence[str]) -> list[EmbeddingStore]:
    """Return the stores of embeddings by name.

    Raises:
        CacheError: one is missing or not sound.
        TemporalError: one holds labels.
    """
    stores = []
    for name in names:
        store = open_store(cache / name)
        if not isinstance(store, EmbeddingStore):
            message = f"{store.path} must hold embeddings, but holds labels; name an embedding"
            raise TemporalError(message)
        stores.append(store)
    return stores


def open_labels(cache: Path, name: str) -> LabelStore:
    """Return a labels store by name.

    Raises:
        CacheError: it is missing or not sound.
        TemporalError: it holds embeddings.
    """
    store = open_store(cache / name)
    if not isinstance(store, LabelStore):
        message = f"{store.path} must hold labels, but holds embeddings; name a labels store"
        raise TemporalError(message)
    return store


def describe_data(stores: Sequence[EmbeddingStore], labels: LabelStore) -> dict[str, Any]:
    """Return what a run is made from: fingerprints, and a digest of the frames behind each."""
    described = {}
    for store in stores:
        digest = hashlib.sha256()
        for video in store.videos:
            record = store[video]
            digest.update(f"{video}\n{record.input_hash:032x}\n{len(record)}\n".encode())
        described[store.name] = {
            "fingerprint": store.fingerprint,
            "frames": digest.hexdigest(),
            "dim": store.dim,
            "objective": store.provenance.get("objective"),
            "licence": store.provenance.get("licence"),
        }
    return {
        "stores": described,
        "labels": {"name": labels.name, "fingerprint": labels.fingerprint},
    }


def identity(config: RunConfig, data: dict[str, Any]) -> str:
    """Return the hash of all that decides a run's result, 8 hexadecimal digits."""
    settings = {k: v for k, v in config.to_dict().items() if k not in CARRIED_OUT}
    if data.get("encoder_code"):  # where a user's file lies does not matter, what is in it does
        settings["encoder"] = config.encoder.rpartition(":")[2]
    text = json.dumps([settings, data, RUN_FORMAT], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def auto_name(config: RunConfig, run_identity: str) -> str:
    """Return a folder name that tells features, encoder, framework, fold, seed and identity."""
    encoder = config.encoder.rpartition(":")[2]  # the class of a user's file
    framework = config.framework.replace(">", "-to-").replace(":", "-")
    fold = f"-f{config.fold}" if config.fold else ""
    parts = ("+".join(config.features), encoder, framework)
    oracle = "-oracle" if config.oracle else ""
    return f"{'-'.join(parts)}{oracle}{fold}-s{config.seed}-{run_identity}"


def val_predictions_file(config: RunConfig) -> str:
    """Return the name of the file of a run's validation predictions."""
    return _ORACLE_FILE if config.oracle else VAL_PREDICTIONS_FILE


def refuse_oracle(folder: Path, facts: Mapping[str, Any], use: str) -> None:
    """Refuse a run that was fed true labels where only honest predictions may be.

    Args:
        folder: of the run.
        facts: what its `run.json` holds.
        use: what was to be done with it.

    Raises:
        TemporalError: it is one.
    """
    if facts.get("oracle"):
        message = (
            f"{use} needs runs that predict on their own, but {folder} was fed the true labels "
            f"(oracle=true), which only bounds what feedback can gain; leave it out"
        )
        raise TemporalError(message)


def finished_run(folder: Path, run_identity: str) -> RunResult | None:
    """Return the run in a folder if it is finished and the same; None if there is none.

    Raises:
        UsageError: another run is there.
    """
    if not (folder / RUN_FILE).exists():
        return None
    found = read_run(folder)
    if found["identity"] != run_identity:
        message = (
            f"{folder} holds another run (identity {found['identity']}, asked for "
            f"{run_identity}: settings or data differ); give another --run, or remove it"
        )
        raise UsageError(message)
    return RunResult(folder, found, was_there=True)


def read_run(folder: Path) -> dict[str, Any]:
    """Return what `run.json` holds.

    Raises:
        TemporalError: the folder holds no finished run.
    """
    path = folder / RUN_FILE
    try:
        value: dict[str, Any] = json.loads(path.read_text())
        is_run = isinstance(value, dict) and value.get("format") == "abaw-run"
    except (OSError, ValueError) as error:
        message = f"{folder} must hold a finished run, but its {RUN_FILE} cannot be read: {error}"
        raise TemporalError(message) from error
    if not is_run or value.get("format_version") != RUN_FORMAT:
        message = f"{path} must be a run of format {RUN_FORMAT}, but is not; update abaw or retrain"
        raise TemporalError(message)
    return value


def save_model(folder: Path, network: Framework, standardizer: Standardizer) -> None:
    """Write the checkpoint, whole or not at all."""
    tensors = {f"network.{k}": v.detach().cpu() for k, v in network.state_dict().items()}
    tensors["standardizer.mean"] = torch.from_numpy(standardizer.mean)
    tensors["standardizer.scale"] = torch.from_numpy(standardizer.scale)
    data = save({key: tensor.contiguous() for key, tensor in tensors.items()})
    with atomic_write(folder / MODEL_FILE) as stream:
        stream.write(data)


def check_encoder(folder: Path, config: RunConfig, facts: dict[str, Any]) -> None:
    """Refuse a user's encoder whose code is not what the run was trained with.

    Raises:
        FingerprintError: it differs.
        NameLookupError, UsageError: it is not there any more, or does not run.
    """
    found = encoder_identity(config)
    if found != facts.get("encoder_code"):
        message = (
            f"{folder} was trained with the code {facts.get('encoder_code')} of the encoder "
            f"{config.encoder}, but it is {found} now; bring the old code back, or train again"
        )
        raise FingerprintError(message)


def load_model(
    folder: Path, config: RunConfig, tasks: Sequence[Task]
) -> tuple[Framework, Standardizer]:
    """Return the network and standardisation of a run's checkpoint.

    Args:
        folder: of the run.
        config: its settings.
        tasks: those that it was trained for.

    Raises:
        TemporalError: the checkpoint cannot be read or is another network's.
    """
    path = folder / MODEL_FILE
    try:
        tensors = load_file(path)
        standardizer = Standardizer(
            tensors.pop("standardizer.mean").numpy(), tensors.pop("standardizer.scale").numpy()
        )
        n_features = FeatureMaker(standardizer, config).n_features
        network = build_network(n_features, config, tasks)
        network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items()})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        reason = (str(error).splitlines() or [""])[0]
        message = f"{path} must be this run's checkpoint, but does not load: {reason}"
        raise TemporalError(message) from error
    return network, standardizer
