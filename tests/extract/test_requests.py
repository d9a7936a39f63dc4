"""What a user asks for: options, `key=value` texts and embeddings.yaml."""

from pathlib import Path

import pytest

from abaw.core.errors import UsageError
from abaw.extract import EmbeddingRequest, read_requests, requests_from_command
from abaw.extract.requests import pairs


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "embeddings.yaml"
    path.write_text(text)
    return path


TWO = """
embeddings:
  mae_cms:
    backbone: mae_vit_base_patch16
    weights: weights/mae_cms.pth
    license: CC-BY-NC-4.0
    pool: grid3
    input_size: 112
  face:
    backbone: iresnet18
    weights: random:0
    mean: [0.5, 0.5, 0.5]
    allow_missing: [fc.*, bn9.bias]
    allow_unexpected: head.*
"""


def test_a_file_of_embeddings_is_read_in_its_order(tmp_path: Path):
    path = write(tmp_path, TWO)
    assert read_requests(path) == [
        EmbeddingRequest(
            name="mae_cms",
            backbone="mae_vit_base_patch16",
            weights="weights/mae_cms.pth",
            licence="CC-BY-NC-4.0",
            settings={"pool": "grid3", "input_size": 112},
            file=path,
        ),
        EmbeddingRequest(
            name="face",
            backbone="iresnet18",
            weights="random:0",
            settings={"mean": [0.5, 0.5, 0.5]},
            allow_missing=("fc.*", "bn9.bias"),
            allow_unexpected=("head.*",),
            file=path,
        ),
    ]


def test_only_takes_the_named_ones(tmp_path: Path):
    assert [r.name for r in read_requests(write(tmp_path, TWO), ["face"])] == ["face"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("embeddings: [a]", ("mapping", "embeddings:"), id="a-list"),
        pytest.param("", ("mapping", "embeddings:"), id="empty"),
        pytest.param("embeddings: {}", ("mapping", "embeddings:"), id="none"),
        pytest.param("a: [", ("YAML",), id="not-yaml"),
        pytest.param("embeddings: {a: iresnet18}", ("'a'", "backbone"), id="entry-is-text"),
        pytest.param("embeddings: {a: {weights: x}}", ("'a'", "backbone"), id="no-backbone"),
        pytest.param(
            "embeddings: {a: {backbone: iresnet18}}", ("'a'", "no default", "random:SEED"),
            id="no-weights",
        ),
        pytest.param(
            "embeddings: {a+b: {backbone: iresnet18, weights: none}}", ("'a+b'",), id="name"
        ),
        pytest.param(
            "embeddings: {Face: {backbone: b, weights: none}, face: {backbone: b, weights: none}}",
            ("'Face'", "'face'", "capital"), id="names-differ-in-case-only",
        ),
        pytest.param(
            "embeddings:\n  f: {backbone: b, weights: none}\n  f: {backbone: c, weights: none}",
            ("'f'", "twice", "line 3"), id="one-name-twice",
        ),
        pytest.param(
            "embeddings: {f: {backbone: b, weights: none, allow_missing: {a: 1}}}",
            ("'f'", "allow_missing", "list of patterns"), id="allow-missing-is-no-list",
        ),
        pytest.param(
            "embeddings: {f: {backbone: b, weights: none}}\nstore: zarr", ("'store'",), id="beside"
        ),
        pytest.param(
            "embeddings: {f: !!python/object/apply:os.system [touch sprung]}", ("YAML", "python"),
            id="an-object",
        ),
    ],
)  # fmt: skip
def test_a_file_of_another_form_is_refused_by_name(tmp_path: Path, text: str, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        read_requests(path)
    assert not [word for word in (str(path), *words) if word not in str(caught.value)], caught.value
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


def test_only_answers_an_unknown_name_with_the_nearest(tmp_path: Path):
    with pytest.raises(UsageError, match=r"'mae_cm'; did you mean mae_cms"):
        read_requests(write(tmp_path, TWO), ["mae_cm"])


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.write_bytes(b"\xff\xfe\x00")])
def test_an_unreadable_file_is_named(tmp_path: Path, make):
    path = tmp_path / "embeddings.yaml"
    make(path)
    with pytest.raises(UsageError, match=r"embeddings\.yaml"):
        read_requests(path)


def test_options_make_one_request_named_as_the_backbone():
    (request,) = requests_from_command(
        "iresnet18", "random:0", None, "MIT", ["pool=none", "mean=0.5,0.5,0.5"], None, [],
        ["fc.*"], ["head.*"],
    )  # fmt: skip
    assert request == EmbeddingRequest(
        name="iresnet18",
        backbone="iresnet18",
        weights="random:0",
        licence="MIT",
        settings={"pool": "none", "mean": "0.5,0.5,0.5"},
        allow_missing=("fc.*",),
        allow_unexpected=("head.*",),
    )


def test_a_value_may_hold_an_equals_sign_and_the_last_one_counts():
    assert pairs(["a=1", "b = x=y", "a=2"]) == {"a": "2", "b": "x=y"}


@pytest.mark.parametrize("text", ["pool", "=cls", ""])
def test_a_setting_without_key_and_value_is_refused(text: str):
    with pytest.raises(UsageError, match="key=value") as caught:
        pairs([text])
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((None, None, None, None, [], None, []), ("--backbone", "--config")),
        (("iresnet18", None, None, None, [], None, []), ("no default", "random:SEED")),
        (("iresnet18", "none", "a/b", None, [], None, []), ("'a/b'",)),
        (("iresnet18", None, None, None, [], Path("e.yaml"), []), ("--backbone", "e.yaml")),
        ((None, None, None, None, ["a=1"], Path("e.yaml"), []), ("--set", "e.yaml")),
        ((None, None, None, None, [], Path("e.yaml"), [], ["a"]), ("--allow-missing", "e.yaml")),
        (("iresnet18", "none", None, None, [], None, ["x"]), ("--only", "'x'", "--config")),
    ],
)
def test_options_that_cannot_stand_together_are_refused(arguments, words):
    with pytest.raises(UsageError) as caught:
        requests_from_command(*arguments)
    assert not [word for word in words if word not in str(caught.value)], caught.value
