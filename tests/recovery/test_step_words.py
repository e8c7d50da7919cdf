"""Steps of recovery in words, from settings as the command line and the Recover page keep them."""

from dataclasses import replace

from analysis.recovery.recipe import Augmentation, Recipe, to_data
from analysis.recovery.step_words import settings_words


def test_a_recipe_within_the_settings_is_told_without_what_is_off():
    """As the Recover page keeps a training."""
    teacher = {"temperature": 4.0, "soft": 0.9, "hints": [], "hint_weight": 1.0}
    kept = {"from": "b" * 64, "epoch": 2, "recipe": to_data(Recipe()), "distillation": teacher}
    words = settings_words(kept)
    assert words == (
        "epochs 10, learning rate 0.05, examples in a step 64, optimiser SGD, momentum 0.9, seed 0, "
        "learning rate falls by cosine, share of warm-up 0.1, temperature 4, share of soft answers 0.9"
    )
    recipe = Recipe(optimiser="adamw", decay=0.01, l1=1e-5, augmentation=Augmentation(flip=True, shift=2))
    words = settings_words({"recipe": to_data(recipe), "distillation": None})
    assert "momentum" not in words and "decay 0.01, " in words and "L1 penalty 1e-05" in words
    assert words.endswith("shift 2, images mirrored")
    assert "decay" not in settings_words({"recipe": to_data(replace(recipe, optimiser="adam"))})
    assert settings_words({"distillation": {**teacher, "hints": ["a", "b"]}}).endswith(
        "hints a and b, hint weight 1"
    )


def test_the_settings_of_gradual_pruning_are_told_apart_from_those_of_its_recipe():
    course = {"schedule": "cubic", "steps": 8, "rescore": False, "soft": True, "rewind": 0, "floor": None}
    words = settings_words({**course, "recipe": to_data(Recipe()), "step": 5})
    assert words.startswith("levels cubic, steps 8, scored once, soft pruning, rewound to epoch 0, epochs 10")
    assert "learning rate falls by cosine" in words and words.endswith("step 5")
    assert settings_words({"rescore": True}) == "scored again at each step"
