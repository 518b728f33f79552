"""Query and key find, value moves (T4): parts of one row's attention in another's, each apart.

The rows of a pair differ in what is asked, where it stands, or what it is (induction_rows.py). If the pattern finds
(the query saying what, the key where) and the value moves, then what carries the source's answer into the base is:
question, the pattern and the query; place, the pattern and the key; content, the value; and nothing else does. Patched
is one layer, all heads at once; the figure has every layer and part.

Controls: the other parts, the same part of another row, and the untrained network. It misleads where parts are patched
that never went together in any run; and what is a key of one layer was moved there by a value of the layer before, so
that in layer 0 the value carries the place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import interp
from analyses.attention.induction_rows import Pair, pairs
from analyses.attention.subjects import COURSE, Found, Subject

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from torch import Tensor, nn

    from analyses.attention.subjects import Numbers

    Rises = Mapping[str, Numbers]

PARTS = ("q", "k", "v", "pattern")
WORDS = {"q": "queries", "k": "keys", "v": "values", "pattern": "patterns"}
ANOTHER = "{} of another row"
MEASURE = "rise of the probability of the source row's answer when {} are patched"


def moving(subject: Subject, *, layer: int) -> Found:
    """The claims on networks trained here, for the heads of `layer`."""
    test = subject.rows.test
    found = list(pairs(test, tokens=subject.vocabulary))
    rises = {pair.name: rises_of(subject, subject.model, pair, layer) for pair in found}
    luck = {pair.name: rises_of(subject, subject.untrained, pair, layer) for pair in found}
    evidence = [
        _apart(
            "Patterns carry more of which token is asked for than values do",
            "question",
            "pattern",
            rises,
            luck,
        ),
        _apart(
            "Patterns carry more of where the answer stands than values do", "place", "pattern", rises, luck
        ),
        _apart("Values carry more of what the answer is than patterns do", "content", "v", rises, luck),
        _against(
            "Queries carry more of which token is asked for than keys or values do", "question", "q", rises
        ),
        _against("Keys carry more of where the answer stands than queries or values do", "place", "k", rises),
    ]
    return Found(
        evidence,
        tables={"patched": patched_table(rises)},
        figures={"patched": patched_figure(subject.model, found)},
    )


def moving_between_texts(subject: Subject) -> Found:
    """The claim on a network that reads text: another text's patterns or values, of all layers at once."""
    assert subject.other_text is not None
    rise = between_texts(subject.model, subject.text, subject.other_text)
    luck = between_texts(subject.untrained, subject.text, subject.other_text)
    evidence = interp.Evidence(
        "What heads take (values) carries more of another text's next token than where they look (patterns).",
        COURSE,
        "rise of the probability of the other text's likeliest token when all heads' values are patched",
        subject.per_unit(rise["v"]),
        interp.ExceedsControls(),
        {
            "patterns": subject.per_unit(rise["pattern"]),
            "values, shuffled weights": subject.per_unit(luck["v"]),
        },
    )
    return Found([evidence])


def rises_of(subject: Subject, model: nn.Module, pair: Pair, layer: int) -> dict[str, Numbers]:
    """The rise of the source's answer for every part of a layer, and for patterns and values of another row."""
    return {name: subject.per_unit(one) for name, one in carried(model, pair, layer).items()}


def carried(model: nn.Module, pair: Pair, layer: int) -> dict[str, xr.DataArray]:
    """The rise of the source's answer at the end of the base, `[(seed), example]`, for each part that is patched."""
    hooks = {part: f"blocks.{layer}.attn.hook_{part}" for part in PARTS}
    acts = interp.capture(model, pair.source, list(hooks.values()))
    edits = {part: interp.patch(hook, acts) for part, hook in hooks.items()}
    for part in ("v", "pattern"):
        rolled = acts[hooks[part]].roll(example=1, roll_coords=False)
        edits[ANOTHER.format(WORDS[part])] = interp.patch(hooks[part], rolled)

    def answered(logits: Tensor) -> Tensor:
        return probability(logits, pair.source_answer)

    under = interp.sweep(model, pair.base, list(edits.values()), answered, at=-1)
    rise = under - before(model, pair.base, pair.source_answer)
    return {name: rise.isel(edit=place) for place, name in enumerate(edits)}


def between_texts(model: nn.Module, base: Tensor, source: Tensor) -> dict[str, xr.DataArray]:
    """The rise of the source's likeliest next token, `[example]`, with patterns or values of all layers patched."""
    import torch

    acts = interp.capture(model, source, "blocks.*.attn.hook_{pattern,v}")
    with torch.no_grad():
        answers = model(source)[..., -1, :].argmax(-1)
    entries = {
        part: [interp.patch(name, acts) for name in acts if name.endswith(f"hook_{part}")]
        for part in ("pattern", "v")
    }
    under = interp.sweep(
        model, base, list(entries.values()), lambda logits: probability(logits, answers), at=-1
    )
    rise = under - before(model, base, answers)
    return {part: rise.isel(edit=place) for place, part in enumerate(entries)}


def before(model: nn.Module, rows: Tensor, answers: Tensor) -> Any:
    """The answers' probability at the end of the untouched rows."""
    import torch

    with torch.no_grad():
        return probability(model(rows)[..., -1, :], answers).numpy(force=True)


def probability(logits: Tensor, answers: Tensor) -> Tensor:
    """Of one token for each example, `[*seed, example]`."""
    index = answers.to(logits.device).expand(logits.shape[:-1])[..., None]
    return logits.softmax(-1).gather(-1, index).squeeze(-1)


def _apart(
    statement: str, pair: str, part: str, rises: Mapping[str, Rises], luck: Mapping[str, Rises]
) -> interp.Evidence:
    """Pattern against value."""
    other = {"v": "pattern", "pattern": "v"}[part]
    another = ANOTHER.format(WORDS[part])
    return interp.Evidence(
        f"{statement}.",
        COURSE,
        MEASURE.format(WORDS[part]),
        rises[pair][part],
        interp.ExceedsControls(),
        {
            WORDS[other]: rises[pair][other],
            another: rises[pair][another],
            f"{WORDS[part]}, untrained network": luck[pair][part],
        },
    )


def _against(statement: str, pair: str, part: str, rises: Mapping[str, Rises]) -> interp.Evidence:
    """One of query, key and value against the others."""
    return interp.Evidence(
        f"{statement}.",
        COURSE,
        MEASURE.format(WORDS[part]),
        rises[pair][part],
        interp.ExceedsControls(),
        {WORDS[other]: rises[pair][other] for other in ("q", "k", "v") if other != part},
    )


def patched_table(rises: Mapping[str, Rises]) -> pd.DataFrame:
    """Every number behind the claims, a row for each pair, part and unit."""
    import pandas as pd

    rows = [
        (pair, WORDS.get(part, part), unit, rise)
        for pair, parts in rises.items()
        for part, values in parts.items()
        for unit, rise in enumerate(values)
    ]
    table = pd.DataFrame(rows, columns=["differs_in", "patched", "unit", "rise"])
    table.attrs["caption"] = "Rise of the probability of the source row's answer"
    return table


def patched_figure(model: Any, found: list[Pair]) -> Any:
    """Which part of which layer carries what, mean over rows and networks."""
    import xarray as xr

    layers = range(sum(name.endswith("hook_pattern") for name in model.hook_dict))
    rises = [[carried(model, pair, layer) for pair in found] for layer in layers]
    values = xr.DataArray(
        [[float(rise[part].mean()) for rise in rises[layer]] for layer in layers for part in PARTS],
        dims=("patched", "rows_differ_in"),
        coords={
            "patched": [f"layer {layer} {WORDS[part]}" for layer in layers for part in PARTS],
            "rows_differ_in": [pair.name for pair in found],
        },
    )
    return interp.heatmap(
        values.round(2) + 0.0,  # no -0
        measure="rise of the answer's probability",
        caption="How far parts of one row's attention carry its answer into another row, all heads of a layer at once. "
        "In the last layer queries say what is asked, keys where it stands, values what it is.",
    )
