"""What an attribution method is: its entry, its parameters, and the batch that it is asked to explain."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor, fx

from analysis.errors import AttributionError

Kind = Literal["gradient", "perturbation", "layer"]
Shape = tuple[int, ...]
Values = Mapping[str, float]

FOLLOWS_GRADIENTS = "follows gradients to the inputs, and tokens have none"


@dataclass(frozen=True)
class Parameter:
    """A number that a method can be given, from `low` to `high` in steps of `step`.

    It is a whole number if its step is. An `images_only` one means nothing for other inputs.
    """

    key: str
    label: str
    default: float
    low: float
    high: float
    step: float
    sentence: str
    images_only: bool = False

    @property
    def is_whole(self) -> bool:
        """True if only whole numbers make sense."""
        return float(self.step).is_integer()

    def check(self, value: float) -> None:
        """Refuse a value that makes no sense; AttributionError."""
        if not (math.isfinite(value) and self.low <= value <= self.high):
            raise AttributionError(
                f"{self.label} must lie between {self.low:g} and {self.high:g}, not {value:g}."
            )
        if self.is_whole and not float(value).is_integer():
            raise AttributionError(f"{self.label} must be a whole number, not {value:g}.")


@dataclass(frozen=True)
class Request:
    """One batch to explain.

    Parameters
    ----------
    module : GraphModule
        A private copy.
    inputs, baseline : Tensor
        (N, ...), of one shape; tokens (N, T).
    target : Tensor or None
        Output to explain, (N,); None for a single output.
    layer : str
        The module that is looked at; empty for methods that look at none.
    seed : int
        Where the noise of a random method begins.
    values : mapping
        Every parameter of the method.
    together : int
        How many examples the network should answer at once, so that memory stays small.
    """

    module: fx.GraphModule
    inputs: Tensor
    target: Tensor | None
    baseline: Tensor
    layer: str
    seed: int
    values: Values
    together: int

    @property
    def shape(self) -> Shape:
        """The shape of one example."""
        return tuple(self.inputs.shape[1:])

    @property
    def reads_tokens(self) -> bool:
        """True if the inputs are tokens."""
        return not self.inputs.is_floating_point()

    def whole(self, key: str) -> int:
        """The value of a parameter that is a whole number."""
        return int(self.values[key])

    def answers(self, inputs: Tensor) -> Tensor:
        """What is explained, (N,), at other inputs of the same examples."""
        with torch.no_grad():
            outputs = self.module(inputs)
        return outputs.reshape(-1) if self.target is None else outputs.gather(1, self.target[:, None])[:, 0]

    def completeness(self, shares: Tensor) -> Tensor:
        """How far `shares` (N, ...) miss the change of the answer that they should add up to, (N,).

        ``sum(shares) - (answer(inputs) - answer(baseline))``: above 0 if too much was shared out.
        """
        change = self.answers(self.inputs) - self.answers(self.baseline)
        return shares.detach().flatten(1).sum(dim=1) - change


class Found(NamedTuple):
    """What a method finds of a batch: `values` of the inputs' shape, and `delta` (N,) if it has one."""

    values: Tensor
    delta: Tensor | None = None


class Cost(NamedTuple):
    """How often the network runs for one example: answers, and gradients of an answer.

    `drawn` counts the changed inputs that Captum makes one at a time, which takes as long in a tiny network.
    """

    forwards: float
    backwards: float = 0.0
    drawn: float = 0.0

    @property
    def passes(self) -> float:
        """In forward passes: following a gradient back takes about two more (one for the values, one on)."""
        return self.forwards + 2 * self.backwards


ONE_GRADIENT = Cost(1, 1)


def _one_gradient(values: Values, shape: Shape) -> Cost:
    return ONE_GRADIENT


def _as_it_is(module: fx.GraphModule) -> None:
    """Nothing to prepare."""


@dataclass(frozen=True)
class Method:
    """An attribution method: `compute` gives one value per input value.

    Parameters
    ----------
    sentence, source : str
        What it says in plain words; the paper.
    cost : callable
        Given the parameters and the shape of one example: what explaining it takes.
    prepare : callable
        Makes the private copy of the network ready, once.
    batch : int
        How many examples are explained together, at most. A random method explains them one by one.
    needs_layer, needs_relu, needs_rules : bool
        It looks at a convolution over an image; changes ReLU; has a rule for each activation it knows.
    no_tokens : str
        Why it cannot read tokens; empty if it can.
    is_signed : bool
        It speaks for and against an answer: turned around, it explains the opposite answer.
    has_target : bool
        False if it says the same whatever answer is asked about.
    is_local : bool
        It says how the answer reacts to a change of an input by one; all others say what the input contributes.
    is_map : bool
        It finds one map over an image, and every channel holds the whole of it.
    """

    name: str
    label: str
    kind: Kind
    sentence: str
    source: str
    compute: Callable[[Request], Found]
    cost: Callable[[Values, Shape], Cost] = _one_gradient
    parameters: tuple[Parameter, ...] = ()
    prepare: Callable[[fx.GraphModule], None] = _as_it_is
    batch: int = 64
    needs_layer: bool = False
    needs_relu: bool = False
    needs_rules: bool = False
    no_tokens: str = FOLLOWS_GRADIENTS
    is_signed: bool = True
    is_random: bool = False
    has_target: bool = True
    is_local: bool = False
    is_map: bool = False

    @property
    def reads_tokens(self) -> bool:
        """True if it can explain a network that reads tokens."""
        return not self.no_tokens

    def complete(self, parameters: Values | None) -> dict[str, float]:
        """All its parameters: those given, and the defaults of the others.

        Raises
        ------
        AttributionError
            If one is unknown or out of range.
        """
        known = {parameter.key: parameter for parameter in self.parameters}
        given = dict(parameters or {})
        for key, value in given.items():
            if key not in known:
                names = ", ".join(known) or "none"
                raise AttributionError(f"{self.label} has no parameter {key!r}. It has: {names}.")
            try:
                known[key].check(value)
            except AttributionError as error:
                raise AttributionError(f"{self.label}: {error}") from error
        return {key: given.get(key, parameter.default) for key, parameter in known.items()}
