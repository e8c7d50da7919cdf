"""What the model card says of using the network: carried out by the letter, it gives what was measured."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import torch
from mlxtend.data import autompg_data
from safetensors.torch import save_file
from sklearn.datasets import load_digits

import sample_models
from analysis.datasets import Dataset, Split
from analysis.export import FORMATS, checked
from analysis.export.card import model_card
from analysis.loading.normalisation import AS_THEY_ARE
from analysis.pruning.plan import Plan
from analysis.recovery.recovered import recovered_from
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from tests.export.shipments import dataset_of, plan_of, shipped, write_into
from tests.networks import Mlp, load, randomise, split
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module

DAY = date(2031, 5, 6)


def shipment(task=CLASSIFICATION, outputs=3, last=None, **facts):
    module = randomise(Mlp(outputs=outputs))
    network = load(torch.nn.Sequential(module, last).eval() if last else module, (5,), "tiny")
    data = replace(
        dataset_of(split((5,), outputs if task is CLASSIFICATION else 2, 20, task=task), task), **facts
    )
    return shipped(network, data, plan_of(network, "weight"), measured=True)


def sample(name: str):
    opened = sample_models.load(name)
    data = replace(opened.dataset, evaluation=opened.dataset.evaluation.sample(20))
    return shipped(opened.network, data, plan_of(opened.network, "channel", 0.1), measured=True)


def said(out, start: str) -> str:
    """The line of the card that begins so."""
    found = [line for line in model_card(out, [], DAY).splitlines() if line.startswith(f"- **{start}**")]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("name", FORMATS)
def test_the_code_on_the_card_runs_in_the_folder_and_answers_as_the_network_does(name, tmp_path):
    out = sample("digits-cnn")
    found = checked(FORMATS[name], out)
    card = model_card(out, [found], DAY)
    assert all(f"folder `{other}`" not in card for other in FORMATS if other != name)
    folder = write_into(tmp_path / name, found.files)
    torch.save(out.examples.inputs, folder / "inputs.pt")
    save_file(out.dense.module.state_dict(), folder / "original.safetensors")
    if name == "script":
        (command,) = re.findall("`python (reproduce.py [^`]*)`", card)
        subprocess.run([sys.executable, *command.split()], cwd=folder, check=True, capture_output=True)
    (code,) = re.findall("```python\n(.*?)```", card, re.DOTALL)
    program = (
        f"import torch\ninputs = torch.load('inputs.pt')\n{code}\n"
        "torch.save(torch.as_tensor(outputs).detach(), 'outputs.pt')\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=folder, check=True, capture_output=True)
    answers = torch.load(folder / "outputs.pt")
    assert torch.allclose(answers, out.expected, atol=1e-4)


def test_digits_scaled_as_the_card_says_are_what_the_network_reads():
    line = said(sample("digits-cnn"), "Scaling")
    white, divisor, mean, deviation = map(float, re.findall(r"(?<=\s)\d+\.?\d*(?=[ ,.])", line)[1:])
    assert line.endswith(f"standard deviation {deviation:g}.")
    mine = (load_digits().images / divisor - mean) / deviation
    assert white == divisor == 16
    inputs = sample_models.load("digits-cnn").dataset.evaluation.inputs[:, 0].numpy()
    rows = {tuple(np.round(image.flatten(), 4)) for image in mine.astype(np.float32)}
    assert {tuple(np.round(image.flatten(), 4)) for image in inputs} <= rows


def test_cars_scaled_as_the_card_says_are_what_the_network_reads():
    out = sample("auto-mpg-mlp")
    numbers = re.findall(r"([\d.]+) and ([\d.]+) of ([a-z ]+)[,.]", said(out, "Scaling"))
    names = said(out, "Features").partition(": ")[2].rstrip(".").split(", ")
    assert [name for *_, name in numbers] == names == list(out.dataset.feature_names)
    mean, deviation = (np.array([float(entry[i]) for entry in numbers]) for i in (0, 1))
    mine = (autompg_data()[0][:, :7] - mean) / deviation
    inputs = sample_models.load("auto-mpg-mlp").dataset.evaluation.inputs.numpy()
    far = np.abs(inputs[:, None] - mine[None]).max(axis=2).min(axis=1)
    assert far.max() < 1e-4
    assert "the predicted value, in miles per gallon" in said(out, "Output")


def test_classes_are_named_in_the_order_of_the_outputs():
    line = said(shipment(class_names=("cat", "a|b", "dog")), "Classes")
    assert line == "- **Classes**, in the order of the outputs: cat, a\\|b, dog."
    assert "their names are not known here" in said(shipment(), "Classes")


def test_of_many_names_the_first_are_listed_with_how_many_there_are():
    names = tuple(f"c{i}" for i in range(30))
    line = said(shipment(outputs=30, class_names=names), "Classes")
    assert line.endswith(f"{', '.join(names[:20])} and so on, 30 in all.")


@pytest.mark.parametrize(
    ("task", "outputs", "last", "words"),
    [
        (
            CLASSIFICATION,
            3,
            None,
            "`(N, 3)`, `float32`: a logit for each class; softmax makes them probabilities.",
        ),
        (CLASSIFICATION, 3, torch.nn.Softmax(dim=1), "a probability for each class, which sum to 1."),
        (BINARY, 1, None, "the logit of class 1, which is the answer if it is above 0"),
        (BINARY, 1, torch.nn.Sigmoid(), "the probability of class 1, which is the answer if it is above 0.5"),
        (REGRESSION, 1, None, "on the scale of the training targets; its unit is not known here"),
    ],
)
def test_the_meaning_of_the_outputs_is_said(task, outputs, last, words):
    assert words in said(shipment(task, outputs, last), "Output")


def test_a_binary_networks_classes_are_told_apart():
    assert (
        said(shipment(BINARY, 1, class_names=("no", "yes")), "Classes") == "- **Classes**: 0 is no, 1 is yes."
    )


@pytest.mark.parametrize(
    ("normalisation", "words"),
    [
        ("", "How inputs were scaled is not known here: as in training."),
        (AS_THEY_ARE.sentence, "How they were scaled before is not known here: as in training."),
    ],
)
def test_what_is_not_known_of_the_inputs_is_said(normalisation, words):
    assert words in said(shipment(normalisation=normalisation), "Scaling")
    known = said(shipment(normalisation="Divided by 9."), "Scaling")
    assert known == "- **Scaling**: Divided by 9."


def test_numbers_that_the_sentence_leaves_out_stand_in_a_table():
    names = ("a", "b", "c|d", "e", "f")
    facts = {
        "feature_names": names,
        "offset": (1.0, 2.5, 3.0, 4.0, 5.0),
        "scale": (0.5, 1.0, 2.0, 3.0, 1 / 3),
    }
    card = model_card(shipment(**facts), [], DAY)
    rows = [
        "| a | 1 | 0.5 |",
        "| b | 2.5 | 1 |",
        "| c\\|d | 3 | 2 |",
        "| e | 4 | 3 |",
        "| f | 5 | 0.333333333 |",
    ]
    assert "| feature | mean | spread |\n| --- | --- | --- |\n" + "\n".join(rows) in card
    assert "| mean |" not in model_card(shipment(offset=(1.0,) * 5, scale=(0.5,) * 5), [], DAY)


def test_tokens_are_token_ids():
    network = from_module("gru-tokens")
    lines = Split(BY_NAME["gru-tokens"].inputs(10), torch.zeros(10, dtype=torch.long), "10 lines")
    data = Dataset("lines", CLASSIFICATION, lines, lines, class_names=("a", "b", "c", "d"))
    out = shipped(network, data, Plan(network.name, "l1"), measured=True)
    assert "(token ids), `int64`" in said(out, "Input")
    assert "Which token has which id is not known here" in said(out, "Scaling")


def test_the_script_says_where_its_original_comes_from_and_what_it_is_for():
    out = sample("digits-cnn")
    recovered = recovered_from(out.pruned, out.selection, ())
    whole = shipped(out.dense, out.dataset, Plan(out.dense.name, "l1"), measured=True)
    again = replace(out, recovered=recovered, plan=replace(out.plan, recovered="a" * 64))
    remarks = [FORMATS["script"].remark(each) for each in (out, again, whole)]
    assert all(
        "*Dense*" in remark and "sample_models/weights/NAME.safetensors" in remark for remark in remarks
    )
    assert "keeps the values of the original that were not removed" in remarks[0]
    assert "read to check alone" in remarks[1] and "read to check" not in remarks[0]
    assert "Nothing was removed" in remarks[2]


def test_the_dense_networks_weights_are_the_original(only_torch, tmp_path):
    """As the card says: those of an export of the dense network, and those that the sample came with."""
    out = sample("digits-cnn")
    folder = write_into(tmp_path / "script", FORMATS["script"].write(out))
    whole = shipped(out.dense, out.dataset, Plan(out.dense.name, "l1"))
    dense = write_into(tmp_path / "dense", FORMATS["safetensors"].write(whole))
    for original in (dense / "network.safetensors", sample_models.WEIGHTS_FOLDER / "digits-cnn.safetensors"):
        assert only_torch.reproduce(folder, original)[0] == 0
