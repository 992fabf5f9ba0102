"""A model file made without the trainer: random weights of a small shape, and its damaged versions."""

import json
import random
import struct


def tensors(context, embed, hidden, layers):
    yield "embed.weight", [256, embed]
    for i in range(layers):
        yield f"layers.{i}.weight", [context * embed if i == 0 else hidden, hidden]
        yield f"layers.{i}.bias", [hidden]
    yield "head.weight", [hidden, 256]
    yield "head.bias", [256]


def make(context=8, embed=4, hidden=16, layers=2, seed=1, scale=0.6):
    """The file's bytes."""
    draw = random.Random(seed)
    header = {"__metadata__": {"format": "configd.byte-lm.1", "step": "0", "revision": "0-0",
                               "shape": json.dumps({"context": context, "embed": embed, "hidden": hidden, "layers": layers})}}
    data = b""
    for name, shape in tensors(context, embed, hidden, layers):
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = struct.pack(f"<{count}f", *(draw.gauss(0, scale) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data
