"""cfgctl validate against the Python package jsonschema, on generated pairs of schema and document: the same verdict for every one.

The seed is fixed, so a failure can be seen again; CFG_SEED and CFG_PAIRS change it and the number of pairs. What the two are known to
differ on by design is not generated: patterns beyond what ECMA-262 and Python share, and multiples of decimals, which Python divides
as doubles."""
import json
import os
import random
import subprocess
import sys

from jsonschema import Draft202012Validator

SEED = int(os.environ.get("CFG_SEED", "20201202"))
PAIRS = int(os.environ.get("CFG_PAIRS", "2400"))
CFGCTL = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.environ["CFG_BUILD_DIR"], "client/cfgctl/cfgctl")
KEYS = ["a", "b", "c", "foo", "bar", "x-1", ""]
TEXTS = ["", "a", "ab", "abc", "foo", "ä", "😀😀", "A1", "a b", "0"]
PATTERNS = ["^a", "b$", "^[a-z]+$", "^.{2}$", "o{2}", "^(a|b)*$", "[0-9]", "^x-", "^$", "(?!a)^."]
rng = random.Random(SEED)


def value(depth=0):
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return rng.choice([0, 1, 2, 3, -1, 7, 10, 1.0, 2.0, 0.5, -0.5, 1e3, 1.5, 9007199254740991])
    if kind in (3, 4, 5):
        return rng.choice(TEXTS)
    if kind in (6, 7):
        return {k: value(depth + 1) for k in rng.sample(KEYS, rng.randrange(4))}
    return [value(depth + 1) for _ in range(rng.randrange(4))]


def some(make, least=1, most=3):
    return [make() for _ in range(rng.randint(least, most))]


def subschema(depth):
    if depth <= 0 or rng.random() < 0.12:
        return rng.choice([True, False, {}, {"type": "string"}, {"type": "integer"}, {"minimum": 1}, {"$ref": "#/$defs/d0"},
                           {"type": ["object", "array"]}, {"const": "a"}, {"required": ["a"]}])
    return schema(depth)


def members(depth):
    return {k: subschema(depth - 1) for k in rng.sample(KEYS, rng.randint(1, 3))}


def schema(depth):
    below = lambda: subschema(depth - 1)  # noqa: E731
    names = lambda: rng.sample(KEYS, rng.randint(0, 2))  # noqa: E731
    small = lambda: rng.randrange(4)  # noqa: E731
    makers = {
        "type": lambda: rng.choice(["null", "boolean", "object", "array", "number", "string", "integer", ["string", "null"],
                                    ["number", "object"], ["array", "object"]]),
        "enum": lambda: some(value, 1, 4), "const": value,
        "minimum": lambda: rng.choice([0, 1, 0.5, -1]), "maximum": lambda: rng.choice([0, 2, 7, 1.5]),
        "exclusiveMinimum": lambda: rng.choice([0, 1, -1]), "exclusiveMaximum": lambda: rng.choice([2, 7, 10]),
        "multipleOf": lambda: rng.choice([1, 2, 3, 0.5]),
        "minLength": small, "maxLength": small, "pattern": lambda: rng.choice(PATTERNS),
        "minItems": small, "maxItems": small, "uniqueItems": lambda: rng.random() < 0.8,
        "prefixItems": lambda: some(below), "items": below, "contains": below,
        "minContains": small, "maxContains": small, "unevaluatedItems": below,
        "minProperties": small, "maxProperties": small, "required": names, "properties": lambda: members(depth),
        "patternProperties": lambda: {p: below() for p in rng.sample(PATTERNS, rng.randint(1, 2))},
        "additionalProperties": below, "propertyNames": below, "unevaluatedProperties": below,
        "dependentRequired": lambda: {k: names() for k in rng.sample(KEYS, 2)},
        "dependentSchemas": lambda: {k: below() for k in rng.sample(KEYS, 1)},
        "allOf": lambda: some(below), "anyOf": lambda: some(below), "oneOf": lambda: some(below), "not": below,
        "if": below, "then": below, "else": below, "$ref": lambda: "#/$defs/" + rng.choice(["d0", "d1", "d2"]),
    }
    return {k: makers[k]() for k in rng.sample(sorted(makers), rng.randint(1, 5))}


def root():
    """Definitions refer to earlier ones only, except through a member: no schema here is endless."""
    whole = schema(3)
    whole["$defs"] = {
        "d0": {"type": rng.choice(["string", "number", "object", "array"])},
        "d1": {"properties": {"a": {"$ref": "#"}}, "items": {"$ref": "#/$defs/d0"}, "maxItems": rng.randrange(3)},
        "d2": {"anyOf": [{"$ref": "#/$defs/d0"}, {"properties": {"foo": {"$ref": "#/$defs/d2"}}, "required": ["foo"]}]},
    }
    return whole


def main():
    pairs = []
    while len(pairs) < PAIRS:
        s = root()
        Draft202012Validator.check_schema(s)
        pairs += [(s, value()) for _ in range(8)]
    lines = "".join(json.dumps({"schema": s, "document": d}) + "\n" for s, d in pairs)
    done = subprocess.run([CFGCTL, "validate", "--batch"], input=lines, capture_output=True, text=True, timeout=300)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or len(answers) != len(pairs):
        print(f"cfgctl gave {len(answers)} answers to {len(pairs)} pairs: {done.stderr}")
        return 1
    wrong, valid, last, validator = 0, 0, None, None
    for (s, d), ours in zip(pairs, answers):
        if s is not last:
            last, validator = s, Draft202012Validator(s)
        theirs = validator.is_valid(d)
        valid += theirs
        if ours["valid"] is not theirs:
            wrong += 1
            if wrong <= 5:
                print(f"schema   {json.dumps(s)}\ndocument {json.dumps(d)}\njsonschema: {theirs}, cfgctl: {json.dumps(ours)}")
    print(f"{len(pairs)} pairs (seed {SEED}), {valid} of them valid, {wrong} with another verdict")
    # A generator that only makes one kind of pair would test little.
    return 1 if wrong or not len(pairs) // 10 < valid < len(pairs) * 9 // 10 else 0


sys.exit(main())
