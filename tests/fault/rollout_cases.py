"""One rollout, attacked at one transition, held against all that must be true of it; and many of them, side by side."""
import itertools
import json
import multiprocessing
import os
import queue
import random
import signal
import subprocess
import sys
import time
import traceback
import uuid

import lab as laboratory
import rollout_attacks as attacks
import rollout_lane as lanes
import rollout_routes as roads
import rollout_story as tale

TABLE = os.path.abspath(os.path.join(laboratory.BUILD, "tests", "fault", "rollout_table"))


def table():
    """Every transition of the machine; each has a way to it, or the test fails."""
    lines = subprocess.run([TABLE], check=True, capture_output=True, text=True).stdout.splitlines()
    found, ways = [tuple(line.split()) for line in lines], roads.routes()
    assert len(found) > 40, found
    assert set(found) == set(ways), f"not attacked: {sorted(set(found) - set(ways))}; not in the machine: {sorted(set(ways) - set(found))}"
    return found


class Case:
    def __init__(self, lane, transition, kind, seed):
        self.lane, self.transition, self.kind = lane, transition, kind
        self.route = roads.routes()[transition]
        self.chance = random.Random(f"{seed} {transition} {kind}")
        self.sent, self.said, self.background, self.offsets = {}, {}, None, []
        self.attack, self.armed, self.halted = None, False, False
        self.old = lane.serial

    # --- what passes on the wires ---

    def judge(self, _wire, written):
        if not self.armed or lanes.ROLLOUT not in written:
            return None
        body = json.loads(written[lanes.ROLLOUT])
        if (body["decision"]["input"], body["state"]["phase"]) != self.transition[1:]:
            return None
        self.armed = False
        return self.attack

    def note(self, written):
        if lanes.ROLLOUT in written:
            self.sent.setdefault(json.loads(written[lanes.ROLLOUT])["version"], []).append(time.monotonic())

    def watch_wires(self):
        for r in self.lane.replicas:
            r.wire.judge, r.wire.sent = self.judge, self.note

    # --- leading it there ---

    def set_clocks(self, offset_s):
        self.offsets.append((time.monotonic(), offset_s))
        self.lane.set_clocks(offset_s)

    def start(self):
        lane, route = self.lane, self.route
        self.marks = {w.name: len(w.views()) for w in lane.workers}
        laboratory.set_value(lane.living().url, lane.parameters(route.reject, route.errors), namespace="blue")
        if "halt" in route.prelude:
            lane.each_worker(signal.SIGSTOP)
            self.halted = True
        now = time.time()
        inside = time.gmtime(now + lanes.IN_WINDOW_S)
        clock = [time.strftime("%H:%M", time.gmtime(now + s)) for s in lanes.WINDOW_S]
        days = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
        began = time.gmtime(now + lanes.WINDOW_S[0])
        body = {"deployment": "blue", "steps": [{"share": s, "bake_ms": route.bake, "gate": route.gate} for s in route.steps],
                "guards": lanes.GUARDS, "freeze": [{"days": [days[began.tm_wday]], "from": clock[0], "to": clock[1]}]}
        assert inside.tm_wday in (began.tm_wday, (began.tm_wday + 1) % 7)
        if route.later:
            body["start_at"] = int(now) + lanes.START_S
        self.before = lane.versions()[-1:]
        last = self.before[0].number if self.before else 0
        for _ in range(20):
            try:
                self.begin(body)
                self.run = lane.eye.wait("the start", lambda _: next((v.number for v in lane.versions() if v.input == "start" and v.number > last), None))
                return
            except laboratory.Problem as p:
                if p.status != 422:
                    raise
        raise AssertionError("no seed holds a group")

    def begin(self, body):
        """Whoever does not hear the answer repeats the request, perhaps elsewhere: it is done once, and answered alike."""
        key = {"Idempotency-Key": uuid.uuid4().hex}
        replies = [r.call("POST", "/v1/rollouts", body, key) for r in self.lane.replicas]
        tale.demand(replies[0]["results"] == replies[1]["results"], f"a start that was repeated: {replies}")

    def do(self, word):
        if word == "halt":
            pass  # before the start
        elif word.startswith("wait "):
            self.lane.wait_phase(word[5:])
        elif word == "hold":
            for w in self.lane.workers:
                w.signal(signal.SIGSTOP)
            self.halted = True
        elif word == "go":
            self.lane.each_worker(signal.SIGCONT)
            self.halted = False
        elif word == "into-window":
            self.set_clocks(lanes.IN_WINDOW_S)
        elif word == "past-window":
            self.set_clocks(lanes.PAST_WINDOW_S)
        elif word == "start-time":
            self.set_clocks(lanes.START_S + 5)
        elif word == "break":
            self.lane.flag(True)
        else:
            why, acknowledged = self.lane.say(word)
            self.said[why] = (word, acknowledged)

    def happen(self):
        """The attacked transition."""
        word = self.route.trigger
        if word in tale.OF_PERSONS:
            self.background = lanes.InBackground(self.lane.say, word, self.chance.choice(self.lane.replicas))
        elif word:
            self.do(word)

    # --- the end ---

    def push(self, phase):
        """What a person, or the time, does so that it comes to an end."""
        fails = self.route.errors or self.route.reject
        if phase == "scheduled" and self.route.later:
            self.set_clocks(lanes.START_S + 5)
        elif phase == "frozen" and not fails:
            self.set_clocks(max(lanes.PAST_WINDOW_S, self.offsets[-1][1]))
        elif not fails and phase in ("paused", "gate", "baking") and (phase != "baking" or self.route.bake == roads.LONG_MS):
            self.do({"paused": "resume", "gate": "approve", "baking": "advance"}[phase])

    def overtaken(self):
        return getattr(self.attack, "said", None) and any(v.input == "pause" for v in self.lane.versions(self.run))

    def arrive(self):
        """What the driver sees is decided late where nobody drives for a while. A person's pause that came first leads another way."""
        end = time.monotonic() + 60
        while self.transition not in tale.transitions(self.lane.versions(self.run)) and not self.overtaken():
            assert time.monotonic() < end, f"it never went {self.transition}: {self.waits()}"
            time.sleep(0.05)

    def finish(self):
        if self.halted:
            self.do("go")
        end, told = time.monotonic() + 90, None
        while self.lane.phase() not in tale.FINAL:
            versions = self.lane.versions(self.run)
            now = (versions[-1].number, versions[-1].phase)
            if now != told:
                self.push(now[1])
                told = now
            assert time.monotonic() < end, f"it is still {now[1]}: {self.waits()}"
            time.sleep(0.1)

    def waits(self):
        """What it says that it waits for, and which workers are not where they should be."""
        try:
            why = self.lane.living().call("GET", "/v1/rollouts/blue").get("live", {}).get("waits")
            late = [{k: w.get(k) for k in ("worker", "replica", "arm", "condition", "why", "age_ms", "last_report_ms", "heard_ms", "connected", "step", "incarnation")}
                    for r in self.lane.replicas for w in r.call("GET", "/v1/deployments/blue/workers?local=true")["workers"] if not w["converged"]]
            return f"{why}; not converged: {late}"
        except (OSError, laboratory.Problem) as error:
            return error

    # --- what must be true ---

    def end_expected(self):
        if self.route.errors or self.route.reject:
            return "rolled-back"
        return "aborted" if any(word == "abort" and done for word, done in self.said.values()) else "finished"

    def true_offset(self, when):
        return [offset for t, offset in self.offsets if t <= when][-1]

    def check_clock(self, versions):
        """Nothing steps within a window, or before its time, because one clock jumped. Where all jump there is nothing to know better by."""
        if getattr(self.attack, "both", False):
            return
        for v in versions:
            offset = self.true_offset(v.heard)
            tale.demand(v.input != "thaw" or offset != lanes.IN_WINDOW_S, f"{v} within the window")
            tale.demand(v.input != "due" or not self.route.later or offset >= lanes.START_S, f"{v} before its time")

    def check(self, known):
        lane, versions = self.lane, self.lane.versions(self.run)
        tale.demand(not self.before or lane.versions(self.before[0].body["run"])[-1].number == self.before[0].number, "the last one moved on")
        tale.check_order(versions, known)
        tale.check_bakes(versions, self.sent)
        tale.check_decisions(versions)
        since = versions[0].heard
        records = [json.loads(v) for t, k, v in list(lane.eye.events) if k == lanes.DEPLOYMENT and t >= since and v]
        tale.check_shares(versions, records)
        tale.check_said(versions, self.said)
        self.check_clock(versions)
        moved = tale.transitions(versions)
        refused = self.said and not all(done for _, done in self.said.values())
        tale.demand(self.transition in moved or refused or self.overtaken(), f"it never went {self.transition}")
        end = versions[-1].phase
        tale.demand(end == self.end_expected(), f"it is {end}, not {self.end_expected()}")
        new = lane.serial
        lane.in_force = new if end == "finished" else self.old
        laboratory.wait_for("all workers on what is in force", lambda: all(w.views()[-1][3] == str(lane.in_force) for w in lane.workers), 60)
        for w in lane.workers:
            tale.check_views(w.name, [v[3] for v in w.views()[self.marks[w.name]:]], str(self.old), str(new), end != "finished")
        page = laboratory.wait_for("the history", lambda: lane.living().call("GET", f"/v1/rollouts/blue/history?limit={len(versions)}"))
        told = [(v["version"], v["decision"]) for v in reversed(page["items"])]
        tale.demand(told == [(v.number, v.decision) for v in versions], "the history tells another story than etcd did")

    def go(self, known):
        lane = self.lane
        self.old = lane.in_force
        self.set_clocks(0)
        self.watch_wires()
        early = not self.route.prelude and self.route.trigger is None
        self.attack = attacks.KINDS[self.kind](lane, self.chance)
        self.attack.by_person = self.transition[1] in tale.OF_PERSONS
        self.armed = early
        self.start()
        for word in self.route.prelude:
            self.do(word)
        self.armed = True if not early else self.armed
        self.happen()
        try:
            assert self.attack.hit.wait(40), f"it never came to {self.transition}; it waits: {self.waits()}"
        finally:
            if self.attack.writer:
                self.attack.mend()
            self.watch_wires()
        for call in filter(None, (self.background, getattr(self.attack, "said", None))):
            why, acknowledged = call.result()
            self.said[why] = (why.split()[0], acknowledged)
        if not self.attack.by_person:
            self.arrive()
        self.finish()
        self.check(known)
        self.after()

    def after(self):
        if self.route.errors:
            self.lane.flag(False)
        self.lane.set_clocks(0)
        laboratory.wait_for("all workers again", lambda: all(self.lane.all_there(r) for r in self.lane.replicas), 60)


# --- many ---


def run_lane(number, tasks, results, known, seed, verbose):
    """Takes cases until there are none; a case that fails gets the next one a new laboratory."""
    sys.stdout = open(os.devnull, "w") if not verbose else sys.stdout  # a failing laboratory prints its logs
    while True:
        first = take(tasks)
        if first is None:
            return
        try:
            with laboratory.Lab() as lab:
                lane = lanes.Lane(lab)
                lane.in_force = lane.serial
                for task in itertools.chain([first], iter(lambda: take(tasks), None)):
                    case, began = Case(lane, *task, seed), time.monotonic()
                    first = task
                    try:
                        case.go(known)
                    except BaseException:
                        results.put((task, time.monotonic() - began, traceback.format_exc(limit=-3) + story_of(case)))
                        first = None
                        raise
                    results.put((task, time.monotonic() - began, None))
                    first = None
        except Exception:  # told with its case, unless the laboratory itself failed
            if first:
                results.put((first, 0, traceback.format_exc(limit=-3)))


def take(tasks):
    """The next one; None, which stays for the others, ends them."""
    task = tasks.get()
    if task is None:
        tasks.put(None)
    return task


def story_of(case):
    run = getattr(case, "run", None)
    return tale.tell(case.lane.versions(run)) if run else "(it never started)"


def choose(known, which, seed):
    """All pairs, or so many by chance: other transitions and other attacks each, as far as there are."""
    pairs = list(itertools.product(known, attacks.KINDS))
    if which == "all":
        return pairs
    chance = random.Random(seed)
    moves, kinds = chance.sample(known, min(which, len(known))), list(attacks.KINDS)
    chance.shuffle(kinds)
    return [(moves[i % len(moves)], kinds[i % len(kinds)]) for i in range(which)]


def run(pairs, known, seed, at_once, verbose):
    """{(transition, kind): (seconds, None or what went wrong)}."""
    tasks, results = multiprocessing.Queue(), multiprocessing.Queue()
    order = list(pairs)
    random.Random(seed).shuffle(order)
    for pair in [*order, None]:
        tasks.put(pair)
    at_once = min(at_once, len(order))
    workers = [multiprocessing.Process(target=run_lane, args=(i, tasks, results, known, seed, verbose)) for i in range(at_once)]
    for w in workers:
        w.start()
    done = {}
    while len(done) < len(order):
        try:
            (move, kind), seconds, wrong = results.get(timeout=5)
        except queue.Empty:
            assert any(w.is_alive() for w in workers), f"{len(order) - len(done)} cases were never run"
            continue
        done[tuple(move), kind] = (seconds, wrong)
        print(f"{len(done)} of {len(order)}: {' '.join(move)}, {kind}: {'holds' if wrong is None else 'BROKEN'} ({seconds:.0f} s)", flush=True)
        if wrong:
            print(wrong, flush=True)
    for w in workers:
        w.join()
    return done


def matrix(done):
    """A row per transition, a column per attack: + holds, X broken."""
    kinds = [k for k in attacks.KINDS if any(kind == k for _, kind in done)]
    width = max(len(" ".join(move)) for move, _ in done)
    lines = [" " * width + "  " + "  ".join(kinds)]
    for move in dict.fromkeys(move for move, _ in done):
        marks = [{None: "·"}.get(done.get((move, k)), "+" if done.get((move, k), (0, 1))[1] is None else "X").center(len(k)) for k in kinds]
        lines.append(" ".join(move).ljust(width) + "  " + "  ".join(marks))
    return "\n".join(lines)
