"""A folder that `interp train` wrote, opened; another folder is named for what it is."""

from __future__ import annotations

from pathlib import Path

import models
from models.refusals import BadFile

MOST_NAMED = 3


def opened_run(folder: Path) -> tuple[models.Recipe, models.Trained]:
    """The recipe and the networks of a run. Raises `BadFile` that says what the folder is, where it is no run."""
    check_run(folder)
    return models.load_run(folder)


def check_run(folder: Path) -> None:
    """Raises `BadFile` that says so for one seed of a run, a pretrained model, a folder of runs, and other folders."""
    if not folder.is_dir() or (folder / "recipe.json").exists():
        return
    raise BadFile(f"{folder} is no run folder of `interp train`: {_what_it_is(folder)}")


def _what_it_is(folder: Path) -> str:
    if (folder / "config.json").exists():
        if (folder / "weights.safetensors").exists():
            return "it holds the network of one seed: give the run's folder."
        return (
            "config.json lies there as in a pretrained (Hugging Face) model. Open it in Python, "
            f'models.load_pretrained("{folder}"), and use interp.capture and the rest on that; `interp generate` takes '
            "its folder, too."
        )
    runs = sorted(place.parent.name for place in folder.glob("*/recipe.json"))
    if runs:
        named = ", ".join(runs[:MOST_NAMED]) + (", …" if len(runs) > MOST_NAMED else "")
        return f"it holds {len(runs)} of them ({named}): give one, as {folder / runs[0]}."
    return "it holds no recipe.json."
