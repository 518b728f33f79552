"""Shares of a sweep run elsewhere, in threads and in processes however begun, give what one thread gives."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hand_network import HandNetwork, hooks_of
from torch import Tensor

from interp.locating.patching import activation_patching
from interp.reading.capture import capture
from interp.refusals import Refused
from interp.writing.edits import Edit, patch, scale
from interp.writing.sweep import sweep
from models.networks.mlp import MLP
from models.networks.mlp_config import MLPConfig
from models.networks.transformer import Transformer
from models.networks.transformer_config import TransformerConfig


def model_and_tokens() -> tuple[Transformer, Tensor]:
    config = TransformerConfig(vocabulary=11, context=6, layers=2, d_model=12, heads=2, d_mlp=10)
    tokens = torch.randint(11, (4, 6), generator=torch.Generator().manual_seed(5))
    return Transformer(config).double().eval(), tokens


def difference(logits: Tensor) -> Tensor:
    return logits[..., 1] - logits[..., 2]


@contextmanager
def processes(begun: str) -> Iterator[Executor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(begun)) as executor:
        yield executor


# Python 3.12 and later warn of any fork beside threads, and torch has some
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

EXECUTORS: dict[str, Callable[[], Any]] = {
    "threads": lambda: ThreadPoolExecutor(2),
    "forked": lambda: processes("fork"),
    "spawned": lambda: processes("spawn"),
}


@pytest.mark.parametrize("kind", EXECUTORS)
def test_any_executor_gives_the_same(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 3)  # three shares, whatever the machine
    model, tokens = model_and_tokens()
    acts = capture(model, tokens.flip(0), "blocks.*.hook_resid_pre")
    edits = [patch(name, acts, pos=pos) for name in acts for pos in range(6)]
    alone = sweep(model, tokens, edits, difference, at=-1)
    with EXECUTORS[kind]() as executor:
        shared = sweep(model, tokens, edits, difference, at=-1, executor=executor, memory=30_000_000)
    np.testing.assert_allclose(shared, alone, atol=1e-12)
    assert shared["pos"].values.tolist() == alone["pos"].values.tolist()
    assert not any(hooks_of(model).values())


def test_grids_and_networks_that_are_run_whole_are_shared_out_too() -> None:
    model, tokens = model_and_tokens()
    given = (model, tokens, tokens.flip(0), difference)
    with ThreadPoolExecutor(2) as executor:
        shared = activation_patching(*given, at=-1, executor=executor)
        by_hand = sweep(
            HandNetwork(),
            torch.arange(6.0).reshape(3, 2),
            [scale("hook_input", 2.0)],
            same,
            executor=executor,
        )
    np.testing.assert_allclose(shared.under, activation_patching(*given, at=-1).under, atol=1e-12)
    assert by_hand.values.tolist() == [[6, 22, 38]]


def same(output: Tensor) -> Tensor:
    return output


def test_what_cannot_be_sent_to_another_process_is_named() -> None:
    model, tokens = model_and_tokens()
    edits = [patch("hook_embed", 0.0, pos=pos) for pos in range(2)]
    soft = MLP(MLPConfig((3, 2), output="softmax"))
    soft.output = lambda logits: logits.softmax(-1)
    own = [Edit("hook_embed", lambda x, site: x * 2)]
    with processes("fork") as executor:
        with pytest.raises(Refused, match="The metric cannot be sent to another process"):
            sweep(model, tokens, edits, lambda logits: logits[:, 1], at=-1, executor=executor)
        with pytest.raises(Refused, match="The edits cannot be sent"):
            sweep(model, tokens, own, difference, at=-1, executor=executor)
        with pytest.raises(Refused, match="The network cannot be sent"):
            sweep(soft, torch.rand(4, 3), [patch("hook_input", 0.0)], difference, executor=executor)


def wrong(logits: Tensor) -> Tensor:
    raise TypeError("the metric's own mistake")


@pytest.mark.parametrize("kind", ["threads", "forked"])
def test_a_mistake_in_the_metric_is_not_taken_for_another(kind: str) -> None:
    model, tokens = model_and_tokens()
    with EXECUTORS[kind]() as executor, pytest.raises(TypeError, match="own mistake"):
        sweep(model, tokens, [patch("hook_embed", 0.0)], wrong, at=-1, executor=executor)
