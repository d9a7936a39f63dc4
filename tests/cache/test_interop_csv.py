"""Tables that OpenFace and py-feat write, by hand, and tables that are damaged."""

import numpy as np
import pytest

from abaw.cache import FingerprintError, InteropError, import_features, open_store
from abaw.core.errors import UsageError

from .interop_made import OPENFACE_HEAD, OPENFACE_ROWS, PYFEAT_HEAD, PYFEAT_ROWS, write_text


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "source"


def load(folder, **options):
    return import_features(folder.parent / "cache", "x", folder, "csv", **options)


def stored(folder):
    return open_store(folder.parent / "cache" / "x")


def test_openface_comes_in_with_gaps_where_it_failed(folder):
    write_text(folder / "day" / "a.csv", OPENFACE_HEAD, *OPENFACE_ROWS)
    summary = load(folder)
    summary.raise_for_videos()
    with stored(folder) as store:
        record = store["day/a"]
        assert record.frame.tolist() == [1, 5]
        np.testing.assert_array_equal(record.time, [0.0, 0.133])
        np.testing.assert_array_equal(
            record.embedding, np.array([[0.125, 0.5, 1.25, 1], [0.375, 0.75, 2, 0]], np.float16)
        )
        assert record.source_total == 4
        assert [(f.frame, f.reason) for f in store.failures] == [
            (2, "line 3 of a.csv: success is 0"),
            (3, "line 4 of a.csv: AU01_r is nan"),
        ]
        assert store.spec.options == {"columns": "gaze_0_x,AU01_r,AU12_r,AU12_c"}
    assert "columns: 4, gaze_0_x, AU01_r, AU12_r, AU12_c" in summary.text()
    assert "left out: frame, face_id, timestamp, confidence, success" in summary.text()
    assert "rows imported: 2, gaps: 2" in summary.text()


def test_pyfeat_comes_in_once_it_is_said_where_it_counts_from(folder):
    write_text(folder / "a.csv", PYFEAT_HEAD, *PYFEAT_ROWS)
    with pytest.raises(UsageError, match=r"line 2 of .*a\.csv is frame 0; give --frame-offset 1"):
        load(folder)
    summary = load(folder, columns="AU*,anger", frame_offset=1)
    with stored(folder) as store:
        assert store["a"].frame.tolist() == [1, 3]
        assert store["a"].time is None
        np.testing.assert_array_equal(
            store["a"].embedding, np.array([[0.5, 0.25, 0.125], [0.75, 0.5, 0.0625]], np.float16)
        )
        assert store.failures == [("a", 2, "line 3 of a.csv: AU01 is nan")]
        assert store.spec.options == {"columns": "AU01,AU12,anger", "frame_offset": 1}
    assert summary.new == ["a"]


def test_by_default_columns_of_text_and_of_bookkeeping_are_left_out_and_listed(folder):
    write_text(folder / "a.csv", PYFEAT_HEAD + ",who", *(row + ",me" for row in PYFEAT_ROWS))
    summary = load(folder, frame_offset=1)
    assert "columns: 3, AU01, AU12, anger" in summary.text()
    assert (
        "left out: (no name), frame, FaceScore, input, approx_time, Identity, who" in summary.text()
    )


def test_rows_are_sorted_by_frame(folder):
    write_text(folder / "a.csv", "frame,x", "7,0.5", "2,1.5", "4,2.5")
    load(folder)
    with stored(folder) as store:
        assert store["a"].frame.tolist() == [2, 4, 7]
        assert store["a"].embedding[:, 0].tolist() == [1.5, 2.5, 0.5]


def test_two_faces_in_a_frame_are_refused_with_their_lines_and_what_to_do(folder):
    more = "5, 2, 0.133, 0.91, 1, 0.500, 0.25, 0.50, 1"
    write_text(folder / "a.csv", OPENFACE_HEAD, *OPENFACE_ROWS, more)
    words = r"frame 5 of .*a\.csv is in line 5 and in line 6; choose a face by --face-id .*has 0, 2"
    with pytest.raises(InteropError, match=words):
        load(folder)
    load(folder, face_id=2)
    with stored(folder) as store:
        assert store["a"].frame.tolist() == [5]
        assert store["a"].embedding.tolist() == [[0.5, 0.25, 0.5, 1.0]]
    with pytest.raises(FingerprintError, match=r"options.face_id is 2 in the store and 0 asked"):
        load(folder, face_id=0)


def test_a_face_that_no_row_has_and_a_file_without_faces_are_refused(folder):
    write_text(folder / "a.csv", OPENFACE_HEAD, *OPENFACE_ROWS)
    with pytest.raises(InteropError, match=r"a\.csv must hold rows of face 4, but holds none"):
        load(folder, face_id=4)
    write_text(folder / "a.csv", "frame,x", "1,2", "1,3")
    with pytest.raises(InteropError, match="must have a column 'face_id', but has frame, x"):
        load(folder, face_id=4)
    with pytest.raises(InteropError, match="in line 2 and in line 3; keep the rows of one face"):
        load(folder)


def test_other_columns_are_refused_with_those_that_differ(folder):
    write_text(folder / "a.csv", OPENFACE_HEAD, *OPENFACE_ROWS)
    load(folder, columns="AU*_r,gaze_*")
    words = r"has 3 of them, and what is imported lacks \[gaze_0_x\] and has besides \[AU12_c\]"
    with pytest.raises(FingerprintError, match=words):
        load(folder, columns="AU*")
    again = load(folder, columns="gaze_*,AU*_r")
    assert again.unchanged == ["a"]
    assert again.failures == []


def test_a_pattern_that_fits_nothing_is_refused_with_what_is_near(folder):
    write_text(folder / "a.csv", OPENFACE_HEAD, *OPENFACE_ROWS)
    with pytest.raises(UsageError, match=r"'AU1_r' fits none of .*did you mean .*AU12_r"):
        load(folder, columns="gaze_*,AU1_r")


def test_a_bookkeeping_column_is_a_feature_only_if_it_is_named(folder):
    write_text(folder / "a.csv", OPENFACE_HEAD, *OPENFACE_ROWS)
    load(folder, columns="AU*_r,confidence")
    with stored(folder) as store:
        assert store.spec.options["columns"] == "confidence,AU01_r,AU12_r"
        assert float(store["a"].embedding[0, 0]) == np.float16(0.98)


def test_a_file_with_other_columns_is_refused_and_the_others_come_in(folder):
    write_text(folder / "a.csv", "frame,x,y", "1,2,3")
    write_text(folder / "b.csv", "frame,x,z", "1,2,3")
    write_text(folder / "c.csv", "frame,y,x", "1,2,3")
    summary = load(folder)
    assert summary.new == ["a", "c"]
    assert "b.csv lacks [y] and has besides [z]" in summary.refused["b"]
    with stored(folder) as store:  # by name, not by place
        assert store["c"].embedding.tolist() == [[3.0, 2.0]]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["frame,x", "1,2", "2,abc"], r"column 'x' must hold numbers, but line 3 of .*has 'abc'"),
        (
            ["frame,x", "1,2", "2"],
            r"line 3 of .*a\.csv must have 2 fields like its head, but has 1",
        ),
        (["frame,x", "1,2", "2.5,1"], r"column 'frame' in line 3 of .*a\.csv is 2\.5"),
        (["frame,x", "1,2", ",1"], r"column 'frame' in line 3 of .*a\.csv is nan"),
        (["frame,x", "1,2", "-4,1"], r"column 'frame' in line 3 of .*a\.csv is -4"),
        (["time,x", "1,2"], r"a\.csv must have a column 'frame', but has time, x"),
        (["frame;x", "1;2"], r"must have a column 'frame', but has frame;x"),
        (["frame,x,x", "1,2,3"], r"names of their own, but 'x' is there 2 times"),
        (["frame,x"], r"a\.csv must hold rows, but holds none"),
        (["frame", "1"], r"must have a column of numbers besides frame"),
        ([""], r"a\.csv must begin with a line of column names, but is empty"),
    ],
)
def test_a_damaged_table_is_refused_with_file_line_and_column(folder, lines, words):
    write_text(folder / "a.csv", *lines)
    with pytest.raises(InteropError, match=words):
        load(folder, columns="x" if "column 'x'" in words else "")
    assert not list((folder.parent / "cache").glob("x*"))


def test_text_that_is_not_utf8_is_refused_and_a_spreadsheets_mark_is_not(folder):
    folder.mkdir()
    (folder / "a.csv").write_bytes("\ufeffframe,x\r\n1,2\r\n".encode())
    (folder / "b.csv").write_bytes(b"frame,x\n1,2\n2,\xff\n")
    summary = load(folder)
    assert summary.new == ["a"]
    assert "b.csv must be comma-separated text in UTF-8, but after line" in summary.refused["b"]


def test_a_video_of_failures_only_is_recorded_and_told(folder):
    write_text(folder / "a.csv", "frame,success,x", "1,1,2")
    write_text(folder / "b.csv", "frame,success,x", "1,0,2", "2,0,2")
    summary = load(folder)
    with pytest.raises(InteropError, match=r"1 videos have no row with features .*: b; see"):
        summary.raise_for_videos()
    with stored(folder) as store:
        assert store.videos == ("a",)
        assert [f.frame for f in store.failures] == [1, 2]
    assert load(folder).unchanged == ["a", "b"]


def test_a_number_that_float32_cannot_hold_is_a_gap(folder):
    write_text(folder / "a.csv", "frame,x", "1,2", "2,1e300")
    assert load(folder).failures == [("a", 2, "line 3 of a.csv: x is inf")]


def test_every_gap_has_its_own_reason_where_times_come_and_go(folder):
    rows = ("1,0.5,1", "2,0.6,nan", "3,,2", "4,,inf", "5,0.9,3", "6,1.0,-inf", "7,,nan")
    write_text(folder / "a.csv", "frame,timestamp,x", *rows)
    load(folder)
    with stored(folder) as store:
        np.testing.assert_array_equal(store["a"].time, [0.5, np.nan, 0.9])
        assert store["a"].frame.tolist() == [1, 3, 5]
        assert [(f.frame, f.reason) for f in store.failures] == [
            (2, "line 3 of a.csv: x is nan"),
            (4, "line 5 of a.csv: x is inf"),
            (6, "line 7 of a.csv: x is -inf"),
            (7, "line 8 of a.csv: x is nan"),
        ]


def test_tables_longer_than_a_block_come_in_whole(folder):
    frame = np.arange(1, 10_001)
    lines = [f"{n},{n % 512 / 4},{n % 7}" for n in frame]
    write_text(folder / "a.csv", "frame,x,y", *lines)
    load(folder)
    with stored(folder) as store:
        np.testing.assert_array_equal(store["a"].frame, frame)
        np.testing.assert_array_equal(store["a"].embedding[:, 0], frame % 512 / 4)
        np.testing.assert_array_equal(store["a"].embedding[:, 1], frame % 7)


def test_an_option_that_the_layout_has_no_use_for_is_refused(folder):
    write_text(folder / "a.csv", "frame,x", "1,2")
    with pytest.raises(UsageError, match="--face-id is not for the layout npy"):
        import_features(folder.parent / "cache", "x", folder, "npy", face_id=1)
    with pytest.raises(UsageError, match=r"an embedding name is made of .* got 'a\+b'"):
        import_features(folder.parent / "cache", "a+b", folder, "csv")
