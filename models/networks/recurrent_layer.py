"""One recurrent layer, three ways: torch's fused kernel, steps written out, and steps with edits felt in time.

The kernel (for populations of tanh networks and GRUs: the steps, all seeds at once) runs when nobody listens, or only
to `hook_h`. Listening to a cell or a gate lays the steps open; the two agree to rounding. Editing replays them
(stepwise.py).
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from models.networks.felt_gradients import Passing, Shown
from models.networks.hooked import AxisHookPoint, hook
from models.networks.mlp import affine
from models.networks.parameters import Draw
from models.networks.recurrent_cells import CELLS, Recurrence, See, States
from models.networks.recurrent_config import GATES, RecurrentConfig
from models.networks.stepwise import Replay, call_hooks, edits_among, first_change, refuse_other_hooks


class RecurrentLayer(nn.Module):
    """`W_x [*seed, in, gate x unit]`, `W_h [*seed, unit, gate x unit]`, `b_x`, `b_h [*seed, gate x unit]`.

    Gates stand in torch's order: i, f, g, o; r, z, n.
    """

    def __init__(self, config: RecurrentConfig, width: int, draw: Draw) -> None:
        super().__init__()
        self.cell, self.units = CELLS[config.cell], config.units
        columns, bound = GATES[config.cell] * config.units, config.init_scale * config.units**-0.5
        # they lie in memory as torch's kernels want them, [gate x unit, in]
        self.W_x = nn.Parameter(draw.uniform(columns, width, bound=bound).detach().mT)
        self.W_h = nn.Parameter(draw.uniform(columns, config.units, bound=bound).detach().mT)
        self.b_x = draw.uniform(columns, bound=bound)
        self.b_h = draw.uniform(columns, bound=bound)
        if config.forget_bias:
            with torch.no_grad():
                self.b_x[..., config.units : 2 * config.units] += config.forget_bias
        for name in self.cell.points:
            setattr(self, f"hook_{name}", hook("example", "pos", "unit"))

    @property
    def points(self) -> dict[str, AxisHookPoint]:
        """The hook points by what passes there: h, and the cell's c and gates."""
        return {name: cast("AxisHookPoint", getattr(self, f"hook_{name}")) for name in self.cell.points}

    def forward(
        self, x: Float[Tensor, "*seed example pos width"], states: States
    ) -> tuple[Float[Tensor, "*seeds example pos unit"], States]:
        """The states h at every position, and all states after the last. `states`: each `[*seed, example, unit]`."""
        listened = {name: point for name, point in self.points.items() if point.listened}
        if listened:
            return self._heard(x, states, listened)
        h, states = self._fast(x, states)
        return self.points["h"](h), states

    def _heard(self, x: Tensor, states: States, points: dict[str, AxisHookPoint]) -> tuple[Tensor, States]:
        """The same, and the hooks of these points are shown what passes; what they change is felt by later steps."""
        refuse_other_hooks(points)
        plain, last = self._plain(x, states, points)
        live = {name: Shown(plain[name]) for name in points} if torch.is_grad_enabled() else {}
        heard = {name: live[name].tensor if live else plain[name] for name in points}
        edits = edits_among(points, heard)
        start = first_change(edits, heard)
        if start is not None:
            return self._replayed(x, states, points, Replay(points, plain, set(edits), start))
        for name, trajectory in heard.items():
            call_hooks(points[name], trajectory, readers=True)
        if not live:
            # not the very tensor that was shown: what enters the next layer is not all that hangs on it
            return plain["h"].view_as(plain["h"]), last
        passing = Passing(live)
        last = self._steps(x, states, passing)
        return passing.h(plain["h"]), last

    def _plain(
        self, x: Tensor, states: States, points: dict[str, AxisHookPoint]
    ) -> tuple[dict[str, Tensor], States]:
        """The trajectories of h and of these points without any edit, and the last states."""
        if set(points) == {"h"}:
            h, last = self._fast(x, states)
            return {"h": h}, last
        seen = _Kept()
        last = self._steps(x, states, seen)
        return {name: torch.stack(seen.rows[name], dim=-2) for name in {**points, "h": None}}, last

    def _replayed(
        self, x: Tensor, states: States, points: dict[str, AxisHookPoint], replay: Replay
    ) -> tuple[Tensor, States]:
        last = self._steps(x, states, replay)
        replay.show()
        return replay.after("h"), last

    def _fast(self, x: Tensor, states: States) -> tuple[Tensor, States]:
        """h at every position and the last states, by whatever is fastest."""
        if self.W_x.ndim == 2:
            return self._kernel(x, states, [self.W_x, self.W_h, self.b_x, self.b_h])
        if self.cell.batched:
            seen = _Kept()
            states = self._steps(x, states, seen)
            return torch.stack(seen.rows["h"], dim=-2), states
        members = [x.expand(len(self.W_x), *x.shape[-3:]), *states, self.W_x, self.W_h, self.b_x, self.b_h]
        count = len(states)
        alone = [
            self._kernel(own[0], tuple(own[1 : 1 + count]), list(own[1 + count :]))
            for own in zip(*[member.unbind(0) for member in members], strict=True)
        ]
        last = zip(*[states for _, states in alone], strict=True)
        return torch.stack([h for h, _ in alone]), tuple(torch.stack(state) for state in last)

    def _kernel(self, x: Tensor, states: States, weights: list[Tensor]) -> tuple[Tensor, States]:
        """torch's own, for one network: `x [example, pos, width]`."""
        W_x, W_h, b_x, b_h = weights
        first = tuple(state.unsqueeze(0) for state in states)
        training = torch.is_grad_enabled()
        h, *last = self.cell.kernel(
            x,
            first if len(first) > 1 else first[0],
            [W_x.mT, W_h.mT, b_x, b_h],
            True,  # biases
            1,  # layer
            0.0,  # dropout
            training,
            False,  # one direction
            True,  # examples first
        )
        return h.contiguous(), tuple(
            state.squeeze(0) for state in last
        )  # one layout, so the same bits behind it

    def _steps(self, x: Tensor, states: States, see: See) -> States:
        """The last states; each step's values are told to `see`, which says what the next goes on from."""
        flat = affine(x.flatten(-3, -2), self.W_x, self.b_x)
        driven = flat.view(*flat.shape[:-2], *x.shape[-3:-1], flat.shape[-1])
        recurrence = self._recurrence()
        for row in driven.unbind(-2):
            states = self.cell.step(row, states, recurrence, see)
        return states

    def _recurrence(self) -> Recurrence:
        W_h, b_h = self.W_h, self.b_h
        if W_h.ndim == 2:
            return lambda h: torch.addmm(b_h, h, W_h)
        bias = b_h.unsqueeze(-2)
        return lambda h: torch.baddbmm(bias, h, W_h)


class _Kept:
    """A `see` that keeps what it is told and changes nothing."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Tensor]] = {}

    def __call__(self, name: str, row: Tensor) -> Tensor:
        self.rows.setdefault(name, []).append(row)
        return row
