"""Two folders of reports of one run: equal, but for the differences that are declared here.

    reports-stay.py OLD NEW      for each file a line "true|false TAB text"
"""

import collections
import difflib
import re
import sys
from pathlib import Path

# The revision whose reports are held against.
START = 'ecfc490'

# What may differ: (file, pattern, what stands in its place, why). Applied to both sides, so that a difference is
# declared by what it looks like and nothing else passes with it.
DECLARED = [
    ('.*', r'/[^ "<]*/(?:old|new)/', 'DIR/', 'the scratch folder that the reports were made in'),
    ('.*', r'\brevision [0-9a-f]{7,40}\b', 'revision R', 'who made the report'),
    ('summary.json', r'\n\s*"without": \{[^}]*\},', '', 'rows say what became of stays without a number'),
    ('summary.json', r',\n      "kind": ".*?\n    \}', '\n    }', 'findings have their parts beside their text'),
    ('report.html', r'base64,[A-Za-z0-9+/=]+', 'base64,', 'the same summary, inside the page'),
    ('report.html', r'<figure id="chart-(?:heat-map|distribution|updates-processor-time|updates)(?:-\d+)?">.*?</figure>', '',
     'the heat map and the distribution are gone, processor time is part of updates'),
    ('report.html', r'<tr><th scope="row"><a[^>]*>(?:Remove one service|Replace an endpoint[^<]*): kube-proxy\'s sync.*?</tr>', '',
     'the matrix asks sync_time of these too'),
    ('report.html|summary.md', r'\bFirst packet(?:, (?:any|the \w+) service)?(?:, (?:TCP|UDP))?(?=<| \|)', 'First packet',
     'side by side, position and protocol are always named'),
    ('same.json|compare.json', r'\b(?:METHOD[A-Z]+|docs/figures/deterministic\.md)[^"]*', 'DOCUMENT', 'the figures of counted runs have a document of their own'),
    ('summary.md', r' \(other stays timed out: the true median is higher\)', '', 'stays that timed out are in the median'),
]

# What may say more than it said, never less: here every word of the old must be there as often, in whatever line.
GROWN = {'terminal': "kube-proxy's sync is asked of removing a service and of replacing endpoints too, so that columns move"}


def told(path):
    text = path.read_text(errors='replace')
    for name, pattern, instead, _ in DECLARED:
        if re.fullmatch(name, path.name):
            text = re.sub(pattern, instead, text, flags=re.S)
    return text.splitlines()


def main(old, new):
    names = sorted({path.name for folder in (old, new) for path in folder.iterdir()})
    for name in names:
        if not (old / name).exists() or not (new / name).exists():
            print(f'false\t{name} is there in one of them only')
            continue
        was, now = told(old / name), told(new / name)
        if name in GROWN:
            words = [collections.Counter(' '.join(lines).split()) for lines in (was, now)]
            lines = sorted((words[0] - words[1]).elements())
        else:
            lines = list(difflib.unified_diff(was, now, 'old', 'new', n=0, lineterm=''))
        print(f"{'false' if lines else 'true'}\t{name}{f': {len(lines)} lines differ' if lines else ''}")
        for line in lines[:6]:
            print(f'      {line[:160]}', file=sys.stderr)


main(Path(sys.argv[1]), Path(sys.argv[2]))
