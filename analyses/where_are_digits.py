"""Where in a small network can a handwritten digit be decoded, and does the network use what can be decoded?

Networks of many seeds are trained on the `network` split. Linear probes are fitted to each hidden layer on the `probe`
split and judged on the `test` split, which neither network nor probe has seen, each seed on its own share of it (D2).
Then the directions the probes read are removed from each hidden layer, and the network's own accuracy on those test
images is compared with what removing random directions does (D3). Every comparison is paired by seed; all comparisons
of the report are one family of tests.
"""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import interp
import models

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

QUESTION = "Where can a digit be decoded in a small network, and is what can be decoded also used?"
SOURCE = "3Blue1Brown, Deep Learning, chapter 1"
RECIPES = {"digits": "digits-mlp", "mnist": "3b1b"}


@dataclass(frozen=True)
class Config:
    """`data`: digits (bundled, 8x8) or mnist. `seeds`: how many networks. `probe`: logistic or ridge.

    `epochs`: instead of the recipe's. `draws`: random subspaces per control of removal. `error_rate`: the share of
    wrong verdicts aimed at among the decided ones.
    """

    data: Literal["digits", "mnist"] = "digits"
    seeds: int = 16
    probe: Literal["logistic", "ridge"] = "logistic"
    epochs: int | None = None
    draws: int = 5
    error_rate: float = 0.05

    @staticmethod
    def quick() -> Config:
        """Fewer seeds, short training."""
        return Config(seeds=8, epochs=10, draws=2)


def answer(config: Config) -> interp.Report:
    """Trains (or finds) the networks, decodes, removes, judges."""
    begun = time.monotonic()
    data = models.load_data(config.data)
    recipe = models.recipe(RECIPES[config.data])
    if config.epochs is not None:
        recipe = recipe.but(epochs=config.epochs)
    trained = models.trained(recipe, seeds=config.seeds, data=data)
    model = trained.model
    untrained = type(model)(model.config, seeds=model.every_seed).to(model.device)
    hooks = [name for name in model.hook_dict if name.startswith("layers.") and name.endswith("hook_post")]

    decoding = interp.decode(model, data, hooks, label="digit", untrained=untrained, probe=config.probe)
    bits = interp.code_lengths(model, data, hooks, label="digit", untrained=untrained)
    digits = data.test.targets.to(model.device)
    removal = interp.remove_directions(
        model,
        data,
        decoding.directions,
        lambda output: (output.argmax(-1) == digits).double(),
        draws=config.draws,
    )

    evidence = [
        *interp.decodability(decoding, called="the digit", source=SOURCE),
        *deeper(decoding, hooks),
        *used(removal, hooks),
    ]
    claims = interp.judge(evidence, error_rate=config.error_rate)
    return interp.Report(
        question=QUESTION,
        analysis="where_are_digits",
        config=config,
        claims=claims,
        tables=tables(decoding, bits, removal, trained.metrics)
        | {"differences": interp.differences_table(evidence, error_rate=config.error_rate)},
        figures=figures(decoding, removal, hooks, trained.metrics),
        notes=notes(config, data, decoding, removal, trained),
        provenance=interp.gather(
            seeds=model.every_seed,
            data={data.name: data.digest},
            run_time_seconds=time.monotonic() - begun,
        ),
    )


def deeper(decoding: interp.Decoding, hooks: list[str]) -> list[interp.Evidence]:
    """D2: better the deeper (needs two hidden layers)."""
    return [
        interp.Evidence(
            f"The digit is easier to decode from {after} than from {before}.",
            SOURCE,
            "test accuracy of a linear probe, layer against layer",
            decoding.of(after),
            interp.ExceedsControls(),
            {"the layer before": decoding.of(before)},
        )
        for before, after in itertools.pairwise(hooks)
    ]


def used(removal: xr.DataArray, hooks: list[str]) -> list[interp.Evidence]:
    """D3: removing what the probe reads costs the network more than any removal or move that is as large."""
    lost = removal.sel(removed="nothing") - removal
    return [
        interp.Evidence(
            f"The network uses the directions that the probe reads at {hook}: it loses more without them than without "
            "random ones.",
            "after Elazar et al. 2021, https://arxiv.org/abs/2006.00995",
            "test accuracy that the network loses when the directions are removed",
            lost.sel(hook=hook, removed="decoded_directions").to_numpy(),
            interp.ExceedsControls(),
            {
                readable(name): lost.sel(hook=hook, removed=name).to_numpy()
                for name in removal["removed"].to_numpy()
                if name.startswith("random")
            },
        )
        for hook in hooks
    ]


def tables(
    decoding: interp.Decoding, bits: xr.DataArray, removal: xr.DataArray, metrics: pd.DataFrame
) -> dict[str, pd.DataFrame]:
    """Every number behind the claims, a row for each seed."""
    return {
        "decoding": decoding.to_dataframe(),
        "code_lengths": bits.to_dataframe(name="times_shorter_than_uniform").reset_index(),
        "removal": removal.to_dataframe(name="network_test_accuracy").reset_index(),
        "training": metrics.astype(object).where(metrics.notna(), None),
    }


def figures(
    decoding: interp.Decoding, removal: xr.DataArray, hooks: list[str], metrics: pd.DataFrame
) -> dict[str, Any]:
    """Decodability, use, and how the networks learned."""
    spots = [
        interp.Spot.over_seeds(hook, name, decoding.under(hook, name))
        for name in interp.CONDITIONS
        if name != "raw input"
        for hook in hooks
    ]
    removals = [
        interp.Spot.over_seeds(hook, readable(name), removal.sel(hook=hook, removed=name).to_numpy())
        for name in removal["removed"].to_numpy()
        for hook in hooks
    ]
    accuracy = metrics.pivot_table(index="seed", columns="epoch", values="test_accuracy").dropna()
    return {
        "decoding": interp.interval_plot(
            spots,
            measure="test accuracy of the probe",
            caption="How well the digit can be decoded from each hidden layer, and what the same probe reaches "
            "where nothing should be found. Intervals over seeds.",
            lines={"raw input": interp.measured(decoding.of(hooks[0], network="raw_input")).estimate},
            ordered=True,
        ),
        "removal": interp.interval_plot(
            removals,
            measure="test accuracy of the network",
            caption="What is left of the network's accuracy when directions are removed from a hidden layer. "
            "Intervals over seeds.",
            ordered=True,
        ),
        "training": interp.curves(
            {"test accuracy": accuracy.to_numpy()},
            accuracy.columns.to_numpy(),
            labels=("epoch", "test accuracy"),
            caption="How the networks learned: mean and range over seeds.",
            chance=0.1,
        ),
    }


def notes(
    config: Config,
    data: models.Dataset,
    decoding: interp.Decoding,
    removal: xr.DataArray,
    trained: models.Trained,
) -> list[str]:
    """What a reader must know to weigh the verdicts."""
    rank = next(iter(decoding.directions.values())).shape[1]
    said = [
        f"The probe is a {config.probe} probe with standardised features. Removed are the at most {rank} directions "
        f"its classes differ along; each control of removal is the mean of {config.draws} random draws.",
        "Every seed is judged on its own share of the test images: on the same images seeds would share their luck.",
        f"A random label per type: types are the nearest of {len(decoding.classes)} prototypes of the inputs.",
        f"The untouched networks have a mean test accuracy of {float(removal.sel(removed='nothing').mean()):.3f}.",
        "That directions are used does not say that they are all the network uses, nor that they are the only ones.",
        "The hardest control of removal is random directions along which the activations vary as much: what a probe "
        "reads tends to lie where they vary most, and there any removal costs much.",
        f"Verdicts hold for this one fit of the networks' and the probes' training examples. {smallest_gap(decoding)}",
        "Intervals over few seeds are too narrow (BCa at 95 % covers 88 % with 8 seeds, 92 % with 16): the verdicts "
        "rest on the sign-flip test besides.",
        f"The probe of the raw input learned from {len(data.probe):,} labelled images, as all probes did; the networks "
        f"had seen {len(data.network):,} before.",
    ]
    if config.data == "digits":
        said.append("The bundled digits are 8x8 pixels; --data mnist asks the same of 28x28 ones.")
    return said + [
        f"Seed {gone.seed} diverged at step {gone.step} (rate {gone.rate:g}) and is left out."
        for gone in trained.divergences
    ]


def smallest_gap(decoding: interp.Decoding) -> str:
    """How large a difference these seeds and images find four times out of five (normal approximation, one test)."""
    hook = next(iter(decoding.directions))
    differences = np.subtract(decoding.of(hook), decoding.of(hook, network="raw_input"))
    gap = 2.8 * differences.std(ddof=1) / len(differences) ** 0.5
    return f"A difference in accuracy of less than about {gap:.3f} would be missed more often than one time in five."


def readable(name: str) -> str:
    """`raw_input` as words."""
    return str(name).replace("_", " ")
