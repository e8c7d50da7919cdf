"""Learning rates against torch's own schedulers, step by step."""

import pytest
import torch
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from analysis.recovery import schedules
from analysis.recovery.recipe import Recipe
from analysis.recovery.schedules import factor

TOTAL, WARM = 40, 10


def _torch_rates(build, steps):
    """The rates of one of torch's schedulers, from 1."""
    optimiser = SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler = build(optimiser)
    rates = []
    for _ in range(steps):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return rates


def _ours(recipe, total=TOTAL):
    return [factor(recipe, step, total) for step in range(total)]


def test_cosine_is_torchs():
    expected = _torch_rates(lambda optimiser: CosineAnnealingLR(optimiser, TOTAL), TOTAL)
    assert _ours(Recipe(schedule="cosine", warm_up=0.0)) == pytest.approx(expected)


def test_step_is_torchs():
    size = -(-TOTAL // schedules.DROPS)
    expected = _torch_rates(lambda optimiser: StepLR(optimiser, size, schedules.DROP), TOTAL)
    assert _ours(Recipe(schedule="step", warm_up=0.0)) == pytest.approx(expected)


def test_constant_stays():
    assert _ours(Recipe(schedule="constant", warm_up=0.0)) == [1.0] * TOTAL


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_warm_up_rises_linearly_and_the_schedule_follows(schedule):
    after = {
        "cosine": lambda optimiser: CosineAnnealingLR(optimiser, TOTAL - WARM),
        "step": lambda optimiser: StepLR(optimiser, (TOTAL - WARM) // schedules.DROPS, schedules.DROP),
        "constant": lambda optimiser: LinearLR(optimiser, 1.0, 1.0, 1),
    }[schedule]

    def build(optimiser):
        first = LinearLR(optimiser, start_factor=1 / (WARM + 1), total_iters=WARM)
        return SequentialLR(optimiser, [first, after(optimiser)], milestones=[WARM])

    found = _ours(Recipe(schedule=schedule, warm_up=WARM / TOTAL))
    assert found == pytest.approx(_torch_rates(build, TOTAL))
    assert found[:3] == pytest.approx([1 / 11, 2 / 11, 3 / 11])
    assert found[WARM] == 1.0


@pytest.mark.parametrize(
    "losses",
    [
        [1.0, 0.9, 0.8, 0.7],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        [1.0, 0.99999, 0.99998, 0.99997, 0.5, 0.6, 0.7, 0.8, 0.4],
        [3.0, 2.0, 2.5, 2.6, 1.9, 2.0, 2.1, 2.2, 2.3, 2.4, 2.5],
    ],
)
def test_plateau_is_torchs(losses):
    optimiser = SGD([torch.zeros(1, requires_grad=True)], 1.0)
    scheduler = ReduceLROnPlateau(
        optimiser, factor=schedules.PLATEAU_DROP, patience=schedules.PLATEAU_PATIENCE, eps=0.0
    )
    recipe = Recipe(schedule="plateau", warm_up=0.0)
    for done in range(len(losses) + 1):
        assert factor(recipe, 10, TOTAL, losses[:done]) == pytest.approx(optimiser.param_groups[0]["lr"])
        if done < len(losses):
            scheduler.step(losses[done])


@pytest.mark.parametrize("schedule", ["cosine", "step", "plateau", "constant"])
@pytest.mark.parametrize("total", [1, 2, 3, 7])
def test_short_trainings_have_rates_above_zero_and_at_most_one(schedule, total):
    rates = _ours(Recipe(schedule=schedule, warm_up=0.3), total)
    assert all(0 < rate <= 1 for rate in rates)
