"""Frameworks: what holds for each with every encoder, and the laws between them."""

from itertools import combinations

import pytest
import torch

from abaw.core.errors import NameLookupError, UsageError
from abaw.core.tasks import TASK_WIDTH, TASKS
from abaw.temporal.config import RunConfig
from abaw.temporal.nets.build import build_network, check_networks
from abaw.temporal.nets.encoders import ENCODERS
from abaw.temporal.nets.frameworks import FRAMEWORKS

from .nets import F, config, labels_of, linear, real, run

pytestmark = pytest.mark.heavy


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def all_networks(**changes):
    return [
        pytest.param(
            config(encoder=e, framework=f, bidirectional=b, layers=2, **changes),
            id=f"{e}-{f}-{way}",
        )
        for e in ENCODERS
        for f in FRAMEWORKS
        for b, way in ((False, "onward"), (True, "both"))
    ]


@pytest.mark.parametrize("settings", all_networks())
def test_outputs_have_the_tasks_shapes(settings: RunConfig):
    outputs = run(build_network(F, settings), torch.randn(3, 7, F))
    assert list(outputs) == list(TASKS)
    for task, output in outputs.items():
        width = TASK_WIDTH[task]
        assert output.shape == ((3, 7) if width == 1 else (3, 7, width))


@pytest.mark.parametrize("settings", all_networks())
@torch.inference_mode()
def test_padding_and_batch_mates_change_no_real_frame(settings: RunConfig):
    network = build_network(F, settings).double().eval()
    lengths = (7, 3, 1)
    alone = [torch.randn(1, n, F, dtype=torch.float64) for n in lengths]
    batch = torch.full((3, 9, F), 50.0, dtype=torch.float64)  # padding that would show
    is_frame = torch.zeros(3, 9, dtype=torch.bool)
    for row, x in enumerate(alone):
        batch[row, : x.shape[1]] = x
        is_frame[row, : x.shape[1]] = True
    together, _ = network(batch, is_frame)
    for row, x in enumerate(alone):
        outputs = run(network, x)
        for task in TASKS:
            torch.testing.assert_close(
                together[task][row, : x.shape[1]], outputs[task][0], rtol=0, atol=1e-12
            )


@pytest.mark.parametrize("settings", all_networks())
def test_padding_gives_no_gradient(settings: RunConfig):
    network = build_network(F, settings).eval()
    features = torch.randn(2, 6, F, requires_grad=True)
    is_frame = real(2, 6)
    is_frame[1, 4:] = False
    outputs, _ = network(features, is_frame)
    sum(output[is_frame].sum() for output in outputs.values()).backward()
    assert bool((features.grad[1, 4:] == 0).all())
    assert bool((features.grad[1, :4] != 0).any())


@pytest.mark.parametrize("settings", [p for p in all_networks() if not p.values[0].bidirectional])
@torch.inference_mode()
def test_merged_segments_are_the_whole_sequence_in_one_direction(settings: RunConfig):
    network = build_network(F, settings).double().eval()
    assert network.is_causal
    features = torch.randn(2, 23, F, dtype=torch.float64)
    whole, state, pieces = run(network, features), None, []
    for x in features.split((5, 1, 9, 8), dim=1):
        output, state = network(x, real(*x.shape[:2]), state)
        pieces.append(output)
    for task in TASKS:
        merged = torch.cat([piece[task] for piece in pieces], dim=1)
        torch.testing.assert_close(merged, whole[task], rtol=0, atol=1e-12)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_every_choice_of_tasks_has_its_network(framework: str, n: int):
    for tasks in combinations(TASKS, n):
        for encoder in ENCODERS:
            settings = config(framework=framework, encoder=encoder)
            network = build_network(F, settings, tasks[::-1])
            assert list(run(network, torch.randn(2, 3, F))) == list(tasks)
            weights = {f"weight_{task}": float(task in tasks) for task in TASKS}
            same = build_network(F, config(framework=framework, encoder=encoder, **weights))
            assert same.state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_every_weight_gets_a_gradient(framework: str):
    network = build_network(F, linear(framework=framework, encoder="transformer", dropout=0.0))
    sum(
        (y * torch.randn_like(y)).sum() for y in run(network, torch.randn(4, 9, F)).values()
    ).backward()
    assert not [
        key
        for key, value in network.named_parameters()
        if value.grad is None or not bool((value.grad != 0).any())
    ]


@pytest.mark.parametrize("encoder", ENCODERS)
@torch.inference_mode()
def test_sbe_without_layers_of_the_tasks_own_is_se(encoder: str):
    x = torch.randn(2, 6, F)
    se, sbe = (
        build_network(F, config(encoder=encoder, framework=framework, **layers)).eval()
        for framework, layers in (
            ("se", {"layers": 2}),
            ("sbe", {"shared_layers": 2, "task_layers": 0}),
        )
    )
    for task, output in run(se, x).items():
        assert torch.equal(run(sbe, x)[task], output)


@pytest.mark.parametrize("framework", ["sbe-hsf:", "label-feedback:"])
@torch.inference_mode()
def test_a_graph_without_edges_is_sbe(framework: str):
    x = torch.randn(2, 6, F)
    fed, sbe = (build_network(F, config(framework=name)).eval() for name in (framework, "sbe"))
    for task, output in run(sbe, x).items():
        assert torch.equal(run(fed, x)[task], output)


def test_single_networks_share_nothing():
    network = build_network(F, config(framework="single"))
    run(network, torch.randn(2, 4, F))["arousal"].sum().backward()
    trained = {key for key, value in network.named_parameters() if value.grad is not None}
    assert trained == {k for k, _ in network.named_parameters() if k.startswith("networks.arousal")}


@torch.inference_mode()
def test_a_bottom_without_shared_layers_is_single():
    single, sbe = (
        build_network(F, config(framework=name, shared_layers=0)).eval()
        for name in ("single", "sbe")
    )
    parts = (("projection", "projections"), ("encoder", "encoders"))
    weights = {
        f"{whole}.{task}.{key}": value
        for task in TASKS
        for part, whole in parts
        for key, value in getattr(single.networks[task], part).state_dict().items()
    }
    for task in TASKS:
        head = single.networks[task].heads[task].state_dict()
        weights |= {f"heads.{task}.{key}": value for key, value in head.items()}
    sbe.load_state_dict(weights)
    x = torch.randn(2, 6, F)
    for task, output in run(single, x).items():
        assert torch.equal(run(sbe, x)[task], output)


def test_the_loss_of_a_fed_target_leaves_a_source_apart_alone():
    settings = config(
        framework="sbe-hsf:au>valence", shared_layers=0, feedback_gradient=False, dropout=0.0
    )
    network = build_network(F, settings)
    run(network, torch.randn(2, 4, F))["valence"].sum().backward()
    trained = {key for key, value in network.named_parameters() if value.grad is not None}
    assert trained == {key for key, _ in network.named_parameters() if ".valence." in key}


def test_positions_are_added_once_however_many_encoders_follow_each_other():
    def positions(**changes):
        settings = config(encoder="transformer", framework="sbe", **changes)
        network = build_network(F, settings)
        own = {encoder.positions for encoder in network.encoders.values()}
        return getattr(network.shared, "positions", None), *own

    assert positions(positions="sinusoidal") == ("sinusoidal", "none")
    assert positions(positions="sinusoidal", shared_layers=0) == (None, "sinusoidal")
    assert positions(positions="rotary") == ("rotary", "rotary")  # turned in every layer


def test_task_encoders_may_have_heads_of_their_own():
    def heads(**changes):
        network = build_network(F, config(encoder="transformer", framework="sbe", **changes))
        return network.shared.heads, *{encoder.heads for encoder in network.encoders.values()}

    assert heads(heads=4, task_heads=1) == (4, 1)
    assert heads(heads=4) == (4, 4)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = build_network(F, config(seed=3)).state_dict()
    before = torch.get_rng_state()
    second = build_network(F, config(seed=3)).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    other = build_network(F, config(seed=4)).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@torch.inference_mode()
def test_predictions_never_depend_on_labels(framework: str):
    network = build_network(F, config(framework=framework)).eval()
    network.truth_rate.fill_(1.0)
    x = torch.randn(2, 5, F)
    for task, output in run(network, x).items():
        assert torch.equal(run(network, x, labels_of(2, 5))[task], output)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "grue"}, "encoder 'grue'; did you mean gru"),
        ({"framework": "sse"}, "framework 'sse'; did you mean se"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(changes, words):
    with pytest.raises(NameLookupError, match=words):
        check_networks(config(**changes))


def test_sizes_that_do_not_go_together_are_refused_before_data_are_read():
    with pytest.raises(UsageError, match="multiple of its heads, but got 8 and 3"):
        check_networks(config(encoder="transformer", heads=3))
    with pytest.raises(UsageError, match="task_heads"):
        check_networks(config(encoder="transformer", framework="sbe", task_heads=3))


def test_a_check_takes_no_room_however_large_the_network_is():
    check_networks(config(encoder="transformer", hidden_size=2**16, projection=0, layers=50))
