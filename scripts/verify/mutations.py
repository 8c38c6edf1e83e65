"""Changes listings at random, one statement each, and asks listings.py whether it sees that. Standard library only.

    python3 mutations.py same FILE…             a recorded listing equals itself, read, written and read again
    python3 mutations.py reordered FILE…        and itself with other counters and another order of what has none
    python3 mutations.py found N SEED A B       N changes of each of two listings: seen beside what it was, and among the
                                                differences of the two, which no longer are what they were
    python3 mutations.py blind N SEED A B       the same by comparisons that are spoiled: each must miss some

Listings are changed as text, as they are recorded. What a rule of listings.py makes equal is not drawn: counters, and the
order of elements, chains and neighbours of KUBE-SERVICES and its like. Prints "N of N" and, for those not seen, what was changed.
"""
import collections, itertools, random, re, sys

import listings

# What may stand in a line, and what instead: a text, or a function of the generator and the match.
WORDS = [
    ("an address", r"\b\d+\.\d+\.\d+\.\d+\b|\bfd00(?::[0-9a-f]*)+:[0-9a-f]+\b", lambda rng, m: re.sub(r"[0-9a-f]+$", lambda n: other_digits(rng, n[0]), m[0])),
    ("a prefix", r"(?<=[\d:]/)\d{1,3}\b(?!/)", lambda rng, m: other(rng, m[0], 32 if int(m[0]) <= 32 else 128)),
    ("a port", r"(?<=dport )\d+|(?<=\d:)\d+\b(?!:|\])|(?<= \. )\d+\b(?!\.)", lambda rng, m: other(rng, m[0], 65535)),
    ("a mark", r"\b0x0*4000\b", lambda rng, m: m[0].replace("4000", rng.choice(["2000", "8000", "4001"]))),
    ("a word of a comment", r'(?<=comment ")[^"]*', lambda rng, m: word_changed(rng, m[0])),
    ("a flag", r" --random-fully| fully-random|(?<=-m addrtype )--dst-type LOCAL", ""),
    ("a state", r"(?<=--ctstate )[A-Z,]+|(?<=ct state )new|(?<=ct status )dnat", lambda rng, m: {"new": "established", "dnat": "snat"}.get(m[0], "RELATED")),
    ("a protocol", r"\b(tcp|udp)\b", lambda rng, m: {"tcp": "udp", "udp": "tcp"}[m[0]]),
    ("a priority", r"(?<=priority )[^;]+(?=;)", lambda rng, m: str(rng.randrange(-400, -111))),
    ("a hook", r"(?<=hook )\w+", lambda rng, m: rng.choice([h for h in ("prerouting", "input", "forward", "output") if h != m[0]])),
    ("a policy", r"(?<=policy )accept(?=;)|(?<= )ACCEPT(?= \[)", lambda rng, m: {"accept": "drop", "ACCEPT": "DROP"}[m[0]]),
    ("a verdict", r"(?<=-j )\S+|\b(goto|jump) \S+|\b(return|reject|drop|masquerade)\b(?=$| comment| fully)", lambda rng, m: rng.choice([v for v in ("ACCEPT", "RETURN") if v != m[0]]) if m[0].isupper() or m[0].startswith("KUBE") else "accept"),
    ("a share", r"(?<=--probability )[\d.]+|(?<=numgen random mod )\d+", lambda rng, m: re.sub(r"\d$", lambda n: other(rng, n[0], 9), m[0])),
    ("a type", r"(?<=type )ipv[46]_addr\b|(?<=: )verdict$", "mark"),
    ("a negation", r"! (?=-s|--)|(?<=saddr )!= ", ""),
    ("a value", r"(?<= = )\d+$", lambda rng, m: other(rng, m[0], 100000)),
    ("a name", r"(?<=-)[A-Z0-9]{8,16}(?=[-\s]|$)", lambda rng, m: m[0][:-1] + rng.choice([c for c in "ABCDE23456" if c != m[0][-1]])),
    ("a match", r' -m comment --comment "[^"]*"| -m statistic \S+ \S+ \S+ \S+| -m nfacct --nfacct-name +\S+| -[sd] \S+/\d+|ct state new |meta l4proto \w+ (?=dnat)| comment "[^"]*"$', ""),
]


def other(rng, number, most):
    return str(rng.choice([n for n in (rng.randint(1, most), rng.randint(1, most), (int(number) + 1) % most) if n != int(number)] or [0]))


def other_digits(rng, digits):
    """Those of the last part of an address, in place of which others stand."""
    return f"{int(digits, 16) ^ 1:x}" if re.search("[a-f]", digits) else other(rng, digits, 254)


def word_changed(rng, text):
    words = text.split(" ")
    place = rng.randrange(len(words))
    words[place] += rng.choice("xyz")
    return " ".join(words)


# --- one statement -----------------------------------------------------------------------------------------------

def mutated(rng, sections):
    """(what, sections): one change of one statement, or None where the drawn kind finds nothing to change."""
    kind = rng.choice(list(range(len(WORDS))) + ["drop", "swap", "twice", "block"] * 3)
    sizes = {name: min(len(text.splitlines()), 20) for name, text in sections.items() if text.strip()}
    [section] = rng.choices(list(sizes), sizes.values())
    lines = sections[section].splitlines()
    if isinstance(kind, int):
        what, pattern, instead = WORDS[kind]
        spots = [(n, m) for n, line in enumerate(lines) for m in re.finditer(pattern, line) if section != "population"]
        if not spots:
            return None
        number, spot = rng.choice(spots)
        text = instead if isinstance(instead, str) else instead(rng, spot)
        line = lines[number][:spot.start()] + text + lines[number][spot.end():]
        said, lines[number] = f"{what}: {lines[number].strip()} -> {line.strip()}", line
    else:
        done = {"drop": dropped, "swap": swapped, "twice": doubled, "block": removed}[kind](rng, lines)
        if not done:
            return None
        what, said, lines = done
    return what, f"{section}, {said}", sections | {section: "\n".join(lines) + "\n"}


def statements(lines):
    """Places of lines that are statements of their own: rules, elements, attributes, sysctls, addresses, services."""
    return [n for n, line in enumerate(lines) if not re.match(r"\*|:|COMMIT|table |\s*(\}|elements = |\w+ \S+ \{)", line)
            and (chain_of(lines, n) or not line.endswith(" }"))]


def dropped(rng, lines):
    place = rng.choice(statements(lines) or [None])
    return place is not None and ("a statement dropped", f"without: {lines[place].strip()}", lines[:place] + lines[place + 1:])


def chain_of(lines, place):
    """What chain the rule there is of; None: it is no rule."""
    if rule := re.match(r"-A (?!-)(\S+)", lines[place]):
        return rule[1]
    opened = [line for line in lines[:place] if re.match(r"\t\w+ \S+ \{", line)]
    is_rule = opened and opened[-1].startswith("\tchain") and re.match(r"\t\t(?!type \w+ hook|comment )", lines[place])
    return opened[-1].split()[1] if is_rule else None


def swapped(rng, lines):
    def matters(n):
        a, b = lines[n], lines[n + 1]
        services = all(listings.SERVICE.search(rule) and chain_of(lines, n) in listings.LISTS for rule in (a, b))
        return a != b and chain_of(lines, n) and chain_of(lines, n) == chain_of(lines, n + 1) and not services
    places = [n for n in range(len(lines) - 1) if matters(n)]
    if not places:
        return None
    n = rng.choice(places)
    return "two rules swapped", f"swapped: {lines[n].strip()} | {lines[n + 1].strip()}", lines[:n] + [lines[n + 1], lines[n]] + lines[n + 2:]


def doubled(rng, lines):
    places = [n for n in range(len(lines)) if chain_of(lines, n)]
    if not places:
        return None
    n = rng.choice(places)
    return "a rule added", f"twice: {lines[n].strip()}", lines[:n + 1] + lines[n:]


def removed(rng, lines):
    """Without a chain, set or map, as a whole."""
    blocks = [n for n, line in enumerate(lines) if re.match(r":\S+ - |\t\w+ \S+ \{", line)]
    if not blocks:
        return None
    n = rng.choice(blocks)
    if chain := re.match(r":(\S+) ", lines[n]):
        table = n - next(k for k, line in enumerate(reversed(lines[:n])) if line.startswith("*"))
        end = lines.index("COMMIT", table)
        rest = [line for k, line in enumerate(lines) if k != n and not (table <= k < end and line.startswith(f"-A {chain[1]} "))]
    else:
        rest = lines[:n] + lines[lines.index("\t}", n) + 1:]
    return "a chain, set or map removed", f"without: {lines[n].strip()}", rest


# --- questions -----------------------------------------------------------------------------------------------------

def found(count, seed, paths, spoil=None):
    """How many of the changes are seen, by a comparison that is spoiled or sound, and which are not."""
    ways, kinds, missed = collections.Counter(), collections.Counter(), []
    texts = [listings.sections_in(listings.Listing.load(path, ours=True).body()) for path in paths]
    pair = [Spoiled(sections, spoil) for sections in texts]
    for number, sections in enumerate(texts):
        rng, this, beside = random.Random(seed * 2 + number), pair[number], pair[1 - number]
        before = list(listings.text_of(listings.differences(beside, this)))
        drawn = (change for change in iter(lambda: mutated(rng, sections), 0) if change)
        for what, said, after in itertools.islice(drawn, count):
            try:
                after = Spoiled(after, spoil)
                alone, both = (listings.differences(other, after) for other in (this, beside))
                way = "different" if alone and before != list(listings.text_of(both)) else None
            except listings.Unread:
                way = "not read"
            kinds[what] += 1
            ways[way] += 1
            missed += [f"{paths[number]}: {said}"] if not way else []
    return f"{count * 2 - len(missed)} of {count * 2} changes of {len(kinds)} kinds ({ways['not read']} as not readable)", missed


class Spoiled(listings.Listing):
    """A listing of which a part is not read."""

    def __init__(self, sections, spoil):
        super().__init__(sections)
        for thing in self.things.values():
            (spoil or bool)(thing)


# What a comparison is blind to, as what is done to each thing that it reads.
BLIND = {
    "the order of rules": lambda thing: thing.contents.sort(),
    "comments": lambda thing: setattr(thing, "contents", [re.sub(r'comment "[^"]*"', "", line) for line in thing.contents]),
    "policies, priorities and types": lambda thing: thing.attributes.clear(),
    "elements and sysctls": lambda thing: thing.ordered or thing.contents.clear(),
    "a rule that is there twice": lambda thing: setattr(thing, "contents", list(dict.fromkeys(thing.contents))),
}


def blind(count, seed, paths):
    """Which of them miss nothing, though they are blind to something."""
    wrong = [f"nothing is missed without {name}" for name, spoil in BLIND.items() if not found(count, seed, paths, spoil)[1]]
    return f"{len(BLIND) - len(wrong)} of {len(BLIND)} spoiled comparisons miss changes", wrong


def same(path):
    first = listings.Listing.load(path)
    again = listings.Listing(listings.sections_in(first.body()))
    return first.things and not listings.differences(first, again) and first.body() == again.body()


def reordered(path):
    """Everything that the rules let be otherwise is otherwise, and no difference is seen."""
    rng, first = random.Random(path), listings.Listing.load(path)
    for _ in range(20):
        sections = {}
        for name, things in first.sections.items():
            text = "\n".join(listings.lines_of(name, shuffled(rng, things)))
            sections[name] = re.sub(r"\[0:0\]", lambda _: f"[{rng.randrange(99)}:{rng.randrange(9999)}]", text)
        for name in sections:
            if name.endswith("-save"):
                sections[name] = f"# Generated by iptables-save on day {rng.random()}\n{sections[name]}"
            if name == "sysctls":
                sections[name] += f"\nnet.netfilter.nf_conntrack_count = {rng.randrange(99)}"
        if listings.differences(first, listings.Listing(sections)):
            return False
    return True


def shuffled(rng, things):
    things = [thing.copy() for thing in things]
    for thing in things:
        if thing.name in listings.LISTS:
            services = [rule for rule in thing.contents if listings.SERVICE.search(rule)]
            rest = [rule for rule in thing.contents if rule not in services]
            thing.contents = listings.by_service(services, lambda kept: rng.sample(kept, len(kept))) + rest
        elif not thing.ordered and thing.kind != "population":
            rng.shuffle(thing.contents)
    return rng.sample(things, len(things))


def main(words):
    match words:
        case ["found" | "blind" as question, count, seed, a, b]:
            said, wrong = {"found": found, "blind": blind}[question](int(count), int(seed), [a, b])
        case ["same" | "reordered" as question, first, *more]:
            wrong = [path for path in [first, *more] if not {"same": same, "reordered": reordered}[question](path)]
            said = f"{1 + len(more) - len(wrong)} of {1 + len(more)} listings"
        case _:
            sys.exit(__doc__)
    print(said, *wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
