"""Deals recordings into sets that are alike in their labels."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .label_sums import LabelSums

KINDS: Final = ("rows", "labelled rows", "valence", "arousal", "expressions", "AUs")
"""What sets are alike in; each kind weighs the same."""

_STARTS: Final = 50
"""Of few recordings; of many, fewer do, and take as long."""
_SWAPS: Final = 512
"""Other recordings that one is tried against in a pass."""
_PASSES: Final = 30
_GAIN: Final = 1e-9
"""Least gain of a move; less is rounding."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantities:
    """What each of G recordings adds to the set that it is in; a perfect set has all of `goal`."""

    values: Array
    """(G, Q), in units in which a perfect set has 1, or 0 of what is a difference from the mean."""
    goal: Array
    """(Q,) 1 or 0."""
    kind: NDArray[np.intp]
    """(Q,) index in `KINDS`."""

    @property
    def weight(self) -> Array:
        """(Q,) share of each quantity in the whole; equal for each kind that there is."""
        n_of_kind = np.bincount(self.kind, minlength=len(KINDS))
        weight: Array = 1 / (n_of_kind[self.kind] * np.count_nonzero(n_of_kind))
        return weight


def quantities(sums: LabelSums, k: int) -> Quantities:
    """Return what recordings add to one of k sets.

    Counts (rows, labelled rows of each task, rows of each expression and with each action unit)
    are in units of the k-th part of all. Valence and arousal are the sum of differences from the
    mean, in units of the k-th part of the spread between recordings. What does not occur is left
    out.

    Args:
        sums: of G recordings.
        k: number of sets.
    """
    counts = [(sums.rows[:, None], 0), (sums.labelled, 1), (sums.expression, 4), (sums.au, 5)]
    columns, goals, kinds = [], [], []
    for block, kind in counts:
        for column in block.T:
            if column.sum() > 0:
                columns.append(column / (column.sum() / k))
                goals.append(1.0)
                kinds.append(kind)
    for affect in (0, 1):
        n = sums.labelled[:, affect]
        if n.sum() > 0:
            difference = sums.affect[:, affect] - n * (sums.affect[:, affect].sum() / n.sum())
            spread = np.sqrt((difference**2 / np.maximum(n, 1)).sum() / n.sum())
            if spread > 1e-6:
                columns.append(difference / (spread * n.sum() / k))
                goals.append(0.0)
                kinds.append(2 + affect)
    return Quantities(np.stack(columns, axis=1), np.array(goals), np.array(kinds, np.intp))


def deal(amounts: Quantities, k: int, seed: int) -> NDArray[np.intp]:
    """Return the set, 0 to k - 1, of each recording, (G,); no set is empty.

    From several drawn orders, each recording is put where the sets stay most alike, the largest
    first; then single moves and swaps are made until none makes the sets more alike. The best of
    the results is returned: the same for the same arguments.

    Args:
        amounts: what each recording adds.
        k: number of sets, at most G.
        seed: draws the orders.
    """
    z = amounts.values * np.sqrt(amounts.weight)  # (G, Q)
    rng = np.random.default_rng(seed)
    n_starts = max(1, min(_STARTS, 6_000 // len(z)))
    found = [_improved(z, _greedy(z, k, rng), k, rng) for _ in range(n_starts)]
    return min(found, key=lambda sets: deviation(amounts, sets, k))


def random_sets(n: int, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return a set for each of n recordings, of equal numbers but for one, by chance."""
    return rng.permutation(np.arange(n) % k)


def deviation(amounts: Quantities, sets: NDArray[np.intp], k: int) -> float:
    """Return how far k sets are from alike: 0 is perfect, 0.1 means 10 % off in quadratic mean."""
    share = ((_totals(amounts.values, sets, k) - amounts.goal) ** 2 * amounts.weight).sum(axis=1)
    return float(np.sqrt(share.mean()))


def deviations(amounts: Quantities, sets: NDArray[np.intp], k: int) -> dict[str, float]:
    """Return the same of each kind by itself."""
    squares = (_totals(amounts.values, sets, k) - amounts.goal) ** 2
    return {
        name: float(np.sqrt(squares[:, amounts.kind == number].mean()))
        for number, name in enumerate(KINDS)
        if (amounts.kind == number).any()
    }


def _totals(values: Array, sets: NDArray[np.intp], k: int) -> Array:
    totals = np.zeros((k, values.shape[1]))
    np.add.at(totals, sets, values)
    return totals


def _greedy(z: Array, k: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Deal the recordings, the largest first; sizes are blurred so that orders differ."""
    size = (z**2).sum(axis=1) * rng.uniform(0.5, 1.5, len(z))
    totals = np.zeros((k, z.shape[1]))
    counts = np.zeros(k, np.intp)
    sets = np.empty(len(z), np.intp)
    for place, one in enumerate(np.argsort(-size, kind="stable")):
        # What a recording adds to the sum of squares, which is least when all totals are alike.
        cost = totals @ z[one]
        if len(z) - place <= np.count_nonzero(counts == 0):
            cost = np.where(counts == 0, cost, np.inf)
        best = int(np.argmin(cost))
        sets[one] = best
        totals[best] += z[one]
        counts[best] += 1
    return sets


def _improved(
    z: Array, sets: NDArray[np.intp], k: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Move and swap recordings as long as the sum of squared totals falls."""
    sets = sets.copy()
    totals = _totals(z, sets, k)
    counts = np.bincount(sets, minlength=k)
    for _ in range(_PASSES):
        n_changes = 0
        for one in rng.permutation(len(z)):
            own = sets[one]
            move = (z[one] @ z[one]) + (totals - totals[own]) @ z[one]  # (k,) half the change
            move[own] = 0.0
            if counts[own] == 1:  # no set may become empty
                move[:] = np.inf
            others = np.flatnonzero(sets != own)
            if len(others) > _SWAPS:
                others = rng.choice(others, _SWAPS, replace=False)
            step = z[one] - z[others]  # (n, Q)
            swap = (step * (step + totals[sets[others]] - totals[own])).sum(axis=1)
            to, other = int(np.argmin(move)), int(np.argmin(swap))
            if min(move[to], swap[other]) > -_GAIN:
                continue
            n_changes += 1
            if move[to] <= swap[other]:
                counts[own] -= 1
                counts[to] += 1
                totals[own] -= z[one]
                totals[to] += z[one]
                sets[one] = to
            else:
                totals[own] -= step[other]
                totals[sets[others[other]]] += step[other]
                sets[one], sets[others[other]] = sets[others[other]], own
        if not n_changes:
            break
    return sets
