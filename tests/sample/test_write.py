import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from abaw.core.errors import UsageError
from abaw.core.names import check_video_id
from abaw.sample import PRESETS, SAMPLE_VERSION, SampleSettings, draw_videos, write_sample
from abaw.sample.plan import plan
from abaw.sample.write import ANNOTATION_FILES, HEADER, annotation_rows

TINY = SampleSettings(n_train_videos=7, n_val_videos=3, n_test_videos=2, frames=12)
HASHES = json.loads((Path(__file__).parent / "hashes.json").read_text())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("sample") / "data"
    return write_sample(out, TINY)


def lines(out: Path, split: str) -> list[str]:
    text = (out / "annotations" / ANNOTATION_FILES[split]).read_bytes().decode()
    assert text.endswith("\n")
    assert "\r" not in text
    return text.removesuffix("\n").split("\n")


def all_rows(settings: SampleSettings) -> dict[str, list[list[str]]]:
    """Split -> fields of its annotation rows, without drawing."""
    found: dict[str, list[list[str]]] = {"train": [], "val": [], "test": []}
    for video in draw_videos(settings, with_frames=False):
        found[video.plan.split] += [row.split(",") for row in annotation_rows(video)]
    return found


def test_every_file_is_where_the_challenge_has_it(written):
    assert sorted(path.name for path in written.out.iterdir()) == [
        "annotations",
        "cropped_aligned",
        "sample.json",
    ]
    annotations = sorted(path.name for path in (written.out / "annotations").iterdir())
    assert annotations == sorted(
        [
            "training_set_annotations.txt",
            "validation_set_annotations.txt",
            "MTL_Challenge_test_set_release.txt",
        ]
    )
    for path in (written.out / "cropped_aligned").rglob("*"):
        assert path.is_dir() or (path.suffix == ".jpg" and len(path.stem) == 5), path


def test_every_crop_is_a_112_by_112_rgb_jpeg(written):
    truncated = []
    for path in (written.out / "cropped_aligned").rglob("*.jpg"):
        with Image.open(path) as image:
            assert (image.format, image.size, image.mode) == ("JPEG", (112, 112), "RGB")
            try:
                image.load()
            except OSError:
                truncated.append(path)
    assert len(truncated) == TINY.truncated_test_images == 1
    assert truncated[0].relative_to(written.out / "cropped_aligned").as_posix() in lines(
        written.out, "test"
    )


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_annotation_line_has_16_fields_in_range(written, split: str):
    header, *rows = lines(written.out, split)
    assert header == HEADER == "image,valence,arousal,expression,aus"
    for row in rows:
        path, *values = row.split(",")
        assert len(values) == 15
        video, name = path.rsplit("/", 1)
        check_video_id(video)
        assert name == f"{int(name.removesuffix('.jpg')):05d}.jpg"
        affect, expression, au = values[:2], int(values[2]), [int(v) for v in values[3:]]
        if "-5.0" in affect:
            assert affect == ["-5.0", "-5.0"]
        else:
            assert all(-1 <= float(v) <= 1 and len(v.split(".")[1]) == 3 for v in affect)
        assert -1 <= expression <= 7
        assert set(au) <= {0, 1} or set(au) == {-1}
        assert affect[0] != "-5.0" or expression != -1 or au[0] != -1, "a row without any label"


def test_the_test_list_has_bare_paths(written):
    header, *rows = lines(written.out, "test")
    assert header == HEADER
    assert all(row.endswith(".jpg") and "," not in row for row in rows)


def test_rows_are_grouped_by_video_in_the_order_of_their_frames():
    for rows in all_rows(PRESETS["demo"]).values():
        videos = [fields[0].split("/")[0] for fields in rows]
        assert len({v for v, w in zip(videos, ["", *videos], strict=False) if v != w}) == len(
            [1 for v, w in zip(videos, ["", *videos], strict=False) if v != w]
        )
        for video in set(videos):
            frames = [int(f[0].split("/")[1][:5]) for f in rows if f[0].split("/")[0] == video]
            assert frames == sorted(frames)
            assert frames[0] >= 1


def test_a_duplicate_row_repeats_the_one_before():
    for split, rows in all_rows(PRESETS["demo"]).items():
        paths = [fields[0] for fields in rows]
        twice = [path for path, count in Counter(paths).items() if count > 1]
        assert twice, split
        for path in twice:
            first = paths.index(path)
            assert rows[first] == rows[first + 1]


def test_the_demo_has_the_counts_it_promises():
    videos = plan(PRESETS["demo"])
    sizes = {split: [v for v in videos if v.split == split] for split in ("train", "val", "test")}
    assert [len(sizes[split]) for split in sizes] == [30, 10, 4]
    n_crops = sum(len(video.crops) for split in ("train", "val") for video in sizes[split])
    assert 1150 <= n_crops <= 1200
    lengths = [len(video.crops) for video in sizes["train"]]
    assert min(lengths) == 1
    assert max(lengths) > 6 * sorted(lengths)[1]


def test_frame_numbers_have_gaps():
    videos = plan(PRESETS["demo"])
    gaps = [b - a for v in videos for a, b in zip(v.crops[:-1], v.crops[1:], strict=True)]
    assert max(gaps) > 2
    assert Counter(gaps).most_common(1)[0][0] == 1


def test_some_rows_have_no_crop_and_some_crops_no_row():
    for split in ("train", "val", "test"):
        videos = [video for video in plan(PRESETS["demo"]) if video.split == split]
        rows = {(v.name, frame) for v in videos for frame in v.rows}
        crops = {(v.name, frame) for v in videos for frame in v.crops}
        assert 0 < len(rows - crops) <= 0.02 * len(rows), split
        assert 0 < len(crops - rows) <= 0.04 * len(crops), split


def test_the_shares_can_be_switched_off():
    whole = replace(
        TINY, gaps=0, missing_crops=0, unlisted_crops=0, duplicate_rows=0, truncated_test_images=0
    )
    for video in plan(whole):
        assert video.crops == video.rows == list(range(1, len(video.crops) + 1))
        assert not video.truncated


def test_one_recording_shows_two_people():
    names = [video.name for video in plan(PRESETS["demo"])]
    left = [name for name in names if name.endswith("_left")]
    assert len(left) == 1
    assert left[0].replace("_left", "_right") in names
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("seed", range(3))
def test_video_names_are_unique_whatever_the_seed(seed: int):
    names = [video.name for video in plan(replace(PRESETS["bench"], seed=seed))]
    assert len(set(names)) == len(names)


def test_no_person_is_in_two_videos():
    persons = [video.person for video in plan(PRESETS["bench"])]
    assert len(set(persons)) == len(persons)


def test_labelled_shares_are_the_published_ones():
    rows = all_rows(PRESETS["bench"])
    for split, wanted in (("train", (0.73, 0.64, 0.73)), ("val", (1.0, 0.574, 1.0))):
        n = len(rows[split])
        affect = sum(fields[1] != "-5.0" for fields in rows[split]) / n
        expression = sum(fields[3] != "-1" for fields in rows[split]) / n
        au = sum(fields[4] != "-1" for fields in rows[split]) / n
        assert (affect, expression, au) == pytest.approx(wanted, abs=0.02)


def test_labelled_all_labels_every_row():
    rows = all_rows(replace(TINY, labelled="all"))
    for fields in rows["train"] + rows["val"]:
        assert "-1" not in fields[3:]
        assert "-5.0" not in fields


@pytest.mark.parametrize("seed", range(5))
def test_every_expression_is_labelled_in_every_split_of_the_demo(seed: int):
    rows = all_rows(replace(PRESETS["demo"], seed=seed))
    for split in ("train", "val"):
        counts = Counter(fields[3] for fields in rows[split] if fields[3] != "-1")
        assert len(counts) == 8
        assert min(counts.values()) >= 0.03 * sum(counts.values()), (split, counts)
    hidden = Counter(
        int(code)
        for video in draw_videos(replace(PRESETS["demo"], seed=seed), with_frames=False)
        if video.plan.split == "test"
        for code in video.labels[1][[frame - 1 for frame in video.plan.rows]]
    )
    assert len(hidden) == 8


@pytest.mark.parametrize("seed", range(2))
def test_base_rates_and_balance_over_splits(seed: int):
    rows = all_rows(replace(PRESETS["bench"], seed=seed))
    shares = {}
    for split in ("train", "val"):
        au = np.array([[int(v) for v in f[4:]] for f in rows[split] if f[4] != "-1"])
        assert np.all((au.mean(axis=0) >= 0.12) & (au.mean(axis=0) <= 0.5)), au.mean(axis=0)
        codes = np.array([int(f[3]) for f in rows[split] if f[3] != "-1"])
        shares[split] = np.bincount(codes, minlength=8) / len(codes)
        assert shares[split].min() > 0.07
    assert np.abs(shares["train"] - shares["val"]).max() < 0.05


def test_action_units_are_smooth_in_time():
    for video in draw_videos(TINY, with_frames=False):
        assert video.intensity.min() >= 0
        assert video.intensity.max() <= 1
        step = np.abs(np.diff(video.intensity, axis=0))
        assert step.size == 0 or step.max() < 0.4


def test_the_same_settings_write_the_same_bytes(written, tmp_path: Path):
    again = write_sample(tmp_path / "again", TINY)
    for path in written.out.rglob("*"):
        if path.is_file():
            other = again.out / path.relative_to(written.out)
            assert path.read_bytes() == other.read_bytes(), path
    assert len(list(written.out.rglob("*"))) == len(list(again.out.rglob("*")))


def test_another_seed_draws_another_sample():
    one, other = (next(draw_videos(replace(TINY, seed=seed))) for seed in (0, 1))
    assert one.plan.crops != other.plan.crops or not np.array_equal(one.frames, other.frames)


def test_more_validation_videos_leave_the_training_faces_alone():
    more = next(draw_videos(replace(TINY, n_val_videos=5)))
    for one, other in zip(next(draw_videos(TINY)).frames, more.frames, strict=True):
        np.testing.assert_array_equal(one, other)


def test_labels_and_pixels_have_the_committed_hashes():
    """Not of the JPEG files: their bytes depend on the encoder.

    A change here is a new SAMPLE_VERSION, and every figure that was measured on a sample is to be
    measured again. `python tests/sample/test_write.py` prints the new hashes.
    """
    assert HASHES["version"] == SAMPLE_VERSION
    assert hashes() == HASHES["sha256"]


def hashes() -> dict[str, str]:
    """SHA-256 of each annotation file's rows and of each split's pixels before encoding."""
    found = {}
    digests = {name: hashlib.sha256() for name in ("train", "val", "test", "pixels")}
    for video in draw_videos(TINY):
        text = "".join(f"{row}\n" for row in annotation_rows(video))
        digests[video.plan.split].update(text.encode())
        for pixels in video.frames:
            digests["pixels"].update(pixels.tobytes())
    found.update({name: digest.hexdigest() for name, digest in digests.items()})
    return found


def test_the_summary_counts_what_was_written(written):
    for split, count in written.splits.items():
        assert count.rows == len(lines(written.out, split)) - 1
        assert count.videos == TINY.n_videos[split]
    n_files = len(list((written.out / "cropped_aligned").rglob("*.jpg")))
    assert sum(count.crops for count in written.splits.values()) == n_files
    assert f"{written.splits['val'].rows} rows" in written.text()


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(UsageError) as caught:
        write_sample(tmp_path, TINY)
    assert str(tmp_path) in str(caught.value)
    assert "thesis.tex" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_folder(tmp_path: Path):
    path = tmp_path / "data"
    path.write_text("x")
    with pytest.raises(UsageError, match="is a file"):
        write_sample(path, TINY)


def test_a_sample_is_replaced_and_its_neighbours_are_kept(tmp_path: Path):
    small = replace(TINY, n_train_videos=2, n_val_videos=1, n_test_videos=0, frames=3)
    write_sample(tmp_path / "data", small)
    (tmp_path / "data" / "features").mkdir()
    (tmp_path / "data" / "cropped_aligned.tmp-0123" / "v").mkdir(parents=True)  # a killed writer's
    write_sample(tmp_path / "data", replace(small, seed=1))
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == [
        "annotations",
        "cropped_aligned",
        "features",
        "sample.json",
    ]
    marker = json.loads((tmp_path / "data" / "sample.json").read_text())
    assert marker["settings"]["seed"] == 1
    assert marker["complete"] is True
    names = {video.name for video in plan(replace(small, seed=1))}
    assert {path.name for path in (tmp_path / "data" / "cropped_aligned").iterdir()} == names
    lists = {path.name for path in (tmp_path / "data" / "annotations").iterdir()}
    assert lists == {ANNOTATION_FILES["train"], ANNOTATION_FILES["val"]}, "nothing to list in tests"


if __name__ == "__main__":
    print(json.dumps({"version": SAMPLE_VERSION, "sha256": hashes()}, indent=2))
