"""The weights and inputs behind the golden vectors, by the formulas of `tests/golden/README.md`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

FOLDER = Path(__file__).resolve().parent / "golden"


def load(name: str) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """The description and the arrays of one golden."""
    facts = json.loads((FOLDER / f"{name}.json").read_text())
    path = FOLDER / f"{name}.npz"
    return facts, dict(np.load(path, allow_pickle=False)) if path.exists() else {}


def values(k: int, n: int) -> np.ndarray:
    """v_k(1..n), float64."""
    t = np.arange(1, n + 1, dtype=np.int64)
    return np.sin(0.7 * ((t * t) % 65521).astype(np.float64) + 1.3 * k)


def entry_tensor(entry: Mapping[str, Any], gain: float) -> torch.Tensor:
    """The tensor of one state-dict entry, checked against the sum and last value on record."""
    shape, rule = tuple(entry["shape"]), entry["rule"]
    n = int(np.prod(shape, dtype=np.int64))
    if rule == "zero":
        return torch.zeros(shape, dtype=getattr(torch, entry["dtype"]))
    v = values(entry["k"], n)
    if rule == "matrix":
        v = gain * v / np.sqrt(n / shape[0])
    elif rule == "bias":
        v = 0.1 * v
    elif rule == "scale":
        v = 1 + 0.1 * v
    elif rule == "prelu":
        v = 0.25 + 0.05 * v
    elif rule == "keep":
        v = sincos_table(*shape[-2:]).ravel()
    else:
        raise AssertionError(rule)
    v32 = v.astype(np.float32)
    assert abs(v32.astype(np.float64).sum() - entry["sum"]) <= 1e-6 * max(1.0, np.abs(v32).sum())
    assert abs(float(v32.ravel()[-1]) - entry["last"]) <= 1e-6
    return torch.from_numpy(v32.reshape(shape))


def sincos_table(n_tokens: int, dim: int) -> np.ndarray:
    """MAE's fixed position table: token 0 zeros, then row by row, the column's codes first."""
    side = round((n_tokens - 1) ** 0.5)
    w = 10000.0 ** (-np.arange(dim // 4) / (dim / 4))
    rows, columns = np.divmod(np.arange(side * side), side)
    parts = [f(x[:, None] * w) for x in (columns, rows) for f in (np.sin, np.cos)]
    return np.concatenate([np.zeros((1, dim)), np.concatenate(parts, axis=1)])


def state_dict(facts: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """All entries of a golden's state dict."""
    gain = facts["recipe"]["gain"]
    return {entry["key"]: entry_tensor(entry, gain) for entry in facts["state_dict"]}


def golden_input(shape: tuple[int, ...], kind: str) -> torch.Tensor:
    """The input called `sin` or `cos`, float32."""
    j = np.arange(int(np.prod(shape)), dtype=np.float64)
    x = np.sin(0.01 * j) if kind == "sin" else np.cos(0.013 * j)
    return torch.from_numpy(x.astype(np.float32).reshape(shape))


def error(found: torch.Tensor, golden: np.ndarray) -> float:
    """max|difference| / max|golden|."""
    difference = np.abs(found.detach().double().numpy() - golden.astype(np.float64))
    return float(difference.max() / np.abs(golden).max())
