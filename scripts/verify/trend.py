"""Histories that nobody measured, and what was found in them.

    trend.py make DIR                 60 histories of 200 runs: a step of two standard deviations, one of 5 %, none; and one of 10,000 runs
    trend.py config DIR               otava.yaml for the CSV files that `trend --format csv` wrote of them
    trend.py otava DIR                what apache-otava finds in these, as JSON
    trend.py judge DIR OTAVA          a table: each history, its step, what `trend` found (NAME.json) and what Otava found; then counts
"""

import json
import pathlib
import random
import re
import sys

RUNS = 200
EACH = 20
# A history's name begins with its kind: the step as a share, and the noise of a run as one.
KINDS = {"two-sigma": (0.10, 0.05), "five-percent": (0.05, 0.02), "flat": (0.0, 0.05)}
ENVIRONMENT = {
    "sandbox": "netns", "accel": "none", "kernel": "6.18.0", "kernel_build": "#1", "machine": "x86_64", "cpu": "none", "cores": 2,
    "memory_bytes": 0, "clocksource": "tsc", "clock_step_ns": 0, "pinning": "", "placement": {}, "mitigations": {}, "config": {},
    "sysctls": {}, "tools": {},
}


def started(index):
    day, minute = divmod(index, 24 * 60)
    return f"{2020 + day // 365}-{1 + day % 365 // 31:02}-{1 + day % 365 % 31:02}T{minute // 60:02}:{minute % 60:02}:00Z"


def write(path, values):
    """A history as `trend --append` keeps it (docs/trend.md)."""
    runs = [{"run": f"runs/{index}", "started": started(37 * index), "tool_version": "0.2.0", "revision": "0123456789ab", "seed": 1,
             "schema_version": 2, "environments": {"netns": 0}} for index in range(len(values))]
    head = {"record": "history", "history_version": 1, "runs": runs, "environments": [ENVIRONMENT]}
    series = {"record": "series", "mode": "nftables", "scenario": "first-packet", "services": 1000, "endpoints": 2, "environment": "netns",
              "variant": "", "options": {"position": "uniform", "protocol": "tcp"}, "metric": "latency", "unit": "ns", "values": values}
    path.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in (head, series)))


def make(folder):
    steps = {}
    for kind, (step, noise) in KINDS.items():
        for number in range(EACH):
            rng = random.Random(f"{kind} {number}")
            at = rng.randrange(30, RUNS - 30) if step else None
            name = f"{kind}-{number:02}"
            steps[name] = at
            level = lambda index: 40_000 * (1 + step if at is not None and index >= at else 1)
            write(folder / f"{name}.history", [round(level(index) * (1 + rng.gauss(0, noise)), 1) for index in range(RUNS)])
    rng = random.Random("long")
    write(folder / "long.history", [round(40_000 * (1 + 0.1 * (index // 1000 % 2)) * (1 + rng.gauss(0, 0.05)), 1) for index in range(10_000)])
    (folder / "steps.json").write_text(json.dumps(steps))


def config(folder):
    lines = ["tests:"]
    for csv in sorted(folder.glob("*.csv")):
        column = csv.open().readline().strip().split(",")[4]
        lines += [f"  {csv.stem}:", "    type: csv", f"    file: {csv}", "    time_column: time", "    attributes: [run, revision]",
                  "    metrics:", "      latency:", f"        column: '{column}'", "        direction: -1", "        scale: 1"]
    (folder / "otava.yaml").write_text("\n".join(lines) + "\n")


def judge(folder, otava):
    steps = json.loads((folder / "steps.json").read_text())
    theirs = json.loads(pathlib.Path(otava).read_text())
    near = {kind: {"ours": 0, "otava": 0} for kind in KINDS}
    false = {kind: {"ours": 0, "otava": 0} for kind in KINDS}
    print("history\tstep\ttrend\totava")
    for name, at in steps.items():
        kind = re.sub(r"-\d+$", "", name)
        trend = json.loads((folder / f"{name}.json").read_text())
        found = {"ours": [point["at"] for point in trend["series"][0]["points"] if point["verdict"] != "inconclusive"], "otava": theirs[name]}
        for who, points in found.items():
            close = [point for point in points if at is not None and abs(point - at) <= 3]
            near[kind][who] += bool(close)
            false[kind][who] += len(points) - len(close[:1])
        said = "\t".join(" ".join(map(str, found[who])) or "-" for who in ("ours", "otava"))
        print(f"{name}\t{'-' if at is None else at}\t{said}")
    for kind in KINDS:
        for who in ("ours", "otava"):
            print(f"# {kind} {who} {near[kind][who]} {false[kind][who]}")


def otava_points(folder, names):
    """Change points of each CSV by Otava's own importer and analysis, with its defaults."""
    from datetime import datetime, timezone

    from otava.config import load_config_from_file
    from otava.data_selector import DataSelector
    from otava.importer import Importers
    from otava.series import AnalysisOptions

    loaded = load_config_from_file(str(folder / "otava.yaml"))
    importers, found = Importers(loaded), {}
    selector = DataSelector()
    selector.since_time = datetime(2000, 1, 1, tzinfo=timezone.utc)
    for name in names:
        test = loaded.tests[name]
        series = importers.get(test).fetch_data(test, selector)
        found[name] = [int(point.index) for point in series.analyze(AnalysisOptions()).change_points["latency"]]
    return found


if __name__ == "__main__":
    what, folder, *rest = sys.argv[1:]
    folder = pathlib.Path(folder)
    if what == "make":
        make(folder)
    elif what == "config":
        config(folder)
    elif what == "otava":
        print(json.dumps(otava_points(folder, json.loads((folder / "steps.json").read_text()))))
    else:
        judge(folder, *rest)
