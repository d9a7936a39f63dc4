"""The steps of an epoch: every labelled frame is shown, in an order of its seed and number."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from abaw.core.tasks import N_AUS, TASKS
from abaw.temporal.data.dataset import SequenceDataset
from abaw.temporal.data.features import FeatureMaker
from abaw.temporal.data.feeding import LaneFeed, WindowFeed, build_feed
from abaw.temporal.data.standardize import Standardizer
from abaw.temporal.data.timeline import Timeline
from abaw.temporal.errors import TemporalError

from .made import config


def line(number: int, length: int, labelled: slice = slice(None)) -> Timeline:
    frame = np.arange(1, length + 1, dtype=np.int32)
    mask = np.zeros(length, bool)
    mask[labelled] = True
    shapes = {task: (length, N_AUS) if task == "au" else (length,) for task in TASKS}
    return Timeline(
        video=f"video{number}",
        frame=frame,
        embeddings=(np.zeros((length, 2), np.float16),),
        rows=(np.arange(length),),
        is_frame=np.ones((1, length), bool),
        values={task: np.zeros(shape, np.float32) for task, shape in shapes.items()},
        is_labelled={
            task: np.broadcast_to(mask.reshape(-1, *[1] * (len(shape) - 1)), shape)
            for task, shape in shapes.items()
        },
        asked=frame,
    )


def dataset_of(lines) -> SequenceDataset:
    standardizer = Standardizer(np.zeros(2, np.float32), np.ones(2, np.float32))
    return SequenceDataset(lines, FeatureMaker(standardizer, config()))


def feed_of(lengths, **changes):
    run = config(**({"bidirectional": False} | changes))
    lines = [line(number, length) for number, length in enumerate(lengths)]
    return build_feed(dataset_of(lines), run, TASKS)


LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=7)


@settings(max_examples=60, deadline=None)
@given(
    lengths=LENGTHS,
    size=st.integers(1, 12),
    lanes=st.integers(1, 4),
    offset=st.booleans(),
    number=st.integers(0, 3),
)
def test_lanes_stream_every_video_once_in_order(lengths, size, lanes, offset, number):
    feed = feed_of(
        lengths,
        feeding="lanes",
        segment_length=size,
        stride=size,
        batch_size=lanes,
        random_offset=offset,
    )
    assert isinstance(feed, LaneFeed)
    streams: list[list] = []  # what each row of the state has seen
    seen = []
    for plan in feed.epoch(number):
        if plan.kept is not None:
            streams = [streams[row] for row in plan.kept.tolist()]
        streams += [[] for _ in range(len(plan.segments) - len(streams))]
        assert len(plan.segments) <= lanes
        for row, segment in enumerate(plan.segments):
            assert segment.stop - segment.start <= size
            if plan.is_start[row]:
                assert segment.start == 0
                streams[row] = []
            else:  # the state is that of the frames just before
                assert streams[row][-1].line == segment.line
                assert streams[row][-1].stop == segment.start
            streams[row].append(segment)
            seen += [(segment.line, frame) for frame in range(segment.start, segment.stop)]
    assert sorted(seen) == [(n, t) for n, length in enumerate(lengths) for t in range(length)]


def test_lanes_compute_no_padding_beyond_a_videos_last_segment_and_seldom_run_alone():
    rng = np.random.default_rng(0)
    lengths = rng.integers(20, 2000, 60).tolist()
    feed = feed_of(lengths, feeding="lanes", segment_length=64, stride=64, batch_size=8)
    for number in range(3):
        plans = feed.epoch(number)
        computed = sum(plan.rows.numel() for plan in plans)
        # The first segment of a video is short by the random offset, the last by what is left.
        assert computed <= sum((-(-length // 64) + 1) * 64 for length in lengths)
        assert computed < 1.15 * sum(lengths)  # the published loader computes 1.6 times as many
        alone = sum(len(plan.segments) == 1 for plan in plans) / len(plans)
        assert alone < 0.15  # of the published loader's steps, 40 % hold at most one video


def test_segments_without_a_label_only_carry_the_state_and_videos_without_one_are_left_out():
    lines = [line(0, 30, slice(12, 14)), line(1, 25, slice(0, 0))]
    run = config(
        bidirectional=False, feeding="lanes", segment_length=10, stride=10, random_offset=False
    )
    plans = build_feed(dataset_of(lines), run, TASKS).epoch(0)
    assert [plan.has_labels for plan in plans] == [False, True, False]
    assert {segment.line for plan in plans for segment in plan.segments} == {0}


@settings(max_examples=60, deadline=None)
@given(
    lengths=LENGTHS,
    size=st.integers(1, 12),
    share=st.floats(0, 1),
    offset=st.booleans(),
    number=st.integers(0, 3),
)
def test_windows_show_every_frame_and_are_as_long_as_they_can_be(
    lengths, size, share, offset, number
):
    stride = max(1, round(share * size))
    feed = feed_of(lengths, segment_length=size, stride=stride, random_offset=offset)
    assert isinstance(feed, WindowFeed)
    seen = Counter(
        (segment.line, frame)
        for plan in feed.epoch(number)
        for segment in plan.segments
        for frame in range(segment.start, segment.stop)
    )
    assert set(seen) == {(n, t) for n, length in enumerate(lengths) for t in range(length)}
    assert max(seen.values()) <= -(-size // stride) + 2
    for plan in feed.epoch(number):
        for segment in plan.segments:
            assert segment.stop - segment.start == min(size, lengths[segment.line])
        assert len(set(plan.segments)) == len(plan.segments)


def test_windows_without_a_label_of_a_trained_task_are_left_out():
    lines = [line(0, 30, slice(12, 14))]
    run = config(segment_length=10, stride=10, random_offset=False)
    plans = build_feed(dataset_of(lines), run, ["valence"]).epoch(0)
    assert [tuple(segment) for plan in plans for segment in plan.segments] == [(0, 10, 20)]


@pytest.mark.parametrize("feeding", ["windows", "lanes"])
def test_an_epoch_depends_on_seed_and_number_alone(feeding: str):
    def order(seed: int, number: int):
        feed = feed_of(
            [30, 21, 44, 9], feeding=feeding, data_seed=seed, segment_length=10, stride=5
        )
        feed.epoch(7)
        return [tuple(segment) for plan in feed.epoch(number) for segment in plan.segments]

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(*pair)) for pair in ((0, 1), (0, 2), (1, 1))}) == 3


def test_offsets_are_random_only_when_asked_for():
    for is_random in (True, False):
        feed = feed_of([100], segment_length=10, stride=10, random_offset=is_random)
        starts = {
            frozenset(s.start for plan in feed.epoch(n) for s in plan.segments) for n in range(5)
        }
        assert (len(starts) > 1) == is_random


def test_a_split_without_a_label_is_refused():
    with pytest.raises(TemporalError, match="needs labelled frames, but the split has none"):
        build_feed(dataset_of([line(0, 9, slice(0, 0))]), config(), TASKS)


def test_rows_are_those_of_the_segments():
    feed = feed_of([13, 8], segment_length=5, stride=5, batch_size=3, random_offset=False)
    for plan in feed.epoch(0):
        for row, segment in zip(plan.rows, plan.segments, strict=True):
            first = (0, 13)[segment.line]
            n = segment.stop - segment.start
            expected = torch.arange(first + segment.start, first + segment.stop)
            assert torch.equal(row[:n], expected)
            assert bool((row[n:] == 21).all())
