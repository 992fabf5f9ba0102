"""Our reader of safetensors against the format's own library: what it refuses we refuse, what we take it takes, as the same tensors; and
the model of the repository, loaded by it and computed in numpy, is the language model that shape.h describes."""
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import load_file, save_file

PROBE = sys.argv[1]
SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
random.seed(int(os.environ.get("CFG_SEED", "20261122")))

# Where ours is stricter, on purpose: it says so with these words.
STRICTER = ("unknown member", "more than 8 dimensions", "its header", "__metadata__", "no whole number", "not two whole numbers", "it has no shape")


def whole(header, data, n=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if n is None else n) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def crafted():
    f32 = tensor("F32", [2], 0, 8)
    yield whole({}, b"")
    yield whole({"a": f32}, bytes(8))
    yield whole({"a": f32}, bytes(7))
    yield whole({"a": f32}, bytes(9))
    yield whole({"a": f32, "b": tensor("F32", [1], 4, 8)}, bytes(8))
    yield whole({"a": f32, "b": tensor("F32", [1], 9, 13)}, bytes(13))
    yield whole({"a": tensor("U8", [3], 0, 3), "b": tensor("F32", [1], 3, 7)}, bytes(7))
    yield whole({"a": tensor("F32", [0], 0, 0), "b": tensor("F32", [1], 0, 4)}, bytes(4))
    yield whole({"a": tensor("F32", [], 0, 4)}, bytes(4))
    yield whole({"a": tensor("F32", [2 ** 40, 2 ** 40], 0, 8)}, bytes(8))
    yield whole({"a": tensor("Q9", [2], 0, 8)}, bytes(8))
    yield whole({"a": tensor("F32", [2], 8, 0)}, bytes(8))
    yield whole({"__metadata__": {"x": "y"}, "a": f32}, bytes(8))
    yield whole({"__metadata__": {"x": 1}, "a": f32}, bytes(8))
    yield whole(json.dumps({"a": f32}).encode() + b"     ", bytes(8))
    yield whole(b" " + json.dumps({"a": f32}).encode(), bytes(8))
    yield whole({"a": f32}, bytes(8), n=2 ** 63)
    yield whole({"a": f32}, bytes(8), n=0)
    yield b""
    yield b"1234567"
    for dtype, size in (("BOOL", 1), ("I8", 1), ("F8_E5M2", 1), ("F8_E4M3", 1), ("I16", 2), ("U16", 2), ("F16", 2), ("BF16", 2),
                        ("I32", 4), ("U32", 4), ("F64", 8), ("I64", 8), ("U64", 8)):
        yield whole({"a": tensor(dtype, [3, 5], 0, 15 * size)}, bytes(15 * size))


def mutated(n):
    base = whole({"__metadata__": {"format": "pt"}, "first": tensor("F32", [3, 2], 0, 24), "second": tensor("BF16", [4], 24, 32)}, bytes(32))
    for _ in range(n):
        b = bytearray(base)
        for _ in range(random.choice((1, 1, 2, 3))):
            kind, at = random.random(), random.randrange(len(b) - 32)
            if kind < 0.6:
                b[at] = random.choice(b'0123456789[]{},:"FBU.-e ') if at >= 8 else random.randrange(256)
            elif kind < 0.8:
                del b[at]
            else:
                b.insert(at, random.choice(b'0123456789,"[]'))
        if random.random() < 0.7:  # a length that fits, so that what is behind it is looked at
            b[:8] = struct.pack("<Q", max(0, len(b) - 40))
        yield bytes(b)


def reference(data):
    try:
        return {name: [t["dtype"], list(t["shape"]), len(t["data"])] for name, t in deserialize(data)}
    except SafetensorError:
        return None


def compare():
    files, stricter, accepted = [*crafted(), *mutated(1500)], 0, 0
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for i, data in enumerate(files):
            paths.append(os.path.join(folder, str(i)))
            with open(paths[-1], "wb") as f:
                f.write(data)
        done = subprocess.run([PROBE], input="".join(p + "\n" for p in paths), capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == len(files)
    for data, ours in zip(files, answers):
        theirs = reference(data)
        if ours["ok"]:
            accepted += 1
            assert theirs == ours["tensors"], f"{data!r}: ours {ours}, theirs {theirs}"
        elif theirs is not None:
            stricter += 1
            assert any(word in ours["error"] for word in STRICTER), f"{data!r}: ours {ours}, theirs {theirs}"
    assert accepted > 50, accepted
    print(f"{len(files)} files: {accepted} taken by both, {stricter} where ours is stricter")


def probabilities(w, context, layers):
    x = w["embed.weight"][list(context)].reshape(-1).astype(np.float64)
    h = 0
    for layer in range(layers):
        z = (x if layer == 0 else h) @ w[f"layers.{layer}.weight"] + w[f"layers.{layer}.bias"]
        h = h + z / (1 + np.exp(-z))
    logits = h @ w["head.weight"] + w["head.bias"]
    return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()


def model():
    path = os.path.join(SOURCE, "worker", "model", "model.safetensors")
    w = load_file(path)
    with open(os.path.join(SOURCE, "worker", "model", "text.txt"), "rb") as f:
        text = f.read()
    first = len(text) - len(text) // 16
    places = range(first, len(text), 7)
    loss = -sum(probabilities(w, text[p - 16:p], 3)[text[p]] for p in places) / len(places)
    print(f"the repository's model: {loss:.3f} nats per byte on the text kept aside ({loss / math.log(2):.3f} bits)")
    assert abs(loss - 1.784) < 0.15, "docs/train.md says 1.784"
    with tempfile.TemporaryDirectory() as folder:  # and what the library writes, ours reads
        copy = os.path.join(folder, "copy")
        save_file(w, copy, metadata={"a": "b"})
        done = subprocess.run([PROBE], input=copy + "\n", capture_output=True, text=True, check=True)
        assert set(json.loads(done.stdout)["tensors"]) == set(w)


compare()
model()
