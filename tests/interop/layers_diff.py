"""proto/layers.h and proto/override.h against OmegaConf and Hydra from PyPI, on generated input: documents merged and resolved, texts of the
interpolation grammar, override lines. The same value, or an error on both sides."""
import json
import logging
import math
import os
import random
import subprocess
import sys
import warnings

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.grammar_parser import parse as grammar_parse

warnings.simplefilter("ignore")
logging.disable(logging.CRITICAL)
PROBE = sys.argv[1]
SEED = int(os.environ.get("CFG_SEED", "20261122"))
ROUNDS = int(os.environ.get("CFG_ROUNDS", "1"))
GREATEST = 2 ** 53 - 1
FAILED = "<failed>"
random.seed(SEED)


def ask(requests):
    text = "".join(json.dumps(r) + "\n" for r in requests)
    done = subprocess.run([PROBE], input=text, capture_output=True, text=True, check=True)
    replies = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert len(replies) == len(requests)
    return replies


def key(k):
    if isinstance(k, str):
        return k
    if isinstance(k, float) and (math.isnan(k) or math.isinf(k)):
        return str(k)
    return json.dumps(k)


def plain(v):
    """As the probe spells it; ValueError where JSON has no place for it."""
    if isinstance(v, (DictConfig, ListConfig)):
        v = OmegaConf.to_container(v, resolve=True)
    if isinstance(v, QuotedString):
        v = v.text
    if isinstance(v, dict):
        return {key(k): plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return [plain(x) for x in v]
    if isinstance(v, float) and not math.isfinite(v):
        return {"$f": str(v)}
    if isinstance(v, int) and not isinstance(v, bool) and abs(v) > GREATEST:
        raise ValueError("beyond 2^53")
    if v is None or isinstance(v, (bool, int, float, str)):
        return v
    raise ValueError(type(v).__name__)


def same(a, b):
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return type(a) is type(b) and a == b


# --- documents ---

KEYS = ["a", "b", "c", "n", "x-y", "0"]


def reference():
    n = random.randrange(1, 4)
    path = random.choice(["", "", "", ".", "..", "..."]) + random.choice(KEYS)
    for _ in range(n - 1):
        k = random.choice(KEYS + ["1"])
        path += random.choice([f".{k}", f"[{k}]"])
    return "${" + path + "}"


def resolver():
    k = random.choice(KEYS) + random.choice(["", ".a", ".b"])
    return random.choice([
        "${oc.select:%s,%s}" % (k, random.choice(["5", "null", "x y", "[1,b]", reference()])),
        "${oc.select:%s}" % k, "${oc.select:.%s,7}" % k,
        "${oc.decode:'%s'}" % random.choice(["[1, 2]", "1.50", "null", "{a: 1}", "tRue", "x", "1e3"]),
        "${oc.create:{a: %s, b: 2}}" % random.choice(["1", reference(), "x"]),
        "${oc.dict.keys:%s}" % k, "${oc.dict.values:%s}" % k])


def text():
    parts = [random.choice([reference(), reference(), resolver(), "t", " ", "\\", "\\\\", "\\" + reference(), "$", "é", "'"])
             for _ in range(random.choice([1, 1, 1, 2, 3]))]
    return "".join(parts)


def value(depth):
    kind = random.random()
    if depth < 3 and kind < 0.3:
        return {k: value(depth + 1) for k in random.sample(KEYS, random.randrange(0, 4))}
    if depth < 3 and kind < 0.4:
        return [value(depth + 1) for _ in range(random.randrange(0, 4))]
    if kind < 0.7:
        return text()
    return random.choice([None, True, False, 0, 1, -7, 1.5, 1e-5, 2.5e17, "???", "s", "it's", "", "a\nb", 10 ** 15])


def document():
    return {k: value(1) for k in random.sample(KEYS, random.randrange(1, 6))}


def omega(layers):
    merged = OmegaConf.merge(*[OmegaConf.create(d) for d in layers])
    return plain(OmegaConf.to_container(merged, resolve=True))


def omega_text(layers, words, element):
    cfg = OmegaConf.create(layers[0])
    tree = grammar_parse(words, "singleElement" if element else "configValue", "VALUE_MODE" if element else "DEFAULT_MODE")
    out = cfg.resolve_parse_tree(tree, node=cfg._get_node(next(iter(layers[0]))), memo=set())
    return plain(out._value() if hasattr(out, "_value") and not isinstance(out, (DictConfig, ListConfig)) else out)


def attempt(fn, *args):
    try:
        return fn(*args)
    except RecursionError:
        return FAILED
    except Exception:  # whatever it is: an error there must be one here
        return FAILED


def compare_documents(rounds):
    requests = [{"layers": [document() for _ in range(random.choice([1, 1, 2, 3]))]} for _ in range(rounds)]
    return [(r, attempt(omega, r["layers"])) for r in requests]


# --- the grammar ---

TOKENS = ["a", "null", "true", "1", "0", "-", "+", ".", "1.5", "1e3", "_", " ", "\t", ",", ":", "[", "]", "{", "}", "'", '"', "\\", "\\\\", "\\'",
          "\\,", "\\ ", "${a}", "${", "}", "$", "inf", "nan", "x-y", "%", "/", "@", "?", "|", "(", "\\(", "=", "é", "${oc.decode:", "${oc.select:a,", "7",
          "'q'", '"q"', "b.c"]
BASE = {"a": "A", "b": {"c": 1.0 + 0.5, "d": None}, "n": 3}


def words():
    return "".join(random.choice(TOKENS) for _ in range(random.randrange(1, 7)))


def compare_grammar(rounds):
    rows = []
    for _ in range(rounds):
        w, element = words(), random.random() < 0.6
        if not element and "${" not in w:
            w += "${a}"
        r = {"layers": [BASE], "text": w, "element": element}
        rows.append((r, attempt(omega_text, [BASE], w, element)))
    return rows


# --- override lines ---

HYDRA = ["a", "b.c", "1", "1.5", "true", "null", "-", ".", " ", ",", "[", "]", "{", "}", ":", "=", "'", '"', "\\", "\\\\", "\\,", "${a}", "$", "int(", "str(",
         "float(", "bool(", "sort(", ")", "'q'", '"q w"', "inf", "1e3", "x", "/", "@", "%", "?", "|", "reverse=true", "1_000", "007"]


def hydra(line):
    o = PARSER.parse_override(line)
    if o.is_sweep_override() or o.key_or_group == "" or "@" in o.get_key_element() or "/" in o.key_or_group:
        return FAILED
    modes = {"CHANGE": "set", "ADD": "add", "FORCE_ADD": "force", "DEL": "delete"}
    out = {"key": o.key_or_group, "mode": modes[o.type.name]}
    if o.value_type is not None:
        v = plain(o._value)
        if not storable(v):
            return FAILED
        out["value"] = v
    return out


def storable(v):
    """What a document cannot hold is refused: numbers that JSON lacks, keys that a path cannot name."""
    if isinstance(v, dict):
        return "$f" not in v and all(storable(x) for x in v.values())
    return all(storable(x) for x in v) if isinstance(v, list) else True


def compare_overrides(rounds):
    rows = []
    for _ in range(rounds):
        line = random.choice(["", "", "+", "++", "~"]) + random.choice(["k", "a.b", "x_y"]) + "=" + \
            "".join(random.choice(HYDRA) for _ in range(random.randrange(1, 6)))
        rows.append(({"override": line}, attempt(hydra, line)))
    return rows


# --- what differs by design ---

def excused(request, want, reply):
    line = request.get("override")
    if line is not None:
        if reply.get("ok", {}).get("on_off", -1) >= 0:
            return True  # on and off switch flags
        if want is FAILED and line != line.rstrip() and line.rstrip()[-1] in "'\"":
            return True  # blanks behind a quoted string are let through
        if "no closing }" in reply.get("text", "") and line.count("${") > line.count("}"):
            return True  # a broken interpolation is text to Hydra, until OmegaConf refuses it
        got = reply.get("ok", {}).get("value")
        return want is not FAILED and isinstance(got, dict) is isinstance(want.get("value"), dict) and \
            "error" in reply and ("twice" in reply["text"] or "before" in reply["text"])  # a key given twice
    document = json.dumps(request)
    if "error" in reply and ("has no place in a document" in reply["text"] or "beyond" in reply["text"]):
        return True  # what JSON cannot hold
    if reply.get("error") == "too_large":
        return True
    # A missing value that an interpolation leads to is refused here whether or not anything looks at it, as there; texts of OmegaConf's own
    # objects (a list that a resolver made, shown inside a text) differ in how nested interpolations are shown.
    return "oc.create" in document and want is FAILED


def main():
    rows = []
    for _ in range(ROUNDS):
        rows += compare_documents(1500) + compare_grammar(4000) + compare_overrides(3000)
    replies = ask([r for r, _ in rows])
    wrong = agreed = values = 0
    for (request, want), reply in zip(rows, replies):
        got = reply.get("ok", FAILED) if "ok" in reply else FAILED
        if isinstance(got, dict) and "on_off" in got:
            got = {k: v for k, v in got.items() if k != "on_off"}
        if (got is FAILED) == (want is FAILED) and (got is FAILED or same(got, want)):
            agreed += 1
            values += want is not FAILED
        elif not excused(request, want, reply):
            wrong += 1
            if wrong <= 20:
                print(f"DIFFERS {json.dumps(request, ensure_ascii=False)}\n   real {want!r}\n   ours {json.dumps(reply, ensure_ascii=False)}")
    print(f"{agreed} of {len(rows)} agree, {values} of them with a value; {wrong} differ; seed {SEED}")
    return wrong > 0 or values < len(rows) // 20


PARSER = OverridesParser.create()
sys.exit(main())
