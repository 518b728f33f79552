"""What was trained, in two halves: for data of which nothing is held out.

A network that has learned facts by heart can still be probed: one half of the subjects fits the probe, the other half
judges it, and no subject is in both. What comes out speaks of facts that the network was trained on, all of them.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from models.data.dataset import Dataset
from models.refusals import Refused


def halves_by_subject(data: Dataset, *, seed: int = 0) -> Dataset:
    """The trained facts, each once a template: half of the subjects in the split `probe`, the others in `test`.

    Raises `Refused` for data without facts (a column `subject`), and for a single subject.
    """
    if "subject" not in data.examples or "fact" not in data.examples:
        raise Refused(
            f"The data set {data.name!r} holds no facts to part by subject (it knows "
            f"{', '.join(map(str, data.examples.columns))}). Hold examples out of it: the splits probe and test."
        )
    trained = data.network
    trained = trained.subset(~trained.examples.duplicated(["fact", "template"]).to_numpy())
    subjects = trained.examples["subject"].unique()
    if len(subjects) < 2:
        raise Refused(f"One subject ({subjects[0]!r}) cannot be parted into halves.")
    probing = np.random.default_rng(seed).permutation(subjects)[::2]
    split = np.where(trained.examples["subject"].isin(probing), "probe", "test")
    return dataclasses.replace(trained, examples=trained.examples.assign(split=split))
