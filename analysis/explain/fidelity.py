"""Infidelity and max-sensitivity of maps of importance, computed by Captum.

Yeh et al. 2019, "On the (in)fidelity and sensitivity of explanations".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from captum.metrics import infidelity as captum_infidelity
from captum.metrics import sensitivity_max
from torch import Tensor

from analysis.datasets import Split
from analysis.explain.explainer import Explain
from analysis.explain.removal import mask_shape
from analysis.explain.stages import Progress
from analysis.inference import Layout, answers, compile_network
from analysis.network import Network
from analysis.tasks import Task, true_outputs

REMOVALS = 16  # random removals an example
SENSITIVITY_EXAMPLES = 32  # each is explained `NUDGES` times anew
NUDGES = 10
RADIUS = 0.05  # of a nudge, as a share of the inputs' standard deviation
_AT_ONCE = 4  # examples whose removals are answered together


@dataclass(frozen=True, eq=False)
class Subject:
    """A network with the examples it is asked about and its own maps of them, shape of the inputs.

    `task` is settled. `empty` is the input that means "nothing"; it broadcasts over one example. `signed`
    maps speak for an answer and against it; `local` ones say how the answer reacts to a change of an input
    by one, all others what the input contributes.
    """

    network: Network
    task: Task
    split: Split
    maps: Tensor
    empty: Tensor
    signed: bool
    local: bool


def infidelity(
    subject: Subject, *, removals: int = REMOVALS, seed: int = 0, progress: Progress = lambda share: None
) -> Tensor:
    """What a map does not foresee of random removals, in [0, 1] for each example, (N,).

    Yeh et al. 2019, definition 2.1: the mean of ``(I·map - (f(x) - f(x - I)))²`` over random removals I. Of
    images they empty a square of any size up to half the side, of other inputs each value with probability
    1/2. A local map is multiplied by the change of the inputs; any other, and one of tokens, which have no
    size, by 1 where an input was emptied.
    Two things are divided out, so that networks with answers of different size can be compared: the map is
    scaled to its best (their normalised variant), and the result is divided by the mean of
    ``(f(x) - f(x - I))²``. NaN where no removal changed the answer.
    """
    inputs = subject.split.inputs
    by_size = subject.local and inputs.is_floating_point()
    column, sign = _explained(subject)
    answer = _answer(subject)
    generator = torch.Generator().manual_seed(seed)
    found = []
    for start in range(0, len(inputs), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        some, maps = inputs[rows], subject.maps[rows].double()
        repeated = some.repeat_interleave(removals, dim=0)
        gone = _random_removals(repeated, generator)
        left = torch.where(gone, subject.empty, repeated)
        change = (repeated - left).double() if by_size else gone.double().expand(repeated.shape)
        missed, everything = (
            captum_infidelity(
                answer,
                lambda given, change=change, left=left: (change, left),
                some,
                judged,
                additional_forward_args=(column[rows], sign[rows]),
                n_perturb_samples=removals,
                normalize=True,
            )
            for judged in (maps, torch.zeros_like(maps))
        )
        found.append((missed / torch.where(everything > 0, everything, torch.nan)).clamp(0, 1))
        progress(min(1.0, (start + _AT_ONCE) / len(inputs)))
    return torch.cat(found)


def sensitivity(
    subject: Subject,
    explain: Explain,
    *,
    examples: int = SENSITIVITY_EXAMPLES,
    nudges: int = NUDGES,
    seed: int = 0,
) -> Tensor:
    """How far a map moves at most, as a share of its size, when its input is nudged; (examples,) values.

    Yeh et al. 2019, definition 3.1, over `nudges` random inputs whose values differ by up to `RADIUS`
    standard deviations of their channel or feature. An empty map counts as one of size 1.
    """
    inputs = subject.split.inputs
    split = subject.split.take(torch.arange(min(examples, len(inputs))))
    over = (0, *range(2, inputs.dim()))
    radius = (RADIUS * inputs.double().std(dim=over, correction=0, keepdim=True)).to(inputs.dtype)
    generator = torch.Generator().manual_seed(seed)

    def nudge(given: Tensor) -> Tensor:
        return given + radius * (2 * torch.rand(given.shape, generator=generator) - 1)

    def explained(given: Tensor | tuple[Tensor], target: Tensor | None) -> tuple[Tensor]:
        return (explain(subject.network, given[0] if isinstance(given, tuple) else given, target),)

    targets = split.targets if subject.task.is_classification else None
    return sensitivity_max(explained, split.inputs, nudge, n_perturb_samples=nudges, target=targets).double()


def _answer(subject: Subject) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """Inputs (M, ...), columns (M,) and signs (M,) to the explained output, (M,)."""
    program = compile_network(subject.network, Layout(channels_last=subject.split.inputs.dim() == 4))

    def answer(given: Tensor, column: Tensor, sign: Tensor) -> Tensor:
        outputs = answers(program, given).double().reshape(len(given), -1)
        return outputs.gather(1, column[:, None])[:, 0] * sign

    return answer


def _explained(subject: Subject) -> tuple[Tensor, Tensor]:
    """Which output the maps explain, and whether it is turned around; (N,) each."""
    targets = subject.split.targets
    column = true_outputs(subject.task, targets)
    sign = torch.ones(len(targets), dtype=torch.float64)
    if column is not None:
        return column, sign
    if subject.task.is_classification and subject.signed:
        sign[targets == 0] = -1
    return torch.zeros(len(targets), dtype=torch.long), sign


def _random_removals(inputs: Tensor, generator: torch.Generator) -> Tensor:
    """True where an input is emptied, of the shape of :func:`mask_shape`."""
    shape = mask_shape(inputs)
    if inputs.dim() != 4:
        return torch.rand(shape, generator=generator) < 0.5
    count, _, height, width = shape
    largest = max(1, min(height, width) // 2)
    side = torch.randint(1, largest + 1, (count, 1), generator=generator)
    inside = []
    for length in (height, width):
        first = (torch.rand((count, 1), generator=generator) * (length - side + 1)).floor()
        place = torch.arange(length)
        inside.append((place >= first) & (place < first + side))
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
