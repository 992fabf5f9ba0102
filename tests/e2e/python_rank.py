"""One rank, in Python: a line for every step at which its view is another, with what the step read. All end at the same step: `stop` says when."""
import os
import sys
import time

import configd

rank, world, first = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
params = {"optimizer.lr": configd.barrier(0.5, 0, 10), "log.every": configd.live(10, 1, 1000),
          "stop": configd.barrier(False)}
with configd.Worker("job", worker=f"rank-{rank}", rank=rank, world=world, group=os.environ["GROUP"], group_deadline_ms=20000,
                    cache="", params=params) as w:
    n, last = first, None
    while True:
        try:
            v = w.step(n)
        except configd.Error as e:
            print(f"ended {n} {e.text}", flush=True)
            w.form()
            n, last = first + 1000000, None  # where a checkpoint would say
            continue
        if v.revision != last:
            last = v.revision
            print(f"view {n} {v.revision} {v['optimizer.lr']} {v['log.every']}", flush=True)
        if v["stop"]:
            break
        w.step_end(loss=1.0 / (n + 1))
        time.sleep(0.001)  # the work
        n += 1
print(f"done {n}", flush=True)
