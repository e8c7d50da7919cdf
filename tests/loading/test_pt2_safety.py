"""Hostile .pt2 files: nothing in them runs, and no claim is believed before it is checked."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from torch import Tensor, nn

from analysis.errors import NetworkError
from analysis.loading import pt2_check, pt2_json, pt2_schema
from analysis.loading.pt2 import read_pt2
from analysis.loading.pt2_names import Names, safe_path
from tests.loading.pt2_cases import edited, file_of, members_of, network, packed, saved

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about its own exports


def _close(ours: nn.Module, theirs: nn.Module, inputs: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(ours(inputs), theirs(inputs), rtol=1e-5, atol=1e-5)


def _refusal(content: bytes, match: str) -> str:
    with pytest.raises(NetworkError, match=match) as caught:
        read_pt2(content, "mine.pt2")
    assert str(caught.value).startswith("mine.pt2")
    return str(caught.value)


class Marker:
    """A pickle that leaves a file behind if it is ever opened."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


def test_no_pickle_is_opened_wherever_it_lies(tmp_path):
    """Each member of the archive in turn, and all of them, replaced by a pickle that would leave a mark."""
    mark = tmp_path / "ran"
    bomb = pickle.dumps(Marker(str(mark)), protocol=2)
    members = members_of(file_of("constants"))
    names = [
        *members,
        "archive/data/constants/custom_obj_0",
        "archive/data/weights/model.pt",
        "archive/data/constants/model.pt",
    ]
    read = 0
    for name in names:
        try:
            read_pt2(packed({**members, name: bomb}), "x")
            read += 1
        except NetworkError:
            pass
    assert read >= 3, "the sample inputs and unused members are not read at all"
    with pytest.raises(NetworkError):
        read_pt2(packed(dict.fromkeys(names, bomb)), "x")
    assert not mark.exists()
    pickle.loads(bomb).close()
    assert mark.exists(), "the bomb itself works"


@pytest.mark.parametrize("place", ["weights", "constants"])
def test_pickled_weights_are_refused(place, tmp_path):
    mark = tmp_path / "ran"
    name = f"data/{place}/model_{place}_config.json"

    def edit(tree):
        next(iter(tree["config"].values()))["use_pickle"] = True

    members = members_of(edited(file_of("constants"), edit, name))
    bomb = pickle.dumps(Marker(str(mark)), protocol=2)
    blobs = {k: bomb for k in members if k.startswith(f"archive/data/{place}/") and not k.endswith("json")}
    assert "run code" in _refusal(packed({**members, **blobs}), "stored as a pickle")
    assert not mark.exists()


def test_custom_objects_are_refused():
    def edit(tree):
        specs = tree["graph_module"]["signature"]["input_specs"]
        specs[0] = {"custom_obj": {"arg": {"name": "o", "class_fqn": "os.system"}, "custom_obj_name": "o"}}

    _refusal(edited(file_of("mlp"), edit), "custom_obj")


_EVIL = "x): __import__('pathlib').Path({!r}).touch() #"


def test_names_are_never_code(tmp_path):
    """Names of values, weights, modules and inputs that would run if they were written into source."""
    mark = str(tmp_path / "ran")
    evil = _EVIL.format(mark)
    quoted = f'"); open({mark!r}, "w"); ("'

    def renamed(tree, old, new):
        if isinstance(tree, list):
            return [renamed(entry, old, new) for entry in tree]
        if not isinstance(tree, dict):
            return new if tree == old else tree
        if "arg" in tree and "kind" in tree:  # the name of an argument is not one of a value
            return {**tree, "arg": renamed(tree["arg"], old, new)}
        return {new if key == old else key: renamed(entry, old, new) for key, entry in tree.items()}

    members = members_of(file_of("mlp"))
    model = json.loads(members["archive/models/model.json"])
    config = json.loads(members["archive/data/weights/model_weights_config.json"])
    inputs = [next(iter(g.values()))["name"] for g in model["graph_module"]["graph"]["inputs"]]
    for bad in (evil, quoted, "lambda", "self", "\n    import os", "é", "__class__", "a.b.c"):
        for value in (inputs[-1], inputs[0], "relu", "linear"):
            changed = packed(
                {**members, "archive/models/model.json": json.dumps(renamed(model, value, bad)).encode()}
            )
            ours, _ = read_pt2(changed, "x")
            _close(ours, network("mlp"), torch.ones(2, 5))
        for name in ("0.weight", "3.bias"):
            changed = {
                "archive/models/model.json": json.dumps(renamed(model, name, bad)).encode(),
                "archive/data/weights/model_weights_config.json": json.dumps(
                    renamed(config, name, bad)
                ).encode(),
            }
            ours, _ = read_pt2(packed({**members, **changed}), "x")
            _close(ours, network("mlp"), torch.ones(2, 5))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("given", "expected"),
    [("forward", "forward_"), ("training", "training_"), ("state_dict", "state_dict_"), ("graph", "graph_"),
     ("class", "class_"), ("__dict__", "dict"), ("_modules", "_modules_"), ("ok", "ok"), ("3", "3"), ("3x", "_3x")],
)  # fmt: skip
def test_module_names_that_would_shadow_torch_are_changed(given, expected):
    assert safe_path(f"block.{given}") == f"block.{expected}"
    module = nn.Sequential(nn.Linear(3, 2)).eval()
    members = members_of(saved(module, torch.ones(2, 3)))
    changed = {
        k: v.replace(b'"0.weight"', f'"block.{given}.weight"'.encode())
        for k, v in members.items()
        if k.endswith("json")
    }
    changed = {k: v.replace(b"L__self__0,0,torch", b"L__self__0,other,torch") for k, v in changed.items()}
    ours, _ = read_pt2(packed({**members, **changed}), "x")
    assert type(ours.get_submodule(f"block.{expected}")) is nn.Linear
    _close(ours, module, torch.ones(4, 3))


def test_names_inside_each_other_are_kept_apart():
    names = Names(["fc", "b.c"])
    assert names.claim("fc.act") == "fc_act"
    assert names.claim("fc", of_weight=True) == "fc"
    assert names.claim("fc", of_weight=True) == "fc_2"
    assert names.claim("b") == "b" and names.claim("b") == "b_2"
    assert names.claim("b.c", of_weight=True) == "b_c"
    assert names.claim("fc_2.x.y") == "fc_2_x.y"


def test_long_and_deep_names_are_bounded():
    members = members_of(saved(nn.Sequential(nn.Linear(3, 2)).eval(), torch.ones(2, 3)))

    def named(name):
        return packed(
            {
                k: v.replace(b'"0.weight"', json.dumps(name).encode()) if k.endswith("json") else v
                for k, v in members.items()
            }
        )

    _refusal(named("a" * 300), "300 characters long")
    ours, _ = read_pt2(named("a." * 90 + "weight"), "x")
    assert max(name.count(".") for name, _ in ours.named_modules()) < 30


def _weights(edit):
    return edited(
        file_of("mlp"),
        lambda tree: edit(tree["config"]["0.weight"]["tensor_meta"]),
        "data/weights/model_weights_config.json",
    )


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sizes", [10**6, 10**6]),
        ("sizes", [2**62, 2**62]),
        ("sizes", [-1, 5]),
        ("sizes", [7.0, 5]),
        ("sizes", [True, 5]),
        ("sizes", [1] * 40),
        ("strides", [10**12, 1]),
        ("strides", [-5, 1]),
        ("strides", [5]),
        ("storage_offset", 1),
        ("storage_offset", 2**63),
        ("storage_offset", -1),
    ],
)
def test_claims_beyond_the_bytes_are_refused(key, value):
    def edit(meta):
        meta[key] = [{"as_int": v} for v in value] if isinstance(value, list) else {"as_int": value}

    _refusal(_weights(edit), "0.weight|A size|A stride")


@pytest.mark.parametrize(
    ("key", "value"), [("dtype", 9), ("dtype", 29), ("dtype", 99), ("dtype", "7"), ("layout", 1)]
)
def test_number_types_and_layouts_off_the_list_are_refused(key, value):
    _refusal(_weights(lambda meta: meta.__setitem__(key, value)), "0.weight")


def test_a_tensor_repeated_by_strides_of_zero_is_bounded():
    def claim(sizes):
        def edit(meta):
            meta["sizes"], meta["strides"] = [{"as_int": s} for s in sizes], [{"as_int": 0}] * 2

        return edit

    _refusal(_weights(claim([50_000, 1_000])), "claims 50,000,000 values")
    ours, _ = read_pt2(_weights(claim([7, 5])), "x")
    weight = ours.get_submodule("0").weight
    assert torch.equal(weight, weight[0, 0].expand(7, 5))


@pytest.mark.parametrize("path", ["../weight_0", "/etc/passwd", "weight_0/../weight_1", "weight_99", ""])
def test_blobs_outside_the_folder_are_refused(path):
    def edit(tree):
        tree["config"]["0.weight"]["path_name"] = path

    _refusal(edited(file_of("mlp"), edit, "data/weights/model_weights_config.json"), "plain name|no member")


def test_deep_json_is_refused_before_it_is_parsed(monkeypatch):
    members = members_of(file_of("mlp"))
    deep = b"[" * 200_000 + b"]" * 200_000
    monkeypatch.setattr(json, "loads", None)  # never reached
    _refusal(packed({**members, "archive/models/model.json": deep}), "deeper than 64")


def test_brackets_inside_texts_are_no_nesting():
    text = {"a": "[[[{{{" * 1000, "b\\": 'quote " and \\ [[[[' * 100}
    assert pt2_json.parse_json(json.dumps(text).encode(), "x") == text


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"a": 1e', b"\xff\xfe{\x00}\x00", b'{"a": ' + b"9" * 5000 + b"}", b"nul"]
)
def test_damaged_json_is_refused(content):
    _refusal(packed({**members_of(file_of("mlp")), "archive/models/model.json": content}), "damaged")


def test_json_of_too_many_values_or_bytes_is_refused(monkeypatch):
    monkeypatch.setattr(pt2_json, "MAX_JSON_VALUES", 100)
    _refusal(file_of("mlp"), "at most 100 are read")
    monkeypatch.undo()
    monkeypatch.setattr("analysis.loading.pt2.MAX_JSON_BYTES", 100)
    _refusal(file_of("mlp"), "at most 100 are read")


def test_too_many_calls_are_refused(monkeypatch):
    monkeypatch.setattr(pt2_schema, "MAX_NODES", 2)
    _refusal(file_of("mlp"), "nodes has 4 entries; at most 2")


def _with_call(name: str, target: str, inputs: list[dict], before: bool = False) -> bytes:
    """The file of a case whose output goes through one more call."""

    def edit(tree):
        graph = tree["graph_module"]["graph"]
        out = graph["outputs"][0]["as_tensor"]["name"]
        entries = [
            {"name": n, "arg": {"as_tensor": {"name": out}} if a == "OUT" else a, "kind": 1}
            for n, a in inputs
        ]
        graph["nodes"].append(
            {
                "target": target,
                "inputs": entries,
                "outputs": [{"as_tensor": {"name": "evil"}}],
                "metadata": {},
            }
        )
        graph["tensor_values"]["evil"] = graph["tensor_values"][out]
        tree["graph_module"]["signature"]["output_specs"][0]["user_output"]["arg"]["as_tensor"]["name"] = (
            "evil"
        )

    return edited(file_of(name), edit)


HUGE = 10**12
LARGE_CALLS = {
    "zeros": ("mlp", "torch.ops.aten.zeros.default", [("size", {"as_ints": [HUGE]})]),
    "overflowing zeros": ("mlp", "torch.ops.aten.zeros.default", [("size", {"as_ints": [2**62, 2**62]})]),
    "full": ("mlp", "torch.ops.aten.full.default", [("size", {"as_ints": [HUGE]}), ("fill_value", {"as_int": 1})]),
    "arange": ("mlp", "torch.ops.aten.arange.default", [("end", {"as_int": HUGE})]),
    "arange by little": (
        "mlp", "torch.ops.aten.arange.start_step",
        [("start", {"as_int": 0}), ("end", {"as_int": 1}), ("step", {"as_float": 1e-12})],
    ),
    "eye": ("mlp", "torch.ops.aten.eye.default", [("n", {"as_int": 10**6})]),
    "expand": ("mlp", "torch.ops.aten.expand.default", [("self", "OUT"), ("size", {"as_ints": [HUGE, 2, 3]})]),
    "repeat": ("mlp", "torch.ops.aten.repeat.default", [("self", "OUT"), ("repeats", {"as_ints": [1, HUGE]})]),
    "pad": ("mlp", "torch.ops.aten.pad.default", [("self", "OUT"), ("pad", {"as_ints": [HUGE, 0]})]),
    "one hot": ("tied", "torch.ops.aten.one_hot.default", [("self", "OUT"), ("num_classes", {"as_int": HUGE})]),
    "interpolate": (
        "unet", "torch.ops.aten.upsample_nearest2d.vec",
        [("input", "OUT"), ("output_size", {"as_ints": [10**6, 10**6]}), ("scale_factors", {"as_none": True})],
    ),
    "scale": (
        "unet", "torch.ops.aten.upsample_nearest2d.vec",
        [("input", "OUT"), ("output_size", {"as_none": True}), ("scale_factors", {"as_floats": [1e6, 1e6]})],
    ),
    "pool": ("unet", "torch.ops.aten.adaptive_avg_pool2d.default", [("self", "OUT"), ("output_size", {"as_ints": [10**6] * 2})]),
    "cut": ("unet", "torch.ops.aten.split.Tensor", [("self", "OUT"), ("split_size", {"as_int": -3})]),
}  # fmt: skip


@pytest.mark.parametrize("kind", LARGE_CALLS)
def test_calls_that_would_make_huge_tensors_are_refused(kind):
    """A hundred bytes of JSON that ask for terabytes when the network runs."""
    _refusal(_with_call(*LARGE_CALLS[kind]), "elements|does not fit|cannot be read")


def test_many_large_tensors_together_are_refused(monkeypatch):
    monkeypatch.setattr(pt2_check, "MAX_TOTAL_ELEMENTS", 10)
    _refusal(file_of("mlp"), "All values of one run have more than 10 elements")


def test_a_tensor_cut_into_too_many_pieces_is_refused(monkeypatch):
    monkeypatch.setattr(pt2_check, "MAX_NODES", 2)
    _refusal(file_of("windows"), "cut into 3 pieces; at most 2 are made.$")


def test_numbers_that_grow_without_end_are_refused():
    """s * s * s ... of a batch size would fill the memory with digits."""

    def edit(tree):
        graph = tree["graph_module"]["graph"]
        size = {"as_sym_int": {"as_int": 7}}
        for i in range(40):
            node = {
                "target": "_operator.mul",
                "metadata": {},
                "outputs": [{"as_sym_int": {"as_name": f"s{i}"}}],
            }
            node["inputs"] = [{"name": n, "arg": size, "kind": 1} for n in "ab"]
            graph["nodes"].append(node)
            size = {"as_sym_int": {"as_name": f"s{i}"}}
        entry = [{"name": "size", "arg": {"as_sym_ints": [{"as_name": "s39"}]}, "kind": 1}]
        graph["nodes"].append(
            {
                "target": "torch.ops.aten.zeros.default",
                "inputs": entry,
                "outputs": [{"as_tensor": {"name": "evil"}}],
                "metadata": {},
            }
        )
        tree["graph_module"]["signature"]["output_specs"][0]["user_output"]["arg"]["as_tensor"]["name"] = (
            "evil"
        )

    _refusal(edited(file_of("mlp"), edit), "more than 64 bits")


@pytest.mark.parametrize(
    "target",
    ["os.system", "builtins.eval", "torch.ops.aten.from_file.default", "torch.ops.prims.device_put.default", "torch.load",
     "torch.ops.aten.__class__.default", "torch.ops.aten.relu",
     "_operator.attrgetter", "_operator.pow", "_operator.methodcaller"],
)  # fmt: skip
def test_calls_off_the_list_are_refused_by_name(target):
    message = _refusal(_with_call("mlp", target, [("self", "OUT")]), "is not on the list of operators")
    assert target in message


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([("self", {"as_string": "x"})], "should be Tensor"),
        ([("self", "OUT"), ("self", "OUT")], "takes no argument 'self'"),
        ([("other", "OUT")], "takes no argument 'other'"),
        ([], "has no self"),
        ([("self", {"as_tensor": {"name": "nobody"}})], "'nobody' is read before"),
        ([("self", {"as_complex": {"real": 1, "imag": 0}})], "as_complex"),
        ([("self", {"as_custom_obj": {"name": "x", "class_fqn": "os"}})], "as_custom_obj"),
        ([("self", {"as_operator": "os.system"})], "as_operator"),
    ],
)
def test_arguments_that_do_not_fit_the_operator_are_refused(arguments, match):
    _refusal(_with_call("mlp", "torch.ops.aten.relu.default", arguments), match)
