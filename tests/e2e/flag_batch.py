"""flagd's own feature files, asked of `cfgctl flag eval --batch`: one process, one line per example. Says SKIP (exit 77) without them."""
import json
import os
import re
import subprocess
import sys

BUILD, SOURCE = os.environ["CFG_BUILD_DIR"], os.environ["CFG_SOURCE_DIR"]
DATA = os.path.join(os.environ.get("CFG_CONFORMANCE_DIR", os.path.join(SOURCE, "..", "shared", "conformance")), "flagd")
TYPES = {"Boolean": "bool", "String": "string", "Integer": "integer", "Float": "float", "Object": "object"}


def cells(line):
    return [c.strip() for c in line.strip().strip("|").split("|")]


def cases(path):
    """(name, tags, steps) of every scenario and example; a step is (text, rows of its table)."""
    with open(path, encoding="utf-8") as f:
        lines = [line.strip() for line in f]
    feature_tags, tags, background, scenario, target = "", "", [], None, None
    found = []

    def finish():
        if scenario is None:
            return
        steps = background + scenario["steps"]
        for example_tags, rows in scenario["examples"] or [("", [[], []])]:
            for row in rows[1:]:
                values = dict(zip(rows[0], row))

                def put(text):
                    return re.sub(r"<([^<>]+)>", lambda m: values.get(m.group(1), m.group(0)), text)

                found.append((f"{scenario['name']} {row}", feature_tags + scenario["tags"] + example_tags,
                              [(put(t), [[put(c) for c in r] for r in table]) for t, table in steps]))

    for line in lines:
        if not line or line.startswith("#"):
            continue
        if line.startswith("@"):
            tags += line + " "
        elif line.startswith("Feature:"):
            feature_tags, tags = tags, ""
        elif line.startswith("Background:"):
            target = background
        elif line.startswith("Scenario"):
            finish()
            scenario = {"name": line, "tags": tags, "steps": [], "examples": []}
            target, tags = scenario["steps"], ""
        elif line.startswith("Examples"):
            target = []
            scenario["examples"].append((tags, target))
            tags = ""
        elif line.startswith("|"):
            in_examples = scenario and scenario["examples"] and target is scenario["examples"][-1][1]
            (target if in_examples else target[-1][1]).append(cells(line))
        elif target is not None and re.match(r"(Given|When|Then|And|But) ", line):
            target.append((line.split(" ", 1)[1], []))
    finish()
    return found


def value(kind, text):
    if kind == "Boolean":
        return text == "true"
    if kind == "Integer":
        return int(float(text)) if abs(float(text)) < 1e15 else int(text.split(".")[0])
    if kind == "Float":
        return float(text)
    return json.loads(text.replace('\\"', '"')) if kind == "Object" else text


def load():
    sets = {}
    for name in sorted(os.listdir(os.path.join(DATA, "flags"))):
        with open(os.path.join(DATA, "flags", name), encoding="utf-8") as f:
            sets[name] = json.load(f)
    return sets


def choose(sets, key, testkit, version):
    for name, document in sets.items():
        if (name == "testkit-flags.json") == testkit and key in document.get("flags", {}):
            document = json.loads(json.dumps(document))
            for flag in document["flags"].values():
                flag["hash_version"] = version
            return document
    return {"flags": {}}


def question(sets, tags, steps):
    """The line, and what the answer must hold."""
    q, want, kind, key, testkit = {"context": {}}, {}, "", "", False
    for text, _ in steps:
        quoted = re.findall(r'"((?:[^"\\]|\\.)*)"', text)
        if (m := re.match(r'an? (\w+)-flag with key "(.*?)" and a (?:fallback|default) value "(.*)"$', text)):
            kind, key = m.group(1), m.group(2)
            q.update(flag=key, type=TYPES[kind], default=value(kind, m.group(3)))
        elif (m := re.match(r'a context containing a key "(.*?)", with type "(.*?)" and with value "(.*)"$', text)):
            q["context"][m.group(1)] = value(m.group(2), m.group(3))
        elif text.startswith("a context containing a targeting key"):
            q["context"]["targetingKey"] = quoted[0]
        elif text.startswith("a context containing a nested property"):
            q["context"].setdefault(quoted[0], {})[quoted[1]] = quoted[2]
        elif text == "an evaluator":
            testkit = True
        elif (m := re.match(r'the resolved details value should be "(.*)"$', text)):
            want["value"] = value(kind, m.group(1))
        elif text.startswith("the reason should be"):
            want["reason"] = quoted[0]
        elif text.startswith("the error-code should be"):
            want["errorCode"] = quoted[0] or None
    version = 1 if "@fractional-v1 " in tags else 3 if "@fractional-v3 " in tags else 2
    q["flags"] = choose(sets, key, testkit, version)
    return q, want


def main():
    if not os.path.isdir(DATA):
        print(f"SKIP: no {DATA}")
        return 77
    sets, asked = load(), []
    for name in sorted(os.listdir(os.path.join(DATA, "gherkin"))):
        for title, tags, steps in cases(os.path.join(DATA, "gherkin", name)):
            asked.append((f"{name}: {title}", *question(sets, tags, steps)))
    lines = "".join(json.dumps(q) + "\n" for _, q, _ in asked)
    done = subprocess.run([os.path.join(BUILD, "client", "cfgctl", "cfgctl"), "flag", "eval", "--batch"], input=lines, capture_output=True,
                          text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    if len(answers) != len(asked):
        print(f"{len(answers)} answers to {len(asked)} questions")
        return 1
    failed = 0
    for (title, q, want), a in zip(asked, answers):
        good = sorted(a) == ["errorCode", "reason", "value", "variant"] and all(a[k] == v for k, v in want.items())
        if a["reason"] in ("ERROR", "DISABLED"):
            good = good and a["value"] == q["default"]
        if not good:
            failed += 1
            print(f"FAIL {title}: {a}, wanted {want}")
    print(f"{len(asked) - failed} of {len(asked)} passed")
    return 1 if failed or not asked else 0


if __name__ == "__main__":
    sys.exit(main())
