"""Rollouts that stop themselves, of a real etcd and real configds with simulated workers (cfg-fleet).

    rollouts.py --attacks all                       every transition of the machine, attacked in every way (about 500 rollouts)
    rollouts.py --attacks 6 --seed 3                six of those pairs, chosen by the seed
    rollouts.py --attacks all --only stop           those whose transition or attack has this word
    rollouts.py --regressions 200 --healthy 200     planted regressions are caught within one bake, healthy rollouts finish

Attacks are listed in rollout_attacks.py, ways to transitions in rollout_routes.py, what must hold in rollout_story.py. A transition that the machine
has and no route leads to fails the test."""
import argparse
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rollout_cases as cases  # noqa: E402
import rollout_runs  # noqa: E402


def attack(which, only, seed, at_once, verbose):
    known = cases.table()
    pairs = [p for p in cases.choose(known, which, seed) if not only or any(only == word for word in (*p[0], p[1]))]
    done = cases.run(pairs, known, seed, at_once, verbose)
    order = {move: i for i, move in enumerate(known)}
    print(cases.matrix(dict(sorted(done.items(), key=lambda item: order[item[0][0]]))))
    held = sum(wrong is None for _, wrong in done.values())
    print(f"{held} of {len(done)} attacked rollouts kept every invariant; {len(known)} transitions are known, each has a way to it")
    return held == len(done)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--attacks", type=lambda s: s if s == "all" else int(s), help="all, or how many")
    p.add_argument("--only", help="a phase, an input or an attack")
    p.add_argument("--regressions", type=int, default=0)
    p.add_argument("--healthy", type=int, default=0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--at-once", type=int, default=8, help="laboratories (attacks) or deployments (runs) side by side")
    p.add_argument("--workers", type=int, default=10, help="of each deployment")
    p.add_argument("--bake-ms", type=int, default=15000)
    p.add_argument("--within-ms", type=int, help="how long a complete rollback may take (as long as a step bakes)")
    p.add_argument("--verbose", action="store_true", help="the logs of a laboratory in which something broke")
    o = p.parse_args()
    held = attack(o.attacks, o.only, o.seed, o.at_once, o.verbose) if o.attacks else True
    if o.regressions or o.healthy:
        held = rollout_runs.run(o.regressions, o.healthy, o.seed, o.at_once, o.bake_ms, o.within_ms or o.bake_ms, o.workers) and held
    sys.exit(0 if held else 1)


main()
