"""What a decoding lets one state of each hook, and the controls that each statement has to beat.

Three statements: training makes the label easier to decode there (than an untrained network of the same shape, and than
shuffled labels); it is easier to decode there than from the input; the probe reads the label rather than what inputs
look like (its selectivity against that of an untrained network, of the input, and none). None says that the network
uses what can be read.

Sources: Alain and Bengio 2016, https://arxiv.org/abs/1610.01644; Hewitt and Liang 2019,
https://arxiv.org/abs/1909.03368.
"""

from __future__ import annotations

from interp.locating.decoding import CONDITIONS, Decoding
from interp.reporting.claims import Evidence
from interp.reporting.rules import ExceedsControls

ALAIN = "Alain and Bengio 2016, https://arxiv.org/abs/1610.01644"
HEWITT = "Hewitt and Liang 2019, https://arxiv.org/abs/1909.03368"


def decodability(decoding: Decoding, *, called: str | None = None, source: str = ALAIN) -> list[Evidence]:
    """The three statements of every hook, to be judged together; `called`: the label in words, as "the digit"."""
    hooks = [str(hook) for hook in decoding.accuracy["hook"].to_numpy()]
    label = called or repr(decoding.label)
    return [evidence for hook in hooks for evidence in _at(decoding, hook, label, source)]


def _at(decoding: Decoding, hook: str, label: str, source: str) -> list[Evidence]:
    accuracy, selectivity = decoding.under(hook, "trained"), decoding.selectivity(hook)
    return [
        Evidence(
            f"Training makes {label} easier to decode from {hook}.",
            source,
            "test accuracy of a linear probe",
            accuracy,
            ExceedsControls(),
            {name: decoding.under(hook, name) for name in ("untrained network", "shuffled labels")},
        ),
        Evidence(
            f"{label[0].upper()}{label[1:]} is easier to decode from {hook} than from the input.",
            source,
            "test accuracy of a linear probe, against one on the input",
            accuracy,
            ExceedsControls(),
            {"raw input": decoding.under(hook, "raw input")},
        ),
        Evidence(
            f"The probe at {hook} reads {label} rather than what inputs look like.",
            HEWITT,
            "selectivity: accuracy less accuracy on a random label per type of input",
            selectivity,
            ExceedsControls(),
            {
                name: decoding.selectivity(hook, network=CONDITIONS[name][0])
                for name in ("untrained network", "raw input")
            }
            | {"no selectivity": [0.0] * len(selectivity)},
        ),
    ]
