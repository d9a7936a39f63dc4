"""Published counts of the challenge's releases, and where a set that looks like one differs."""

from collections.abc import Mapping
from typing import Final, Literal

from ...core.tasks import EXPRESSIONS

Challenge = Literal["mtl", "va", "expr", "au"]
"""The multi-task challenge, and the three of one task."""

Counts = Mapping[str, int]

_NEAR: Final = 0.02
"""A split looks like a published one if its first count differs by no more than this share."""


def _labelled(task: str, with_crop: int, without_crop: int, **more: int) -> dict[str, int]:
    return {
        task: with_crop + without_crop,
        "with_crop": with_crop,
        "without_crop": without_crop,
        **more,
    }


def _classes(*counts: int) -> dict[str, int]:
    return {f"{name}_with_crop": n for name, n in zip(EXPRESSIONS, counts, strict=True)}


PUBLISHED: Final[dict[Challenge, dict[str, dict[str, dict[str, int]]]]] = {
    "mtl": {
        "s-Aff-Wild2": {
            "train": {
                "rows": 142_382, "videos": 257, "duplicate_rows": 951, "rows_without_label": 49,
                "va": 103_917, "expression": 90_645, "au": 103_316,
            },
            "val": {
                "rows": 26_876, "videos": 50, "duplicate_rows": 210, "rows_without_label": 0,
                "va": 26_876, "expression": 15_440, "au": 26_876,
            },
            "test": {"rows": 51_159, "videos": 82, "duplicate_rows": 718},
        },
    },
    "va": {
        "ABAW3": {
            "train": _labelled("va", 1_555_919, 25_265),
            "val": _labelled("va", 338_755, 5_959, videos=71),
            "test": {"videos": 152},
        },
        "ABAW5": {
            "train": _labelled("va", 1_653_757, 26_387),
            "val": _labelled("va", 376_323, 5_698, videos=76),
            "test": {"rows": 927_210, "videos": 162},
        },
        "ABAW6": {
            "train": _labelled("va", 1_653_930, 25_927),
            "val": _labelled("va", 376_332, 5_689, videos=76),
            "test": {"rows": 927_210, "videos": 162},
        },
    },
    "expr": {
        "ABAW3 to 8": {
            "train": _labelled("expression", 585_317, 12_044, videos=248)
            | _classes(177_198, 16_573, 10_771, 9_080, 95_463, 78_751, 31_615, 165_866),
            "val": _labelled("expression", 280_532, 3_698, videos=70)
            | _classes(82_258, 6_126, 5_296, 8_408, 34_511, 25_157, 12_332, 106_444),
            "test": {"rows": 1_022_655, "videos": 228},
        },
    },
    "au": {
        "ABAW3": {
            "train": _labelled("au", 1_356_861, 2_829),
            "val": _labelled("au", 445_836, 9, videos=105),
            "test": {"videos": 141},
        },
        "ABAW5": {
            "train": _labelled("au", 1_356_694, 2_829),
            "val": _labelled("au", 445_836, 9, videos=105),
            "test": {"rows": 729_736, "videos": 141},
        },
    },
}  # fmt: skip
"""Challenge -> release -> split -> counts, from participants' published notebooks. By the first
count of a split it is told whether a set looks like it."""


def published_differences(challenge: Challenge, splits: Mapping[str, Counts]) -> list[str]:
    """Say where a set that looks like a release differs from its published counts.

    Of several releases it is compared with the one that most splits look like and then the
    nearest. A count that was not made (crops were not looked at) is not compared.

    Args:
        challenge: whose annotations they are.
        splits: split -> counts.
    """
    alike = {
        release: {
            split: counts
            for split, counts in published.items()
            if split in splits and _looks_like(splits[split], counts)
        }
        for release, published in PUBLISHED[challenge].items()
    }
    release = min(alike, key=lambda name: (-len(alike[name]), _distance(splits, alike[name])))
    return [
        f"{split}: {splits[split][key]:,} {key.replace('_', ' ')}, where {release} has {value:,}"
        for split, counts in alike[release].items()
        for key, value in counts.items()
        if splits[split].get(key, value) != value
    ]


def _looks_like(counts: Counts, published: Counts) -> bool:
    key, value = next(iter(published.items()))
    return key in counts and abs(counts[key] - value) <= _NEAR * value


def _distance(splits: Mapping[str, Counts], published: Mapping[str, Counts]) -> int:
    return sum(
        abs(splits[split][key] - value)
        for split, counts in published.items()
        for key, value in counts.items()
        if key in splits[split]
    )
