"""Batches hold the frames and labels of their segments, and padding besides."""

import numpy as np
import pytest
import torch

from abaw.core.tasks import TASKS
from abaw.temporal.data.dataset import Segment, SequenceDataset
from abaw.temporal.data.join import join
from abaw.temporal.data.standardize import fit_standardizer
from abaw.temporal.run_folder import open_embeddings, open_labels

from .made import config, write_cache


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory):
    cache = write_cache(tmp_path_factory.mktemp("cache"))
    stores, labels = open_embeddings(cache, ("face_a", "face_b")), open_labels(cache, "labels")
    return join(stores, labels, "train", config())[0]


@pytest.fixture(params=[1 << 30, 0], ids=["in-memory", "from-the-store"])
def dataset(lines, request) -> SequenceDataset:
    return SequenceDataset(lines, fit_standardizer(lines), resident_bytes=request.param)


def test_a_batch_holds_its_segments_padded_at_the_end(dataset: SequenceDataset, lines):
    segments = [Segment(0, 3, 13), Segment(2, 0, 4), Segment(1, 2, 3)]
    batch = dataset.batch(segments)
    assert batch.features.shape == (3, 10, 19)
    assert batch.n_frames == 15
    assert batch.videos == tuple(lines[s.line].video for s in segments)
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


def test_whole_lines_come_back(dataset: SequenceDataset, lines):
    for number, line in enumerate(lines):
        found = dataset.features(Segment(number, 0, len(line)))
        np.testing.assert_array_equal(found, fit_standardizer(lines).features(line, 0, len(line)))


def test_an_epoch_gives_every_segment_once_in_an_order_of_its_seed(dataset: SequenceDataset, lines):
    segments = [Segment(number, 0, 1 + number) for number in range(len(lines))]

    def order(seed: int) -> list[str]:
        generator = torch.Generator().manual_seed(seed)
        batches = list(dataset.shuffled_batches(segments, 3, generator))
        assert [len(batch.videos) for batch in batches] == [3, 3, 3, 1]
        return [video for batch in batches for video in batch.videos]

    assert sorted(order(0)) == sorted(line.video for line in lines)
    assert order(0) == order(0)
    assert order(0) != order(1)


def test_windows_without_a_label_are_left_out(dataset: SequenceDataset, lines):
    for segment in dataset.segments(1, 1):
        line = lines[segment.line]
        assert any(line.is_labelled[task][segment.start].any() for task in TASKS)
    labelled = sum(
        np.any(
            [line.is_labelled[t].reshape(len(line), -1).any(axis=1) for t in TASKS], axis=0
        ).sum()
        for line in lines
    )
    assert len(dataset.segments(1, 1)) == labelled < sum(map(len, lines))
