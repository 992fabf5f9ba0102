"""The statistics of experiments against NumPy and SciPy: estimates from raw samples, intervals and p-values by integrating the mixture, the
mismatch by Beta functions, power and plans by simulation."""
import json
import math
import subprocess
import sys

import numpy
from scipy import integrate, optimize, special, stats

probe = subprocess.Popen([sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
rng = numpy.random.default_rng(20261122)
checks = 0


def ask(**question):
    probe.stdin.write(json.dumps(question) + "\n")
    probe.stdin.flush()
    return json.loads(probe.stdout.readline())


def near(got, want, what, rel=1e-9, absolute=0.0):
    global checks
    checks += 1
    assert math.isclose(got, want, rel_tol=rel, abs_tol=absolute), f"{what}: {got!r}, wanted {want!r}"


def moments(x):
    """As workers send them: joined from pieces."""
    n, mean, m2 = 0, 0.0, 0.0
    for part in numpy.array_split(x, 7):
        k, m, s = len(part), part.mean(), ((part - part.mean()) ** 2).sum()
        mean, m2 = (n * mean + k * m) / (n + k), m2 + s + (m - mean) ** 2 * n * k / (n + k)
        n += k
    mean = min(max(mean, x.min()), x.max())
    return {"n": n, "mean": mean, "m2": m2, "min": x.min(), "max": x.max(), "last": float(x[-1]), "bad": 0}


def effects():
    for base, treatment in ((rng.normal(5, 2, 4000), rng.normal(5.1, 3, 2500)), (rng.exponential(1, 900), rng.exponential(1.2, 1100)),
                            (rng.binomial(1, .02, 20000).astype(float), rng.binomial(1, .03, 20000).astype(float))):
        difference, variance, relative, relative_variance, cautious, freedom = ask(effect=[moments(treatment), moments(base)])
        test = stats.ttest_ind(treatment, base, equal_var=False)
        near(difference, treatment.mean() - base.mean(), "difference", absolute=1e-12)
        near(difference / math.sqrt(variance), test.statistic, "Welch's t", 1e-8)
        near(freedom, test.df, "degrees of freedom", 1e-8)
        common = stats.ttest_ind(treatment, base, equal_var=True)
        near(cautious, max(variance, ((treatment.mean() - base.mean()) / common.statistic) ** 2), "cautious variance", 2e-3)
        near(relative, treatment.mean() / base.mean() - 1, "relative", 1e-8)
        draws = rng.normal(treatment.mean(), stats.sem(treatment), 400000) / rng.normal(base.mean(), stats.sem(base), 400000)
        near(relative_variance, draws.var(), "variance of the ratio", 0.05)


def students():
    """Few degrees of freedom: the interval at a normal deviate's likelihood, by the quantile of Student's distribution."""
    for freedom in (10, 19, 63, 126, 1000):
        known, half = (ask(sequence=[0.05, 1], difference=0, variance=1, **more)[1] for more in ({}, {"freedom": freedom}))
        near(half, stats.t.isf(stats.norm.sf(known), freedom), f"Student's with {freedom} degrees", 4e-3)


def clusters():
    """Units that tell unequally much: the variance of a mean by 64 random groups, as a survey's statistician computes it."""
    units = numpy.repeat(numpy.arange(500), 1 + rng.geometric(0.1, 500))
    x = rng.normal(10, 2, 500)[units] + rng.normal(0, 1, len(units))
    mean, variance, freedom = ask(parts=[[int(u), float(v)] for u, v in zip(units, x)])
    near(mean, x.mean(), "mean")
    off = numpy.array([(x[units % 64 == k] - x.mean()).sum() for k in range(64)]) / len(x)
    near(variance, (off ** 2).sum() * 64 / 63, "variance by random groups", 1e-8)
    near(freedom, min(63, 3 * (off ** 2).sum() ** 2 / (off ** 4).sum() - 1), "degrees of freedom", 1e-8)
    # Against the linearised variance of a ratio by units, which it estimates (its own error: 18 %).
    by_unit = numpy.array([(x[units == u] - x.mean()).sum() for u in range(500)]) / len(x)
    near(variance, (by_unit ** 2).sum() * 500 / 499, "variance by units", 0.5)
    assert variance > 5 * x.var() / len(x), "samples of one unit are not independent"


def likelihood_ratio(difference, variance, mix):
    """Of a normal mixture of effects against none, by quadrature."""
    peak = difference * mix / (mix + variance)
    width = math.sqrt(mix * variance / (mix + variance))

    def inner(effect):
        return math.exp((difference ** 2 - (difference - effect) ** 2) / (2 * variance)) * stats.norm.pdf(effect, 0, math.sqrt(mix))
    return integrate.quad(inner, peak - 12 * width, peak + 12 * width, points=[peak], epsabs=0, epsrel=1e-10)[0]


def sequences():
    for alpha in (0.05, 0.01):
        for planned in (1e-4, 2.0):
            for variance in (planned * 30, planned, planned / 5):
                difference = 2.5 * math.sqrt(variance)
                mix, half, p = ask(sequence=[alpha, planned], difference=difference, variance=variance)
                near(p, min(1, 1 / likelihood_ratio(difference, variance, mix)), "p", 1e-6)
                want = optimize.brentq(lambda d: likelihood_ratio(d, variance, mix) - 1 / alpha, math.sqrt(variance), 12 * math.sqrt(variance), rtol=1e-12)
                near(half, want, "half width", 1e-6)
                others = [ask(sequence=[alpha, planned * f], difference=0, variance=planned)[1] for f in (0.5, 0.8, 1.25, 2)]
                best = ask(sequence=[alpha, planned], difference=0, variance=planned)[1]
                # The plan's mixture is a closed form a little beside the least width.
                assert best <= min(others) * 1.001, "narrowest where planned"


def mismatches():
    for counts, shares in (((510, 490), (1, 1)), ((900, 130), (9, 1)), ((10400, 9600), (0.5, 0.5)), ((3, 0), (1, 1))):
        share = numpy.array(shares) / sum(shares)
        evidence = [special.betaln(k * share[0] + counts[0], k * share[1] + counts[1]) - special.betaln(k * share[0], k * share[1])
                    - counts[0] * math.log(share[0]) - counts[1] * math.log(share[1]) for k in (10, 100, 1000, 10000)]
        near(ask(mismatch=[counts, shares])[0], min(1, math.exp(math.log(len(evidence)) - special.logsumexp(evidence))), "mismatch", 1e-6)


def simulated_power(half_width, difference, end, looks, paths=40000):
    steps = rng.normal(difference / (end * looks), math.sqrt(1 / (end * looks)), (paths, looks)).cumsum(axis=1)
    information = numpy.arange(1, looks + 1) / (end * looks)
    return (numpy.abs(steps / information) > half_width(1 / information)).any(axis=1).mean()


def powers():
    def half_width(alpha, planned):
        mix = ask(sequence=[alpha, planned], difference=0, variance=1)[0]
        return lambda v: numpy.sqrt(2 * v * (v + mix) / mix * numpy.log(numpy.sqrt((v + mix) / v) / alpha))
    for alpha, difference, end, looks in ((0.05, 3.5, 1, 50), (0.05, 0.02, 4e-5, 200), (0.01, 3, 1, 10), (0.05, 0, 1, 100), (0.05, 4, 1, 1)):
        near(ask(power=[alpha, end, difference, end, looks])[0], simulated_power(half_width(alpha, end), difference, end, looks), "power", 0, 0.01)
    samples = ask(plan=[0.05, 0.8, 0.1, 1, 1, 0.5, 0.5, 50])[0]
    near(simulated_power(half_width(0.05, 4 / samples), 0.1, 4 / samples, 50), 0.8, "a plan's power", 0, 0.01)


effects()
students()
clusters()
sequences()
mismatches()
powers()
print(f"{checks} figures agree")
