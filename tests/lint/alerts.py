"""Alert rules: promtool takes and tests them; every alert has its entry in the runbook, and the runbook no others; metrics exist.

Metrics are looked for among the HELP lines that configd/metrics*.c print; e2e.ops holds them against a running configd.
"""
import glob
import os
import re
import shutil
import subprocess
import sys

SOURCE = os.environ.get("CFG_SOURCE_DIR", os.getcwd())
RULES = os.path.join(SOURCE, "compose", "alerts", "configd.rules.yml")
TESTS = os.path.join(SOURCE, "compose", "alerts", "configd.tests.yml")
PROMETHEUS_OWN = {"up"}


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def alerts(rules):
    return re.findall(r"^ +- alert: (\w+)$", rules, re.M)


def metrics(rules):
    """Names that stand where a metric does: every word with an underscore of configd's or the process's, and `up`."""
    exprs = re.findall(r"^ +expr: (.*)$", rules, re.M)
    return {name for e in exprs for name in re.findall(r"\b((?:configd|process)_\w+|up)\b", re.sub(r'"[^"]*"', '""', e))}


def problems():
    rules, tests, runbook = read(RULES), read(TESTS), read(os.path.join(SOURCE, "docs", "runbook.md"))
    named, entries = alerts(rules), re.findall(r"^## (\w+)$", runbook, re.M)
    printed = "".join(read(p) for p in glob.glob(os.path.join(SOURCE, "configd", "metrics*.c")))
    if len(named) < 10:
        yield f"only {len(named)} alerts were found: is this the right file?"
    for name in named:
        if named.count(name) > 1:
            yield f"alert {name} is there twice"
        if name not in entries:
            yield f"alert {name} has no entry in docs/runbook.md"
        if f"docs/runbook.md#{name.lower()}\n" not in rules:
            yield f"alert {name} has no runbook_url of its own"
        if not re.search(rf"alertname: {name}\n +exp_alerts:", tests):
            yield f"no test of compose/alerts/configd.tests.yml sees {name} fire"
    for name in entries:
        if name not in named:
            yield f"docs/runbook.md has an entry for {name}, which is no alert"
    for anchor in re.findall(r"\]\(#([^)]*)\)", runbook):
        if anchor not in [e.lower() for e in entries]:
            yield f"docs/runbook.md links to #{anchor}, which it does not have"
    for name in sorted(metrics(rules) - PROMETHEUS_OWN):
        if f'"{name}"' not in printed:
            yield f"{name} is in a rule, and no configd/metrics*.c prints it"


def main():
    found = list(problems())
    promtool = os.path.join(SOURCE, "build", "promtool", "promtool")
    promtool = promtool if os.access(promtool, os.X_OK) else shutil.which("promtool")
    for command in (["check", "rules", RULES], ["test", "rules", TESTS]) if promtool else ():
        done = subprocess.run([promtool, *command], capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            found.append(f"promtool {' '.join(command)}: {done.stdout}{done.stderr}")
    for text in found:
        print("alerts:", text)
    if not promtool and not found:
        print("SKIP: no promtool (scripts/setup --tests fetches it)")
        return 77
    print("alerts: ok" if not found else f"alerts: {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
