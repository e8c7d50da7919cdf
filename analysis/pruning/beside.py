"""What is followed beside a network's values: every operator that runs is seen, and notes are kept of tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

See = Callable[[Any, Any, Any, Any], None]


class Operators(TorchDispatchMode):
    """Tells `see` of every ATen operator that runs: (function, args, kwargs, output)."""

    def __init__(self, see: See) -> None:
        super().__init__()
        self._see, self._is_paused = see, False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here, and keeping the compiler out would load it: over a second for each process."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if not self._is_paused:
            with self.paused():
                self._see(func, args, kwargs or {}, output)
        return output

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let what runs now go unseen."""
        before, self._is_paused = self._is_paused, True
        try:
            yield
        finally:
            self._is_paused = before


class Notes:
    """A note (a tensor) for each tensor that a network computes; the tensors are kept, so that ids stay theirs."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Tensor, Tensor]] = {}

    def of(self, value: Any) -> Tensor | None:
        """The note of a tensor; None if it has none."""
        found = self._known.get(id(value))
        return None if found is None else found[1]

    def note(self, value: Any, found: Any) -> None:
        """Keep a note of a tensor, or one for each of several; None takes it away."""
        if isinstance(value, (tuple, list)):
            for one, its in zip(value, found or [None] * len(value), strict=True):
                self.note(one, its)
        elif isinstance(value, Tensor):
            self._known.pop(id(value), None)
            if found is not None:
                self._known[id(value)] = (value, found)


def operator_name(function: Any) -> str:
    """An ATen operator's plain name: ``add`` for ``aten::add_.Tensor``."""
    name: str = function._schema.name.partition("::")[2]
    return name.removesuffix("_") if not name.startswith("_") else name
