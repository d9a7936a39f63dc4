"""Identity of an embedding."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abaw.cache import CacheError, EmbeddingSpec
from abaw.cache.schema import check_video_ids
from abaw.core.names import VideoIdError, check_video_id


def test_the_fingerprint_of_a_spec_is_fixed(kit):
    # Written down: stores made with one release must be current in the next.
    assert kit.make_spec().fingerprint == (
        "5d9d9191f0f307d44a688bca4ac2d5845dbf171e43c7e409dd649321b25529ee"
    )


def test_json_round_trip_keeps_the_fingerprint(kit):
    spec = kit.make_spec(options={"grid": 3, "norm": True, "name": "ä", "scale": 0.5})
    again = EmbeddingSpec.from_json(spec.to_json())
    assert again == spec
    assert again.fingerprint == spec.fingerprint
    assert hash(again) == hash(spec)


def test_whole_and_decimal_means_are_the_same_spec(kit):
    assert kit.make_spec(mean=(0, 0, 0)).fingerprint == kit.make_spec(mean=[0.0] * 3).fingerprint


CHANGES = {
    "backbone": "other", "weights": "none", "input_size": 9, "position_table": "built",
    "crop": "centre", "interpolation": "bicubic", "mean": (0.1,), "std": (0.1,), "channels": "bgr",
    "layer": "x", "pool": "mean_post", "flip": "mean", "options": {"a": 1}, "dim": 6,
    "dtype": "float32", "version": 3,
}  # fmt: skip


@pytest.mark.parametrize("name", [item.name for item in dataclasses.fields(EmbeddingSpec)])
def test_every_field_is_identity(kit, name):
    spec, other = kit.make_spec(), kit.make_spec(**{name: CHANGES[name]})
    assert spec.fingerprint != other.fingerprint
    ((field, mine, theirs),) = spec.differences(other)
    if name == "options":
        assert (field, mine, theirs) == ("options.a", None, 1)
    else:
        assert (field, mine, theirs) == (name, getattr(spec, name), CHANGES[name])


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        ({"dtype": "float64"}, "float16 or float32, but got 'float64'"),
        ({"channels": "rgba"}, "rgb, bgr, grey or unknown, but got 'rgba'"),
        ({"flip": True}, "no, mirror, mean or unknown, but got True"),
        ({"dim": 0}, "at least 1, but got 0"),
    ],
)
def test_a_value_that_cannot_be_is_refused(kit, change, pattern):
    with pytest.raises(CacheError, match=pattern):
        kit.make_spec(**change)


def test_json_of_another_spec_version_names_the_fields(kit):
    value = json.loads(kit.make_spec().to_json())
    del value["flip"]
    value["colour"] = 1
    with pytest.raises(CacheError, match=r"lacks \['flip'\] and has besides \['colour'\]"):
        EmbeddingSpec.from_json(json.dumps(value))
    with pytest.raises(CacheError, match="must be JSON"):
        EmbeddingSpec.from_json("{")


@pytest.mark.parametrize(
    ("version", "what_to_do"), [(1, "remove the store and extract it again"), (3, "update abaw")]
)
def test_json_of_an_older_or_newer_version_says_what_to_do(kit, version, what_to_do):
    value = json.loads(kit.make_spec().to_json()) | {"version": version, "flip": False}
    pattern = f"features/a.h5 must have version 2 .* but has version {version}; {what_to_do}"
    with pytest.raises(CacheError, match=pattern):
        EmbeddingSpec.from_json(json.dumps(value), "features/a.h5")


ids = st.lists(st.text(st.sampled_from("ab./\\\n\t é"), max_size=5), max_size=4)


@given(ids)
def test_checking_all_ids_at_once_equals_checking_each(tmp_path_factory, videos):
    def is_refused(check):
        try:
            check()
        except VideoIdError:
            return True
        return False

    where = tmp_path_factory.getbasetemp()
    each = is_refused(lambda: [check_video_id(video) for video in videos])
    assert is_refused(lambda: check_video_ids(videos, where)) == each
