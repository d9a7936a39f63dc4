"""A set that looks like a release is compared with its published counts."""

import pytest

from abaw.temporal.data.published import published_differences


def va_counts(with_crop: int, without_crop: int, **more: int) -> dict[str, int]:
    return {
        "rows": 2_000_000,
        "videos": 341,
        "va": with_crop + without_crop,
        "with_crop": with_crop,
        "without_crop": without_crop,
        **more,
    }


@pytest.mark.parametrize(
    ("challenge", "splits", "expected"),
    [
        pytest.param("va", {"train": va_counts(1_555_919, 25_265)}, [], id="abaw3"),
        pytest.param("va", {"train": va_counts(1_653_930, 25_927)}, [], id="abaw6"),
        pytest.param(
            "va",
            {
                "train": va_counts(1_653_757, 26_387),
                "val": va_counts(376_322, 5_699, videos=75),
                "test": {"rows": 927_209, "videos": 162},
            },
            [
                "val: 376,322 with crop, where ABAW5 has 376,323",
                "val: 5,699 without crop, where ABAW5 has 5,698",
                "val: 75 videos, where ABAW5 has 76",
                "test: 927,209 rows, where ABAW5 has 927,210",
            ],
            id="abaw5-one-off",
        ),
        pytest.param(
            "expr",
            {"val": {"videos": 70, "expression": 284_231}},
            ["val: 284,231 expression, where ABAW3 to 8 has 284,230"],
            id="without-crops",
        ),
        pytest.param("au", {"train": {"videos": 9, "au": 300}}, [], id="another-set"),
    ],
)
def test_a_set_like_a_release_is_compared_with_its_counts(challenge, splits, expected):
    assert published_differences(challenge, splits) == expected
