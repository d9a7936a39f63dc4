"""Batches hold the frames and labels of their segments, and padding besides."""

import numpy as np
import pytest

from abaw.core.tasks import TASKS
from abaw.temporal.data.dataset import Segment, SequenceDataset
from abaw.temporal.data.features import FeatureMaker
from abaw.temporal.data.join import join
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.run_folder import open_embeddings, open_labels

from .made import config, write_cache


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory):
    cache = write_cache(tmp_path_factory.mktemp("cache"))
    stores, labels = open_embeddings(cache, ("face_a", "face_b")), open_labels(cache, "labels")
    return join(stores, labels, "train", config())[0]


def maker_of(lines, **settings) -> FeatureMaker:
    return FeatureMaker(fit_standardizer(lines), config(**settings))


@pytest.fixture(params=[1 << 30, 0], ids=["in-memory", "from-the-store"])
def dataset(lines, request) -> SequenceDataset:
    made = SequenceDataset(lines, maker_of(lines), resident_bytes=request.param)
    assert made.is_resident == bool(request.param)
    return made


def test_a_batch_holds_its_segments_padded_at_the_end(dataset: SequenceDataset, lines):
    segments = [Segment(0, 3, 13), Segment(2, 0, 4), Segment(1, 2, 3)]
    plan = dataset.plan(segments)
    batch = dataset.batch(plan)
    assert batch.features.shape == (3, 10, 19)
    assert dataset.videos(plan) == [lines[s.line].video for s in segments]
    for row, (number, start, stop) in enumerate(segments):
        n = stop - start
        np.testing.assert_array_equal(batch.is_frame[row], np.arange(10) < n)
        expected = fit_standardizer(lines).features(lines[number], start, stop)
        np.testing.assert_array_equal(batch.features[row, :n], expected)
        assert not batch.features[row, n:].any()
        for task in TASKS:
            mask = batch.labels.is_labelled[task][row]
            np.testing.assert_array_equal(mask[:n], lines[number].is_labelled[task][start:stop])
            assert not mask[n:].any()
            found = batch.labels.values[task][row, :n]
            np.testing.assert_allclose(found, lines[number].values[task][start:stop])


def test_rows_with_a_label_of_a_task_are_told(dataset: SequenceDataset, lines):
    for tasks in ((), ("valence",), ("expression", "au")):
        found = dataset.has_label(tasks)
        assert not found[-1]
        for first, line in zip(dataset.first, lines, strict=True):
            expected = np.zeros(len(line), bool)
            for task in tasks:
                expected |= line.is_labelled[task].reshape(len(line), -1).any(axis=1)
            np.testing.assert_array_equal(found[first : first + len(line)], expected)


@pytest.mark.parametrize(
    "settings",
    [
        {"context_mean": 3},
        {"video_mean": "add"},
        {"video_mean": "subtract"},
        {"context_mean": 1, "video_mean": "subtract"},
        {"context_mean": 99, "video_mean": "add"},
    ],
    ids=str,
)
@pytest.mark.parametrize("resident_bytes", [1 << 30, 0], ids=["in-memory", "from-the-store"])
def test_means_are_those_of_the_frames_around_and_of_the_video(lines, settings, resident_bytes):
    maker = maker_of(lines, **settings)
    dataset = SequenceDataset(lines, maker, resident_bytes=resident_bytes)
    for number, line in enumerate(lines):
        x = fit_standardizer(lines).features(line, 0, len(line)).astype(np.float64)
        mean = x.mean(axis=0)
        if settings.get("video_mean") == "subtract":
            x = x - mean
        blocks = [x]
        if width := settings.get("context_mean", 0):
            around = [x[max(0, t - width) : t + width + 1].mean(axis=0) for t in range(len(x))]
            blocks.append(np.stack(around))
        if settings.get("video_mean") == "add":
            blocks.append(np.tile(mean, (len(x), 1)))
        expected = np.concatenate(blocks, axis=1)
        assert expected.shape[1] == maker.n_features
        for start, stop in ((0, len(line)), (4, 9)):
            found = dataset.features(dataset.plan([Segment(number, start, stop)]))[0]
            np.testing.assert_allclose(found, expected[start:stop], rtol=0, atol=2e-6)
