"""What people write for stage 2, in plain PyTorch, as the published system does it.

Whole videos are padded to the longest of a batch, cut in segments, and each segment is an
optimiser step in fp32; recurrent networks carry their state. Every epoch scores the training set
too, and writes two checkpoints. It is a fair loop: features are in memory, losses are right, the
network's modules are torch's own, and nothing is slow on purpose.
"""

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from abaw.core.tasks import TASK_WIDTH, TASKS, Task
from abaw.temporal.config import RunConfig
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.data.timeline import Timeline
from abaw.temporal.metrics import AffectRows, Scores, score_rows
from abaw.temporal.score import RowLabels

CLIP = 5.0


class PlainNetwork(nn.Module):
    """An encoder of torch's own modules, and a head for each task."""

    def __init__(self, n_features: int, config: RunConfig) -> None:
        super().__init__()
        size, drop = config.hidden_size, config.dropout
        self.is_recurrent = config.encoder != "transformer"
        if self.is_recurrent:
            kind = nn.GRU if config.encoder == "gru" else nn.LSTM
            between = drop if config.layers > 1 else 0.0
            self.encoder: nn.Module = kind(
                n_features, size, config.layers, batch_first=True, dropout=between
            )
        else:
            layer = nn.TransformerEncoderLayer(
                size, config.heads, config.ffn_size or 2 * size, drop, batch_first=True
            )
            self.affine = nn.Linear(n_features, size)
            self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        heads = {}
        for task in TASKS:
            layers: list[nn.Module] = [nn.Dropout(drop)]
            width = size
            for hidden in config.head_hidden:
                layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(drop)]
                width = hidden
            heads[task] = nn.Sequential(*layers, nn.Linear(width, TASK_WIDTH[task]))
        self.heads = nn.ModuleDict(heads)

    def forward(self, x: torch.Tensor, state: Any) -> tuple[dict[Task, torch.Tensor], Any]:
        """Return (B, T, C) of each task, and the state."""
        if self.is_recurrent:
            y, state = self.encoder(x, state)
        else:
            y = self.encoder(self.affine(x))
        return {task: self.heads[task](y) for task in TASKS}, state


class PlainLoop:
    """The plain system on the videos of a training and a validation split."""

    def __init__(
        self,
        config: RunConfig,
        train: Sequence[Timeline],
        val: Sequence[Timeline],
        rows: tuple[RowLabels, RowLabels],
        folder: Path,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        self._rng = random.Random(seed)
        self._config = config
        self._rows = rows
        self._folder = folder
        standardizer = fit_standardizer(train)
        self._train, self._val = (
            [self._tensors(line, standardizer.features(line, 0, len(line))) for line in lines]
            for lines in (train, val)
        )
        self.network = PlainNetwork(len(standardizer.mean), config)
        self._optimizer = torch.optim.Adam(
            self.network.parameters(), lr=config.learning_rate, betas=(config.beta1, config.beta2)
        )
        self.n_computed = 0
        self.n_real = 0

    @staticmethod
    def _tensors(line: Timeline, features: np.ndarray) -> dict[str, torch.Tensor]:
        found = {"features": torch.from_numpy(features)}
        for task in TASKS:
            found[task] = torch.from_numpy(line.values[task]).float()
            found[f"{task}_mask"] = torch.from_numpy(line.is_labelled[task]).float()
        return found

    def _batches(self, videos: list[Any], *, shuffle: bool) -> Iterator[dict[str, torch.Tensor]]:
        """Yield batches of whole videos, padded to the longest."""
        order = list(range(len(videos)))
        if shuffle:
            self._rng.shuffle(order)
        for first in range(0, len(order), self._config.batch_size):
            chosen = [videos[n] for n in order[first : first + self._config.batch_size]]
            batch = {
                key: nn.utils.rnn.pad_sequence([video[key] for video in chosen], batch_first=True)
                for key in chosen[0]
            }
            batch["length"] = torch.tensor([len(video["features"]) for video in chosen])
            yield batch

    def train_epoch(self) -> None:
        """Train on every video once, an optimiser step for each segment."""
        self.network.train()
        size = self._config.segment_length
        for batch in self._batches(self._train, shuffle=True):
            state = None
            self.n_real += int(batch["length"].sum())
            self.n_computed += batch["features"].shape[0] * batch["features"].shape[1]
            for start in range(0, batch["features"].shape[1], size):
                cut = {key: x[:, start : start + size] for key, x in batch.items() if x.ndim > 1}
                outputs, state = self.network(cut["features"], state)
                if isinstance(state, tuple):
                    state = tuple(part.detach() for part in state)
                elif state is not None:
                    state = state.detach()
                self.step(self.loss(outputs, cut))

    def step(self, loss: torch.Tensor) -> None:
        """Take an optimiser step."""
        self._optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.encoder.parameters(), CLIP)
        for head in self.network.heads.values():
            nn.utils.clip_grad_norm_(head.parameters(), CLIP)
        self._optimizer.step()

    def loss(self, outputs: dict[Task, torch.Tensor], cut: dict[str, torch.Tensor]) -> torch.Tensor:
        """Return the weighted sum of the tasks' masked losses."""
        total = torch.zeros(())
        for task in TASKS:
            y, true, mask = outputs[task], cut[task], cut[f"{task}_mask"]
            if task == "expression":
                loss = F.cross_entropy(y.flatten(0, 1), true.flatten().long(), reduction="none")
                loss = loss * mask.flatten()
            elif task == "au":
                loss = F.binary_cross_entropy_with_logits(y, true, reduction="none") * mask
            else:
                loss = (y.squeeze(-1) - true) ** 2 * mask
            total = total + self._config.task_weights[task] * loss.sum() / mask.sum().clamp(min=1)
        return total

    @torch.no_grad()
    def evaluate(self, split: str) -> Scores:
        """Return the scores of a split, run in the same padded batches."""
        self.network.eval()
        found: dict[Task, list[torch.Tensor]] = {task: [] for task in TASKS}
        size = self._config.segment_length
        for batch in self._batches(self._train if split == "train" else self._val, shuffle=False):
            state, pieces = None, []
            for start in range(0, batch["features"].shape[1], size):
                outputs, state = self.network(batch["features"][:, start : start + size], state)
                pieces.append(outputs)
            for task in TASKS:
                whole = torch.cat([piece[task] for piece in pieces], dim=1)
                found[task] += [whole[n, :length] for n, length in enumerate(batch["length"])]
        joined = {task: torch.cat(blocks).numpy() for task, blocks in found.items()}
        rows = self._rows[split != "train"]
        predictions = AffectRows(
            joined["valence"][:, 0],
            joined["arousal"][:, 0],
            joined["expression"].argmax(axis=1),
            (joined["au"] > 0).astype(np.int8),
        )
        return score_rows(rows.labels, rows.is_labelled, predictions)

    def save(self, name: str) -> None:
        """Write a checkpoint."""
        torch.save(self.network.state_dict(), self._folder / f"{name}.pth")

    def epoch(self, number: int) -> Scores:
        """Train, score both splits, write two checkpoints; return the validation scores."""
        self.train_epoch()
        self.evaluate("train")
        scores = self.evaluate("val")
        self.save("latest")
        self.save(str(number))
        return scores
