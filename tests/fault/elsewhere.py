"""One of two configd is killed, stopped in good order, or (--hang, by hand: 80 s) hangs, under workers. From then on, whoever asks the other one has all
workers accounted for at every instant: each is told of, or unknown. Nobody is in no list, and nobody waits for longer than it takes them to be back."""
import argparse
import base64
import collections
import json
import os
import signal
import subprocess
import time

import lab as laboratory

WORKERS = 4


def settled(etcd, configd):
    """All are current, and the presence record of the other replica, which follows within a second, names those that it has; how many."""
    listed = [w for w in configd.call("GET", "/v1/deployments/blue/workers")["workers"] if w["connected"] and w["converged"]]
    there = sum(w["replica"] == "first" for w in listed)
    key = base64.b64encode(b"/configd/v1/live/presence/blue/first").decode()
    records = etcd.gateway("kv/range", {"key": key}).get("kvs", [])
    told = json.loads(base64.b64decode(records[0]["value"]))["workers"] if records else 0
    return there if len(listed) == WORKERS and there == told > 0 else None


def look(configd):
    """(workers, unknown, current) as the fleet is summed up now."""
    fleet = configd.call("GET", "/v1/deployments/blue/fleet")
    listed = configd.call("GET", "/v1/deployments/blue/workers")
    connected = sum(w["connected"] for w in listed["workers"])
    assert connected + listed["unknown"] >= WORKERS, f"{connected} workers are listed, {listed['unknown']} unknown, of {WORKERS}"
    assert fleet["workers"] >= WORKERS, f"{fleet['workers']} of {WORKERS} workers are told of: {fleet['states']}"
    assert fleet["partial"] == (fleet["unknown"] > 0), fleet
    return fleet["workers"], fleet["unknown"], fleet["states"].get("current", 0) + fleet["states"].get("idle", 0)


def attack(number, within_s):
    with laboratory.Lab() as lab:
        etcd = lab.etcd()[0]
        first, second = (laboratory.Configd(lab, name, [etcd.url]).start().wait_ready() for name in ("first", "second"))
        laboratory.set_value(first.url, {"value": 1})
        laboratory.make_deployment(first.url)
        laboratory.wait_for("the deployment", lambda: second.call("GET", "/v1/deployments/blue"))
        # Half of them prefer the one that goes away.
        workers = [laboratory.Worker(lab, f"w{i}", [(first, second)[i % 2].url, (first, second)[1 - i % 2].url]).start() for i in range(WORKERS)]
        laboratory.wait_for("all to be current", lambda: settled(etcd, second))
        first.signal(number)
        began, seen = time.monotonic(), collections.Counter()
        while True:
            at = time.monotonic() - began
            workers_, unknown, current = look(second)
            seen[(workers_, unknown)] += 1
            if current == WORKERS and unknown == 0:
                break
            assert at < within_s, f"after {at:.0f} s {unknown} are unknown still: {second.call('GET', '/v1/deployments/blue/workers')}"
            time.sleep(0.02)
        print(f"{signal.Signals(number).name}: all {WORKERS} are back after {at:.1f} s; (workers, unknown) seen: {dict(seen)}", flush=True)
        assert number == signal.SIGTERM or any(unknown for _, unknown in seen), "it was never asked while they were away"
        # A wait is one for all of them.
        cfgctl = subprocess.run([laboratory.CFGCTL, "set", "chat/value=2", "--wait"], env={**os.environ, "CONFIGD_SERVER": second.url}, capture_output=True, text=True, timeout=60)
        assert cfgctl.returncode == 0 and f"{WORKERS}/{WORKERS}" in cfgctl.stderr + cfgctl.stdout, cfgctl
        if number == signal.SIGSTOP:
            first.signal(signal.SIGCONT)
            laboratory.wait_for("the one that hung to answer again", lambda: look(second)[:2] == (WORKERS, 0))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hang", action="store_true", help="the one that hangs, which takes workers 45 s to notice")
    if parser.parse_args().hang:
        attack(signal.SIGSTOP, 70)
    else:
        attack(signal.SIGKILL, 14)
        attack(signal.SIGTERM, 14)
    print("nobody was lost")


if __name__ == "__main__":
    main()
