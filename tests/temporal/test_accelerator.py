"""What encoders and frameworks do on an accelerator in training, as far as a CPU can tell."""

import pytest
import torch

from abaw.temporal.losses import Labels
from abaw.temporal.nets.build import build_network
from abaw.temporal.nets.encoders import ENCODERS, find_encoder, recurrent, transformer
from abaw.temporal.nets.frameworks import FRAMEWORKS
from abaw.temporal.nets.state import detached, restarted

from .nets import F, config, labels_of, real

pytestmark = pytest.mark.heavy

CHANGES = [
    pytest.param(
        {"encoder": encoder, "bidirectional": is_both, "layers": 2, "attention_context": context},
        id=f"{encoder}-{'both' if is_both else 'onward'}-{context}",
    )
    for encoder in ENCODERS
    for is_both in (True, False)
    for context in ((0, 3) if encoder == "transformer" else (0,))
]


@pytest.mark.parametrize("changes", CHANGES)
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_training_never_waits_for_a_value(framework: str, changes):
    """Tensors of the meta device have no values: asking for one raises."""
    network = build_network(F, config(framework=framework, **changes)).to("meta").train()
    labels = labels_of(2, 3)
    labels = Labels(
        {task: value.to("meta") for task, value in labels.values.items()},
        {task: mask.to("meta") for task, mask in labels.is_labelled.items()},
    )
    state = None
    for _ in range(2):
        x = torch.randn(2, 3, F, device="meta")
        outputs, state = network(x, real(2, 3).to("meta"), state, labels)
        sum(output.sum() for output in outputs.values()).backward()
        state = restarted(detached(state), torch.zeros(2, dtype=torch.bool, device="meta"))


@pytest.mark.parametrize("changes", CHANGES)
def test_what_is_computed_where_padding_is_not_known_is_the_same(changes, monkeypatch):
    encoder = find_encoder(F, config(dropout=0.0, **changes), 2)[0].double().eval()
    segments = torch.randn(2, 21, F, dtype=torch.float64).split((7, 1, 13), dim=1)

    def merged():
        found, state = [], None
        for x in segments:
            y, state = encoder(x, real(*x.shape[:2]), state)
            found.append(y)
        return torch.cat(found, dim=1)

    known = merged()
    for module in (recurrent, transformer):
        monkeypatch.setattr(module, "may_be_padded", lambda is_frame, *, is_training: True)
    torch.testing.assert_close(merged(), known, rtol=0, atol=1e-12)


def test_an_accelerator_is_asked_now_and_then_what_it_may_let_go(monkeypatch):
    """So that a lane which streams many videos does not keep them all."""
    monkeypatch.setattr(transformer, "_LOOK_EVERY", 16)
    free = transformer._free
    seen = torch.tensor([5, 3])
    assert free(seen, 20, 8) == 15  # on the CPU always
    meta = seen.to("meta")
    assert free(meta, 15, 8) == 0
    with pytest.raises(RuntimeError, match="meta"):
        free(meta, 20, 8)
