#!/usr/bin/env python3
"""Reference values for reports/tests/reference.rs, from SciPy.

    python3 -m venv /tmp/scipy && /tmp/scipy/bin/pip install scipy==1.17.1
    /tmp/scipy/bin/python reports/tests/reference/statistics.py > reports/tests/reference/statistics.json

What SciPy has no function for (stratified permutation, intervals of shifts) is found by going through every
case with SciPy's own test inside.
"""
import itertools
import json
import sys

import numpy as np
import scipy
from scipy import stats

rng = np.random.default_rng(20261125)


def floats(values):
    return [float(v) for v in values]


def rounded(n, location=0.0):
    return np.round(rng.normal(location, 1.0, n), 1)


def mann_whitney():
    cases = []
    for n, m, location in [(1, 1, 0), (3, 4, 1), (5, 5, 2), (8, 10, 0.5), (10, 10, 1), (30, 30, 0.6), (40, 35, 0.4)]:
        a, b = rng.normal(0, 1, n), rng.normal(location, 1, m)
        method = "exact" if n * m <= 900 else "asymptotic"
        cases.append((a, b, method))
    for n, m, location in [(4, 4, 1), (9, 12, 0.5), (50, 60, 0.2)]:
        cases.append((rounded(n), rounded(m, location), "asymptotic"))
    return [
        {"a": floats(a), "b": floats(b), "method": how, "p": float(stats.mannwhitneyu(a, b, method=how).pvalue),
         "cliffs_delta": float(2 * stats.mannwhitneyu(b, a).statistic / (len(a) * len(b)) - 1)}
        for a, b, how in cases
    ]


def signed_rank():
    cases = []
    for n, location in [(1, 0), (6, 1), (12, 0.4), (40, 0.3)]:
        d = rng.normal(location, 1, n)
        cases.append((d, stats.wilcoxon(d, method="exact").pvalue))
    for n, location in [(7, 0.6), (12, 0.5)]:
        # Ties in size: every assignment of signs.
        d = rounded(n, location)
        d = d[d != 0]
        ranks = stats.rankdata(np.abs(d))
        seen = abs(ranks[d > 0].sum() - ranks.sum() / 2)
        far = [abs(np.dot(signs, ranks) - ranks.sum() / 2) >= seen - 1e-9
               for signs in itertools.product([0, 1], repeat=len(d))]
        cases.append((d, np.mean(far)))
    d = rng.normal(0.25, 1, 90)
    cases.append((d, stats.wilcoxon(d, method="asymptotic", correction=True).pvalue))
    d = rounded(120, 0.2)
    cases.append((d, stats.wilcoxon(d[d != 0], method="asymptotic", correction=True).pvalue))
    return [{"differences": floats(d), "p": float(p)} for d, p in cases]


def refused(differences, p_of):
    """The ends of the shifts that a test at 5 % does not refuse: they are among the differences."""
    edges = np.sort(differences)
    between = np.concatenate([[edges[0] - 1], (edges[1:] + edges[:-1]) / 2, [edges[-1] + 1]])
    kept = [place for place, shift in enumerate(between) if p_of(shift) > 0.05]
    if kept[0] == 0 or kept[-1] == len(edges):
        return None
    return [float(edges[kept[0] - 1]), float(edges[kept[-1]])]


def shifts():
    cases = []
    for n, m in [(3, 3), (5, 5), (6, 9), (10, 10)]:
        a, b = rng.normal(0, 1, n), rng.normal(0.8, 1, m)
        differences = np.subtract.outer(b, a).ravel()
        ci = refused(differences, lambda s: stats.mannwhitneyu(a, b - s, method="exact").pvalue)
        cases.append({"a": floats(a), "b": floats(b), "estimate": float(np.median(differences)), "ci95": ci})
    return cases


def middles():
    cases = []
    for n in [4, 8, 16]:
        d = rng.normal(0.5, 1, n)
        means = np.array([(d[i] + d[j]) / 2 for i in range(n) for j in range(i, n)])
        ci = refused(means, lambda s: stats.wilcoxon(d - s, method="exact").pvalue)
        cases.append({"differences": floats(d), "estimate": float(np.median(means)), "ci95": ci})
    return cases


def exhaustive(strata):
    parts = []
    for a, b in strata:
        both = np.concatenate([a, b])
        parts.append([sum(c) for c in itertools.combinations(both, len(b))])
    expected = sum(np.concatenate([a, b]).mean() * len(b) for a, b in strata)
    seen = abs(sum(np.sum(b) for _, b in strata) - expected)
    sums = parts[0]
    for part in parts[1:]:
        sums = np.add.outer(sums, part).ravel()
    return float(np.mean(np.abs(np.asarray(sums) - expected) >= seen - 1e-9))


def permutations():
    cases = []
    a, b = rng.normal(0, 1, 5), rng.normal(1, 1, 6)
    p = stats.permutation_test((a, b), lambda x, y: np.mean(y) - np.mean(x), permutation_type="independent",
                               n_resamples=np.inf, alternative="two-sided").pvalue
    # Equal sides: SciPy doubles the smaller tail, which is the same where the distribution is symmetric.
    a2, b2 = rng.normal(0, 1, 5), rng.normal(1.4, 1, 5)
    p2 = stats.permutation_test((a2, b2), lambda x, y: np.mean(y) - np.mean(x), permutation_type="independent",
                                n_resamples=np.inf, alternative="two-sided").pvalue
    cases.append({"strata": [[floats(a2), floats(b2)]], "p": float(p2), "exact": True})
    cases.append({"strata": [[floats(a), floats(b)]], "p": exhaustive([(a, b)]), "exact": True})
    assert abs(p - exhaustive([(a, b)])) < 0.05
    strata = [(rng.normal(5 * i, 1, 3), rng.normal(5 * i + 0.9, 1, 3)) for i in range(3)]
    cases.append({"strata": [[floats(a), floats(b)] for a, b in strata], "p": exhaustive(strata), "exact": True})
    strata = [(rng.normal(5 * i, 1, 4), rng.normal(5 * i + 0.6, 1, 4)) for i in range(3)]
    cases.append({"strata": [[floats(a), floats(b)] for a, b in strata], "p": exhaustive(strata), "exact": False})
    return cases


def aligned():
    """Many units: 200,000 random exchanges inside strata."""
    cases = []
    for location in [0.15, 0.4]:
        strata = [(rng.normal(3 * i, 1, 8), rng.normal(3 * i + location, 1, 8)) for i in range(6)]
        values = np.concatenate([np.concatenate([a, b]) - np.median(np.concatenate([a, b])) for a, b in strata])
        ranks = stats.rankdata(values).reshape(6, 16)
        expected = ranks.mean(axis=1).sum() * 8
        seen = abs(ranks[:, 8:].sum() - expected)
        drawn = np.abs(np.sum([rng.permuted(np.tile(row, (200_000, 1)), axis=1)[:, 8:].sum(axis=1)
                               for row in ranks], axis=0) - expected)
        cases.append({"strata": [[floats(a), floats(b)] for a, b in strata], "p": float(np.mean(drawn >= seen - 1e-9))})
    return cases


def corrections():
    cases = []
    for p in [[0.01], [0.001, 0.8, 0.02, 0.04, 0.011], list(rng.uniform(0, 1, 12) ** 2), [0.5, 0.5, 0.5]]:
        cases.append({"p": floats(p), "adjusted": floats(stats.false_discovery_control(p))})
    return cases


def normal():
    points = [1e-12, 1e-6, 0.001, 0.025, 0.3, 0.5, 0.8, 0.975, 0.999999]
    return [{"p": p, "x": float(stats.norm.ppf(p))} for p in points]


def fits():
    at = np.array([100, 300, 1000, 3000, 10000.0])
    line = 34000 + 5.9 * at + rng.normal(0, 300, 5)
    power = 2e5 * at**1.3 * np.exp(rng.normal(0, 0.05, 5))
    cases = []
    for name, x, y, back in [("linear", at, line, lambda v: v), ("power", np.log(at), np.log(power), np.exp)]:
        r = stats.linregress(x, y)
        cases.append({
            "model": name, "services": [int(v) for v in at], "values": floats(line if name == "linear" else power),
            "estimate": float(r.slope), "intercept": float(back(r.intercept))})
    return cases


def medians():
    """Interpolated order statistics (Hettmansperger and Sheather 1986) around binomial confidences."""
    cases = []
    for n in [6, 7, 8, 9, 12, 15, 20, 33]:
        x = np.sort(np.round(rng.lognormal(0, 0.1, n), 4))
        held = lambda k: 1 - 2 * stats.binom.cdf(k - 1, n, 0.5)
        k = max(k for k in range(1, n // 2 + 1) if held(k) >= 0.95)
        share = (held(k) - 0.95) / (held(k) - held(k + 1))
        weight = (n - k) * share / (k + (n - 2 * k) * share)
        ends = [(1 - weight) * x[k - 1] + weight * x[k], (1 - weight) * x[n - k] + weight * x[n - k - 1]]
        cases.append({"values": floats(x), "ci95": floats(ends)})
    return cases


json.dump({
    "command": "python reports/tests/reference/statistics.py", "scipy": scipy.__version__, "numpy": np.__version__,
    "mann_whitney": mann_whitney(), "signed_rank": signed_rank(), "shifts": shifts(), "middles": middles(),
    "permutations": permutations(), "aligned": aligned(), "corrections": corrections(),
    "normal": normal(), "fits": fits(), "medians": medians(),
}, sys.stdout, indent=0)
sys.stdout.write("\n")
