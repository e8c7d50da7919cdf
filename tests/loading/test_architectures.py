"""Architectures of libraries that are faked here, and weights loaded into plain modules."""

import subprocess
import sys
import types
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from analysis.errors import NetworkError
from analysis.loading import architectures
from analysis.loading.architectures import Architecture, available, libraries, load_into
from analysis.loading.matching import fit_heads, misfit

NAMES = ("torchvision", "timm", "transformers")


class Tiny(nn.Module):
    def __init__(self, classes=5, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        return self.fc(self.norm(self.conv(x)).relu().mean((2, 3)))


class TwoHeads(Tiny):
    def __init__(self, classes=5):
        super().__init__(classes)
        self.aux = nn.Conv2d(4, classes, 1)


def tiny(build=Tiny, **options):
    return Architecture("test/tiny", "tiny", "test", build, (3, 8, 8), **options)


def weights_of(module):
    torch.manual_seed(1)
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.5, 1.5)
    return {key: value.clone() for key, value in module.state_dict().items()}


@pytest.fixture
def no_libraries(monkeypatch):
    """None of the three can be imported, whatever is installed here."""
    for name in NAMES:
        monkeypatch.setitem(sys.modules, name, None)
    return monkeypatch


def fake(monkeypatch, name, **content):
    module = types.ModuleType(name)
    vars(module).update(content)
    monkeypatch.setitem(sys.modules, name, module)
    return module


def fake_torchvision(monkeypatch):
    crop = partial(object, crop_size=299)
    published = {
        "tiny": SimpleNamespace(DEFAULT=SimpleNamespace(transforms=crop)),
        "plain": SimpleNamespace(),
    }
    models = fake(
        monkeypatch,
        "torchvision.models",
        list_models=lambda module: (
            ["tiny", "plain"] if module.__name__ == "torchvision.models" else ["other"]
        ),
        get_model_weights=published.__getitem__,
        get_model=lambda name, weights: (
            {"tiny": Tiny, "plain": nn.Identity}[name]() if weights is None else None
        ),
    )
    fake(monkeypatch, "torchvision", models=models)


def fake_timm(monkeypatch):
    shapes = {"small": SimpleNamespace(input_size=[3, 160, 160]), "new": None}
    fake(
        monkeypatch,
        "timm",
        list_models=lambda: list(shapes),
        get_pretrained_cfg=lambda name, allow_unregistered: shapes[name],
        create_model=lambda name, pretrained: Tiny(classes=7) if pretrained is False else None,
    )


class FakeBert(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.bert = nn.Embedding(config.vocab_size, 4)
        self.classifier = nn.Linear(4, config.num_labels)

    def forward(self, ids, return_dict=True):
        scores = self.classifier(self.bert(ids).mean(1))
        return {"logits": scores} if return_dict else (scores,)


class FakeViT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.classifier = nn.Linear(config.num_channels * config.image_size**2, config.num_labels)

    def forward(self, x, return_dict=True):
        scores = self.classifier(x.flatten(1))
        return {"logits": scores} if return_dict else (scores,)


def fake_transformers(monkeypatch):
    fake(
        monkeypatch,
        "transformers",
        BertConfig=lambda: SimpleNamespace(vocab_size=11, num_labels=2),
        BertForSequenceClassification=FakeBert,
        ViTConfig=lambda: SimpleNamespace(num_channels=3, image_size=8, num_labels=2),
        ViTForImageClassification=FakeViT,
        SwinForImageClassification=FakeViT,  # no SwinConfig: another version
    )


# --- what is offered ----------------------------------------------------------------------------


def test_nothing_installed_is_no_error(no_libraries):
    for name in NAMES:
        no_libraries.delitem(sys.modules, name)
    no_libraries.setattr(sys, "path", [])
    no_libraries.setattr(sys, "meta_path", [])
    assert [(one.name, one.reason) for one in libraries()] == [(n, f"{n} is not installed.") for n in NAMES]
    assert available() == ()


def test_torchvision_is_offered(no_libraries):
    fake_torchvision(no_libraries)
    first, second = available()
    assert (first.key, first.label, first.library) == (
        "torchvision/tiny",
        "tiny (torchvision)",
        "torchvision",
    )
    assert (first.input_shape, second.input_shape) == ((3, 299, 299), (3, 224, 224))
    assert isinstance(first.build(), Tiny)


def test_timm_is_offered(no_libraries):
    fake_timm(no_libraries)
    small, new = available()
    assert (small.key, small.input_shape, new.input_shape) == ("timm/small", (3, 160, 160), (3, 224, 224))
    assert small.build().fc.out_features == 7


def test_transformers_are_offered_where_this_version_has_them(no_libraries):
    fake_transformers(no_libraries)
    image, text = available()
    assert (image.key, image.input_shape) == ("transformers/ViTForImageClassification", (3, 8, 8))
    assert (text.key, text.input_shape) == ("transformers/BertForSequenceClassification", (128,))
    assert (image.vocabulary, text.vocabulary) == (0, 11)
    assert "token" in text.note and "token" not in image.note


def test_keys_are_unique_and_libraries_stand_alone(no_libraries):
    for make in (fake_torchvision, fake_timm, fake_transformers):
        make(no_libraries)
    keys = [one.key for one in available()]
    assert len(keys) == len(set(keys)) == 6
    no_libraries.setitem(sys.modules, "timm", None)
    assert len(available()) == 4


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist"),
        AttributeError("partially initialized module"),
        ImportError("undefined symbol"),
        OSError("libcudart.so.12: cannot open shared object file"),
        ModuleNotFoundError("No module named 'PIL'", name="PIL"),
    ],
)
def test_a_broken_library_is_said_and_left_alone(no_libraries, error):
    fake_timm(no_libraries)
    whole = architectures.importlib.import_module

    def fails(name):
        if name == "torchvision":
            raise error
        return whole(name)

    no_libraries.setattr(architectures.importlib, "import_module", fails)
    vision, timm, _ = libraries()
    assert vision.architectures == ()
    assert str(error) in vision.reason and "does not work with PyTorch" in vision.reason
    assert len(timm.architectures) == 2


def test_a_library_that_breaks_when_asked(no_libraries):
    fake(no_libraries, "timm")  # nothing inside: list_models is an AttributeError
    assert "list_models" in libraries()[1].reason


def test_importing_the_module_imports_no_library():
    code = f"import sys, analysis.loading.architectures; print([n for n in {NAMES} if n in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


# --- loading ------------------------------------------------------------------------------------


def test_weights_arrive():
    weights = weights_of(Tiny())
    module = load_into(tiny(), weights, name="w.pt")
    assert not module.training
    for key, value in module.state_dict().items():
        assert torch.equal(value, weights[key]), key


@pytest.mark.parametrize("build", [Tiny, TwoHeads])
@pytest.mark.parametrize("classes", [1, 2, 9])
def test_classes_are_those_of_the_weights(build, classes):
    source = build(classes)
    weights = weights_of(source)
    module = load_into(tiny(build), weights, name="w.pt")
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(module(x), source.eval()(x))
    assert module.fc.out_features == classes
    if build is TwoHeads:
        assert module.aux.out_channels == classes


def test_head_without_bias():
    build = partial(nn.Sequential, nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 5, bias=False))
    source = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2, bias=False))
    module = load_into(tiny(build), weights_of(source), name="w.pt")
    assert module[2].weight.shape == (2, 4) and module[2].bias is None


@pytest.mark.parametrize(
    ("file", "network"),
    [
        (nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 5)), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))),
        (nn.Sequential(nn.Linear(3, 6), nn.Linear(6, 2)), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5))),
        (
            nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6)),
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)),
        ),
        (nn.Sequential(nn.Conv2d(3, 6, 3)), nn.Sequential(nn.Conv2d(3, 4, 3))),
        (
            nn.ModuleList([nn.Linear(3, 2), nn.Linear(3, 6)]),
            nn.ModuleList([nn.Linear(3, 5), nn.Linear(3, 5)]),
        ),
        (nn.ModuleList([nn.Linear(3, 2)]), nn.ModuleList([nn.Linear(4, 5)])),
    ],
)
def test_other_widths_are_no_heads(file, network):
    before = {key: value.shape for key, value in network.state_dict().items()}
    fit_heads(network, file.state_dict())
    assert {key: value.shape for key, value in network.state_dict().items()} == before
    assert "of another shape" in misfit(network, file.state_dict())


def test_batch_counters_may_be_missing():
    weights = weights_of(Tiny())
    del weights["norm.num_batches_tracked"]
    module = load_into(tiny(), weights, name="w.pt")
    assert torch.equal(module.norm.running_var, weights["norm.running_var"])


def test_a_misfit_is_said_with_names_and_counts():
    weights = weights_of(Tiny())
    del weights["norm.weight"]
    weights["conv.weight"] = torch.ones(4, 3, 5, 5)
    weights |= {f"extra.{i}": torch.ones(1) for i in range(7)}
    with pytest.raises(NetworkError) as info:
        load_into(tiny(), weights, name="w.pt")
    message = str(info.value)
    assert message.startswith("w.pt does not fit tiny: 1 missing (norm.weight), 7 unexpected (extra.0; ")
    assert "extra.4; …)" in message and "extra.5" not in message
    assert "1 of another shape (conv.weight (4, 3, 5, 5) in the file, (4, 3, 3, 3) in the network)" in message
    assert "Choose the architecture" in message


def test_other_names_with_equal_shapes_are_said():
    weights = weights_of(Tiny())
    with pytest.raises(NetworkError, match=r"seem to be the right ones.*removeprefix\(\"model.\"\)"):
        load_into(tiny(), {f"model.{k}": v for k, v in weights.items()}, name="w.pt")
    wrapped = nn.ModuleDict({"backbone": Tiny()})
    with pytest.raises(NetworkError, match=r"right ones.*\{\"backbone.\" \+ k"):
        load_into(tiny(lambda: wrapped), weights, name="w.pt")
    with pytest.raises(NetworkError, match=r"right ones.*Rename them as the network does"):
        load_into(tiny(), {f"{i}": v for i, v in enumerate(weights.values()) if v.dim()}, name="w.pt")


def test_another_network_is_not_called_a_renaming():
    other = nn.Sequential(nn.Linear(9, 9), nn.Linear(9, 9))
    assert "Choose the architecture" in misfit(Tiny(), other.state_dict())


def test_the_callers_weights_stay():
    weights = weights_of(Tiny())
    before = {key: value.clone() for key, value in weights.items()}
    load_into(tiny(), weights, name="w.pt").conv.weight.data.zero_()
    assert all(torch.equal(weights[key], before[key]) for key in before)


def test_the_random_state_stays():
    before = torch.random.get_rng_state()
    load_into(tiny(), weights_of_without_drawing(), name="w.pt")
    assert torch.equal(torch.random.get_rng_state(), before)


def weights_of_without_drawing():
    with torch.random.fork_rng():
        return weights_of(Tiny())


def test_too_many_parameters_stop_the_building(monkeypatch):
    monkeypatch.setattr(architectures, "MAX_PARAMETERS", 100)
    built = []

    def large():
        built.extend(nn.Linear(5, 10) for _ in range(10))
        return nn.ModuleList(built)

    with pytest.raises(NetworkError, match="more than 100 parameters"):
        load_into(tiny(large), {}, name="w.pt")
    assert len(built) == 1  # given up in the middle
    nn.Linear(50, 50)  # and the count is off again


def test_a_library_that_cannot_build():
    def fails():
        raise ValueError("needs a window size")

    with pytest.raises(NetworkError, match="test cannot build tiny: needs a window size"):
        load_into(tiny(fails), {}, name="w.pt")


def test_a_module_that_refuses_its_weights():
    class Strict(Tiny):
        def _load_from_state_dict(self, *_):
            raise KeyError("version")

    with pytest.raises(NetworkError, match=r"tiny does not take w.pt"):
        load_into(tiny(Strict), weights_of(Tiny()), name="w.pt")


def test_transformers_answer_with_one_tensor(no_libraries):
    fake_transformers(no_libraries)
    for architecture in available():
        source = architecture.build()
        weights = weights_of(source)
        weights["classifier.weight"] = torch.ones(3, weights["classifier.weight"].shape[1])
        weights["classifier.bias"] = torch.zeros(3)
        module = load_into(architecture, weights, name="w.safetensors")
        answer = module(architecture.example_input())
        assert answer.shape == (1, 3)
        assert torch.allclose(answer[0], answer[0, 0].expand(3))  # equal rows of the head


def test_example_inputs():
    image = tiny().example_input()
    assert image.shape == (1, 3, 8, 8) and image.dtype == torch.float32
    tokens = Architecture("t", "t", "t", Tiny, (50,), vocabulary=3).example_input()
    assert tokens.shape == (1, 50) and tokens.dtype == torch.int64
    assert set(tokens.unique().tolist()) == {0, 1, 2}
    assert torch.equal(image, tiny().example_input())
