"""Weights files against torch.load and safetensors on files we trust, and against hostile ones."""

import io
import json
import pickle
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict

import pytest
import safetensors.torch
import torch
from torch import nn

from analysis.errors import NetworkError
from analysis.loading import inert_pickle, safetensors_file, weights_file
from analysis.loading.weights_file import read_weights, read_weights_file


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))


def saved(thing, **options):
    buffer = io.BytesIO()
    torch.save(thing, buffer, **options)
    return buffer.getvalue()


def archive(pickled, records=(), *, extra=(), method=zipfile.ZIP_STORED):
    """An archive laid out as torch.save's, with a pickle of our own writing."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/version", "3\n")
        for name, content in records:
            file.writestr(f"archive/data/{name}", content)
        for name, content in extra:
            file.writestr(name, content)
    return buffer.getvalue()


def text(value):
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value):
    return b"\x8a\x08" + value.to_bytes(8, "little", signed=True)


def storage(key, count, kind=b"FloatStorage"):
    """Opcodes that push a storage."""
    return (
        b"(" + text("storage") + b"ctorch\n" + kind + b"\n" + text(key) + text("cpu") + number(count) + b"tQ"
    )


def tensor(of, shape, strides, offset=0):
    """Opcodes that push a tensor on the storage `of`."""
    sides = b"(" + b"".join(map(number, shape)) + b"t"
    steps = b"(" + b"".join(map(number, strides)) + b"t"
    arguments = of + number(offset) + sides + steps + b"\x89" + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def entry(value, key="w"):
    """A pickle of the dict {key: value}."""
    return b"\x80\x02}" + text(key) + value + b"s."


def assert_equal(found, expected):
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert torch.equal(found[key], value), key


def refused(data, name="weights.pt"):
    """The refusal's sentence; quick, and without memory for what the file claims."""
    tracemalloc.start()
    start = time.perf_counter()
    try:
        with pytest.raises(NetworkError) as info:
            read_weights(data, name)
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 20  # generous: tracing makes it ten times slower
    assert name in str(info.value)
    return str(info.value)


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


# --- hostile claims -----------------------------------------------------------------------------


def test_our_handwritten_pickles_are_what_torch_reads():
    data = archive(
        entry(tensor(storage("0", 6), (2, 3), (3, 1))), [("0", torch.arange(6.0).numpy().tobytes())]
    )
    expected = torch.load(io.BytesIO(data), weights_only=True)
    assert_equal(read_weights(data, "w.pt"), expected)
    assert torch.equal(expected["w"], torch.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("pickled", "words"),
    [
        (entry(tensor(storage("0", 50_000_000), (50_000_000,), (1,))), "claims 50,000,000 values"),
        (entry(tensor(storage("0", 1), (900_000_000,), (0,))), "claims 900,000,000 values"),
        (entry(tensor(storage("0", 1), (2,), (1,))), "do not suffice"),
        (entry(tensor(storage("0", 1), (1,), (1,), offset=1)), "do not suffice"),
        (entry(tensor(storage("0", 1), (1,), (1,), offset=-1)), "damaged"),
        (entry(tensor(storage("0", 1), (-1,), (1,))), "damaged"),
        (entry(tensor(storage("0", 1), (1, 1), (1,))), "damaged"),
        (entry(tensor(storage("0", 1), (1,) * 17, (1,) * 17)), "damaged"),
        (entry(tensor(storage("0", 1), (1 << 47, 1 << 47), (0, 0))), "claims 19,807"),
        (entry(tensor(storage("1", 1), (1,), (1,))), "lacks the values"),
        (entry(tensor(storage("../version", 1), (1,), (1,))), "lacks the values"),
        (entry(tensor(storage("0", 1, b"DoubleStorage"), (1,), (1,))), "claims 1 values of float64"),
        (entry(tensor(storage("0", 1, b"UntypedStorage"), (1,), (1,))), "torch.UntypedStorage"),
        (entry(b"ctorch\nFloatStorage\n" + number(1 << 40) + b"\x85R"), "damaged"),
        (entry(b"ctorch.storage\nUntypedStorage\n" + number(1 << 40) + b"\x85R"), "UntypedStorage"),
        (entry(b"cos\nsystem\n" + text("true") + b"\x85R"), "os.system"),
        (entry(b"(ios\nsystem\n"), "INST"),
        (entry(b"c" + b"a" * 5000 + b"\nb\n"), "aaa"),
    ],
)
def test_claims_that_the_file_does_not_hold(pickled, words):
    message = refused(archive(pickled, [("0", bytes(4))]))
    assert words in message
    assert len(message) < 600


def test_one_member_is_not_read_under_several_spellings():
    aliases = b"".join(text(k) + tensor(storage(k, 4), (4,), (1,)) + b"s" for k in ("ab", "Ab", "aB", "AB"))
    data = archive(b"\x80\x02}" + aliases + b".", [("ab", bytes(16))])
    assert len(torch.load(io.BytesIO(data), weights_only=True)) == 4  # the danger is real
    assert "lacks the values" in refused(data)


def test_deeply_nested_keys_are_never_hashed():
    # torch.load(weights_only=True) ends the process on this one
    assert "no state dict" in refused(archive(b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s."))


def test_nested_values_do_not_exhaust_the_stack():
    assert "no state dict" in refused(archive(entry(b")" + b"\x85" * 300_000)))
    assert "no state dict" in refused(
        archive(b"\x80\x02" + (b"}" + text("model")) * 20_000 + b"}" + b"s" * 20_000 + b".")
    )


def test_doubling_tuples_cost_nothing():
    doubled = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(100))
    assert "no state dict" in refused(archive(entry(doubled)))


def test_a_pickle_of_many_steps_is_cut(monkeypatch):
    monkeypatch.setattr(inert_pickle, "MAX_OPCODES", 1000)
    assert "more than 1,000 steps" in refused(archive(b"\x80\x02" + b"N" * 2000 + b"."))


def test_the_longest_pickle_takes_two_seconds():
    data = archive(b"\x80\x02(" + b"N" * (4 << 20) + b"t.")
    start = time.perf_counter()
    with pytest.raises(NetworkError, match="steps"):
        read_weights(data, "w.pt")
    assert time.perf_counter() - start < 10  # two on an idle machine


def test_zip_bomb():
    data = archive(entry(tensor(storage("0", 1 << 26), (1 << 26,), (1,))), [("0", bytes(1 << 28))], method=8)
    assert len(data) < 1 << 20
    with pytest.raises(NetworkError, match=r"unpack.*refused|refused.*unpack"):
        read_weights(data, "w.pt")


@pytest.mark.parametrize("limit", ["MAX_FILE_BYTES", "MAX_TENSORS", "MAX_ELEMENTS"])
def test_caps(monkeypatch, limit):
    monkeypatch.setattr(weights_file, limit, 3)
    values = {str(i): torch.ones(2) for i in range(4)}
    assert "at most 3" in refused(saved(values), "w.pt")
    assert "at most 3" in refused(safetensors.torch.save(values), "w.safetensors")


# --- safetensors --------------------------------------------------------------------------------


def safe(header, content=b""):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + content


def claim(shape, start, stop, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_our_handwritten_header_is_read():
    data = safe({"w": claim([2], 0, 8)}, struct.pack("<2f", 1, 2))
    assert torch.equal(read_weights(data, "w.safetensors")["w"], torch.tensor([1.0, 2.0]))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a safetensors file"),
        (b"\xff" * 20, "not a safetensors file"),
        (saved({"w": torch.ones(1)}), "not a safetensors file"),
        (safe(b"{" + b"[" * 100_000), "damaged"),
        (safe(b'{"w": 1}'), "damaged at w"),
        (safe({"w": claim([2], 0, 4)}, bytes(4)), "does not fit its bytes"),
        (safe({"w": claim([50_000_000], 0, 200_000_000)}), "damaged"),
        (safe({"w": claim([1 << 40, 1 << 40], 0, 4)}, bytes(4)), "does not fit its bytes"),
        (safe({"w": claim([-1], 4, 0)}, bytes(4)), "damaged at w"),
        (safe({"w": claim([True], 0, 4)}, bytes(4)), "damaged at w"),
        (safe({"w": claim([1], 0, 4), "v": claim([1], 0, 4)}, bytes(4)), "damaged"),
        (safe({"w": claim([1], 4, 8)}, bytes(8)), "damaged"),
        (safe({"w": claim([4], 0, 4, "F8_E4M3")}, bytes(4)), "F8_E4M3"),
        (safe({"w": claim([1], 0, 4, {})}, bytes(4)), "type"),
        (safe({"__metadata__": {"a": "b"}}), "holds no weights"),
    ],
)
def test_damaged_safetensors(data, words):
    assert words in refused(data, "w.safetensors")


def test_long_header(monkeypatch):
    monkeypatch.setattr(safetensors_file, "MAX_HEADER_BYTES", 10)
    assert "at most 10" in refused(safe({"w": claim([1], 0, 4)}, bytes(4)), "w.safetensors")


def test_random_damage_never_escapes_as_another_error():
    generator = torch.Generator().manual_seed(0)
    originals = [(saved(small_network().state_dict()), "w.pt")]
    originals.append((safetensors.torch.save(small_network().state_dict()), "w.safetensors"))
    refusals = 0
    for data, name in originals:
        for _ in range(300):
            broken = bytearray(data)
            for at in torch.randint(0, len(data), (4,), generator=generator).tolist():
                broken[at] = int(torch.randint(0, 256, (1,), generator=generator))
            try:
                read_weights(bytes(broken), name)
            except NetworkError:
                refusals += 1
    assert refusals > 300
