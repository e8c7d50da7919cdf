"""Recovery as a report tells it."""

from analysis.recovery.recovered import Step
from analysis.report.steps import recovery, steps_words

CLI = {"epochs": 3, "learning_rate": 0.005000000000000001, "seed": 0}


def cell(settings):
    return recovery([Step("distillation", settings, 1.1)]).rows[0][2]


def test_a_best_epoch_of_0_says_that_training_changed_nothing():
    found = cell({**CLI, "epoch": 0})
    assert found.text == "epochs 3, learning rate 0.005, seed 0"
    assert found.small == "No epoch was better than the start, so training changed nothing."
    steps = [Step("recalibration", {}, 0.1), Step("distillation", {**CLI, "epoch": 0}, 1.1)]
    assert steps_words(steps) == "recalibration (0.1 s), then distillation (1.1 s, changed nothing)"


def test_another_best_epoch_is_named_and_a_step_without_one_says_nothing():
    assert cell({**CLI, "epoch": 2}).small == "The weights of epoch 2 are kept."
    assert cell(CLI).small == "" and recovery([Step("recalibration")]).rows[0][2].text == "–"
    assert steps_words([Step("distillation", {**CLI, "epoch": 2}, 1.1)]) == "distillation (1.1 s)"
