"""A finished run opened to predict: its stores, labels and fold checked against what it was."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cache import EmbeddingStore, FingerprintError, LabelStore, Split
from ..core.device import resolve_device
from .config import RunConfig
from .data.dataset import SequenceDataset
from .data.features import FeatureMaker
from .data.join_report import JoinReport
from .data.roles import FoldRoles, official_roles
from .inference import predict_sequences
from .loop import cpu_threads
from .postprocess import PostProcess
from .predictions import PredictionTable
from .run_folder import (
    check_encoder,
    load_model,
    open_embeddings,
    open_labels,
    read_run,
    refuse_oracle,
)
from .selection import Selection, select


@dataclass(frozen=True, eq=False)
class RunPredictor:
    """A run that predicts from a cache."""

    folder: Path
    cache: Path
    facts: dict[str, Any]
    """What `run.json` holds."""
    config: RunConfig
    stores: Sequence[EmbeddingStore]
    labels: LabelStore

    @classmethod
    def open(cls, folder: Path, cache: Path) -> "RunPredictor":
        """Return a run with what it predicts from.

        Raises:
            FingerprintError: a store holds another embedding than the run was trained on, or a
                user's encoder has other code now.
            TemporalError: the run cannot be read, or was fed true labels.
            CacheError: a store is missing or not sound.
        """
        facts = read_run(folder)
        refuse_oracle(folder, facts, "a prediction")
        config = RunConfig.from_dict(facts["config"], str(folder))
        stores = open_embeddings(cache, config.features)
        for store in stores:
            trained = facts["stores"][store.name]["fingerprint"]
            if store.fingerprint != trained:
                message = (
                    f"{folder} was trained on {store.name} with the fingerprint {trained}, but "
                    f"{store.path} has {store.fingerprint}: other weights or settings; give the "
                    f"cache that it was trained on by --cache, or train again"
                )
                raise FingerprintError(message)
        check_encoder(folder, config, facts)
        return cls(folder, cache, facts, config, stores, open_labels(cache, config.labels))

    @property
    def process(self) -> PostProcess:
        """Post-processing that was fitted on the run's validation predictions; else none."""
        found = self.facts["postprocess"]
        if found is None:
            return PostProcess()
        return PostProcess.from_dict(found["parameters"], str(self.folder))

    def selection(self, split: Split, *, is_listed: bool) -> Selection:
        """Return the rows of the run's fold; test, or a list, is the same in every fold.

        Raises:
            TemporalError: the fold file is missing, or has other videos in the run's fold now.
        """
        if split == "test" or is_listed:
            return Selection(self.labels, self.config, official_roles(self.labels.table))
        found = select(self.labels, self.config, self.cache)
        found.check_same(self.facts, self.folder, self.cache)
        return found

    def predict(
        self, roles: FoldRoles, split: Split, asked: dict[str, NDArray[np.int32]]
    ) -> tuple[PredictionTable, JoinReport]:
        """Return raw predictions of the frames that are asked for, with the best checkpoint.

        Args:
            roles: which rows are of which split, for the report.
            split: what the frames are of.
            asked: video -> frame numbers, rising.

        Raises:
            TemporalError: the checkpoint cannot be read.
        """
        network, standardizer = load_model(self.folder, self.config, self.facts["tasks"])
        device = resolve_device(self.config.device)
        # How many frames lack an embedding is reported, not refused: each one needs an answer.
        selection = Selection(self.labels, self.config, roles)
        lines, report = selection.join(self.stores, split, asked=asked, training=False)
        with cpu_threads(self.config.threads):
            maker = FeatureMaker(standardizer, self.config)
            resident = self.config.resident_gb * 2**30
            dataset = SequenceDataset(lines, maker, device, resident_bytes=resident)
            precision = self.facts["precision"]
            return predict_sequences(network.to(device), dataset, self.config, precision), report

    def last_frame(self, video: str) -> int:
        """Return the number of a video's last frame that has an embedding; 0 if none has."""
        records = [store[video] for store in self.stores if video in store]
        return max((int(record.frame[-1]) for record in records if len(record)), default=0)
