"""Weights files that claim what they do not hold, or would cost time and memory."""

import io
import json
import struct
import time

import pytest
import safetensors.torch
import torch

from analysis.errors import NetworkError
from analysis.loading import inert_pickle, safetensors_file, weights_file
from analysis.loading.weights_file import read_weights
from tests.loading.saved import (
    archive,
    assert_equal,
    entry,
    number,
    refused,
    saved,
    small_network,
    storage,
    tensor,
    text,
)

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
