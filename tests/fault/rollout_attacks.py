"""What is done to two configd and their etcd at the very transaction that takes a transition.

Each attack is told when that transaction is about to be sent (sending: False drops it), when its answer comes (answering: False keeps it back)
and when it was handed on (answered); `mend` makes everything whole again afterwards. `writer` is the replica whose transaction it is,
`driver` the one that holds the lock; both may be the same."""
import signal
import threading
import time

import rollout_lane as lanes

LEASE_S = 6


class Attack:
    name = ""

    def __init__(self, lane, chance):
        self.lane, self.chance = lane, chance
        self.hit, self.writer, self.driver = threading.Event(), None, None
        self.prepare()

    def prepare(self):
        pass

    def sending(self, wire):
        self.writer = next(r for r in self.lane.replicas if r.wire is wire)
        self.driver = self.lane.holder() or self.writer
        try:
            return self.before()
        finally:
            if not self.waits_for_answer:
                self.hit.set()

    waits_for_answer = False

    def before(self):
        return True

    def answering(self, _wire):
        if not self.waits_for_answer:
            return True
        try:
            return self.between()
        finally:
            self.hit.set()

    def between(self):
        return True

    def answered(self, _wire):
        pass

    def mend(self):
        pass

    def start_again(self, replica):
        if not replica.child:
            time.sleep(self.chance.uniform(0, 1.5))
            replica.start().wait_ready()


class KillBefore(Attack):
    name = "kill-before"

    def before(self):
        self.driver.kill()
        return self.driver is not self.writer

    def mend(self):
        self.start_again(self.driver)


class KillWhile(Attack):
    """etcd has it, the driver never learns of it."""
    name, waits_for_answer = "kill-while", True

    def between(self):
        self.driver.kill()
        return self.driver is not self.writer

    def mend(self):
        self.start_again(self.driver)


class KillAfter(Attack):
    name = "kill-after"

    def answered(self, _wire):
        self.driver.kill()
        self.hit.set()

    def sending(self, wire):
        self.writer = next(r for r in self.lane.replicas if r.wire is wire)
        self.driver = self.lane.holder() or self.writer
        return True

    def mend(self):
        self.start_again(self.driver)


class Stop(Attack):
    """The driver stands still with its transaction on the wire; another takes over; then the stale one arrives, and the driver is back."""
    name = "stop"

    def before(self):
        self.driver.signal(signal.SIGSTOP)
        self.driver.stopped = True
        if self.driver is self.writer:
            end = time.monotonic() + LEASE_S + 4
            while time.monotonic() < end and self.lane.holder() in (None, self.driver):
                time.sleep(0.1)
            time.sleep(self.chance.uniform(0, 2))  # the successor may take the same step meanwhile
        return True

    def mend(self):
        if self.driver is not self.writer:
            time.sleep(self.chance.uniform(1, LEASE_S + 3))
        self.driver.signal(signal.SIGCONT)
        self.driver.stopped = False


class StopOther(Attack):
    """The replica that does not drive stands still with its workers: until it is heard of, nothing passes."""
    name = "stop-other"

    def before(self):
        self.stopped = self.lane.other(self.driver)
        self.stopped.signal(signal.SIGSTOP)
        self.stopped.stopped = True
        return True

    def mend(self):
        time.sleep(self.chance.uniform(1, LEASE_S + 3))
        self.stopped.signal(signal.SIGCONT)
        self.stopped.stopped = False


class CutEtcd(Attack):
    """The driver loses etcd, its transaction sent or not, its connections ended or silent; back before its lease ends, or after."""
    name = "cut-etcd"

    def prepare(self):
        self.sent, self.silently = self.chance.random() < 0.5, self.chance.random() < 0.5
        self.seconds = self.chance.choice([2, LEASE_S + 3])
        self.waits_for_answer = self.sent

    def cut(self):
        self.driver.wire.cut(self.silently)
        return self.driver is not self.writer

    def before(self):
        return True if self.sent else self.cut()

    def between(self):
        return self.cut()

    def mend(self):
        time.sleep(self.seconds)
        self.driver.wire.mend()


class CutWorkers(Attack):
    """A replica loses its workers: the driver's, or the other's."""
    name = "cut-workers"

    def before(self):
        self.cut_off = self.chance.choice([self.driver, self.lane.other(self.driver)])
        self.cut_off.front.cut()
        return True

    def mend(self):
        time.sleep(self.chance.choice([0.3, 3]))
        self.cut_off.front.mend()


class Operator(Attack):
    """A person's write is on its way when its replica is killed. Where the driver's transaction is the one in question, a person pauses at
    that very moment, through the other replica."""
    name = "operator"

    def prepare(self):
        self.sent = self.chance.random() < 0.5
        self.waits_for_answer = self.sent
        self.said = None

    def kill(self):
        self.writer.kill()
        return False

    def before(self):
        if self.writer is not self.driver or self.by_person:
            return True if self.sent else self.kill()
        victim = self.lane.other(self.driver)
        race = Race(self, victim)
        victim.wire.judge = race.judge
        self.said = lanes.InBackground(self.lane.say, "pause", victim)
        while not race.done.wait(0.05) and self.said.is_alive():
            pass  # a refusal writes nothing
        self.writer = victim  # who is to be started again
        self.waits_for_answer = False
        return True

    def between(self):
        return self.kill()

    def mend(self):
        self.start_again(self.writer)


class Race:
    """The person's transaction beside the driver's."""

    def __init__(self, attack, victim):
        self.attack, self.victim, self.done = attack, victim, threading.Event()

    def judge(self, _wire, written):
        if lanes.ROLLOUT not in written or self.done.is_set():
            return None
        return self

    def sending(self, _wire):
        if not self.attack.sent:
            self.victim.kill()
            self.done.set()
        return self.attack.sent

    def answering(self, _wire):
        self.victim.kill()
        self.done.set()
        return False

    def answered(self, _wire):
        pass


class Jump(Attack):
    """The wall clock of the driver, or of both, jumps by a day and back."""
    days = 0

    def prepare(self):
        self.both = self.chance.random() < 0.3

    def before(self):
        self.jumped = self.lane.replicas if self.both else [self.driver]
        for r in self.jumped:
            r.clock.set(r.clock.offset_s + self.days * lanes.DAY_S)
        return True

    def mend(self):
        time.sleep(2.5)
        for r in self.jumped:
            r.clock.set(r.clock.offset_s - self.days * lanes.DAY_S)


class JumpForward(Jump):
    name, days = "clock-forward", 1


class JumpBack(Jump):
    name, days = "clock-back", -1


class RestartEtcd(Attack):
    name = "etcd"

    def prepare(self):
        self.sent = self.chance.random() < 0.5
        self.waits_for_answer = self.sent

    def kill(self):
        self.lane.etcd.kill()
        return False

    def before(self):
        return True if self.sent else self.kill()

    def between(self):
        return self.kill()

    def mend(self):
        time.sleep(self.chance.choice([0, 1, LEASE_S + 2]))
        self.lane.etcd.start().wait_ready()


KINDS = {a.name: a for a in (KillBefore, KillWhile, KillAfter, Stop, StopOther, CutEtcd, CutWorkers, Operator, JumpForward, JumpBack, RestartEtcd)}
