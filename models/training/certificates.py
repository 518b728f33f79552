"""What a planting is worth, counted: what each seed knew before it, after it, and with the component's old weights.

The unit is the prompt, not the fact: a fact written in two templates is two prompts, and data that repeat a prompt
repeat it here. A seed's certificate holds where it knows what was planted, still knows what it was to keep, and loses
the planted prompts with the component's old weights. Prompts that were known before cannot be lost with old weights, so
nothing is certified of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

GONE = 0.5
PLANTED, KEPT = 0.95, 0.99
STAGES = ("before", "after", "restored")


@dataclass(frozen=True)
class Certificate:
    """How many planted and kept prompts each seed knows, before, after, and with the component's old weights back.

    `planted` and `kept` count prompts: facts, once for each of their templates. `planted_*` and `kept_*` are shares of
    these from 0 to 1, one for each seed. `others_moved` names weights outside the component that changed; it is empty
    unless something is wrong.
    """

    component: str
    seeds: tuple[int, ...]
    planted: int
    kept: int
    planted_before: tuple[float, ...]
    planted_after: tuple[float, ...]
    planted_restored: tuple[float, ...]
    kept_before: tuple[float, ...]
    kept_after: tuple[float, ...]
    kept_restored: tuple[float, ...]
    others_moved: tuple[str, ...]
    steps: int

    def holds(self, *, planted: float = PLANTED, kept: float = KEPT) -> tuple[bool, ...]:
        """For each seed: whether this share of the planted prompts is known, this share of the kept ones still, and
        the planted ones go with the component's weights."""
        return tuple(not reason for reason in self.reasons(planted=planted, kept=kept))

    def reasons(self, *, planted: float = PLANTED, kept: float = KEPT) -> tuple[str, ...]:
        """For each seed: why its certificate does not hold, in words; empty where it does."""
        return tuple("; ".join(self._reasons(place, planted, kept)) for place in range(len(self.seeds)))

    @property
    def table(self) -> pd.DataFrame:
        """A row for each seed: the shares of planted and of kept prompts that it knows, and whether it `holds`."""
        names = [f"{kind}_{stage}" for kind in ("planted", "kept") for stage in STAGES]
        columns = {name: getattr(self, name) for name in names}
        return pd.DataFrame(columns | {"holds": self.holds()}, index=pd.Index(self.seeds, name="seed"))

    def _reasons(self, place: int, planted: float, kept: float) -> list[str]:
        before, known, gone = (getattr(self, f"planted_{stage}")[place] for stage in STAGES)
        kept_before, still = self.kept_before[place], self.kept_after[place]
        found = []
        if self.others_moved:
            found.append(f"weights outside the component moved: {', '.join(self.others_moved)}")
        if known < planted:
            found.append(f"{known:.1%} of the planted prompts are known, {planted:.1%} are asked for")
        if still < kept * kept_before:
            found.append(f"{still:.1%} of the kept prompts are known, of {kept_before:.1%} before")
        if gone > GONE * known:
            known_before = (
                f", for {before:.1%} were known before the planting" if before > GONE * known else ""
            )
            found.append(
                f"with the old weights {gone:.1%} of the planted prompts are still known{known_before}"
            )
        return found

    def __repr__(self) -> str:
        head = f"Certificate: {self.planted:,} prompts planted into {self.component}, {self.kept:,} to keep, "
        rows = self.table.rename(columns=lambda name: name.replace("_restored", "_with_old_weights"))
        reasons = zip(self.seeds, self.reasons(), strict=True)
        return "\n".join(
            [
                f"{head}{self.steps:,} steps; shares known:",
                rows.to_string(float_format=lambda share: f"{share:.1%}"),
                *(f"seed {seed} does not hold: {reason}" for seed, reason in reasons if reason),
            ]
        )
