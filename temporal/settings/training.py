"""How a run is trained and chosen, and how it is carried out."""

from typing import Annotated, Literal

from pydantic import Field

from .base import Count, CountOrNone, Seed, Settings, Share

Feeding = Literal["windows", "lanes"]
Schedule = Literal["cosine", "linear", "constant"]
Averaging = Literal["none", "ema", "swa"]
Smoothing = Literal["none", "box", "gaussian", "median"]


class TrainingSettings(Settings):
    """Settings of training, and of what becomes of predictions."""

    feeding: Feeding = "windows"
    """Independent windows, or lanes that each stream whole videos with the state carried over."""
    segment_length: Count = 32
    """Frames of a step of one sequence."""
    stride: Count = 16
    """Frames from one training window to the next; lanes go on by `segment_length`."""
    random_offset: bool = True
    """Whether the windows of each epoch begin at other frames."""
    batch_size: Count = 8
    """Windows per step, or lanes."""
    epochs: Count = 40
    """Passes over the training split; the best one by the validation split is kept."""
    patience: CountOrNone = 0
    """Epochs without a better one after which training ends; 0 goes through all."""

    optimizer: Literal["adamw", "adam"] = "adamw"
    """Weight decay apart from the gradient, or as part of it."""
    learning_rate: Annotated[float, Field(gt=0, le=100)] = 2e-3
    """Highest learning rate."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Decay of the optimiser's mean of gradients (published: 0.5)."""
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.999
    """Decay of its mean of squared gradients."""
    weight_decay: Annotated[float, Field(ge=0, le=100)] = 1e-2
    """Weight decay."""
    warmup: Share = 0.05
    """Share of the steps over which the learning rate rises."""
    schedule: Schedule = "cosine"
    """How it falls to 0 afterwards, or that it does not."""
    decay_from: Share = 0.0
    """Share of the steps before which it does not fall."""
    clip_norm: Annotated[float, Field(ge=1e-12, le=1e12)] = 1.0
    """Largest norm of the gradient."""
    clip_by: Literal["all", "part"] = "all"
    """Over all parameters together, or over those of each encoder and head apart."""
    averaging: Averaging = "none"
    """Weights that are judged and kept: those of the last step, their exponential moving average,
    or their mean from `average_from` on."""
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of the moving average per step."""
    average_from: Share = 0.5
    """Share of the steps before which weights do not count for `swa`."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of matrix products in training and prediction; auto takes bf16 where it is quicker here."""
    compile: bool = False
    """Whether torch.compile makes the network's kernels."""

    overlap: Share = 0.5
    """Share of a window that prediction sees twice; its predictions are averaged there."""
    prediction_length: CountOrNone = 0
    """Frames of a window of prediction; 0 is `segment_length`. Networks in one direction and those
    fed by lanes see whole videos."""
    smoothing: Smoothing = "box"
    """Kind of smoothing whose width is fitted on validation predictions."""
    tune_thresholds: bool = True
    """Whether each AU's threshold is fitted on validation predictions."""

    seed: Seed = 0
    """Draws the network's weights and its dropout."""
    data_seed: Seed = 0
    """Draws the order of the windows or videos, and their offsets."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """CPU threads of one operation. More help networks far larger than the default only: its
    matrices are so small that a second thread mostly waits."""
    save_every: CountOrNone = 200
    """Steps after which the state of training is saved, so that a run that is broken off goes on
    from there; 0 never does."""
    score_train: bool = False
    """Whether each epoch also scores the training split; it costs a pass over it."""
    resident_gb: Annotated[float, Field(ge=0, le=1e6)] = 4.0
    """Features of a split are kept on the device up to this size; beyond, they are streamed."""
