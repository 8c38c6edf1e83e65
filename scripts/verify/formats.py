"""Reads a file of ours with a parser of somebody else's, and holds what it found against our own JSON.

    formats.py ktap FILE COMPARISON        the kernel's kunit_parser
    formats.py kcidb FILE SUMMARIES        kcidb-io
    formats.py openmetrics FILE SUMMARIES  prometheus-client

SUMMARIES: what `report --format json` prints of the runs. Prints one line; exit 1 where something does not agree.
"""

import contextlib
import io
import json
import math
import sys

BASE = {"ns": 1e9, "bytes": 1, "count": 1, "instructions": 1}


def rows_of(path):
    """Rows of summaries that follow each other in a file."""
    text, decoder, rows = open(path).read().strip(), json.JSONDecoder(), []
    while text:
        summary, end = decoder.raw_decode(text)
        rows += summary["cells"]
        text = text[end:].lstrip()
    return rows


def agree(found, wanted):
    return len(found) == len(wanted) > 0 and all(math.isclose(a, b) for a, b in zip(found, wanted))


def ktap(path, other):
    comparison = json.load(open(other))
    wanted, seen = {"passed": 0, "failed": 0, "skipped": 0}, set()
    for row in comparison["pooled"] + comparison["cells"]:
        verdict = row["verdict"]
        cell = json.dumps([row.get(key) for key in ("mode", "scenario", "services", "endpoints", "options", "variant")])
        if verdict == "regressed" or (verdict == "missing" and not row["allowed"]):
            wanted["failed"] += 1
        elif row.get("failed", 0) > 0 and cell not in seen:
            seen.add(cell)
            wanted["failed"] += 1
        else:
            wanted["passed" if verdict in ("improved", "unchanged") else "skipped"] += 1
    lines = open(path).read().splitlines()
    # Where it prints is settled as it is imported.
    with contextlib.redirect_stdout(io.StringIO()):
        import kunit_parser
        import kunit_printer

        try:
            counts = kunit_parser.parse_run_tests(lines).counts
        except TypeError:  # since 6.13 it is told where to print
            counts = kunit_parser.parse_run_tests(lines, kunit_printer.stdout).counts
    found = {"passed": counts.passed, "failed": counts.failed + counts.crashed, "skipped": counts.skipped}
    print(", ".join(f"{count} {what}" for what, count in found.items()) + f", {counts.errors} errors")
    return found == wanted and counts.errors == 0


def kcidb(path, other):
    import kcidb_io

    report, rows, latest = json.load(open(path)), rows_of(other), kcidb_io.schema.LATEST
    latest.validate(report)
    tests, builds = report["tests"], {build["id"] for build in report["builds"]}
    numbers = [test["number"]["value"] for test in tests if test["status"] == "DONE" and "number" in test]
    wanted = [row["median"] / BASE[row["unit"]] for row in rows if row["median"] is not None]
    print(f"valid by {latest.major}.{latest.minor}: {len(tests)} tests, {len(numbers)} with a number")
    return agree(numbers, wanted) and len(tests) == len(rows) and all(test["build_id"] in builds for test in tests)


def openmetrics(path, other):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families

    families, rows = list(text_string_to_metric_families(open(path).read())), rows_of(other)
    cells = [family for family in families if not any(end in family.name for end in ("_low", "_high", "_cells", "_environment"))]
    values = sorted(sample.value for family in cells for sample in family.samples)
    wanted = sorted(row["median"] / BASE[row["unit"]] for row in rows if row["median"] is not None)
    print(f"{len(families)} families, {sum(len(family.samples) for family in families)} samples, {len(values)} of them medians")
    return agree(values, wanted)


if __name__ == "__main__":
    what, file, against = sys.argv[1:]
    try:
        sys.exit(0 if {"ktap": ktap, "kcidb": kcidb, "openmetrics": openmetrics}[what](file, against) else 1)
    except Exception as error:  # whatever a parser raises is its refusal
        sys.exit(f"{type(error).__name__}: {str(error)[:120]}")
