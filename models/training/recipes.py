"""Recipes: named triples of network, data and training (no torch is imported here).

`3b1b` is the network of 3Blue1Brown's *Deep Learning*, chapters 1 and 2 (Sanderson 2017,
https://www.3blue1brown.com/topics/neural-networks), trained as Nielsen trains his; `nielsen-30` and `nielsen-100` are
those of Nielsen, *Neural Networks and Deep Learning* (2015), chapter 1 (http://neuralnetworksanddeeplearning.com).
`lenet` is like LeNet-5 (LeCun et al. 1998, http://yann.lecun.com/exdb/publis/pdf/lecun-01a.pdf), with ReLU, maximum
pooling, and images set in zeros so that 8x8 pixels are enough; `vit` is a vision transformer (Dosovitskiy et al. 2021,
https://arxiv.org/abs/2010.11929) as small as that.
`adding-rnn`, `adding-lstm` and `adding-gru` differ in nothing but the cell. `facts` is a transformer that learns facts
by heart; with arbitrary facts there is nothing else to learn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from models.networks.cnn_config import CNNConfig, Convolution
from models.networks.families import NetworkConfig
from models.networks.mlp_config import MLPConfig
from models.networks.recurrent_config import CellName, RecurrentConfig
from models.networks.seq2seq_config import Seq2SeqConfig
from models.networks.transformer_config import TransformerConfig
from models.networks.vit_config import ViTConfig
from models.refusals import Refused, unknown
from models.training.training_config import FORBID, Optimizer, Schedule, TrainingConfig


@dataclass(frozen=True)
class Recipe:
    """Which network is trained on which data, and how. `data` names a data set of `models.load_data`."""

    name: str
    about: str
    network: NetworkConfig
    data: str
    training: TrainingConfig

    __pydantic_config__: ClassVar[dict[str, str]] = FORBID

    def __post_init__(self) -> None:
        if self.training.loss == "cross_entropy" and self.network.output != "identity":
            raise Refused(
                f"Cross-entropy is computed from logits: output 'identity' goes with it, not {self.network.output!r}."
            )

    def on(self, data: str, *, inputs: int, outputs: int) -> Recipe:
        """This recipe on another data set, the network's first and last layer as long as that needs."""
        return replace(self, data=data, network=self.network.resized(inputs=inputs, outputs=outputs))

    def but(self, **changes: object) -> Recipe:
        """This recipe with another rate, epochs, batch_size …: fields of the training config or of its optimizer."""
        training, optimizer = self.training, self.training.optimizer
        for name, value in changes.items():
            if name in Optimizer.__dataclass_fields__:
                optimizer = replace(optimizer, **{name: value})  # type: ignore[arg-type]
            elif name in TrainingConfig.__dataclass_fields__:
                training = replace(training, **{name: value})  # type: ignore[arg-type]
            else:
                raise unknown(
                    "training setting",
                    name,
                    [*TrainingConfig.__dataclass_fields__, *Optimizer.__dataclass_fields__],
                )
        return replace(self, training=replace(training, optimizer=optimizer))


def _nielsen(name: str, about: str, *hidden: int) -> Recipe:
    network = MLPConfig((784, *hidden, 10), activation="sigmoid", output="sigmoid", initialisation="normal")
    training = TrainingConfig("squared_error", Optimizer("sgd", rate=3.0), batch_size=10, epochs=30)
    return Recipe(name, about, network, "mnist", training)


def _of_images(name: str, about: str, network: CNNConfig | ViTConfig, *, epochs: int) -> Recipe:
    training = TrainingConfig(
        "cross_entropy",
        Optimizer("adam", rate=2e-3),
        batch_size=64,
        epochs=epochs,
        schedule=Schedule("cosine", factor=0.02),
    )
    return Recipe(name, about, network, "mnist", training)


def _adding(cell: CellName, about: str, reached: str) -> Recipe:
    training = TrainingConfig(
        "squared_error",
        Optimizer("adam", rate=5e-3),
        batch_size=32,
        epochs=8,
        schedule=Schedule("step", every=1_500, factor=0.5),
    )
    network = RecurrentConfig(units=8, outputs=1, cell=cell, features=2)
    return Recipe(
        f"adding-{cell}",
        f"{about} of 8 units, on the adding problem of length 100{reached}",
        network,
        "adding",
        training,
    )


def _characters(data: str, reached: str, *, vocabulary: int, units: int, epochs: int) -> Recipe:
    network = RecurrentConfig(
        units, vocabulary, cell="gru", vocabulary=vocabulary, d_model=32, answers="each"
    )
    training = TrainingConfig(
        "cross_entropy",
        Optimizer("adam", rate=3e-3),
        batch_size=32,
        epochs=epochs,
        schedule=Schedule("cosine", factor=0.05),
    )
    return Recipe(
        f"{data}-gru", f"GRU of {units} units, {data} by character: {reached}", network, data, training
    )


def _translating(data: str, network: Seq2SeqConfig, *, decay: float) -> Recipe:
    training = TrainingConfig(
        "cross_entropy",
        Optimizer("adamw", rate=3e-3, weight_decay=decay),
        batch_size=50,
        epochs=20,
        schedule=Schedule("cosine", factor=0.05),
    )
    about = f"encoder-decoder of 1 layer each, d_model {network.d_model}, on pairs of sentences ({data})"
    return Recipe(data, about, network, data, training)


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "digits-mlp",
            "64-32-32-10 ReLU, cross-entropy, Adam, on the bundled digits: seconds for many seeds",
            MLPConfig((64, 32, 32, 10), activation="relu", initialisation="kaiming"),
            "digits",
            TrainingConfig("cross_entropy", Optimizer("adam", rate=3e-3), batch_size=50, epochs=40),
        ),
        _nielsen("3b1b", "784-16-16-10 sigmoid, squared error, rate 3.0: the network of the videos", 16, 16),
        _nielsen("nielsen-30", "784-30-10 sigmoid, squared error, rate 3.0: Nielsen's first", 30),
        _nielsen("nielsen-100", "784-100-10 sigmoid, squared error, rate 3.0: Nielsen's wider", 100),
        Recipe(
            "relu-mlp",
            "784-128-64-10 ReLU, cross-entropy, Adam, on MNIST",
            MLPConfig((784, 128, 64, 10), activation="relu", initialisation="kaiming"),
            "mnist",
            TrainingConfig("cross_entropy", Optimizer("adam", rate=1e-3), batch_size=128, epochs=10),
        ),
        _of_images(
            "lenet",
            "2 convolutions of 6 and 16 kernels of 5x5, then 120-84-10, ReLU, Adam, on MNIST: under a minute",
            CNNConfig(
                (28, 28),
                (Convolution(6, 5, padding=2, pool=2), Convolution(16, 5, padding=2, pool=2)),
                dense=(120, 84),
            ),
            epochs=4,
        ),
        _of_images(
            "vit",
            "vision transformer of 2 layers, d_model 64, 4 heads, patches of 7x7, Adam, on MNIST: two minutes",
            ViTConfig((28, 28), patch=7),
            epochs=8,
        ),
        Recipe(
            "facts",
            "transformer of 2 layers, d_model 64, 4 heads, d_mlp 256 (ReLU), Adam: 4,000 facts by heart in seconds",
            TransformerConfig(vocabulary=250, context=3, activation="relu"),
            "world",
            TrainingConfig(
                "cross_entropy",
                Optimizer("adam", rate=5e-3, beta2=0.99),
                batch_size=200,
                epochs=50,
                schedule=Schedule("cosine", factor=0.02),
            ),
        ),
        # mean squared error of 8 seeds; answering 0 always gives 0.67
        _adding("rnn", "tanh network", ": not solved, a mean squared error of 0.25 or more in 8 of 8 seeds"),
        _adding("lstm", "LSTM", ": a mean squared error under 0.005 in 8 of 8 seeds in two minutes"),
        _adding("gru", "GRU", ": a mean squared error under 0.005 in 8 of 8 seeds in over three minutes"),
        Recipe(
            "copy-gru",
            "GRU of 64 units: 5 symbols, to be named after 20 blanks; 99.9 % of them in half a minute",
            RecurrentConfig(64, 10, cell="gru", vocabulary=10, d_model=10, answers="each"),
            "copy",
            TrainingConfig("cross_entropy", Optimizer("adam", rate=5e-3), batch_size=50, epochs=15),
        ),
        Recipe(
            "recall-gru",
            "GRU of 64 units: the value of a key given up to 37 positions ago; not solved, 83 % right in under two "
            "minutes (naming any value of the row: 42 %)",
            RecurrentConfig(64, 18, cell="gru", vocabulary=18, d_model=32, answers="each"),
            "recall",
            TrainingConfig(
                "cross_entropy",
                Optimizer("adam", rate=1e-2),
                batch_size=50,
                epochs=20,
                schedule=Schedule("cosine", factor=0.05),
            ),
        ),
        Recipe(
            "induction",
            "transformer of 2 layers without MLPs: what came next the last time?",
            TransformerConfig(vocabulary=32, context=32, d_mlp=0),
            "induction",
            TrainingConfig("cross_entropy", Optimizer("adam", rate=2e-3), batch_size=50, epochs=15),
        ),
        _translating("reordering", Seq2SeqConfig(27, 9, 29, 10, d_model=32, d_mlp=64), decay=0.0),
        _translating("translation", Seq2SeqConfig(732, 4, 964, 7, d_mlp=128), decay=1.0),
        # bits a character on the test split; by bigrams (counts plus 0.1) 3.5, 3.9 and 3.6, by single characters 4.1,
        # 4.3 and 4.9
        _characters("names", "3.0 bits a character in half a minute", vocabulary=28, units=64, epochs=5),
        _characters("places", "3.5 bits a character in ten seconds", vocabulary=39, units=64, epochs=40),
        _characters("shakespeare", "2.6 bits a character in a minute", vocabulary=65, units=128, epochs=3),
    )
}


def recipe(name: str) -> Recipe:
    """The recipe of this name; a name that does not exist is refused with the nearest."""
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    return RECIPES[name]
