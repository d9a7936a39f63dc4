"""Annotation files: read as the challenge ships them, refused where they are wrong."""

import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw.cache import SPLITS, open_store
from abaw.core.errors import FramesError, UsageError
from abaw.core.names import VideoIdError
from abaw.temporal.data.annotation_files import find_annotation_files
from abaw.temporal.data.annotation_report import report_text
from abaw.temporal.data.annotations import (
    HEADER,
    import_annotations,
    read_annotations,
    read_rows,
    write_annotations,
)
from abaw.temporal.errors import AnnotationError

ZEROS = ",".join("0" * 12)
NONE = ",".join(["-1"] * 12)


def write(path: Path, *lines: str, header: bool = True, end: str = "\n") -> Path:
    text = end.join([*([HEADER] if header else []), *lines]) + end
    path.write_bytes(text.encode())
    return path


def test_values_and_masks_are_read_and_markers_end_here(tmp_path: Path):
    train = write(
        tmp_path / "t.txt",
        f"a/00001.jpg,0.112,-0.034,4,{ZEROS}",
        f"a/00007.jpg,-5.0,-5.0,4,{NONE}",
        f"b_left/00042.jpg,0.3,0.251,-1,{ZEROS[:-1]}1",
    )
    table = read_annotations({"train": train})
    assert table.videos == ("a", "b_left")
    np.testing.assert_array_equal(table.frame, [1, 7, 42])
    np.testing.assert_array_equal(table.valence_is_labelled, [True, False, True])
    np.testing.assert_allclose(table.valence, [0.112, 0, 0.3], atol=1e-6)
    np.testing.assert_array_equal(table.expression_is_labelled, [True, True, False])
    np.testing.assert_array_equal(table.expression, [4, 4, 0])
    np.testing.assert_array_equal(table.au_is_labelled[:, 0], [True, False, True])
    assert table.au[2, 11] == 1
    assert table.au.min() == 0


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", [True, False])
def test_header_and_line_ends_do_not_matter(tmp_path: Path, header: bool, end: str):
    lines = (f"a/00001.jpg,0,0,4,{ZEROS}", f"a/00002.jpg,0,0,4,{ZEROS}", "")
    rows = read_rows(write(tmp_path / "t.txt", *lines, header=header, end=end), "train")
    assert rows.path == ["a/00001.jpg", "a/00002.jpg"]


def test_a_byte_order_mark_is_no_part_of_the_first_field(tmp_path: Path):
    path = tmp_path / "t.txt"
    path.write_bytes(b"\xef\xbb\xbf" + f"a/00001.jpg,0,0,4,{ZEROS}\n".encode())
    assert read_rows(path, "train").path == ["a/00001.jpg"]


def test_a_test_list_is_read_with_and_without_trailing_commas(tmp_path: Path):
    path = write(tmp_path / "l.txt", "v_1/00001.jpg,", "v_1/00008.jpg", "v_1/00008.jpg")
    table = read_annotations({"test": path})
    assert table.row_path == ["v_1/00001.jpg", "v_1/00008.jpg", "v_1/00008.jpg"]
    np.testing.assert_array_equal(table.frame, [1, 8])
    assert not table.valence_is_labelled.any()
    assert not table.au_is_labelled.any()


def test_duplicates_stay_rows_and_the_first_gives_the_frames_label(tmp_path: Path):
    train = write(
        tmp_path / "t.txt",
        f"a/00002.jpg,0.5,0,4,{ZEROS}",
        f"a/00001.jpg,0.1,0,4,{ZEROS}",
        f"a/00002.jpg,0.9,0,4,{ZEROS}",
    )
    table = read_annotations({"train": train})
    np.testing.assert_allclose(table.valence, [0.1, 0.5], atol=1e-6)
    np.testing.assert_allclose(table.row_valence, [0.5, 0.1, 0.9], atol=1e-6)
    oddities = table.meta["report"]["oddities"]
    assert oddities["duplicate rows"] == {"count": 1, "examples": ["a/00002.jpg"]}
    assert oddities["duplicate rows that disagree"]["count"] == 1
    assert oddities["rows out of frame order"]["count"] == 1


def test_everything_odd_is_counted_with_examples(tmp_path: Path):
    half = ",".join(["0"] * 6 + ["-1"] * 6)
    train = write(
        tmp_path / "t.txt",
        f"a/00001.jpg,-5,0.1,4,{ZEROS}",
        f"a/00002.jpg,0.1,0.1,4,{half}",
        f"a/00003.jpg,-5,-5,-1,{NONE}",
        f"b/00001.jpg,0,0,0,{ZEROS}",
        f"b/00001.jpg,0,0,0,{ZEROS}",
    )
    val = write(tmp_path / "v.txt", f"b/00001.jpg,0.5,0,0,{ZEROS}", f"b/00009.jpg,0,0,0,{ZEROS}")
    (tmp_path / "frames" / "a").mkdir(parents=True)
    for number in (1, 2, 50):
        (tmp_path / "frames" / "a" / f"{number:05d}.jpg").touch()
    (tmp_path / "frames" / "c").mkdir()
    (tmp_path / "frames" / "c" / "1.jpg").touch()
    table = read_annotations({"train": train, "val": val}, [tmp_path / "frames"])
    counts = {k: v["count"] for k, v in table.meta["report"]["oddities"].items()}
    assert counts == {
        "duplicate rows": 2,
        "duplicate rows that disagree": 1,
        "rows with one of valence and arousal": 1,
        "rows with some AUs only": 1,
        "rows without any label": 1,
        "rows out of frame order": 0,
        "frames in two splits": 1,
        "videos in two splits": 1,
        "recordings whose two people are in two splits": 0,
        "listed frames without a crop": 3,
        "crops that no row lists": 1,
        "videos of crops that no row names": 1,
    }
    shared = table.frame[table.start[1] : table.start[1] + table.length[1]]
    np.testing.assert_array_equal(shared, [1, 9])
    assert [SPLITS[code] for code in table.split[-2:]] == ["train", "val"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        pytest.param(f"a/1.jpg,0,0,4,{ZEROS[:-2]}", ["16", "15"], id="15-fields"),
        pytest.param(f"a/1.jpg,0,0,8,{ZEROS}", ["expression", "8", "0 to 7"], id="expression-8"),
        pytest.param(f"a/1.jpg,0,0,1.5,{ZEROS}", ["expression", "1.5"], id="expression-1.5"),
        pytest.param(f"a/1.jpg,1.7,0,4,{ZEROS}", ["valence", "1.7", "[-1, 1]"], id="valence-1.7"),
        pytest.param(f"a/1.jpg,0,nan,4,{ZEROS}", ["arousal", "nan"], id="nan"),
        pytest.param(f"a/1.jpg,0,x,4,{ZEROS}", ["arousal", "x"], id="text"),
        pytest.param(f"a/1.jpg,0,0,4,2,{ZEROS[2:]}", ["AU1", "2"], id="au-2"),
        pytest.param(f"1.jpg,0,0,4,{ZEROS}", ["'1.jpg'"], id="no-video"),
        pytest.param(f"a/one.jpg,0,0,4,{ZEROS}", ["'a/one.jpg'"], id="no-number"),
    ],
)
def test_a_wrong_line_is_named_by_file_line_and_value(tmp_path: Path, line: str, words: list[str]):
    path = write(tmp_path / "t.txt", f"a/00001.jpg,0,0,4,{ZEROS}", line)
    with pytest.raises(AnnotationError) as caught:
        read_annotations({"train": path})
    for word in [f"{path}:3", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("video", ["../x", "/etc", "a/../b"])
def test_an_id_that_leaves_its_folder_is_refused(tmp_path: Path, video: str):
    path = write(tmp_path / "t.txt", f"{video}/00001.jpg,0,0,4,{ZEROS}")
    with pytest.raises(VideoIdError, match=r"t\.txt:2"):
        read_annotations({"train": path})


def test_known_names_of_every_edition_are_found(tmp_path: Path):
    for name in ("train_set.txt", "validation_set.txt", "MTL.txt"):
        write(tmp_path / name, f"a/1.jpg,0,0,4,{ZEROS}")
    found = {split: path.name for split, path in find_annotation_files(tmp_path).items()}
    assert found == {"train": "train_set.txt", "val": "validation_set.txt", "test": "MTL.txt"}


def test_two_editions_in_one_folder_are_not_mixed(tmp_path: Path):
    for name in ("train_set.txt", "training_set_annotations.txt", "validation_set.txt"):
        write(tmp_path / name, f"a/1.jpg,0,0,4,{ZEROS}")
    with pytest.raises(AnnotationError, match=r"training_set_annotations\.txt and train_set\.txt"):
        find_annotation_files(tmp_path)


def test_a_folder_without_the_files_says_what_it_needs_and_holds(tmp_path: Path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(AnnotationError) as caught:
        find_annotation_files(tmp_path)
    for word in ("training_set_annotations.txt", "validation_set.txt", "holds notes.txt"):
        assert word in str(caught.value)


def test_files_of_abaw3_lie_one_folder_down(tmp_path: Path):
    (tmp_path / "MTL_Challenge").mkdir()
    for name in ("train_set.txt", "validation_set.txt"):
        (tmp_path / "MTL_Challenge" / name).touch()
    assert set(find_annotation_files(tmp_path)) == {"train", "val"}


def test_a_split_that_is_named_need_not_lie_in_the_folder(tmp_path: Path):
    write(tmp_path / "validation_set.txt", f"b/1.jpg,0,0,4,{ZEROS}")
    train = write(tmp_path / "mine.txt", f"a/1.jpg,0,0,4,{ZEROS}")
    import_annotations(tmp_path / "c", "labels", tmp_path, train, None, None)
    assert open_store(tmp_path / "c" / "labels").videos_of("train") == ("a",)


def test_a_frame_tree_that_is_not_there_is_refused(tmp_path: Path):
    train = write(tmp_path / "t.txt", f"a/1.jpg,0,0,4,{ZEROS}")
    with pytest.raises(FramesError, match="nowhere"):
        read_annotations({"train": train}, [tmp_path / "nowhere"])


def test_only_lines_that_are_none_are_left_out(tmp_path: Path):
    """Line 1 is a header where its second field is no number; a broken path is not."""
    path = write(tmp_path / "t.txt", f"a/00001.jpg,oops,0,4,{ZEROS}", header=False)
    with pytest.raises(AnnotationError, match=r"valence in .*t\.txt:1 .* is oops"):
        read_rows(path, "train")


def test_line_numbers_count_empty_lines(tmp_path: Path):
    path = write(tmp_path / "t.txt", "", f"a/1.jpg,0,0,4,{ZEROS}", "", f"a/2.jpg,0,0,8,{ZEROS}")
    with pytest.raises(AnnotationError, match=r"t\.txt:5 "):
        read_rows(path, "train")


@pytest.mark.parametrize("content", [b"", (HEADER + "\n").encode()])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(AnnotationError, match=r"t\.txt must list frames"):
        read_rows(tmp_path / "t.txt", "train")


def official_rows(videos: int, rows: int) -> list[str]:
    """Rows of a set as large as s-Aff-Wild2."""
    frames = (f"v{row % videos}/{row // videos + 1:05d}.jpg" for row in range(rows))
    return [f"{frame},0.112,-0.034,4,{ZEROS}" for frame in frames]


def test_a_set_of_the_official_size_is_compared_with_its_counts(tmp_path: Path):
    val = write(tmp_path / "v.txt", *official_rows(50, 26_876))
    report = read_annotations({"val": val}).meta["report"]
    assert report["differs_from_published"] == [
        "val: 0 duplicate rows, where s-Aff-Wild2 has 210",
        "val: 26,876 expression, where s-Aff-Wild2 has 15,440",
    ]
    assert report_text(report).count("s-Aff-Wild2") == 2


@pytest.mark.heavy
def test_the_official_number_of_rows_is_read_in_seconds(tmp_path: Path):
    train = write(tmp_path / "t.txt", *official_rows(257, 142_382))
    val = write(tmp_path / "v.txt", *official_rows(50, 26_876))
    start = time.process_time()
    table = read_annotations({"train": train, "val": val})
    assert time.process_time() - start < 15
    assert len(table.row_path) == 142_382 + 26_876


def test_the_store_gives_back_what_was_read(tmp_path: Path):
    val = write(tmp_path / "v.txt", f"a/00001.jpg,0.25,-0.5,3,{ZEROS[:-1]}1")
    text = import_annotations(tmp_path / "c", "labels", None, None, val, None)
    assert "val" in text
    store = open_store(tmp_path / "c" / "labels")
    record = store["a"]
    assert record.values["valence"].tolist() == [0.25]
    assert record.values["au"][0].tolist() == [0] * 11 + [1]
    assert store.videos_of("train") == ()


@pytest.mark.parametrize("name", ["a/b", "a b", "labels_a", "Labels-a", "labels-", ""])
def test_a_name_that_no_labels_store_can_have_is_refused(tmp_path: Path, name: str):
    with pytest.raises(UsageError, match=rf"labels-NAME .* but got '{name}'"):
        import_annotations(tmp_path, name, tmp_path, None, None, None)


@pytest.mark.parametrize("name", ["va6", "labels-va6"])
def test_a_name_is_stored_as_labels_name(tmp_path: Path, name: str):
    train = write(tmp_path / "t.txt", f"a/1.jpg,0,0,4,{ZEROS}")
    import_annotations(tmp_path / "c", name, None, train, None, None)
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["labels-va6.h5"]


def test_two_people_of_one_recording_in_two_splits_are_reported(tmp_path: Path):
    """One of them may be without a suffix; only at the end of the id it means a person."""
    in_train, in_val = ("v_left", "u", "w_turn"), ("v_right", "u_right", "w_left_turn")
    train, val = (
        write(tmp_path / f"{names[0]}.txt", *(f"{name}/1.jpg,0,0,4,{ZEROS}" for name in names))
        for names in (in_train, in_val)
    )
    oddities = read_annotations({"train": train, "val": val}).meta["report"]["oddities"]
    found = oddities["recordings whose two people are in two splits"]
    assert found == {"count": 2, "examples": ["u", "v"]}


numbers = st.lists(st.integers(1, 99999), min_size=1, max_size=20, unique=True).map(sorted)
rows = st.tuples(
    st.one_of(st.just(-5.0), st.integers(-1000, 1000).map(lambda n: n / 1000)),
    st.one_of(st.just(-5.0), st.integers(-1000, 1000).map(lambda n: n / 1000)),
    st.integers(-1, 7),
    *[st.integers(-1, 1)] * 12,
)


@settings(max_examples=40)
@given(frames=numbers, data=st.data())
def test_written_annotations_are_read_back(tmp_path_factory, frames: list[int], data):
    values = np.array([data.draw(rows) for _ in frames])
    path = tmp_path_factory.mktemp("a") / "t.txt"
    names = [f"v/{number:05d}.jpg" for number in frames]
    write_annotations(path, names, values)
    back = read_rows(path, "train")
    assert back.path == names
    assert back.video == ["v"] * len(frames)
    assert back.frame.tolist() == frames
    np.testing.assert_allclose(back.values, values, atol=1e-6)


def test_a_written_test_list_is_read_back(tmp_path: Path):
    write_annotations(tmp_path / "l.txt", ["v/00003.jpg", "v/00003.jpg"], None)
    assert read_rows(tmp_path / "l.txt", "test").path == ["v/00003.jpg", "v/00003.jpg"]


def test_nan_is_not_written(tmp_path: Path):
    values = np.zeros((2, 15))
    values[1, 0] = np.nan
    with pytest.raises(ValueError, match="row 1 has nan"):
        write_annotations(tmp_path / "t.txt", ["a/1.jpg", "a/2.jpg"], values)
    assert not (tmp_path / "t.txt").exists()
