"""Random numbers that come out the same on every machine and with every numpy.

Only `Generator.random` is used, on PCG64 with an explicit `SeedSequence`: its doubles are made of
integer steps alone. Normal, permutation and choice methods of numpy may change between releases
and go through the machine's log and exp, so what is needed of them is built here from uniforms
with additions and multiplications, which IEEE 754 rounds in one way.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T")
Array = npt.NDArray[np.float64]


class Stream:
    """One stream of random numbers, named by the data set's seed and a key.

    Streams of different keys are independent, so one more video, or one more number drawn for
    the lighting, changes nothing else.

    Args:
        seed: the data set's seed.
        key: small non-negative integers that name what the numbers are for.
    """

    def __init__(self, seed: int, *key: int) -> None:
        sequence = np.random.SeedSequence(entropy=seed, spawn_key=key)
        self._generator = np.random.Generator(np.random.PCG64(sequence))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Return one number in [low, high)."""
        return low + (high - low) * float(self._generator.random())

    def uniforms(self, shape: int | tuple[int, ...], low: float = 0.0, high: float = 1.0) -> Array:
        """Return an array of numbers in [low, high)."""
        return low + (high - low) * self._generator.random(shape)

    def bell(self, shape: int | tuple[int, ...]) -> Array:
        """Return bell-shaped numbers of mean 0 and standard deviation 1, within +-3.5."""
        total = self.uniforms(shape)
        for _ in range(3):
            total = total + self.uniforms(shape)
        return (total - 2.0) * 1.7320508075688772  # four uniforms have variance 4 / 12

    def below(self, n: int) -> int:
        """Return a whole number in [0, n)."""
        return min(int(self.uniform(0.0, n)), n - 1)

    def choice(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[self.below(len(items))]

    def permutation(self, n: int) -> list[int]:
        """Return 0 to n - 1 in random order."""
        order: list[int] = np.argsort(self.uniforms(n), kind="stable").tolist()
        return order

    def path(self, n: int, knot: int, width: int = 1) -> Array:
        """Return smooth random paths, shape (n, width), bell-shaped with a spread of about 0.8.

        A new value every `knot` steps, smoothly joined; the first knot falls at a random phase.
        """
        values = self.bell((n // knot + 3, width))
        position = (np.arange(n) + self.uniform(0.0, knot)) / knot
        index = position.astype(np.int64)
        share = smoothstep(position - index)[:, None]
        joined: Array = values[index] * (1.0 - share) + values[index + 1] * share
        return joined


def smoothstep(x: Array) -> Array:
    """Return 0 below 0, 1 above 1, and a smooth rise between."""
    inside = np.clip(x, 0.0, 1.0)
    risen: Array = inside * inside * (3.0 - 2.0 * inside)
    return risen
