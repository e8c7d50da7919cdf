"""One form for every graph: weights, activations and sizes live in modules, whatever the code looked like.

Captum wants a module of its own for each activation call; pruning wants every weight in a layer, every
recurrence one direction at a time, and every size that counts channels in a module that can be cut.
"""

from __future__ import annotations

from torch import Tensor, fx

from analysis.canonical.layers import (
    layers_of_calls,
    one_module_per_activation,
    tied_layers,
    values_as_modules,
)
from analysis.canonical.recurrences import recurrences
from analysis.canonical.sizes import sizes_as_modules
from analysis.canonical.writing import (
    DROPOUTS,
    clean,
    positional_calls,
    without_dropout_calls,
    without_writing,
)

__all__ = ["DROPOUTS", "canonicalise"]


def canonicalise(module: fx.GraphModule, example_input: Tensor) -> None:
    """Bring a traced graph into the form described above, in place; its answers stay the same.

    Parameters
    ----------
    example_input : Tensor
        Shape (1, ...): it is run, repeated, to learn which sizes depend on the number of examples.

    Raises
    ------
    Exception
        Whatever the network raises if it cannot run on two or three examples.
    """
    positional_calls(module)
    without_writing(module)
    without_dropout_calls(module)
    one_module_per_activation(module)
    layers_of_calls(module)
    tied_layers(module)
    recurrences(module)
    values_as_modules(module)
    clean(module)
    sizes_as_modules(module, example_input)
    clean(module)
