"""Weights files against torch.load and safetensors on files we trust; what is refused."""

import io
import pickle
import zipfile
from collections import OrderedDict

import pytest
import safetensors.torch
import torch
from torch import nn

from analysis.errors import NetworkError
from analysis.loading.weights_file import read_weights, read_weights_file
from tests.loading.saved import (
    archive,
    assert_equal,
    refused,
    saved,
    small_network,
)

# --- what is read -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["weights.pt", "WEIGHTS.PTH"])
@pytest.mark.parametrize("as_path", [False, True])
def test_reads_what_torch_reads(tmp_path, name, as_path):
    data = saved(small_network().state_dict())
    path = tmp_path / "any"
    path.write_bytes(data)
    expected = torch.load(path, weights_only=True, map_location="cpu")
    assert_equal(read_weights(path if as_path else data, name), expected)


@pytest.mark.parametrize("as_path", [False, True])
def test_reads_safetensors(tmp_path, as_path):
    state = small_network().state_dict()
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    found = read_weights(path if as_path else path.read_bytes(), "w.safetensors")
    assert_equal({k: found[k] for k in state}, state)
    assert len(found) == len(state)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_floating_types_become_float32(dtype):
    values = {"w": torch.linspace(-3, 3, 7).to(dtype)}
    for data, name in ((saved(values), "w.pt"), (safetensors.torch.save(values), "w.safetensors")):
        found = read_weights(data, name)["w"]
        assert found.dtype == torch.float32
        assert torch.equal(found, values["w"].float())


@pytest.mark.parametrize(
    "dtype", [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
)
def test_whole_numbers_stay_as_they_are(dtype):
    values = {"n": torch.tensor([[1, 0], [3, 4]]).to(dtype)}
    for data, name in ((saved(values), "w.pt"), (safetensors.torch.save(values), "w.safetensors")):
        found = read_weights(data, name)["n"]
        assert found.dtype == dtype
        assert torch.equal(found, values["n"])


def test_views_shared_and_odd_tensors():
    base = torch.arange(24.0).reshape(4, 6)
    values = {
        "whole": base,
        "transposed": base.T,
        "slice": base[1:, 2:4],
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "parameter": nn.Parameter(torch.ones(3)),
        "empty": torch.empty(0, 4),
        "scalar": torch.tensor(3.5),
        "repeated": torch.ones(1).expand(5),
    }
    found = read_weights(saved(values), "w.pt")
    assert_equal(found, {k: v.detach() for k, v in values.items()})
    assert all(v.is_contiguous() for v in found.values())
    found["whole"].zero_()  # memory of its own: its sibling keeps its values
    assert torch.equal(found["transposed"], base.T)


def test_archive_without_checksums_is_read_or_refused_in_words():
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        data = saved({"w": torch.ones(3)})
    finally:
        torch.serialization.set_crc32_options(before)
    try:
        assert torch.equal(read_weights(data, "w.pt")["w"], torch.ones(3))
    except NetworkError as error:
        assert "w.pt" in str(error)


def test_recompressed_archive_is_read():
    original = saved({"w": torch.arange(9.0)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as old, zipfile.ZipFile(buffer, "w", 8) as new:
        for member in old.namelist():
            new.writestr(member, old.read(member))
    assert torch.equal(read_weights(buffer.getvalue(), "w.pt")["w"], torch.arange(9.0))


# --- checkpoints --------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "net"])
def test_nested_checkpoint_is_found_and_said(key):
    network = small_network()
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.randn(2, 3, 3, 3)).sum().backward()
    optimiser.step()
    state = network.state_dict()
    found = read_weights_file(
        saved(
            {"epoch": 3, key: state, "optimizer": optimiser.state_dict(), "best": 0.5, "tags": ["a", None]}
        ),
        "w.pth",
    )
    assert_equal(found.weights, state)
    assert found.notes == (
        f"The weights under {key} of the checkpoint were read.",
        "Left out: epoch, optimizer, best, tags.",
    )


def test_doubly_nested_checkpoint():
    found = read_weights_file(saved({"model": {"state_dict": {"w": torch.ones(2)}}}), "w.pt")
    assert list(found.weights) == ["w"]
    assert "model.state_dict" in found.notes[0]


def test_bare_state_dict_has_no_notes_and_leaves_other_values_out():
    assert read_weights_file(saved({"w": torch.ones(2)}), "w.pt").notes == ()
    assert read_weights_file(saved({"w": torch.ones(2), "epoch": 3}), "w.pt").notes == ("Left out: epoch.",)


def test_wrappers_are_removed_and_said():
    wrapped = {f"_orig_mod.module.{k}": v for k, v in small_network().state_dict().items()}
    for data, name in ((saved(wrapped), "w.pt"), (safetensors.torch.save(wrapped), "w.safetensors")):
        found = read_weights_file(data, name)
        assert set(found.weights) == set(small_network().state_dict())
        assert [note.split()[2] for note in found.notes] == ["_orig_mod.", "module."]


def test_a_prefix_that_not_all_share_stays():
    found = read_weights_file(saved({"module.w": torch.ones(1), "head.w": torch.ones(1)}), "w.pt")
    assert list(found.weights) == ["module.w", "head.w"]
    assert found.notes == ()


# --- what is refused ----------------------------------------------------------------------------


class Touch:
    """Would write a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_whole_network_is_refused_with_the_remedy():
    message = refused(saved(small_network()))
    assert "whole pickled object (torch.nn.modules.container.Sequential)" in message
    assert "torch.save(model.state_dict()" in message


@pytest.mark.parametrize("nested", [False, True])
def test_code_is_never_run(tmp_path, nested):
    target = tmp_path / "touched"
    thing = {"w": torch.ones(2), "extra": Touch(target)} if nested else Touch(target)
    message = refused(saved(thing))
    assert "open" in message and "code" in message
    assert not target.exists()


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_pickle_protocols_are_refused_in_words_or_read(protocol):
    data = saved(OrderedDict(w=torch.ones(2)), pickle_protocol=protocol)
    try:
        assert torch.equal(read_weights(data, "w.pt")["w"], torch.ones(2))
    except NetworkError as error:
        assert "torch.save(model.state_dict()" in str(error)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (saved({"w": torch.ones(2)}, _use_new_zipfile_serialization=False), "older files"),
        (pickle.dumps({"w": 1}), "older files"),
        (b"", "older files"),
        (b"PK\x03\x04" + bytes(50), "refused"),
        (saved({"w": torch.ones(100)})[:-100], "refused"),
        (saved({}), "no state dict"),
        (saved([torch.ones(2)]), "no state dict"),
        (saved({0: torch.ones(2)}), "no state dict"),
        (saved({"a": 1, "b": "text"}), "It holds a, b."),
        (saved({"w": torch.ones(2, dtype=torch.complex64)}), "ComplexFloatStorage"),
        (saved({"w": torch.eye(2).to_sparse()}), "_rebuild_sparse_tensor"),
        (archive(b"\x80\x02}.", extra=[("archive/constants.pkl", b"")]), "TorchScript"),
        (archive(b"\x80\x02}.", extra=[("other/data.pkl", b"")]), "not one of torch.save"),
        (archive(b"\x80\x02}.", extra=[("archive/byteorder", b"big")]), "big-endian"),
        (archive(b"\x80\x02N"), "damaged"),
        (archive(b"\x80\x02e."), "damaged"),
        (archive(b"\x80\x02X\xff\xff\xff\x7fab."), "damaged"),
        (archive(b"\x80\x02\x93."), "STACK_GLOBAL"),
    ],
)
def test_other_files_are_refused_in_words(data, words):
    assert words in refused(data)


def test_exported_program_is_named(tmp_path):
    path = tmp_path / "n.pt2"
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)), path)
    assert ".pt2" in refused(path.read_bytes())


def test_torchscript_is_named():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)), buffer)
    assert "TorchScript" in refused(buffer.getvalue())


@pytest.mark.parametrize("name", ["weights.onnx", "weights", "weights.pt2"])
def test_other_endings(name):
    assert ".safetensors, .pt, .pth" in refused(b"", name)


@pytest.mark.parametrize("name", ["w.pt", "w.safetensors"])
def test_missing_path(tmp_path, name):
    assert "no readable file" in refused(tmp_path / name, name)
