"""Figures of a study's statistics by numpy and scipy, for src/run/study/statistics.test.ts.

    python scripts/goldens/study_statistics.py > test/goldens/study/statistics.json

The bootstrap is numpy's percentile of means over resamples drawn by the same counter-based stream as lowrank's
(src/support/random.ts), written anew here; scipy's own bootstrap of the same values stands beside it.
"""

import json
import sys

import numpy as np
from scipy import stats

MASK = np.uint64(0xFFFFFFFF)
RESAMPLES = 10_000
SEED = 20_060_598


def mix32(x):
    x = x & MASK
    x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x7FEB352D)) & MASK
    x = ((x ^ (x >> np.uint64(15))) * np.uint64(0x846CA68B)) & MASK
    return x ^ (x >> np.uint64(16))


def hash_key(*words):
    h = np.uint64(0x9E3779B9)
    for word in words:
        h = mix32((h ^ mix32(np.asarray(word, dtype=np.uint64))) + np.uint64(0x9E3779B9))
    return h


def hash_name(name):
    h = 0x811C9DC5
    for letter in name:
        h = ((h ^ ord(letter)) * 0x01000193) & 0xFFFFFFFF
    return mix32(np.uint64(h))


def uniforms(count):
    """The first `count` numbers of the stream: two words of 32 bits each."""
    key = hash_key(SEED, 0, hash_name("study/bootstrap"))
    words = hash_key(key, np.arange(2 * count, dtype=np.uint64), 0)
    high, low = words[0::2] >> np.uint64(5), words[1::2] >> np.uint64(6)
    return (high * np.uint64(67108864) + low).astype(np.float64) / 9007199254740992


def interval(values):
    n = len(values)
    picks = np.floor(uniforms(RESAMPLES * n) * n).astype(int).reshape(RESAMPLES, n)
    return np.percentile(values[picks].mean(axis=1), [2.5, 97.5]).tolist()


def scipy_interval(values):
    found = stats.bootstrap((values,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(0))
    return list(found.confidence_interval)


def effects(table):
    rows, columns = table.shape
    row_means, column_means, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    residual = table - row_means[:, None] - column_means[None, :] + mean
    rest = (residual**2).sum() / ((rows - 1) * (columns - 1))
    by_row, by_column = columns * row_means.var(ddof=1), rows * column_means.var(ddof=1)
    return {
        "dataMeansStd": row_means.std(ddof=1),
        "initMeansStd": column_means.std(ddof=1),
        "data": np.sqrt(max(0, (by_row - rest) / columns)),
        "init": np.sqrt(max(0, (by_column - rest) / rows)),
        "rest": np.sqrt(rest),
    }


def main():
    random = np.random.default_rng(7)
    samples = [
        random.normal(0.7, 0.03, 20).round(4),
        random.normal(0.55, 0.1, 5).round(4),
        np.array([0.5, 0.5, 0.5, 0.9]),
        np.array([1.25, 3.5]),
        np.array([0.51]),
    ]
    tables = [
        0.7 + random.normal(0, 0.02, (4, 1)) + random.normal(0, 0.05, (1, 5)) + random.normal(0, 0.01, (4, 5)),
        random.normal(0, 1, (2, 3)),
    ]
    golden = {
        "made_by": f"numpy {np.__version__}, scipy {__import__('scipy').__version__}",
        "samples": [
            {
                "values": v.tolist(),
                "mean": v.mean(),
                "std": v.std(ddof=1) if len(v) > 1 else None,
                "quartiles": np.percentile(v, [25, 50, 75]).tolist(),
                "ci95": interval(v),
                "scipy_ci95": scipy_interval(v) if len(v) > 1 else interval(v),
            }
            for v in samples
        ],
        "tables": [{"values": t.round(4).tolist(), **effects(t.round(4))} for t in tables],
    }
    json.dump(golden, sys.stdout, indent=1)
    print()


main()
