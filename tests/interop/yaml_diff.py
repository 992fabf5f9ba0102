"""proto/yaml.h against the readers that it speaks of: PyYAML's SafeLoader, OmegaConf, and YAML 1.2 as ruamel.yaml has it."""
import datetime
import json
import math
import os
import random
import subprocess
import sys

import yaml
from omegaconf import OmegaConf
from ruamel.yaml import YAML

PROBE = sys.argv[1]
GREATEST = 2 ** 53 - 1
random.seed(int(os.environ.get("CFG_SEED", "20261122")))
FAILED = object()


def ask(requests):
    text = "".join(json.dumps(r) + "\n" for r in requests)
    done = subprocess.run([PROBE], input=text, capture_output=True, text=True, check=True)
    replies = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert len(replies) == len(requests)
    return replies


def pyyaml(text):
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, OverflowError, AttributeError, KeyError):
        return FAILED


def omegaconf(text):
    try:  # its own loader; resolving would look into ${…}
        return OmegaConf.to_container(OmegaConf.create(text), resolve=False)
    except Exception:  # whatever it is: it does not take the text
        return FAILED


def yaml12(text):
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 2)
    try:
        return reader.load(text)
    except Exception:
        return FAILED


def has_no_json(v):
    if isinstance(v, dict):
        return any(not isinstance(k, str) for k in v) or any(map(has_no_json, v.values()))
    if isinstance(v, list):
        return any(map(has_no_json, v))
    if isinstance(v, float):
        return not math.isfinite(v)
    return v is FAILED or (isinstance(v, int) and abs(v) > GREATEST)


def same(ours, theirs, text):
    if isinstance(theirs, (datetime.date, datetime.datetime)):
        return isinstance(ours, str)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(same(ours[k], theirs[k], text) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(same(a, b, text) for a, b in zip(ours, theirs))
    number = (int, float)
    if isinstance(ours, number) and isinstance(theirs, number) and not isinstance(ours, bool) and not isinstance(theirs, bool):
        return ours == theirs
    return type(ours) is type(theirs) and ours == theirs


WORDS = ["no", "No", "NO", "nO", "yes", "Yes", "on", "On", "off", "OFF", "true", "True", "tRue", "false", "FALSE", "null", "Null", "~", "y", "n", "Y", "N",
         ".inf", "-.inf", "+.Inf", ".nan", ".NaN", "-.nan", ".", "-", "+", "=", "<<", "0b", "0x", "0o", "0x_", "0b_", "0_", "1_", "_1", "2026-01-02",
         "2026-1-2", "2026-01-02 10:00:00", "2026-01-02T1:00:00.5Z", "2026-01-02 10:00:00 +1:30", "2026-13-45", "1:2:3:4", "01:30", "1:30.", "0:30.5",
         "none", "None", "NaN", "inf", "Infinity", "1e3", "1e+3", "1.e+3", "1.0e3", "0.e+1", "-.5", "+.5", ".5", "._5", ".5_", "1.5.5", "1__0", "1_0e1",
         "9007199254740991", "9007199254740992", "-9007199254740992", "0777", "-0777", "+08", "0x1F", "-0x1f", "0b101", "+0b1", "1,5", "12e", "4:59:59",
         "16_64", "1e400", "-1.0e+400", "1.0e-400", "00", "-0", "+0", "-0.0", "0.0", "1e-5", "1E5", "1_000.5", "1:59", "1:60", "190:20:30", "190:20:30.15"]


def scalar():
    if random.random() < 0.25:
        return random.choice(WORDS)
    alphabet = random.choice(["0123456789._eE+-:", "01_xb.", "0123456789:", "0123456789_.e+-", "-0123456789: TtZ.", "noyesNOFfalstruT~."])
    word = "".join(random.choice(alphabet) for _ in range(random.randint(1, 9))).strip()
    return word or "0"


def scalars(n):
    seen = {}
    while len(seen) < n:
        s = scalar()
        if s not in seen and not s.endswith(":") and ": " not in s and not s.startswith("- ") and s not in ("-", "?"):
            seen[s] = None
    return list(seen)


def check_scalars(problems):
    words = scalars(6000)
    counted = 0
    for dialect, reader in (("pyyaml", pyyaml), ("omegaconf", omegaconf)):
        mine = words if dialect == "pyyaml" else words[:1500]
        for word, reply in zip(mine, ask([{"text": f"k: {w}\n", "dialect": dialect} for w in mine])):
            text = f"k: {word}\n"
            theirs = reader(text)
            counted += 1
            if has_no_json(theirs):
                if "error" not in reply and not (theirs is FAILED and word[:2] == "20"):  # a date that is none comes in as text
                    problems.append(f"{dialect}: {word!r} is refused there, {reply['value']} here")
            elif "error" in reply or not same(reply["value"], theirs, text):
                problems.append(f"{dialect}: {word!r} is {theirs!r} there, {reply} here")
            # Whoever is not warned may read it with anything.
            elif not reply["warnings"]:
                for name, other in (("PyYAML", pyyaml), ("YAML 1.2", yaml12)):
                    if "_" in word and other is yaml12:
                        continue  # ruamel.yaml lets digits be grouped, which YAML 1.2 does not
                    v = other(text)
                    if v is FAILED or has_no_json(v) or not same(reply["value"], v, text):
                        problems.append(f"{dialect}: {word!r} is {reply['value']} {v!r} to {name}, and nobody is warned")
    return counted


TEXTS = WORDS + ["", " ", "a b", " a", "a ", "a: b", "a:", ": a", "- a", "-", "#a", "a #b", "a\nb", "a\n", "\n", "\t", "a\tb", "'", '"', "\\", "é", "😀", "!x", "&x",
                 "*x", "|", ">", "%x", "@x", "`x", "{}", "[]", "{a", "a]", ",", "?", "? a", "---", "...", "\x85", "\u2028", "\x7f", "\x00", "\ufeff", "a" * 200, "x: y: z",
                 "1 2", "key", "path/to.file-1", "\r\n", "${a.b}", "https://x/y?z=1", "null ", "~x"]


def tree(depth=0):
    kind = random.random()
    if depth > 3 or kind < 0.5:
        return random.choice([None, True, False, random.choice(TEXTS), random.choice(TEXTS), scalar(), random.randint(-GREATEST, GREATEST),
                              random.random() * 10 ** random.randint(-30, 30), 10.0 ** random.randint(-9, 25), random.randint(-9, 9)])
    if kind < 0.75:
        return [tree(depth + 1) for _ in range(random.randint(0, 4))]
    return {random.choice(TEXTS) if random.random() < 0.5 else scalar(): tree(depth + 1) for _ in range(random.randint(0, 4))}


def check_printer(problems):
    trees = [{"k": tree()} for _ in range(1000)]
    printed = ask([{"print": t} for t in trees])
    for t, reply in zip(trees, printed):
        for name, reader in (("PyYAML", pyyaml), ("YAML 1.2", yaml12)):
            back = reader(reply["text"])
            if back is FAILED or not same(t, back, reply["text"]):
                problems.append(f"printed {t!r} is {back!r} to {name}:\n{reply['text']}")
    for dialect in ("pyyaml", "omegaconf"):
        for t, p, back in zip(trees, printed, ask([{"text": p["text"], "dialect": dialect} for p in printed])):
            if back.get("warnings") or "error" in back or not same(t, back["value"], ""):
                problems.append(f"printed {t!r} is {back} to ourselves:\n{p['text']}")
    return len(trees)


def check_corpus(problems):
    folder = os.environ.get("CFG_CONFORMANCE_DIR", os.path.join(os.environ.get("CFG_SOURCE_DIR", "."), "..", "shared", "conformance"))
    folder = os.path.join(folder, "accelerate")
    names = sorted(n for n in os.listdir(folder) if n.endswith(".yaml")) if os.path.isdir(folder) else []
    for name in names:
        with open(os.path.join(folder, name), encoding="utf-8") as f:
            text = f.read()
        reply = ask([{"text": text, "dialect": "pyyaml"}])[0]
        if not same(reply.get("value"), pyyaml(text), text):
            problems.append(f"{name}: {reply} here, {pyyaml(text)} there")
    return len(names)


problems = []
counts = check_scalars(problems), check_printer(problems), check_corpus(problems)
for p in problems[:20]:
    print(p)
print(f"{counts[0]} scalars, {counts[1]} printed trees, {counts[2]} files; {len(problems)} differences")
sys.exit(1 if problems else 0)
