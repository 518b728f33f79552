"""Which products wait for which: a mode of torch under which every tensor knows the longest chain that led to it.

A tensor made by an operation has the longest chain among the operation's inputs, and one more if the operation is a
product of matrices (attention as a whole, which torch computes in one operation, counts as one, and so does a recurrent
layer's fused kernel: lay its steps open to have them counted). It needs torch, and is imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "linear", "mv", "addmv", "dot")
PARTS = ("attention", "rnn", "lstm", "gru")


class Chains(TorchDispatchMode):
    """While it lasts, `longest` is the longest chain of products so far."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.longest = 0
        self._ends_at: Any = WeakIdKeyDictionary()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and asking torch's compiler to look away would import it, which takes seconds."""
        return False

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        length = max((self._ends_at.get(tensor, 0) for tensor in given), default=0) + is_product(func)
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._ends_at[tensor] = max(length, self._ends_at.get(tensor, 0))
        self.longest = max(self.longest, length)
        return made


def is_product(func: Callable[..., Any]) -> bool:
    """Whether this operation of torch multiplies matrices."""
    name = str(getattr(func, "_opname", getattr(func, "__name__", ""))).strip("_")
    return name in PRODUCTS or any(part in name for part in PARTS)
