"""Reads what a kube-proxy or this project has installed, as the reference tools list it, and compares two such listings.
Standard library only.

    python3 listings.py rules                      the rules by which a listing is normalised
    python3 listings.py compare A B [--ours B]     differences of two listings; exit 1 if there are any, 2 if one is not read
    python3 listings.py sections FILE              a recorded file as a listing
    python3 listings.py record FOLDER VERSION MODE a listing from standard input as FOLDER/MINOR/MODE.txt

A listing is JSON, text by command, as `bench-runner cell` answers `listing`; or a recorded file, a section a command
("=== iptables-legacy-save"). It is read into things (chains, sets, tables, …): each has attributes, whose order means
nothing, and contents, whose order means something in chains alone. What stands in a block is kept as text, whatever it
says; a line that belongs to no block is an error, so that nothing is left out but by a rule that is printed.
"""
import collections, copy, difflib, itertools, json, pathlib, re, sys

RULES = [
    ("counters", "packets and bytes that chains, rules and counters have counted are 0, and how many connections there are (sysctl net.netfilter.nf_conntrack_count) is left out"),
    ("save's own lines", "lines of iptables-save that tell who wrote the listing and when are left out"),
    ("names", "tables, chains and sets are in the order of their names, base chains of one hook and priority in their own"),
    ("attributes", "what is said of a chain, set or table before its contents is in alphabetic order"),
    ("elements", "elements of sets and maps, real servers, addresses and sysctls are in alphabetic order: the kernel's is a hash's"),
    ("services", "neighbours that are each of one service in KUBE-SERVICES, KUBE-NODEPORTS, KUBE-EXTERNAL-SERVICES, KUBE-PROXY-FIREWALL and KUBE-IPVS-OUT-FILTER are in alphabetic order: kube-proxy's is a Go map's, new at each sync; a node port's rule stays behind that for 127.0.0.0/8, which counts"),
    ("our counter", "of ours the rule `counter` of chain nat-prerouting is left out: by it packets are proved to take no other way"),
    ("nfacct", "where the kernel of one of two listings has no nfnetlink_acct, what names its counters is left out of the other: the match in KUBE-FORWARD, and in KUBE-NODEPORTS the rules for 127.0.0.0/8"),
    ("other family", "table kube-proxy of the family that no service has an address of is left out: mode nftables makes that of IPv4 always, before 1.34 that of IPv6 too"),
    ("seeds", "initval of sets of ipset is 0: the seed of a hash"),
]
# Chains with rules of one service each.
LISTS = ["KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL", "KUBE-IPVS-OUT-FILTER"]
NFACCT = "nfacct"  # a section of whom the kernel has it
LOCALHOST = "-m nfacct --nfacct-name  localhost_nps_accepted_pkts "
INVALID = "-m nfacct --nfacct-name  ct_state_invalid_dropped_pkts "
SERVICE = re.compile(r'(?:-d \S+/(?:32|128) |-p \w+ )-?.*--comment "\S+/\S+:\S+.*--dport \d+ .*-j (KUBE-(SVC|EXT|FW|SVL)-\w+|REJECT .*|DROP|ACCEPT)$|-s \S+/(?:32|128) -m ipvs .*-j DROP$')


class Unread(Exception):
    """A line that is not understood."""


class Thing:
    def __init__(self, kind, name, inside="", ordered=False):
        self.kind, self.name, self.inside, self.ordered = kind, name, inside, ordered
        self.attributes, self.contents = [], []

    @property
    def title(self):
        return f"{self.kind} {self.name}{' of ' * bool(self.inside)}{self.inside}".strip()

    def said(self):
        return self.attributes + self.contents

    def copy(self):
        other = copy.copy(self)
        other.attributes, other.contents = self.attributes[:], self.contents[:]
        return other


# --- reading ---------------------------------------------------------------------------------------------------

def plain(pattern):
    """A section of lines that each are a thing of their own kind's contents."""
    def read(section, lines):
        thing = Thing(section, "")
        for line in lines:
            if not re.fullmatch(pattern, line):
                raise Unread(f"{section}: {line}")
            thing.contents.append(line)
        return [thing]
    return read


def read_save(section, lines):
    """iptables-save: "*table", ":CHAIN POLICY [0:0]", "-A CHAIN …", "COMMIT"."""
    things, table = {}, None
    for line in lines:
        words = line.split()
        if line.startswith("#"):  # save's own lines
            continue
        if line.startswith("*") and table is None and ("table", line[1:]) not in things:
            table = line[1:]
            things["table", table] = Thing("table", table)
        elif line == "COMMIT" and table:
            table = None
        elif table and line.startswith(":") and len(words) == 3 and (table, words[0][1:]) not in things:
            chain = things[table, words[0][1:]] = Thing("chain", words[0][1:], f"table {table}", ordered=True)
            chain.attributes.append(" ".join([words[1], re.sub(r"\d+", "0", words[2])]))
        elif table and words[:1] == ["-A"] and (table, words[1]) in things:
            things[table, words[1]].contents.append(line[len(f"-A {words[1]} "):])
        else:
            raise Unread(f"{section}: {line}")
    if table:
        raise Unread(f"{section}: table {table} has no COMMIT")
    return list(things.values())


def read_ruleset(section, lines):
    """`nft list ruleset`: blocks in blocks; elements of a set or map end at commas."""
    things, opened, elements = [], [], None
    for line in map(str.strip, lines):
        if elements is not None:
            elements += " " + line
        elif re.fullmatch(r"table \w+ \S+ \{", line) and not opened:
            opened = [Thing("table", line[6:-2])]
            things += opened
        elif (block := re.fullmatch(r"([a-z][a-z ]*) (\S+) \{", line)) and len(opened) == 1:
            opened.append(Thing(block[1], block[2], f"table {opened[0].name}", ordered=block[1] == "chain"))
            things.append(opened[1])
        elif line == "}" and opened:
            opened.pop()
        elif line.startswith("elements = {") and len(opened) == 2:
            elements = line.removeprefix("elements = {")
        elif not line:
            continue
        elif not opened or outside_quotes(line).count("{") != outside_quotes(line).count("}"):
            raise Unread(f"{section}: {line}")
        else:
            line = re.sub(r"\bcounter packets \d+ bytes \d+", "counter packets 0 bytes 0", line)
            is_rule = opened[-1].ordered and not re.match(r"type \w+ hook |comment \"", line)
            (opened[-1].contents if is_rule else opened[-1].attributes).append(line)
        if elements is not None and outside_quotes(elements).endswith("}"):
            if outside_quotes(elements).count("{") == outside_quotes(elements).count("}") - 1:
                opened[-1].contents += split_elements(elements[:-1])
                elements = None
    if opened:
        raise Unread(f"{section}: {opened[-1].title} has no end")
    return things


def outside_quotes(text):
    return re.sub(r'"[^"]*"', '""', text)


def split_elements(text):
    """Elements between their commas; commas in quotes or braces are an element's own."""
    parts = re.findall(r'((?:"[^"]*"|\{[^}]*\}|[^,"{])+)', text)
    return [re.sub(r"\bcounter packets \d+ bytes \d+", "counter packets 0 bytes 0", part.strip()) for part in parts if part.strip()]


def read_lists(opening, adding):
    """A listing of commands that first make a thing and then add to it: `ipset save`, `ipvsadm -S -n`."""
    def read(section, lines):
        things = {}
        for line in lines:
            if (made := re.fullmatch(opening, line)) and made["name"] not in things:
                things[made["name"]] = Thing({"ipset save": "set"}.get(section, "virtual server"), made["name"])
                things[made["name"]].attributes.append(re.sub(r"initval \w+", "initval 0", made["rest"]))
            elif (more := re.fullmatch(adding, line)) and more["name"] in things:
                things[more["name"]].contents.append(more["rest"])
            else:
                raise Unread(f"{section}: {line}")
        return list(things.values())
    return read


# What `ipvsadm -S -n` says, said again, for those who read these; and what services have besides their ClusterIPs, as they were made.
AGAIN = ["ipvsadm -L -n", "/proc/net/ip_vs", "exposure"]
SAVES = [f"{tables}-{engine}-save" for tables in ("iptables", "ip6tables") for engine in ("legacy", "nft")]
READERS = {
    "addresses": plain(r"\S+ (\d+(\.\d+){3}|[0-9a-f]*:[0-9a-f:]*)(/\d+)?"),
    **dict.fromkeys(SAVES, read_save),
    "ipset save": read_lists(r"create (?P<name>\S+) (?P<rest>.+)", r"add (?P<name>\S+) (?P<rest>.+)"),
    "ipvsadm -S -n": read_lists(r"-A (?P<name>-[tuf] \S+) (?P<rest>.+)", r"-a (?P<name>-[tuf] \S+) (?P<rest>.+)"),
    "nft list ruleset": read_ruleset,
    NFACCT: plain(r"\S+"),
    "population": plain(r"\S+ \S+:\d+/(tcp|udp):( \S+:\d+)*"),
    "sysctls": plain(r"[^ =]+ = .*"),
}


class Listing:
    def __init__(self, sections, ours=False):
        self.things, self.sections = {}, {}
        population = sections.get("population", "")
        other = "ip6" if "[" not in population else None if re.search(r" \d+\.", population) else "ip"
        for section, text in sections.items():
            if section in AGAIN:
                continue
            if section not in READERS:
                raise Unread(f"=== {section}")
            things = READERS[section](section, [line for line in text.splitlines() if line.strip()])
            for thing in normalised(things, ours, other):
                self.things[section, thing.title] = thing
            self.sections[section] = [thing for (name, _), thing in self.things.items() if name == section]

    def without_counters(self):
        """Without what a kernel that has no nfnetlink_acct cannot have."""
        self.sections.pop(NFACCT, None)
        self.things = {(section, title): thing for (section, title), thing in self.things.items() if section != NFACCT}
        for thing in self.things.values():
            thing.contents = [line.replace(INVALID, "") for line in thing.contents if LOCALHOST not in line]

    @classmethod
    def load(cls, path, ours=False):
        text = pathlib.Path(path).read_text()
        return cls(json.loads(text) if text.startswith("{") else sections_of(path), ours)

    def body(self):
        """As a recorded file has it: nft and iptables-restore load its parts."""
        parts = [[f"=== {section}"] + lines_of(section, things) for section, things in self.sections.items()]
        return "".join(f"{line}\n" for part in parts for line in part)


def sections_of(path):
    """Sections of a recorded file; one that says "as MINOR" has those of that minor."""
    text = pathlib.Path(path).read_text()
    if same := re.search(r"^as (\S+)$", text, re.M):
        return sections_of(pathlib.Path(path).parent.parent / same[1] / pathlib.Path(path).name)
    return sections_in(text)


def sections_in(text):
    _, *parts = ("\n" + text).split("\n=== ")
    return {name: part for name, _, part in (part.partition("\n") for part in parts)}


# --- normalising -----------------------------------------------------------------------------------------------

def by_service(rules, ordered):
    """Rules in another order; one for 127.0.0.0/8 keeps the one behind it."""
    kept = []
    for rule in rules:
        if kept and LOCALHOST in kept[-1][-1]:
            kept[-1].append(rule)
        else:
            kept.append([rule])
    return list(itertools.chain.from_iterable(ordered(kept)))


def normalised(things, ours, other):
    """In the order of names; a pseudo thing for base chains that share hook and priority."""
    things = [thing for thing in things if f"table {other} kube-proxy" not in (thing.title, thing.inside)]  # other family
    for thing in things:
        thing.attributes.sort()
        if thing.kind == "sysctls":  # counters
            thing.contents = [line for line in thing.contents if not line.startswith("net.netfilter.nf_conntrack_count =")]
        if ours and re.fullmatch(r"chain nat-prerouting of table ip6? kube-proxy", thing.title):  # our counter
            thing.contents = [line for line in thing.contents if not re.fullmatch(r"counter packets 0 bytes 0", line)]
        if not thing.ordered and thing.kind != "population":
            thing.contents.sort()
        elif thing.name in LISTS:  # services
            runs = itertools.groupby(thing.contents, key=lambda rule: bool(SERVICE.search(rule)))
            thing.contents = [rule for is_service, run in runs for rule in (by_service(run, sorted) if is_service else run)]
    hooks = collections.defaultdict(list)
    for thing in things:
        for line in thing.attributes:
            if hook := re.match(r"type \w+ (hook \w+ priority [^;]*);", line):
                hooks[thing.inside, hook[1]].append(thing)
    shared = {id(thing): place for group in hooks.values() if len(group) > 1 for place, thing in enumerate(group)}
    order = {"table": 0, "set": 1, "map": 2, "chain": 9}
    things = sorted(things, key=lambda t: (t.inside or t.title, order.get(t.kind, 3), id(t) in shared, shared.get(id(t), 0), t.name))
    for (inside, hook), group in hooks.items():
        if len(group) > 1:
            both = Thing("base chains at", hook, inside, ordered=True)
            both.contents = [thing.name for thing in things if thing in group]
            things.append(both)
    return things


# --- writing ---------------------------------------------------------------------------------------------------

def lines_of(section, things):
    write = {"nft list ruleset": ruleset_lines, "ipset save": set_lines, "ipvsadm -S -n": server_lines}
    write |= dict.fromkeys(SAVES, save_lines)
    return list(write.get(section, lambda things: [line for thing in things for line in thing.contents])(things))


def save_lines(things):
    for table in [thing for thing in things if thing.kind == "table"]:
        chains = [thing for thing in things if thing.inside == table.title]
        yield f"*{table.name}"
        yield from (f":{chain.name} {line}" for chain in chains for line in chain.attributes)
        yield from (f"-A {chain.name} {rule}" for chain in chains for rule in chain.contents)
        yield "COMMIT"


def ruleset_lines(things):
    for table in [thing for thing in things if thing.kind == "table"]:
        yield f"{table.title} {{"
        yield from (f"\t{line}" for line in table.attributes)
        for thing in [thing for thing in things if thing.inside == table.title and thing.kind != "base chains at"]:
            yield f"\t{thing.kind} {thing.name} {{"
            yield from (f"\t\t{line}" for line in sorted(thing.attributes, key=lambda line: not line.startswith("type ")))
            if thing.ordered:
                yield from (f"\t\t{rule}" for rule in thing.contents)
            elif thing.contents:
                yield "\t\telements = {"
                yield from (f"\t\t\t{element}," for element in thing.contents[:-1])
                yield f"\t\t\t{thing.contents[-1]} }}"
            yield "\t}"
        yield "}"


def set_lines(things):
    yield from (f"create {thing.name} {line}" for thing in things for line in thing.attributes)
    yield from (f"add {thing.name} {line}" for thing in things for line in thing.contents)


def server_lines(things):
    for thing in things:
        yield from (f"-A {thing.name} {line}" for line in thing.attributes)
        yield from (f"-a {thing.name} {line}" for line in thing.contents)


# --- comparing -------------------------------------------------------------------------------------------------

GROUPS = ["only in the first (-)", "only in the second (+)", "in both, not the same", "in both, in another order"]


def differences(first, second):
    """(group, title, lines, how many) of whatever differs. The lines hold all that differs, and all of a chain that does:
    who has one listing could make the other of them."""
    found = []
    for key in list(first.things) + [key for key in second.things if key not in first.things]:
        a, b = first.things.get(key), second.things.get(key)
        if not a or not b:
            there, mark = (a, "-") if a else (b, "+")
            # Of an empty thing of a section alone nothing can be said: the section itself is missing then.
            found.append((GROUPS[0] if a else GROUPS[1], there.title, [f"{mark} {line}" for line in there.said()], 1))
        elif a.said() != b.said():
            found.append(different(a, b))
    return sorted(found, key=lambda each: GROUPS.index(each[0]))


def different(a, b):
    lines = [line for line in marked(a.attributes, b.attributes) if line[0] != " "]
    lines += [line for line in marked(a.contents, b.contents) if a.ordered or line[0] != " "]
    gone, come = (collections.Counter(x.said()) - collections.Counter(y.said()) for x, y in ((a, b), (b, a)))
    if gone or come:
        return GROUPS[2], a.title, lines, gone.total() + come.total()
    return GROUPS[3], a.title, lines, 1


def marked(a, b):
    """Lines of both, each with its mark."""
    for tag, a1, a2, b1, b2 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from (f"  {line}" for line in a[a1:a2])
        else:
            yield from (f"- {line}" for line in a[a1:a2])
            yield from (f"+ {line}" for line in b[b1:b2])


def text_of(found):
    for group, each in itertools.groupby(found, key=lambda one: one[0]):
        yield group + ":"
        for _, title, lines, _ in each:
            yield f"  {title}"
            yield from (f"    {line}" for line in lines)


# --- recorded files --------------------------------------------------------------------------------------------

def record(folder, version, mode, text):
    """Writes a listing, or that it is as an earlier minor's; what said that it is as this one keeps what it said."""
    folder, minor = pathlib.Path(folder), ".".join(version.split(".")[:2])
    body, path = Listing(json.loads(text)).body(), folder / minor / f"{mode}.txt"
    others = sorted(folder.glob(f"1.*/{mode}.txt"), key=lambda p: int(p.parent.name[2:]))
    for other in others:
        if other != path and f"\nas {minor}\n" in other.read_text():
            other.write_text(other.read_text().replace(f"\nas {minor}\n", "\n" + Listing.load(path).body()))
    same = [p.parent.name for p in others if int(p.parent.name[2:]) < int(minor[2:])
            and "\nas " not in p.read_text() and Listing.load(p).body() == body]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# kube-proxy {version}, mode {mode}\n{f'as {same[0]}' + chr(10) if same else body}")
    return f"{path.parent.name}/{path.name}: {'as ' + same[0] if same else str(len(body.splitlines())) + ' lines'}"


def main(words):
    match words:
        case ["rules"]:
            for number, (name, meaning) in enumerate(RULES, 1):
                print(f"rule {number}, {name}: {meaning}")
        case ["compare", a, b, *ours] if ours in ([], ["--ours"]):
            a, b = Listing.load(a), Listing.load(b, ours=bool(ours))
            if (NFACCT in a.sections) != (NFACCT in b.sections):
                a.without_counters()
                b.without_counters()
            found = differences(a, b)
            print("\n".join(text_of(found)), end="\n" * bool(found))
            total = sum(count for *_, count in found)
            print(f"{total} difference{'s' * (total != 1)}")
            return int(bool(found))
        case ["sections", path]:
            print(json.dumps(sections_of(path)))
        case ["record", folder, version, mode]:
            print(record(folder, version, mode, sys.stdin.read()))
        case _:
            sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Unread, OSError, json.JSONDecodeError) as why:
        print(f"error: cannot read {why}", file=sys.stderr)
        sys.exit(2)
