"""Two folders of reports of one run: equal, but for the differences that are declared here.

    reports-stay.py OLD NEW      for each file a line "true|false TAB text"
"""

import difflib
import re
import sys
from pathlib import Path

# The revision whose reports are held against. Until dfbe3d3 it was ecfc490, where the house was taken apart, and held.
# Since then sentences say of what is little known that it is little (CHANGELOG.md).
START = 'b03f02f'

# What may differ: (file, pattern, what stands in its place, why). Applied to both sides, so that a difference is
# declared by what it looks like and nothing else passes with it.
DECLARED = [
    ('.*', r'/[^ "<]*/(?:old|new)/', 'DIR/', 'the scratch folder that the reports were made in'),
    ('report.html', ' class=""', '', 'an attribute without a value, which some cells had'),
    ('.*', r'counted in the batch that is sent: exact, and the same for the same seed; another seed moves it by less than 1 %'
     r'|what the kernel lists: exact; one \w+ more whatever N is no regression, one more a service is'
     r'|counted, not measured: the same for the same seed, [^"\n]*one more a service is', 'EXACT', 'one table of the gate for what is counted'),
    ('.*', r'\brevision [0-9a-f]{7,40}\b', 'revision R', 'who made the report'),
]


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
        lines = list(difflib.unified_diff(told(old / name), told(new / name), 'old', 'new', n=0, lineterm=''))
        print(f"{'false' if lines else 'true'}\t{name}{f': {len(lines)} lines differ' if lines else ''}")
        for line in lines[:6]:
            print(f'      {line[:160]}', file=sys.stderr)


main(Path(sys.argv[1]), Path(sys.argv[2]))
