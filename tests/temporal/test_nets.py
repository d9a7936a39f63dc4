"""Encoders, heads and frameworks: the published GRU, and what any encoder must keep to."""

import pytest
import torch

from abaw.core.errors import NameLookupError
from abaw.core.tasks import TASK_WIDTH, TASKS
from abaw.temporal.config import RunConfig
from abaw.temporal.nets.build import build_network
from abaw.temporal.nets.encoders import ENCODERS
from abaw.temporal.nets.frameworks import FRAMEWORKS

from ..golden_recipe import entry_tensor, error, golden_input, load

TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
HEADS = {
    "valence": "net_v_reg",
    "arousal": "net_a_reg",
    "expression": "net_expr_cls",
    "au": "net_au_cls",
}
OUTPUTS = {"valence": "v", "arousal": "a", "expression": "expr", "au": "au"}
F = 5


def config(**changes) -> RunConfig:
    small = {"features": ("a",), "projection": 6, "hidden_size": 8, "head_hidden": (4,)}
    return RunConfig(**(small | changes))


def linear(**changes) -> RunConfig:
    """A network without ReLUs: none of its gradients is 0 by chance."""
    return config(projection=0, head_hidden=(), **changes)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def published_gru(facts, dtype: torch.dtype):
    """Our network with the weights of the published one, by its keys."""
    options = facts["options"]
    network = build_network(
        options["input_dim"],
        config(
            projection=0,
            hidden_size=options["hidden_size"],
            layers=facts["effective_num_layers"],
            bidirectional=False,
            dropout=options["dropout_rate"],
            head_hidden=tuple(int(width) for width in options["regress_layers"].split(",")),
        ),
    )
    golden = load("abaw4_gru")[0]
    tensors = {}
    for net, entries in golden["state_dicts"].items():
        for entry in entries:
            tensors[f"{net}.{entry['key']}"] = entry_tensor(entry, golden["recipe"]["gain"])
    ours = {}
    for layer in range(facts["effective_num_layers"]):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            key = f"encoder.onward.{layer}.{name}_l0"
            ours[key] = tensors.pop(f"net_seq.rnns.0.{name}_l{layer}")
    for task, net in HEADS.items():
        for name in ("weight", "bias"):
            for number in (1, 4):  # dropout, Linear, ReLU, dropout, Linear: both count alike
                key = f"heads.{task}.hidden.{number}.{name}"
                ours[key] = tensors.pop(f"{net}.module.{number}.{name}")
            ours[f"heads.{task}.out.{name}"] = tensors.pop(f"{net}.fc_out.{name}")
    assert not tensors
    network.load_state_dict(ours)
    return network.to(dtype).eval()


@torch.inference_mode()
def in_segments(network, features, length: int, *, carried: bool = True):
    """Outputs, hidden states and the state after each segment."""
    state, outputs, hidden, states = None, [], [], []
    for start in range(0, features.shape[1], length):
        x = features[:, start : start + length]
        is_frame = torch.ones(x.shape[:2], dtype=torch.bool)
        y, _ = network.encoder(x, is_frame, state if carried else None)
        output, state = network(x, is_frame, state if carried else None)
        hidden.append(y)
        outputs.append(output)
        states.append(state.transpose(0, 1))  # the golden has the layers first
    joined = {task: torch.cat([o[task] for o in outputs], dim=1) for task in TASKS}
    return joined, torch.cat(hidden, dim=1), torch.stack(states)


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", ["sin", "cos"])
@pytest.mark.parametrize("name", ["abaw4_gru", "abaw4_gru_two_segments"])
def test_gru_in_one_direction_is_the_published_one(name: str, kind: str, dtype: torch.dtype):
    facts, arrays = load(name)
    network = published_gru(facts, dtype)
    features = golden_input((2, 20, 32), kind).to(dtype)
    outputs, hidden, states = in_segments(network, features, facts["options"]["max_seq_len"])
    end = f"_{kind}" + ("_f64" if dtype == torch.float64 else "")
    for task, key in OUTPUTS.items():
        assert error(outputs[task], arrays[key + end]) <= TOLERANCE[dtype], task
    assert error(hidden, arrays["hidden" + end]) <= TOLERANCE[dtype]
    assert error(states, arrays["state" + end]) <= TOLERANCE[dtype]


def test_state_that_is_not_carried_gives_the_golden_of_that_mistake():
    facts, arrays = load("abaw4_gru_two_segments")
    network = published_gru(facts, torch.float64)
    features = golden_input((2, 20, 32), "sin").double()
    outputs, _, _ = in_segments(network, features, 10, carried=False)
    for task, key in OUTPUTS.items():
        assert error(outputs[task], arrays[f"reset_{key}_sin_f64"]) <= 1e-9
        assert error(outputs[task], arrays[f"{key}_sin_f64"]) > 0.01


def tensors_of(state):
    """All tensors of a state, however deep."""
    if isinstance(state, torch.Tensor):
        return [state]
    return [tensor for part in state or () for tensor in tensors_of(part)]


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


@pytest.mark.parametrize("run", all_networks())
def test_outputs_have_the_tasks_shapes(run: RunConfig):
    network = build_network(F, run)
    outputs, _ = network(torch.randn(3, 7, F), torch.ones(3, 7, dtype=torch.bool))
    assert list(outputs) == list(TASKS)
    for task, output in outputs.items():
        width = TASK_WIDTH[task]
        assert output.shape == ((3, 7) if width == 1 else (3, 7, width))


@pytest.mark.parametrize("run", all_networks())
@torch.inference_mode()
def test_padding_and_batch_mates_change_no_real_frame(run: RunConfig):
    network = build_network(F, run).double().eval()
    torch.manual_seed(0)
    lengths = (7, 3, 1)
    alone = [torch.randn(1, n, F, dtype=torch.float64) for n in lengths]
    batch = torch.full((3, 9, F), 50.0, dtype=torch.float64)  # padding that would show
    is_frame = torch.zeros(3, 9, dtype=torch.bool)
    for row, x in enumerate(alone):
        batch[row, : x.shape[1]] = x
        is_frame[row, : x.shape[1]] = True
    together, state = network(batch, is_frame)
    for row, x in enumerate(alone):
        outputs, own_state = network(x, torch.ones(1, x.shape[1], dtype=torch.bool))
        for task in TASKS:
            torch.testing.assert_close(
                together[task][row, : x.shape[1]], outputs[task][0], rtol=0, atol=1e-12
            )
        for mine, theirs in zip(tensors_of(state), tensors_of(own_state), strict=True):
            torch.testing.assert_close(mine[row], theirs[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("run", all_networks())
def test_padding_gives_no_gradient(run: RunConfig):
    network = build_network(F, run).eval()
    features = torch.randn(2, 6, F, requires_grad=True)
    is_frame = torch.ones(2, 6, dtype=torch.bool)
    is_frame[1, 4:] = False
    outputs, _ = network(features, is_frame)
    sum(output[is_frame].sum() for output in outputs.values()).backward()
    assert bool((features.grad[1, 4:] == 0).all())
    assert bool((features.grad[1, :4] != 0).any())


@pytest.mark.parametrize("run", [run for run in all_networks() if not run.values[0].bidirectional])
@torch.inference_mode()
def test_merged_segments_are_the_whole_sequence_in_one_direction(run: RunConfig):
    network = build_network(F, run).double().eval()
    assert network.is_causal
    features = torch.randn(2, 23, F, dtype=torch.float64)
    whole, pieces = (outputs_in_segments(network, features, length) for length in (23, 5))
    for task in TASKS:
        torch.testing.assert_close(pieces[task], whole[task], rtol=0, atol=1e-12)


def outputs_in_segments(network, features, length: int):
    state, outputs = None, []
    for start in range(0, features.shape[1], length):
        x = features[:, start : start + length]
        output, state = network(x, torch.ones(x.shape[:2], dtype=torch.bool), state)
        outputs.append(output)
    return {task: torch.cat([o[task] for o in outputs], dim=1) for task in TASKS}


@torch.inference_mode()
def test_a_sequence_without_a_real_frame_keeps_its_state():
    network = build_network(F, config(bidirectional=False, layers=2)).eval()
    is_frame = torch.ones(2, 4, dtype=torch.bool)
    _, state = network(torch.randn(2, 4, F), is_frame)
    is_frame[1] = False
    _, after = network(torch.randn(2, 4, F), is_frame, state)
    assert torch.equal(after[1], state[1])
    assert not torch.equal(after[0], state[0])


def test_both_directions_see_what_follows_and_one_does_not():
    for is_both in (True, False):
        network = build_network(F, linear(bidirectional=is_both)).eval()
        features = torch.randn(1, 6, F, requires_grad=True)
        outputs, _ = network(features, torch.ones(1, 6, dtype=torch.bool))
        outputs["valence"][0, 2].backward()
        assert bool((features.grad[0, 3:] != 0).any()) == is_both
        assert bool((features.grad[0, :2] != 0).any())


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(1)
    first = build_network(F, config(seed=3)).state_dict()
    before = torch.get_rng_state()
    second = build_network(F, config(seed=3)).state_dict()
    assert torch.equal(before, torch.get_rng_state())
    other = build_network(F, config(seed=4)).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_every_weight_gets_a_gradient():
    network = build_network(F, config(layers=2, dropout=0.0, input_dropout=0.0))
    outputs, _ = network(torch.randn(4, 9, F), torch.ones(4, 9, dtype=torch.bool))
    sum(output.sum() for output in outputs.values()).backward()
    assert not [key for key, value in network.named_parameters() if value.grad is None]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"encoder": "grue"}, "encoder 'grue'; did you mean gru"),
        ({"framework": "sse"}, "framework 'sse'; did you mean se"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(changes, words):
    with pytest.raises(NameLookupError, match=words):
        build_network(F, config(**changes))
