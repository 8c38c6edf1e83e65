"""Recomputes every number of every generated sentence from results.jsonl. Standard library only, and nothing of
the program that wrote the sentences: a parser, medians, intervals and fits of its own. What a finding is about is told
by its fields (kind, scenario, options, sizes): its question must read as they do, and its text must be its parts.

    python3 findings.py RUN…        run directories with results.jsonl and summary.json

Every number must agree to the digits printed. The value of a cell is the median of its stays' medians; six stays and
more have an interval of order statistics, fewer a range, one nothing; of executed instructions seeds take the place
of stays. A claim of an order must rest on intervals that do not overlap, of counted runs on seeds that all agree. A
headline whose order another time of the same cells turns round must say so. What is left of a sentence once every
checked part is taken out must not hold a digit.
"""
import functools, glob, html, itertools, json, math, pathlib, re, statistics, sys

FLAT = 0.10
MODES = ["none", "conntrack", "iptables-legacy", "iptables-nft", "ipset", "ipvs", "nftables"]
UNITS = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "instr": 1, "k instr": 1e3, "M instr": 1e6, "G instr": 1e9, "%": 0.01, None: 1, "": 1}
# By how much placebos move what is counted, by metric.
GATE = {metric: (float(relative), float(amount) * UNITS[unit]) for metric, relative, amount, unit in re.findall(
    r'\[deterministic\.(\w+)\]\nrelative = (\S+)\nabsolute = "([\d.]+) ([^"]+)"', (pathlib.Path(__file__).parents[2] / "reports/gate/default.toml").read_text(encoding="utf-8"))}


# Kinds of node, by their words: families served, and the one that is asked.
NODES = {"IPv4": ("single", "ipv4"), "IPv6": ("single", "ipv6"), "IPv4 of a dual-stack node": ("dual", "ipv4"), "IPv6 of a dual-stack node": ("dual", "ipv6")}


def node_of(options):
    """What the node of a cell with these options serves."""
    options = dict(options)
    return options.get("stack", "single"), options.get("family", "ipv4")


ADDRESSES = {"external-ip": 2, "no-endpoints": 1, "affinity": 1, "internal-local": 1, "internal-local-none": 1, "cluster-ip": 1}
UNASKED = {"no-endpoints": {"cluster-ip"}, "internal-local-none": {"cluster-ip"}, "source-ranges": {"load-balancer"}}
LAST = {"node-port": "node-port", "load-balancer": "load-balancer", "source-ranges": "load-balancer", "external-ip": "external-ip",
        "external-local": "load-balancer", "external-local-none": "load-balancer"}


def reach_of(options):
    """What the services of a cell with these options are, by which address they are reached, and from where."""
    options = dict(options)
    services = f"population:{options['population']}" if "population" in options else options.get("service_type", "cluster-ip")
    return services, options.get("reached", "cluster-ip"), options.get("path", "client")


ORDINARY = reach_of({})


def types_of(mix):
    return [part.split("=")[0] for part in mix.split(",")]


def reach_words(reach):
    """The same as words."""
    mix, by, path = reach
    shares = [part.split("=") for part in mix.split(",")]
    if mix.startswith("population:"):
        return ", ".join([f"services of {mix[:19].replace(':', ' ')}", f"reached by {by}"] + ["from the node itself"] * (path == "node"))
    words = [" and ".join(f"{share[1]} % {share[0]}" if share[1:] else share[0] for share in shares) + " services"]
    words += [f"reached by {by}"] * any(ADDRESSES.get(of, 3) > 1 for of in types_of(mix))
    return ", ".join(words + ["from the node itself"] * (path == "node"))


def is_of(key, reach):
    """Whether a cell is of services that are reached so; a floor, which has none, wherever its packets come from there."""
    own, (mix, by, path) = reach_of(key[6]), reach
    if key[0] not in MODES[:2]:
        return own == reach
    if mix.startswith("population:"):
        return own[2] == path and (key[1] in PACKETS or by == "cluster-ip")
    asked = {address for of in types_of(mix) for address in {"cluster-ip", LAST.get(of, "cluster-ip")} - UNASKED.get(of, set())}
    return own[2] == path and (by in asked if key[1] in PACKETS else by == "cluster-ip")


class Wrong(Exception):
    pass


# --- the results -----------------------------------------------------------------------------------------------

class Run:
    def __init__(self, path):
        lines = open(f"{path}/results.jsonl", encoding="utf-8").read().split("\n")
        records = [json.loads(line) for line in lines if line.strip()]
        self.header = records[0]
        last = {}
        for record in records[1:]:
            if record["record"] == "cell":
                last[(record["block"], self.key(record))] = record
        self.cells = {}
        for (_, key), record in last.items():
            self.cells.setdefault(key, []).append(record)
        self.known, self.left = {}, set()

    @functools.cached_property
    def scopes(self):
        """What a sentence may be of, and what of that is said: of nodes unless all serve IPv4 alone, of services unless all
        are reached as ClusterIPs by clients."""
        cells = [k for k in self.cells if k[5] != "control"]
        serving = [k for k in cells if k[0] not in MODES[:2]] or cells
        scopes = {(k[4], k[3], k[5], node_of(k[6]), reach_of(k[6])) for k in serving}
        # A floor stands beside services of every kind, and alone where there are none.
        of = lambda key, scope: (key[4], key[3], key[5], node_of(key[6])) == scope[:4] and is_of(key, scope[4])
        scopes |= {(k[4], k[3], k[5], node_of(k[6]), reach_of(k[6])) for k in cells if not any(of(k, scope) for scope in scopes)}
        return scopes, any(node_of(k[6]) != NODES["IPv4"] for k in self.cells), any(reach_of(k[6]) != ORDINARY for k in self.cells)

    @staticmethod
    def key(r):
        return (r["mode"], r["scenario"], r["services"], r["endpoints"], r["environment"], r.get("variant", ""),
                tuple(sorted(r.get("options", {}).items())))

    def sample(self, key, metric):
        if (key, metric) not in self.known:
            stays, unit = {}, None
            for record in self.cells.get(key, []):
                for series in record.get("series", []) if record["outcome"] == "measured" else []:
                    if series["metric"] == metric:
                        stays.setdefault(record["stay"], []).extend(float(v) for v in series["values"])
                        unit = series["unit"]
            self.known[key, metric] = Sample(stays, self.marks(key, metric), unit) if any(stays.values()) else None
        return self.known[key, metric]

    def marks(self, key, metric):
        """Of each stay its block and seed; of those that timed out how long they lasted at least."""
        marks = {}
        for record in self.cells.get(key, []):
            bound = record.get("after_ns") if record["outcome"] == "timed-out" else None
            bound = bound if metric in ("update_time", "sync_time") and key[1] in UPDATES else None
            marks[record["stay"]] = (record["block"], record.get("facts", {}).get("seed", str(record["block"])), bound)
        return marks

    def made(self, key, over, under, make):
        """Of two metrics of the same acts what they make together, act by act."""
        stays, unit = {}, None
        for record in self.cells.get(key, []):
            of = {x["metric"]: x for x in record.get("series", [])}
            if record["outcome"] == "measured" and over in of and under in of:
                a, b = of[over]["values"], of[under]["values"]
                unit = of[over]["unit"]
                if len(a) == len(b):
                    stays[record["stay"]] = [make(x, y) for x, y in zip(a, b) if make is not divided or y > 0]
        return Sample(stays, self.marks(key, over), unit) if any(stays.values()) else None

    def whole(self, key):
        """An update with what is released after it."""
        released = self.sample(key, "release_time")
        made = self.made(key, "update_time", "release_time", lambda a, b: a + b) if released else None
        return made or self.sample(key, "update_time")

    def counts(self, key):
        measured = [r for r in self.cells.get(key, []) if r["outcome"] == "measured"]
        disturbed = sum(bool(r.get("disturbed")) for r in measured)
        falling = sum(r.get("facts", {}).get("settled_before") == "falling" for r in measured)
        return disturbed, falling

    def marked(self, key):
        disturbed, falling = self.counts(key)
        stays = sum(r["outcome"] == "measured" for r in self.cells.get(key, []))
        return ", ".join(f"{n} of {stays} stay{'s' * (stays != 1)} {what}" for n, what in (
            (disturbed, "disturbed"), (falling, "begun while memory was still being freed")) if n)

    def kube_proxy(self, key):
        """Whose sync a cell's is."""
        version = " and ".join(sorted(self.facts(key, "kube_proxy_version")))
        options = dict(key[-1])
        old = key[0] == "nftables" and "kube_proxy" not in options and options.get("transport") != "kube-proxy"
        return "kube-proxy of no named version" if not version else f"kube-proxy's read-back of {version} over its layout of 1.32" if old \
            else f"kube-proxy {version.replace('-', ' to ', 1)}"

    def facts(self, key, name):
        measured = [r for r in self.cells.get(key, []) if r["outcome"] == "measured"]
        return {r["facts"][name] for r in measured if name in r.get("facts", {})}

    def bound(self, key):
        records = self.cells.get(key, [])
        bounds = [r.get("after_ns") for r in records if r["outcome"] == "timed-out"]
        bounds = [float(b) for b in bounds if b]
        sample = self.sample(key, "update_time")
        if sample:  # Half of the stays timed out: the value is longer than with their bounds in their places.
            return median([m for m in sample.medians.values() if m < math.inf] + bounds) if sample.known.value == math.inf else None
        if any(r["outcome"] == "failed" for r in records):
            return None
        return max(bounds, default=None)


PACKETS = ["first-packet"]
UPDATES = ["cold-install", "resync", "service-add", "service-remove", "endpoint-churn", "teardown"]


def divided(a, b):
    return a / b


def quantile(ascending, p):
    h = (len(ascending) - 1) * p
    low = int(h)
    high = min(low + 1, len(ascending) - 1)
    if h == low or ascending[low] == ascending[high]:
        return ascending[low]
    return ascending[low] + (h - low) * (ascending[high] - ascending[low])


def median(values):
    return quantile(sorted(values), 0.5)


class Known:
    """A value with what is known of it: an interval of order statistics from six values on, of fewer their range."""

    def __init__(self, values, counted=False):
        x = sorted(values)
        self.n, self.counted, self.value = len(x), counted, median(x)
        self.ci = None if counted or len(x) < 6 else order_statistics(x)
        self.range = None if self.ci or len(x) < 2 else (x[0], x[-1])

    @property
    def bounds(self):
        return self.ci or (self.range if self.counted and self.n >= 3 else None)

    def leaves_out(self, other):
        return bool(self.bounds) and (self.bounds[0] > other or self.bounds[1] < other)


def order_statistics(x):
    """Hettmansperger and Sheather 1986: between the k-th and the next stay from either end, where k holds in at least
    95 of a hundred cases and k + 1 in fewer."""
    n = len(x)
    held = lambda k: 1 - 2 * sum(math.comb(n, i) for i in range(k)) / 2 ** n
    k = max(k for k in range(1, n // 2 + 1) if held(k) >= 0.95)
    share = (held(k) - 0.95) / (held(k) - held(k + 1))
    weight = (n - k) * share / (k + (n - 2 * k) * share)
    mix = lambda outer, inner: inner if outer == inner else (1 - weight) * outer + weight * inner
    return mix(x[k - 1], x[k]), mix(x[n - k], x[n - k - 1])


class Sample:
    def __init__(self, stays, marks, unit):
        stays = {stay: sorted(values) for stay, values in stays.items() if values}
        self.pool = sorted(v for values in stays.values() for v in values)
        self.n, self.measured, self.unit = len(self.pool), len(stays), unit
        self.medians = {stay: quantile(values, 0.5) for stay, values in stays.items()}
        self.bounds = sorted(bound for _, _, bound in marks.values() if bound)
        self.medians.update({stay: math.inf for stay, (_, _, bound) in marks.items() if bound})
        self.blocks = {marks[stay][0]: value for stay, value in self.medians.items()}
        seeds = {}
        for stay, value in self.medians.items():
            seeds.setdefault(marks[stay][1], []).append(value)
        self.seeds = {seed: median(values) for seed, values in seeds.items()}
        self.counted = unit == "instructions"
        self.known = Known(self.seeds.values() if self.counted else self.medians.values(), self.counted)
        self.median = self.known.value


def apart(a, b, latency):
    """−1 when the first is told apart below the second, 1 above it, 0 when they are not told apart."""
    if a.counted:
        pairs = [(a.seeds[s], b.seeds[s]) for s in a.seeds if s in b.seeds]
        signs = {(x > y) - (x < y) for x, y in pairs}
        relative, absolute = GATE["latency" if latency else "update_time"]
        told = len(pairs) >= 3 and len(signs) == 1 and abs(median([y / x - 1 for x, y in pairs])) > relative \
            and abs(median([y - x for x, y in pairs])) > absolute
        return signs.pop() if told else 0
    x, y = a.known.ci, b.known.ci
    return 0 if not x or not y else -1 if x[1] < y[0] else 1 if y[1] < x[0] else 0


def ratio_of(a, b, together=False):
    """Of one lab the middle of its blocks' quotients (a cell that was measured again, in another stay, belongs to its
    block), of seeds theirs; of different stays the quotient of the values, with the distances of their ends, as
    logarithms, added as squares (Zou and Donner 2008)."""
    if a.counted:
        return Known([a.seeds[s] / b.seeds[s] for s in a.seeds if s in b.seeds], True)
    if together:
        return Known([a.blocks[block] / b.blocks[block] for block in a.blocks if block in b.blocks])
    known = Known([a.median / b.median])
    known.n = 0
    if a.known.ci and b.known.ci:
        (x, (l, u)), (y, (m, v)) = ((math.log(k.value), [math.log(e) if e < math.inf else e for e in k.ci]) for k in (a.known, b.known))
        known.ci = math.exp(x - y - math.hypot(x - l, v - y)), math.exp(x - y + math.hypot(u - x, y - m)) if u < math.inf else math.inf
    return known


def line(xs, ys):
    mx, my = statistics.fmean(xs), statistics.fmean(ys)
    sxx = sum((x - mx) ** 2 for x in xs)
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sxx
    return my - slope * mx, slope


def offset_power(ns, ys):
    """a + c·N^k with the least squares of relative distances, a and c no less than nothing: all k by thousandths,
    then finer around the best."""
    top = max(ns)

    def at(k):
        p, q = [1 / y for y in ys], [(n / top) ** k / y for n, y in zip(ns, ys)]
        pp, pq, qq = (sum(i * j for i, j in zip(*z)) for z in ((p, p), (p, q), (q, q)))
        d = pp * qq - pq * pq
        found = [((sum(p) * qq - sum(q) * pq) / d, (sum(q) * pp - sum(p) * pq) / d)] if d else []
        found = [f for f in found if min(f) >= 0] or [(sum(p) / pp, 0.0), (0.0, sum(q) / qq)]
        return min((sum((1 - a * i - c * j) ** 2 for i, j in zip(p, q)), a, c / top ** k, c) for a, c in found)
    step, best = 0.01, min((k / 100 for k in range(5, 301)), key=lambda k: at(k)[0])
    while step > 1e-7:
        best = min((best + step * i / 10 for i in range(-10, 11) if best + step * i / 10 > 0), key=lambda k: at(k)[0])
        step /= 5
    _, a, c, grown = at(best)
    return (a, c, best) if grown > 1e-9 * a else (a, 0.0, 0.0)


class Fit:
    """a + b·N, a + c·N^k, or between two sizes c·N^k: a curve a block, and the middle of the blocks."""

    def __init__(self, sizes, model):
        self.sizes = sorted(sizes)
        self.counted = sizes[self.sizes[0]].counted
        rows = {}
        for n in self.sizes:
            for block, value in sizes[n].blocks.items():
                if value < math.inf:
                    rows.setdefault(block, {})[n] = value
        self.blocks = {b: [v[n] for n in self.sizes] for b, v in rows.items() if len(v) == len(self.sizes)}
        if not self.blocks:
            raise Wrong("no block has every size")
        curves = {b: self.curve(ys, model) for b, ys in self.blocks.items()}
        self.slopes = {b: curve[1] for b, curve in curves.items()}
        self.fixed = {b: curve[0] for b, curve in curves.items()}
        self.known = Known(self.slopes.values(), self.counted)
        self.estimate = self.known.value
        self.off = None
        if model != "power":
            at = {n: median([curve[2](n) for curve in curves.values()]) for n in self.sizes}
            values = {n: Known([ys[i] for ys in self.blocks.values()]) for i, n in enumerate(self.sizes)}
            far = max(self.sizes, key=lambda n: abs(values[n].value / at[n] - 1) if at[n] else 0)
            ends = values[far].ci
            self.off = far, values[far].value / at[far] - 1, bool(ends) and not ends[0] <= at[far] <= ends[1]

    def curve(self, ys, model):
        if model == "linear":
            a, b = line(self.sizes, ys)
            return a, b, lambda n: a + b * n
        if model == "power":
            c, k = line([math.log(n) for n in self.sizes], [math.log(y) for y in ys])
            return math.exp(c), k, lambda n: math.exp(c) * n ** k
        a, c, k = offset_power(self.sizes, ys)
        return a, k, lambda n: a + c * n ** k

    def beyond(self, floor):
        """The slopes less the floor's, and what they make at the largest size of the fixed part."""
        shared = [b for b in self.slopes if b in floor.slopes]
        over = {b: self.slopes[b] - floor.slopes[b] for b in shared}
        return Known(over.values(), self.counted), \
            Known([over[b] * self.sizes[-1] / self.fixed[b] for b in shared], self.counted)


# --- numbers as printed ------------------------------------------------------------------------------------------

DIGITS = r"−?\d[\d,]*(?:\.\d+)?"
UNIT = r"(?: (?:[kMG] instr|instr|ns|µs|ms|s|B|kB|MB|GB|%)(?![a-zA-Z]))?"
VALUE = rf"{DIGITS}{UNIT}"
ENDS = rf"(?:(?:exactly|about) {VALUE}|{DIGITS}(?:–| to ){VALUE}|{VALUE} to more than {VALUE})"
INTERVAL = rf"(?:range of {DIGITS} (?:stays|seeds|blocks) {ENDS}|{ENDS}|one (?:stay|seed|block)|no interval)"
NAME = rf"(?:{'|'.join(MODES)})(?: \((?!exactly|about|no interval|timed|noisy|range|one stay|one block|one seed)[a-zA-Z][^()]*\))?"
STATED = rf"{VALUE} \({INTERVAL}; n = {DIGITS} in {DIGITS} stays?[^()]*\)"
FEW = rf"({DIGITS})(?:–({DIGITS}))?; ({DIGITS}) needed: [^()]*"
RANGE = rf"{DIGITS}–{DIGITS} services"


def number(text):
    return float(text.replace("−", "-").replace(",", ""))


def split(text):
    match = re.fullmatch(rf"({DIGITS})(?: (.+))?", text.strip())
    return match.group(1), UNITS[match.group(2)]


def step(digits):
    return 10.0 ** -len(digits.split(".")[1]) if "." in digits else 1.0


def same(text, value, slack=0.0, unit=None):
    digits, scale = split(text)
    scale = unit or scale
    shown = number(digits) * scale
    if abs(shown - value) > 0.5001 * step(digits) * scale + slack + 1e-9 * abs(value):
        raise Wrong(f"'{text}' should be {value / scale:.6g}")


def same_interval(text, known, percent=1.0, bounds=()):
    """What is printed of a value beside it."""
    if text == "no interval":
        if known.ci or known.range:
            raise Wrong("no interval, though there is one")
        return
    if re.fullmatch(r"one (stay|seed|block)", text):
        if known.n != 1:
            raise Wrong(f"'{text}' of {known.n}")
        return
    ends = known.ci
    if match := re.match(rf"range of ({DIGITS}) (stays|seeds|blocks) ", text):
        ends, text = known.range, text[match.end():]
        if number(match.group(1)) != known.n:
            raise Wrong(f"a range of {match.group(1)}, not of {known.n}")
    if not ends:
        raise Wrong(f"'{text}' of {known.n}, of which nothing is known")
    if text.startswith(("exactly ", "about ")):
        words, shown = text.split(" ", 1)
        if (words == "exactly") != (ends[0] == ends[1]):
            raise Wrong(f"'{text}' of {ends}")
        for end in ends:
            same(shown, end)
        return
    if more := re.fullmatch(rf"({VALUE}) to more than ({VALUE})", text):
        same(more.group(1), ends[0])
        same(more.group(2), bounds[0])
        if ends[1] < math.inf:
            raise Wrong(f"'{text}', though its end is {ends[1]}")
        return
    low, high = re.fullmatch(rf"({DIGITS})(?:–| to )({VALUE})", text).groups()
    unit = split(high)[1]
    same(low, ends[0], 0, unit)
    same(high, ends[1], 0, unit)


# --- sentences ---------------------------------------------------------------------------------------------------

def options_of(words):
    """An option's words back to its key and value."""
    words = words.strip()
    fixed = {"one transaction": ("chunk", "all"), "iptables-restore": ("transport", "restore"), "netlink": ("transport", "netlink"),
             "nft -f": ("transport", "nft"), "ipvsadm -R": ("transport", "ipvsadm"), "a process a rule": ("transport", "exec"), "ipset restore": ("transport", "ipset-restore"),
             "without endpoint comments": ("large_cluster", "on"), "with endpoint comments": ("large_cluster", "off"),
             "any service": ("position", "uniform"), "warm caches": ("cache", "warm"), "cold caches": ("cache", "cold"), "TCP": ("protocol", "tcp"), "UDP": ("protocol", "udp")}
    if words in fixed:
        return fixed[words]
    if match := re.fullmatch(r"kube-proxy (1\.\d+)(?: to (1\.\d+))?", words):
        return "kube_proxy", "-".join(filter(None, match.groups()))
    for pattern, key in ((r"transactions of (\d+)", "chunk"), (r"(\w+) engine", "engine"), (r"(\d+) endpoints", "churn"), (r"(\d+) possible CPUs", "possible_cpus"),
                         (r"the (\w+) service", "position")):
        if match := re.fullmatch(pattern, words):
            return key, match.group(1)
    key, value = words.split(" ", 1)
    return key, value


class Scoped:
    """A part of a run whose cells can be held against each other."""
    def __init__(self, run, scope):
        self.run, self.node, self.reach = run, scope[3], scope[4]
        self.where = dict(zip(("environment", "endpoints", "variant"), scope))
        self.largest = max(k[2] for k in self.keys())

    def keys(self, scenario=None, services=None, **options):
        for key in self.run.cells:
            mode, kind, n, endpoints, environment, variant, own = key
            inside = (environment, endpoints, variant, node_of(own)) == (*self.where.values(), self.node) and is_of(key, self.reach)
            if inside and scenario in (None, kind) and services in (None, n) and all(dict(own).get(k) == v for k, v in options.items()):
                yield key


class Sentence(Scoped):
    def __init__(self, run, finding):
        self.run, self.finding = run, finding
        self.where = {k: finding[k] for k in ("environment", "endpoints", "variant")}
        scopes, tells, tells_reach = run.scopes
        # Options of a finding say what its nodes serve where not all of the run serve IPv4 alone, and what its services are and
        # how they are reached where not all are ClusterIPs of clients.
        if tells != ("family" in finding["options"]):
            raise Wrong(f"its node is {'not ' * tells}said")
        if tells_reach != ("path" in finding["options"]):
            raise Wrong(f"how its services are reached is {'not ' * tells_reach}said")
        self.node, self.reach = node_of(finding["options"]), reach_of(finding["options"])
        if (*self.where.values(), self.node, self.reach) not in scopes:
            raise Wrong(f"{self.where}, {self.node}, {self.reach} is no part of the run")
        self.sizes = sorted({k[2] for k in self.keys()})
        self.largest, self.services = self.sizes[-1], finding["services"]
        # Cells of results that knew no cache have none.
        has = any("cache" in dict(k[6]) for k in self.keys("first-packet"))
        self.options = {k: v for k, v in finding["options"].items() if k not in ("family", "stack", "service_type", "population", "reached", "path") and (k != "cache" or has)}
        self.values = {v["metric"]: v["text"] for v in finding.get("values", [])}
        self.left = finding["verdict"]
        place = "{environment}, {endpoints:,} endpoint{s} a service".format(**self.where, s="s" * (self.where["endpoints"] != 1)) + (f", variant {self.where['variant']}" if self.where["variant"] else "")
        place += next(f", {words}" for words, node in NODES.items() if node == self.node) if tells else ""
        place += f", {reach_words(self.reach)}" if tells_reach else ""
        told = [v if m == "latency" else f"{m}: {v}" for m, v in self.values.items()]
        parts = [finding["verdict"]] * bool(finding["verdict"]) + ["Values: " + " ".join(f"{v}." for v in told)] * bool(told)
        whole = f"{place}: " * (tells or tells_reach or len(scopes) > 1) + f"{finding['question']}: " + " ".join(parts)
        if finding["text"] != whole:
            raise Wrong("the text is not its parts")
        if finding["question"] not in questions(self):
            raise Wrong(f"the question is not that of {finding['kind']} at {self.services}: {questions(self)}")

    def left_name(self):
        """The series that would be left, by a question."""
        return re.match(rf"Leaving ({NAME}): ", self.finding["question"]).group(1)

    def key_among(self, name, cells):
        """The one of some cells that a series' name means."""
        mode, words = re.fullmatch(r"(\S+)(?: \((.*)\))?", name).groups()
        wanted = dict(options_of(w) for w in words.split(", ")) if words else {}
        found = [k for k in cells if k[0] == mode and all(dict(k[6]).get(o) == v for o, v in wanted.items())]
        if len(found) != 1:
            raise Wrong(f"'{name}' means {len(found)} cells")
        return found[0]

    def key(self, name, scenario, services=None, **options):
        """The cell that a series' name means."""
        services = services or self.largest
        match = re.fullmatch(r"(\S+)(?: \((.*)\))?", name)
        wanted = dict(options_of(w) for w in match.group(2).split(", ")) if match.group(2) else {}
        found = [k for k in self.keys(scenario, services, **options, **wanted) if k[0] == match.group(1)]
        if len(found) > 1:  # Cells without numbers have no place in a sentence of numbers.
            found = [k for k in found if any(r["outcome"] == "measured" for r in self.run.cells[k])] or found
        if len(found) > 1:  # A name without its way is the ordinary way.
            usual = {"transport": ("restore", "netlink"), "engine": ("legacy",)}
            found = [k for k in found if all(v in usual.get(o, (v,)) for o, v in k[6])] or found
        if len(found) != 1:
            raise Wrong(f"'{name}' means {len(found)} cells of {scenario} at {services}")
        return found[0]

    def fit(self, name, scenario, metric, model, span, **options):
        low, high = span
        if scenario == "cold-install" and "chunk" not in options and "transaction" not in name:
            # A mode's installs may differ in their chunks and need not be told apart where only one has a fit.
            for chunk in sorted({dict(k[6])["chunk"] for k in self.keys(scenario) if "chunk" in dict(k[6])}):
                try:
                    return self.fit(name, scenario, metric, model, span, chunk=chunk, **options)
                except Wrong:
                    continue
            raise Wrong(f"{name}: no install has numbers at {low} and {high}")
        # A series has one layout: of another one, at smaller sizes, nothing is part of its fit.
        sizes, own = {}, dict(self.key(name, scenario, high, **options)[6])
        for n in self.sizes:
            if low <= n <= high:
                try:
                    key = self.key(name, scenario, n, **options)
                except Wrong:
                    continue
                sample = self.run.sample(key, metric)
                if sample and dict(key[6]) == own:
                    sizes[n] = sample
        if not sizes or min(sizes) != low or max(sizes) != high:
            raise Wrong(f"{name}: no numbers at {low} and {high}")
        if model == "power":
            sizes = {n: sizes[n] for n in (low, high)}
        memo = (name, scenario, metric, model, low, high, tuple(options.items()), tuple(self.where.values()), self.node, self.reach)
        if memo not in self.run.known:
            self.run.known[memo] = Fit(sizes, model)
        return self.run.known[memo]

    def smallest(self, name, scenario, metric, high, **options):
        """The smallest size at which a series, as it is at that size, has a number."""
        own = self.key(name, scenario, high, **options)
        return min(k[2] for k in self.keys(scenario) if k[0] == own[0] and k[6] == own[6] and self.run.sample(k, metric))

    def take(self, pattern, check):
        """Every match of a pattern in what is left of the sentence is checked and taken out."""
        count = 0
        while match := re.search(pattern, self.left):
            check(*match.groups())
            self.left = self.left[:match.start()] + "•" + self.left[match.end():]
            count += 1
        return count

    def is_at(self, *sizes):
        if self.services != list(sizes):
            raise Wrong(f"is about {self.services}, not {sizes}")

    def packets(self, **other):
        """The options of the first packets that are asked, to another position perhaps."""
        return {**self.options, **other}

    def done_with_names(self, text=None):
        self.left = re.sub(NAME, "", self.left if text is None else text)
        self.done()
        self.left = ""

    def done(self):
        if rest := re.search(r"\S*\d\S*", self.left):
            raise Wrong(f"'{rest.group(0)}' was not recomputed")

    def few(self, knowns, least, most, needed):
        """How many there are of what has no interval, and how many that needs."""
        of = [known.n for known in knowns if not known.bounds]
        if not of or (number(least), number(most or least)) != (min(of), max(of)):
            raise Wrong(f"too few ({least}–{most}), and there are {of}")
        if number(needed) != (3 if knowns[0].counted else 6):
            raise Wrong(f"{needed} needed")

    # What is printed of a row.
    def stated(self, text, sample, key):
        value, ends, n, stays, marks = re.fullmatch(rf"({VALUE}) \(({INTERVAL}); n = ({DIGITS}) in ({DIGITS}) stays?([^()]*)\)", text).groups()
        if sample is None:
            raise Wrong(f"'{text}' of a cell without samples")
        same(value, sample.median)
        same_interval(ends, sample.known, bounds=sample.bounds)
        if (number(n), number(stays)) != (sample.n, sample.measured):
            raise Wrong(f"'{text}' of {sample.n} samples in {sample.measured} stays")
        disturbed, falling = self.run.counts(key)
        for count, words in ((disturbed, " disturbed"), (falling, " begun while"), (len(sample.bounds), " more timed out")):
            said = re.search(rf"({DIGITS})(?: of {DIGITS} stays?)?{words}", marks)
            if (number(said.group(1)) if said else 0) != count:
                raise Wrong(f"'{text}': {count}{words}")

    def order(self, lower, higher, lower_name, higher_name, latency):
        """An order is claimed: it must be told."""
        if apart(lower, higher, latency) != -1:
            raise Wrong(f"{lower_name} before {higher_name}, which are not told apart: {lower.known.bounds}, {higher.known.bounds}")

    def verdict(self, text, samples, bounds, latency):
        """Who is before whom by one metric: `samples` as they are ranked, `bounds` of those that timed out."""
        self.left = text
        if not samples:
            self.left = re.sub(NAME, "", self.left)
            return None
        names = sorted(samples, key=lambda n: samples[n].median)
        best = re.search(rf"({NAME}) is the fastest; ", self.left) or re.search(rf"gainst ({NAME}), ", self.left)
        best = best.group(1) if best else None
        if best and samples[best].median > samples[names[0]].median:
            raise Wrong(f"{best} is not the lowest, {names[0]} is")
        said = set()

        def slower(name, times, ends):
            ratio = ratio_of(samples[name], samples[best])
            same(times, ratio.value)
            same_interval(ends, ratio)
            self.order(samples[best], samples[name], best, name, latency)
            said.add(name)

        def longer(name):
            if name in samples:
                self.order(samples[best], samples[name], best, name, latency)
            said.add(name)

        def beyond(name, times):
            top = samples[best].known.bounds[1]
            same(times, bounds[name] / top)
            if bounds[name] <= top:
                raise Wrong(f"{name} timed out below {top}")
            said.add(name)
        self.take(rf"({NAME}) takes ({VALUE}) times as long \(({INTERVAL})\)", slower)
        self.take(rf"({NAME}) takes more than ({VALUE}) times as long", beyond)
        self.take(rf"({NAME}) takes longer, by a factor that is QEMU's", longer)
        level = re.search(r"(?:^|: )(.*?) are not distinguished", self.left)
        level = set(re.findall(NAME, level.group(1))) if level else set()
        low = samples[best or names[0]]
        known = lambda name: name in bounds or bool(samples[name].known.bounds)
        without = [s for s in samples.values() if not s.known.bounds]

        def few(listed, least, most, needed):
            for name in set(re.findall(NAME, listed)) - {best or names[0]}:
                if low.known.bounds and known(name):
                    raise Wrong(f"too few stays of {name}, which has an interval, as the lowest has")
                said.add(name)
            self.few([s.known for s in without], least, most, needed)
        if self.take(rf"too few stays to tell (.*?) apart \({FEW}\)", few):
            best = best or names[0]
        for name in level:
            if not low.known.bounds or not known(name):
                raise Wrong(f"{name} is not distinguished, and has too few stays for that")
        if level - set(samples) - set(bounds):
            raise Wrong(f"names {level - set(samples) - set(bounds)}, and lists no value of it")
        for name in level - {best or names[0]}:
            if name in samples and apart(low, samples[name], latency) == -1:
                raise Wrong(f"{name} is told apart from {best or names[0]}, and the sentence says it is not")
        if len(samples) + len(bounds) > 1 and said | level | {best} - {None} < set(samples) | set(bounds):
            raise Wrong(f"says nothing of {set(samples) | set(bounds) - said - level}")
        if " is the fastest; " in text and (level or without or not said):
            raise Wrong("the fastest, and not told apart")
        return best

    def entries(self, text, scenario, metric, **options):
        """The values that a sentence lists of a metric, taken out; what timed out apart."""
        run, samples, bounds = self.run, {}, {}
        self.left = text

        def medians(name, text, whole, ends):
            key = self.key(name, scenario, **options)
            samples[name] = run.sample(key, metric)
            self.stated(text, samples[name], key)
            ranked = run.whole(key) if metric == "update_time" else samples[name]
            if whole:
                same(whole, ranked.median)
                same_interval(ends, ranked.known, bounds=ranked.bounds)
            elif abs(ranked.median - samples[name].median) > 0.01 * ranked.median:
                raise Wrong(f"{name} is ranked by {ranked.median:.6g}, which stands nowhere")

        def longer(name, text):
            bounds[name] = run.bound(self.key(name, scenario, **options))
            same(text, bounds[name])
        self.take(rf"({NAME}) ({STATED})(?:, with its release ({VALUE}) \(({INTERVAL})\))?", medians)
        self.take(rf"({NAME}) longer than ({VALUE}) \(timed out: a lower bound\)", longer)
        self.done()
        return samples, bounds

    def in_brief(self, text, samples, bounds, latency):
        """An order without its intervals: who takes least, how many times as long every other takes, and of whom nothing is told."""
        best = min(samples, key=lambda n: samples[n].median) if samples else None
        told = {n for n in samples if n != best and apart(samples[best], samples[n], latency) == -1}
        top = samples[best].known.bounds[1] if best and samples[best].known.bounds else math.inf
        told |= {n for n in bounds if top < bounds[n]}
        if not text:
            if told:
                raise Wrong(f"nothing in brief, and {told} are told apart from {best}")
            return
        def without_version(name):
            mode, *words = re.fullmatch(r"(\S+)(?: \((.*)\))?", name).groups()
            words = [w for w in (words[0] or "").split(", ") if w and not w.startswith("kube-proxy ")]
            return mode + (f" ({', '.join(words)})" if words else "")
        names = [*samples, *bounds]
        shorts = [without_version(n) for n in names]
        named = dict(zip(names, names)) | {short: n for short, n in zip(shorts, names) if shorts.count(short) == 1}
        first, value, rest = re.fullmatch(rf"({NAME}) takes least, ({VALUE}); (.*)", text).groups()
        if named[first] != best:
            raise Wrong(f"in brief {first} takes least, and {best} does")
        same(value, samples[best].median)
        slower, *others = rest.split("; ")
        seen = {}
        for name, least, times in re.findall(rf"({NAME}) (at least |more than )?({DIGITS}) times", slower):
            seen[named[name]] = least, times
        for name in re.findall(rf"({NAME}) more(?! than)", slower):
            seen[named[name]] = "more", ""
        if set(seen) != told:
            raise Wrong(f"in brief {set(seen)} take longer, and {told} do")
        for name, (least, times) in seen.items():
            if least == "more":
                continue
            if name in bounds:
                same(times, bounds[name] / top)
                continue
            ratio = ratio_of(samples[name], samples[best])
            wide = ratio.bounds and ratio.bounds[1] > 3 * ratio.bounds[0]
            value = ratio.bounds[0] if wide else ratio.value
            same(times, float(f"{value:.2e}") if value >= 1000 else value)
            if bool(wide) != (least == "at least "):
                raise Wrong(f"in brief {name} {least}{times}, of {ratio.bounds}")
        left = {n for n in names if n != best and n not in told}
        known = lambda n: n in bounds or bool(samples[n].known.bounds)
        for part in others:
            what, names = part.split(": ")
            names = {named[n] for n in re.findall(NAME, names)}
            is_known = what == "not told apart from it"
            if not is_known and what != "too few stays to place" or any((known(n) and known(best)) != is_known for n in names):
                raise Wrong(f"in brief {what}: {names}")
            left -= names
        if left:
            raise Wrong(f"in brief nothing of {left}")

    def gaps(self, scenario, metric, **options):
        for outcome, names in re.findall(r"(?:^| )(Failed|Timed out|Unsupported|Not run): (.*?)\.(?= |$)", self.left):
            for name in re.findall(NAME, names):
                if self.run.sample(self.key(name, scenario, **options), metric):
                    raise Wrong(f"{name} is called '{outcome}', and has numbers")

    def by_size(self, scenario, metric, options):
        if tail := re.search(r"Fastest by size: (.*?)\.(?= |$|•)", self.left):
            seen = []
            for part in tail.group(1).split("; "):
                winner, sizes = re.fullmatch(r"(.*) at ([\d, and]*)", part).groups()
                sizes = [int(number(s)) for s in re.findall(r"\d+(?:,\d{3})*(?!\d)", sizes)]
                seen += sizes
                for n in sizes if winner not in ("not distinguished", "too few stays") else []:
                    self.first_of_all(winner, scenario, metric, n, options)
            if seen != self.sizes:
                raise Wrong(f"by size names {seen} of {self.sizes}")
            self.left = self.left.replace(tail.group(0), "•")

    def first_of_all(self, mode, scenario, metric, n, options):
        of = lambda key: self.run.whole(key) if metric == "update_time" else self.run.sample(key, metric)
        samples = {k: of(k) for k in self.keys(scenario, n, **options) if k[0] not in MODES[:2]}
        mine = [s for k, s in samples.items() if k[0] == mode and s]
        others = [s for k, s in samples.items() if k[0] != mode and s]
        if not any(all(apart(s, o, metric == "latency") == -1 for o in others) for s in mine):
            raise Wrong(f"{mode} is not told apart from all others at {n}")


SENTENCES = {}


def sentence(kind):
    def register(check):
        SENTENCES[kind] = check
        return check
    return register


PLACE = {"uniform": "any", "last": "the last", "middle": "the middle", "first": "the first"}
POSITION = {place: position for position, place in PLACE.items()}
WHOM = r"any|the first|the middle|the last"


TIMES = {"update_time": "what the kernel and the tool must do", "sync_time": "with all that kube-proxy does for it"}


def questions(s):
    """How the question may read, by what the finding is about."""
    scenario, n, low, o = s.finding["scenario"], f"{s.services[-1]:,}", f"{s.services[0]:,}", s.finding["options"]
    protocol, cache, place = o.get("protocol", "").upper(), f"{o.get('cache')} caches", PLACE.get(o.get("position"))
    latency = f"{protocol} packet (latency, {cache})"
    memory = f"Kernel memory of each further service (kernel_memory of {scenario})"
    adds = f"Each further service adds to the first {latency}"
    left = s.left_name() if s.finding["kind"] == "leaving" else None
    return {
        "packets": [f"First packet (latency) of a new {protocol} flow to {place} of {n} services, {cache}"],
        "updates": [{"service-add": f"Adding one service to {n}", "cold-install": f"Installing {n} services from nothing",
                     "service-remove": f"Removing one service of {n}", "endpoint-churn": f"Replacing endpoints of {n} services"}.get(scenario)],
        "crossings": ["Which mode overtakes which, as N grows, for " + {
            "first-packet": f"first {protocol} packets (latency, {cache}) to {place} service",
            "service-add": "adding one service", "cold-install": "installing from nothing"}.get(scenario, "")],
        "exponents": ["How installing from nothing grows with N, by update_time (a fixed part and a power of N)"],
        "memory": [memory, f"{memory} (noisy, on the host's kernel, which other processes use too)"],
        "memory-by-cpus": ["Kernel memory of each further service, by possible CPUs (kernel_memory of memory)"],
        "slopes": [f"{adds} {whom}, {low}–{n} services" for whom in (f"to {place} one", "in each mode's own worst position")],
        "flatness": [f"What {n} services add to the fixed part of the first {latency} to {place} one, beyond what they add to the floor's, flat being below {100 * FLAT:.0f} %"],
        "engines": [f"What each service passed on the way to the last one costs in both iptables engines, {protocol} packets (latency, {cache}), {low}–{n} services"],
        "positions": [f"First {latency} to the last of {n} services ÷ to the first one"],
        "handed-over": [f"To add one service at {low} and at {n} services, what is handed to the tool or the kernel"],
        "set-messages": [f"Set messages to add one service at {low} and at {n} services"],
        "syncs": [f"kube-proxy's whole sync (its read-back and the apply, sync_time) that adds one service to {n}"],
        "chunks": [f"Installing {n} services in one transaction, by update_time and its release"],
        "leaving": [f"Leaving {left}: {what}, as a multiple of what it takes there" for what in [
            {"first-packet": f"the first {latency} to {place} of {n} services", "cold-install": f"installing {n} services from nothing",
             "idle": f"processor time of an hour in which nothing of {n} services changes"}.get(scenario),
            f"adding one service to {n}, {TIMES['update_time']}", f"adding one service to {n}, {TIMES['sync_time']}", f"kernel memory of {n} services"]],
        "tool-share": ["The tool's own part (user mode) of the processor time of "
                       + {"service-add": "adding one service to", "cold-install": "installing, in one transaction,"}.get(scenario, "") + f" {n} services"],
    }[s.finding["kind"]]


@sentence("packets")
def first_packet(s):
    s.is_at(s.largest)
    options = s.packets()
    samples, bounds = s.entries(s.values["latency"], "first-packet", "latency", **options)
    head, s.left = s.finding["verdict"].split("Each mode's own worst position: ")

    def highest(name, place, text):
        rest = {o: v for o, v in options.items() if o != "position"}
        positions = {dict(k[6])["position"] for k in s.keys("first-packet", s.largest, **rest) if k[0] == name.split(" (")[0]}
        of = {p: s.run.sample(s.key(name, "first-packet", **s.packets(position=p)), "latency") for p in positions}
        s.stated(text, of[POSITION[place]], s.key(name, "first-packet", **s.packets(position=POSITION[place])))
        if max(o.median for o in of.values() if o) > of[POSITION[place]].median:
            raise Wrong(f"{place} is not the worst position of {name}")
    if s.take(rf"({NAME}) ({WHOM}) ({STATED})", highest) != len(samples):
        raise Wrong("not every mode has its worst position")
    s.done()
    s.left = head
    s.by_size("first-packet", "latency", options)
    s.gaps("first-packet", "latency", **options)
    s.verdict(s.left, samples, bounds, True)
    s.left = re.sub(NAME, "", s.left)
    s.in_brief(s.finding.get("brief", "").removesuffix("."), samples, bounds, True)


@sentence("updates")
def updates(s):
    """An update by both of its times. Where they turn each other's order round, or do not confirm it, it must say so."""
    s.is_at(s.largest)
    scenario, head = s.finding["scenario"], s.finding["verdict"]
    update, bounds = s.entries(s.values["update_time"], scenario, "update_time")
    syncs = s.entries(s.values["sync_time"], scenario, "sync_time")[0] if "sync_time" in s.values else {}
    s.entries(s.values.get("release_time", ""), scenario, "release_time")
    ranked = {name: s.run.whole(s.key(name, scenario)) for name in update}
    if any(s.run.sample(s.key(name, scenario), "release_time") for name in update) != ("release_time" in s.values):
        raise Wrong("release_time is there and not told, or the other way round")
    measured = {n for n in update if s.run.sample(s.key(n, scenario), "sync_time")}
    if measured != set(syncs):
        raise Wrong(f"tells sync_time of {set(syncs)}, and {measured} have it")
    s.left = head
    s.gaps(scenario, "update_time")
    head = re.sub(r"(?:^| )(?:Failed|Timed out|Unsupported|Not run): .*?\.(?= |$)", "", head)
    head, ways = re.match(r"(.*?)((?:update_time|sync_time) goes through .*)?$", head).groups()
    through(s, ways or "", scenario, update, syncs)
    alone = re.search(rf"sync_time was measured in ({NAME}) alone", head)
    compares = len(update) + len(bounds) > 1
    if bool(alone) != (len(syncs) == 1 and compares) or alone and alone.group(1) not in syncs:
        raise Wrong(f"sync_time was measured in {set(syncs)}")
    if alone:
        head, of = re.match(r"(.*) By sync_time, of (.*), nothing is known of the others\.", head).groups()
        if of != s.run.kube_proxy(s.key(alone.group(1), scenario)):
            raise Wrong(f"{alone.group(1)} is not of {of}")
        head = head.replace(alone.group(0), "")
    s.left = head
    s.by_size(scenario, "update_time", {})
    head = s.left
    opening, by_update = re.split(r"(?:^|(?<=\.) )By update_time", head, maxsplit=1) if "By update_time" in head else (head, "")
    by_update, by_sync = by_update.split(" By sync_time (") if " By sync_time (" in by_update else (by_update, "")
    versions, by_sync = by_sync.split("): ", 1) if by_sync else ("", "")
    for version, names in re.findall(r"(kube-proxy.*?) in (.*?)(?=, kube-proxy|$)", versions):
        for name in re.findall(NAME, names):
            if s.run.kube_proxy(s.key(name, scenario)) != version:
                raise Wrong(f"{name} is not of {version}")
    s.verdict(by_update.split(": ", 1)[1] if by_update else "", ranked, bounds, False)
    s.done_with_names()
    both = re.fullmatch(r"(?:(?:At ([\d,]+) services, w|W)ith all that kube-proxy does for it: (.*?)\.)? ?(?:What the kernel and the tool must do: (.*)\.)?", s.finding.get("brief", ""))
    smaller, of_sync, of_update = both.groups()
    if smaller:
        syncs_at(s, scenario, int(number(smaller)), of_sync, syncs)
    else:
        s.in_brief(of_sync or "", syncs, {}, False)
    s.in_brief(of_update or "", ranked, bounds, False)
    if len(syncs) > 1:
        s.verdict(by_sync, syncs, {}, False)
        s.done_with_names()
    if s.finding["headline"] and not any(known.known.bounds for known in [*ranked.values(), *syncs.values()]):
        raise Wrong("a headline, and nothing has an interval")
    orders = {(a, b): (apart(ranked[a], ranked[b], False), apart(syncs[a], syncs[b], False))
              for a, b in itertools.combinations(sorted(syncs), 2)}
    differ = {pair for pair, (x, y) in orders.items() if x != y}
    turned = {pair for pair, (x, y) in orders.items() if x * y < 0}
    said = "update_time and sync_time rank the modes differently" in opening
    if bool(differ) != said:
        raise Wrong(f"the two times differ in {differ}, and the sentence says {said}")
    alike = any(x == y != 0 for x, y in orders.values())
    if "do not contradict" in opening and not alike:
        raise Wrong("do not contradict each other, and no pair is told apart by both")
    places = re.search(r"they change places: (.*?)(?:; by |\))(?=[^,]*(?:\. |$|alone|: ))", opening)
    if said and "fastest" in head:
        raise Wrong("the fastest, though the two times differ")
    if bool(turned) != ("they change places" in opening):
        raise Wrong(f"{turned} change places, and the sentence says {places and places.group(1)}")
    s.done_with_names(opening)


def syncs_at(s, scenario, n, text, here):
    """In brief with kube-proxy's work, at a smaller size, since at the largest nothing is told apart by it."""
    here = dict(here)
    if n >= s.largest or any(apart(a, b, False) for a in here.values() for b in here.values()):
        raise Wrong(f"in brief kube-proxy's work at {n}, and {set(here)} have it at {s.largest}")
    for size in (size for size in s.sizes if n < size < s.largest):
        there = [x for k in s.keys(scenario, size) if k[0] not in MODES[:2] and (x := s.run.sample(k, "sync_time"))]
        if any(apart(a, b, False) == -1 for a in there for b in there):
            raise Wrong(f"in brief kube-proxy's work at {n}, and at {size} some are told apart by it")
    text, *alone = text.split(f"; at {s.largest:,} services ")
    for part in alone:
        name, value = re.fullmatch(rf"({NAME}) ({VALUE})", part).groups()
        full = [other for other in here if s.key(other, scenario) == s.key(name, scenario)]
        same(value, here.pop(full[0]).median)
    if here:
        raise Wrong(f"nothing of {set(here)} at {s.largest}")
    of = {k: s.run.sample(k, "sync_time") for k in s.keys(scenario, n) if k[0] not in MODES[:2]}
    samples = {name: s.run.sample(s.key(name, scenario, n), "sync_time") for name in re.findall(NAME, text)}
    if {id(x) for x in samples.values()} != {id(x) for x in of.values() if x}:
        raise Wrong(f"in brief names {set(samples)} of those with a sync at {n}")
    s.in_brief(text, samples, {}, False)


def through(s, text, scenario, update, syncs):
    """Each time goes its own way."""
    said = {}
    for metric, ways in re.findall(r"(update_time|sync_time) goes (.*?)\.(?= |$)", text):
        for words, names in re.findall(r"through (.*?): (.*?)(?=; through|$)", ways):
            said.update({(metric, name): words for name in re.findall(NAME, names)})
    wanted = {}
    for name in update:
        key = s.key(name, scenario)
        if "transport" in dict(key[6]):
            rules = " (the set) and iptables-restore (the rules)" if key[0] == "ipset" else ""
            wanted["update_time", name] = dict(key[6])["transport"], rules
    for name in syncs:
        for way in s.run.facts(s.key(name, scenario), "kube_proxy_transport"):
            wanted["sync_time", name] = way, ""
    if set(said) != set(wanted):
        raise Wrong(f"names the ways of {set(said)}, not of {set(wanted)}")
    for of, (way, rules) in wanted.items():
        words = said[of]
        if not words.endswith(rules) or options_of(words.removesuffix(rules))[1] != way:
            raise Wrong(f"{of} goes through {way}, not {words}")


def slope_of(s, name, span, **position):
    return s.fit(name, "first-packet", "latency", "linear", span, **s.packets(**position))


def floor_of(s, span, **position):
    for mode in ("conntrack", "none"):
        try:
            return mode, slope_of(s, mode, span, **position)
        except Wrong:
            continue
    return None, None


@sentence("slopes")
def slopes(s):
    told, beyonds = {}, {}

    def check(value, name, own, low, high, ends, beyond, floor, over, over_ends, off):
        if high:
            if [number(low), number(high)] == s.services:
                raise Wrong(f"{name}: its range is that of the question")
        span = [int(number(low)), int(number(high))] if high else s.services
        at = {"position": POSITION[own]} if own else {}
        if own:  # The worst position at the largest size.
            rest = {o: v for o, v in s.options.items() if o != "position"}
            keys = [k for k in s.keys("first-packet", span[1], **rest) if k[0] == name.split(" (")[0]]
            highest = max(s.run.sample(k, "latency").median for k in keys if s.run.sample(k, "latency"))
            if s.run.sample(s.key(name, "first-packet", span[1], **s.packets(**at)), "latency").median < highest:
                raise Wrong(f"{own} is not the worst position of {name}")
        if bool(own) != ("worst position" in s.finding["question"]):
            raise Wrong(f"{name} to {own}")
        fit = slope_of(s, name, span, **at)
        same(value, fit.estimate)
        same_interval(ends, fit.known)
        told[name] = False
        if beyond:
            mode, below = floor_of(s, span, **at)
            if mode != floor:
                raise Wrong(f"beyond {floor}, and {mode} is the floor")
            known, _ = fit.beyond(below)
            same(over, known.value)
            same_interval(over_ends, known)
            told[name] = known.leaves_out(0.0)
            beyonds[name] = known
        misfit(fit, off)
    part = rf"({VALUE}) in ({NAME})(?: to ({WHOM}))?(?: over ({DIGITS})–({DIGITS}) services)? \(({INTERVAL})(; beyond (\w+) ({VALUE}) \(({INTERVAL})\))?(; no good fit[^)]*)?\)"
    claimed, unknown = re.match(r"(.*?)((?:too few blocks for an interval .*)?)$", s.left).groups()
    claimed, *level = re.split(r"not told apart from the floor: ", claimed)
    claimed, level, unknown = (set(m[1] for m in re.findall(part, text)) for text in (claimed, " ".join(level), unknown))
    if not s.take(part, check):
        raise Wrong("states no slope")
    if claimed != {name for name, known in told.items() if known}:
        raise Wrong(f"{claimed} are said to add something, and {told}")
    few = {name for name, known in beyonds.items() if not known.bounds}
    if unknown != few or level & few:
        raise Wrong(f"{few} have too few blocks, and the sentence says {unknown}")
    s.take(rf"too few blocks for an interval \({FEW}\)", lambda *of: s.few([beyonds[n] for n in few], *of))


def misfit(fit, text):
    """Lack of fit is said where the curve leaves the interval of the farthest size."""
    size, off, beyond = fit.off
    if beyond != bool(text):
        raise Wrong(f"the curve is {off:.1%} off at {size}, {'beyond' if beyond else 'within'} its interval: '{text}'")
    if text:
        services, share = re.search(rf"at ({DIGITS}) services the value is ({DIGITS}) %", text).groups()
        same(share, 100 * off)
        if number(services) != size:
            raise Wrong(f"off at {services}, not at {size}")


@sentence("flatness")
def flatness(s):
    n, shares = s.services[0], []

    def check(name, verdict, value, ends):
        span = s.smallest(name, "first-packet", "latency", n, **s.packets()), n
        fit = slope_of(s, name, span)
        _, share = fit.beyond(floor_of(s, span)[1])
        same(value, share.value)
        same_interval(ends, share)
        bounds = share.bounds
        shares.append(share)
        expected = "not known" if not bounds else "flat" if -FLAT < bounds[0] and bounds[1] < FLAT else "grows" if bounds[0] > FLAT else "not known to be flat"
        if verdict != expected:
            raise Wrong(f"{name} is called {verdict} at {bounds}")
    if not s.take(rf"({NAME}) (flat|grows|not known to be flat|not known), ({VALUE}) \(({INTERVAL})\)", check):
        raise Wrong("states no share")
    if s.take(rf"Not known: too few blocks \({FEW}\)", lambda *of: s.few(shares, *of)) != any(not share.bounds for share in shares):
        raise Wrong("says nothing of its few blocks, or has enough")


@sentence("engines")
def engines(s):
    nft, legacy = (slope_of(s, m, s.services) for m in ("iptables-nft", "iptables-legacy"))

    def quotient(value, ends):
        same(value, nft.estimate / legacy.estimate)
        known = Known([nft.estimate / legacy.estimate])
        known.ci = nft.known.bounds[0] / legacy.known.bounds[1], nft.known.bounds[1] / legacy.known.bounds[0]
        same_interval(ends, known)
    s.take(rf"a ratio of ({DIGITS}) \(({INTERVAL})\)", quotient)
    s.take(r"not distinguished from 0", lambda: None)

    def slope(name, value, ends):
        fit = {"iptables-nft": nft, "iptables-legacy": legacy}[name]
        same(value, fit.estimate)
        same_interval(ends, fit.known)
    if s.take(rf"(iptables-nft|iptables-legacy) ({VALUE}) \(({INTERVAL})\)", slope) != 2:
        raise Wrong("does not state two slopes")


def doubted(name, known, doubt):
    """An interval that holds 1 is said to."""
    if bool(known.bounds) and not known.leaves_out(1.0) and not doubt:
        raise Wrong(f"{name}: its interval holds 1, and nothing says so")
    if doubt and known.leaves_out(1.0):
        raise Wrong(f"{name}: its interval leaves 1 out")


@sentence("positions")
def positions(s):
    s.is_at(s.largest)

    def check(value, name, ends, known, last, marks):
        key = lambda position: s.key(name, "first-packet", **s.packets(position=position))
        of = lambda position: s.run.sample(key(position), "latency")
        ratio = ratio_of(of("last"), of("first"), True)
        same(value, ratio.value)
        same_interval(ends, ratio)
        doubted(name, ratio, known)
        if bool(last) != (bool(ratio.bounds) and not (name.startswith("iptables") and ratio.bounds[1] < 1)):
            raise Wrong(f"{name}: explains {ratio.bounds} by '{last}', or does not")
        told = "".join(f"; to the {p} {m}" for p in ("last", "first") if (m := s.run.marked(key(p))))
        if marks != told:
            raise Wrong(f"{name}: '{marks}' should be '{told}'")
    s.take(r"before Linux 7\.1", lambda: None)
    if not s.take(rf"({DIGITS}) in ({NAME}) \(({INTERVAL})(: not distinguished from 1)?(; the last is [^);]*)?((?:; to the (?:last|first) [^);]*)*)\)", check):
        raise Wrong("states no ratio")


@sentence("handed-over")
def handed_over(s):
    s.is_at(s.sizes[0], s.largest)
    parts = s.left.rstrip(".").split("; ")
    for part in parts:
        name = re.match(NAME, part).group(0)
        small, large = (s.key(name, "service-add", n) for n in (s.sizes[0], s.largest))
        for piece in part[len(name):].split(", "):
            metric = "messages" if " message" in piece else "bytes_sent"
            values = re.findall(VALUE, piece)
            a, b = (s.run.sample(k, metric).median for k in (small, large))
            same(values[0], a)
            same(values[-1], b)
            if "at both" in piece and a != b:
                raise Wrong(f"{name}: {a} and {b} are not the same at both")
    s.left = ""


@sentence("set-messages")
def set_messages(s):
    s.is_at(s.sizes[0], s.largest)
    of = lambda name, n: s.run.sample(s.key(name, "service-add", n), "messages").pool

    def both(name, value):
        seen = set(of(name, s.sizes[0])) | set(of(name, s.largest))
        if seen != {number(value)}:
            raise Wrong(f"{name}: {value} at both, though {sorted(seen)[:5]} were seen")

    def each(name, few, many):
        for text, n in ((few, s.sizes[0]), (many, s.largest)):
            ends = re.findall(DIGITS, text)
            same(ends[0], of(name, n)[0])
            same(ends[-1], of(name, n)[-1])
    counted = rf"{DIGITS}(?: to {DIGITS})?"
    if not s.take(rf"({NAME}) ({DIGITS}) at both, in every sample", both) + s.take(rf"({NAME}) ({counted}) and ({counted})", each):
        raise Wrong("states no number")


@sentence("syncs")
def syncs(s):
    s.is_at(s.largest)

    def check(name, sync, whose, times, ends, known, apply):
        key = s.key(name, "service-add")
        a, b = s.run.sample(key, "sync_time"), s.run.sample(key, "update_time")
        s.stated(sync, a, key)
        s.stated(apply, b, key)
        ratio = ratio_of(a, b, True)
        same(times, ratio.value)
        same_interval(ends, ratio)
        doubted(name, ratio, known)
        if whose != s.run.kube_proxy(key) or not s.run.facts(key, "kube_proxy_version"):
            raise Wrong(f"{name} names {whose}, and its cells {s.run.kube_proxy(key)}")
    part = rf"({NAME}) ({STATED})(?: through [^,]*?)? in (kube-proxy[^,]*), ({DIGITS}) times \(({INTERVAL})(: not distinguished from 1)?\) its update_time of ({STATED})"
    if not s.take(part, check):
        raise Wrong("states no sync")


@sentence("chunks")
def chunks(s):
    s.is_at(s.largest)

    def cells(chunk, mode, words):
        options = dict(options_of(w) for w in words.split(", "))
        return [s.key(mode, "cold-install", chunk=c, **options) for c in ("all", chunk)]

    def check(times, ends, known, chunk, mode, words):
        single, chunked = (s.run.whole(k) for k in cells(chunk, mode, words))
        ratio = ratio_of(single, chunked)
        same(times, ratio.value)
        same_interval(ends, ratio)
        doubted(mode, ratio, known)

    def beyond(times, chunk, mode, words):
        single, chunked = cells(chunk, mode, words)
        same(times, s.run.bound(single) / s.run.sample(chunked, "update_time").known.bounds[1])
    words = r"as long as in transactions of (\d+), in (\S+) through ([^;.]*?)(?=[;.])"
    if not s.take(rf"({DIGITS}) times \(({INTERVAL})(: not distinguished from 1)?\) {words}", check) \
            + s.take(rf"more than ({DIGITS}) times \(it timed out\) {words}", beyond):
        raise Wrong("states no ratio")


@sentence("crossings")
def crossings(s):
    scenario, options, parts = s.finding["scenario"], s.packets(), s.left
    match = scenario == "first-packet"
    parts = {"latency": parts} if match else {p.split(": ")[0].removeprefix("by ").split(" ")[0]: p for p in parts.split(". And ")}
    for metric, part in parts.items():
        s.left = part
        crossed(s, scenario, metric, options)
        s.done_with_names()
    # Each time of an update that two modes have is told beside the other.
    for metric in () if match else ("update_time", "sync_time"):
        modes = {k[0] for k in s.keys(scenario) if k[0] not in MODES[:2] and s.run.sample(k, metric)}
        if len(modes) > 1 and metric not in parts:
            raise Wrong(f"nothing of {metric}")
    s.left = ""


def crossed(s, scenario, metric, options):
    def rows(name):
        found = {}
        for n in s.sizes:
            try:
                key = s.key(name, scenario, n, **options)
                sample = s.run.whole(key) if metric == "update_time" else s.run.sample(key, metric)
            except Wrong:
                continue
            if sample and sample.median < math.inf:
                found[n] = sample
        return found

    def zeros(sizes, upper, lower):
        found = []
        for m, n in zip(sizes, sizes[1:]):
            left, right = (math.log(upper(k)) - math.log(lower(k)) for k in (m, n))
            if (left < 0) != (right < 0):
                x, y = math.log(m), math.log(n)
                found.append(math.exp(x + (y - x) * left / (left - right)))
        return found

    def check(over, under, at, low, high):
        # Below the crossing `under` is the lower one; above it `over` is.
        a, b = rows(under), rows(over)
        sizes = [n for n in a if n in b]
        inside = lambda text, value: number(text) * 0.98 <= value <= number(text) * 1.02
        near = [z for z in zeros(sizes, lambda n: a[n].median, lambda n: b[n].median) if inside(at, z)]
        if len(near) != 1:
            raise Wrong(f"{over} and {under} do not cross at {at}")
        if not number(low) <= number(at) <= number(high):
            raise Wrong(f"{at} is outside of {low}–{high}")
        below, above = [n for n in sizes if n <= number(low)], [n for n in sizes if n >= number(high)]
        if not below or not above:
            raise Wrong(f"{low}–{high} is not between sizes")
        s.order(a[below[-1]], b[below[-1]], under, over, metric == "latency")
        s.order(b[above[0]], a[above[0]], over, under, metric == "latency")
        between = [n for n in sizes if below[-1] <= n <= above[0]]
        ends = lambda side, of: lambda n: of[n].known.bounds[side]
        if all(x[n].known.bounds for x in (a, b) for n in between):
            first, last = zeros(between, ends(1, a), ends(0, b)), zeros(between, ends(0, a), ends(1, b))
            if not inside(low, first[0]) or not inside(high, last[-1]):
                raise Wrong(f"{over} and {under} part at {first[0]:.0f} and {last[-1]:.0f}, not at {low} and {high}")
    s.take(rf"({NAME}) overtakes ({NAME}) at ({DIGITS}) services \(({DIGITS})–({DIGITS})\)", check)
    for name in re.findall(NAME, s.left):
        if not rows(name):
            raise Wrong(f"names {name}, which has no numbers")


@sentence("exponents")
def exponents(s):
    power = rf"N\^({DIGITS}) \(({INTERVAL})\) over ({DIGITS})–({DIGITS}) services"

    def check(model, name, value, ends, low, high):
        fit = s.fit(name, "cold-install", "update_time", model, (number(low), number(high)))
        same(value, fit.estimate)
        same_interval(ends, fit.known)
        return fit
    stretches = set()

    def both(name, whole, value, ends, low, high, off, value2, ends2, low2, high2):
        if whole:
            misfit(check("offset-power", name, value, ends, low, high), off)
        check("power", name, value2, ends2, low2, high2)
        stretches.add(name)
    if not s.take(rf"({NAME}) ({power}(; no good fit[^;]*)?; )?last stretch {power}", both):
        raise Wrong("states no exponent")


@sentence("tool-share")
def tool_share(s):
    s.is_at(s.largest)
    scenario = s.finding["scenario"]
    options = {} if scenario == "service-add" else {"chunk": "all"}

    def check(name, value, ends, stays):
        sample = s.run.made(s.key(name, scenario, **options), "user_time", "cpu_time", divided)
        same(value, sample.median)
        same_interval(ends, sample.known)
        if number(stays) != len(sample.medians):
            raise Wrong(f"{name}: {stays} stays")
    if not s.take(rf"({NAME}) ({VALUE}) \(({INTERVAL}); ({DIGITS}) stays?\)", check):
        raise Wrong("states no share")


def has_figure(run, key, metric):
    sample = run.sample(key, metric)
    return sample is not None and sample.median < math.inf


def ways_of(s, scenario, metric, options):
    """Cells of the largest size that have a figure, or else a bound, of serving modes; of an install in one transaction and in several
    that of one, if it has a figure, and of memory that of several."""
    bounded = lambda key: metric == "update_time" and not has_figure(s.run, key, metric) and s.run.bound(key)
    cells = [k for k in s.keys(scenario, s.largest, **options) if k[0] not in MODES[:2] and (has_figure(s.run, k, metric) or bounded(k))]
    way = lambda key: (key[0], tuple(o for o in key[6] if o[0] != "chunk"))
    several = lambda key: dict(key[6]).get("chunk") not in (None, "all")
    whole = lambda key: dict(key[6]).get("chunk") == "all"
    rank = (lambda key: not several(key)) if metric == "kernel_memory" else lambda key: (not has_figure(s.run, key, metric), not whole(key))
    return [k for k in cells if not any(way(o) == way(k) and rank(o) < rank(k) for o in cells)]


LEAVING = [("first-packet", "latency"), ("service-add", "update_time"), ("service-add", "sync_time"), ("cold-install", "update_time"), ("idle", "idle_cpu_time"), ("memory", "kernel_memory")]


@sentence("leaving")
def leaving(s):
    s.is_at(s.largest)
    scenario, question = s.finding["scenario"], s.finding["question"]
    memory, sync = ": kernel memory of " in question, TIMES["sync_time"] in question
    metric = "kernel_memory" if memory else "sync_time" if sync else {"first-packet": "latency", "idle": "idle_cpu_time"}.get(scenario, "update_time")
    options = s.packets() if scenario == "first-packet" else {}
    of = s.run.whole if metric == "update_time" else lambda key: s.run.sample(key, metric)
    cells = ways_of(s, scenario, metric, options)
    mean = lambda name: s.key_among(name, cells)
    base, said = mean(s.left_name()), set()
    if base[0] not in s.run.header["arguments"]["leaving"]:
        raise Wrong(f"leaves {base[0]}, which nobody asked for")

    def check(name, times, ends, known):
        key = mean(name)
        ratio = ratio_of(of(key), of(base))
        same(times, ratio.value)
        same_interval(ends, ratio)
        doubted(name, ratio, known)
        said.add(key)

    def beyond(name, times):
        key = mean(name)
        same(times, s.run.bound(key) / of(base).known.bounds[1])
        said.add(key)
    count = s.take(rf"({NAME}) ({DIGITS}) times \(({INTERVAL})(: not distinguished from 1)?\)", check) \
        + s.take(rf"({NAME}) more than ({DIGITS}) times \(it timed out\)", beyond)
    if not count or len(said) != count:
        raise Wrong(f"{count} ratios of {len(said)} modes")
    # Whoever has a figure is told, but for a factor between two tools that is QEMU's, and a bound below what it is beside.
    translated = s.run.header["environments"][s.where["environment"]]["accel"] == "tcg"
    tools = lambda a, b: translated and dict(a[6]).get("transport") != dict(b[6]).get("transport")
    bounded = lambda k: not has_figure(s.run, k, metric)
    top = of(base).known.bounds
    wanted = {k for k in cells if k[0] != base[0] and (bounded(k) and top and s.run.bound(k) > top[1] or not bounded(k) and not tools(k, base))}
    if said != wanted:
        raise Wrong(f"says nothing of {[k[0] for k in wanted - said]}, or too much of {[k[0] for k in said - wanted]}")
    s.run.left.add((scenario, metric, tuple(sorted(options.items())), base))


def unsaid(run):
    """Whoever would be left, and of whom and of others there are figures, without a sentence."""
    for mode in run.header["arguments"].get("leaving", []):
        for scope in run.scopes[0]:
            s = Scoped(run, scope)
            packets = {tuple(sorted((o, v) for o, v in dict(k[6]).items() if o in ("cache", "protocol"))) for k in s.keys("first-packet")}
            place = max((list(POSITION.values()).index(dict(k[6])["position"]) for k in s.keys("first-packet") if "position" in dict(k[6])), default=None)
            for scenario, metric in LEAVING:
                asked = [{}]
                if scenario == "first-packet":
                    asked = [dict(p) | {"position": ["first", "middle", "last", "uniform"][place]} for p in packets] if place is not None else []
                if metric == "kernel_memory" and not any(s.run.sample(k, metric) for k in s.keys("memory")):
                    scenario = "cold-install"
                for options in asked:
                    cells = [k for k in ways_of(s, scenario, metric, options) if has_figure(run, k, metric)]
                    for base in (k for k in cells if k[0] == mode):
                        if any(k[0] != mode for k in cells) and (scenario, metric, tuple(sorted(options.items())), base) not in run.left:
                            translated = run.header["environments"][scope[0]]["accel"] == "tcg"
                            if not translated:
                                yield f"nothing is said of leaving {base} by {metric} of {scenario}, {options}"


@sentence("memory")
def memory(s):
    weighed, told = any(s.run.sample(k, "kernel_memory") for k in s.keys("memory")), []

    def check(name, value, ends, known, low, high, per_cpu, bytes, cpus):
        options = {}
        if not weighed and "transaction" not in name:
            mode = name.split(" ")[0]
            keys = [k for k in s.keys("cold-install") if k[0] == mode and s.run.sample(k, "kernel_memory")]
            sizes = {dict(k[6]).get("chunk") for k in keys} - {"all", None}
            options = {"chunk": sizes.pop()} if sizes else {"chunk": "all"}
        scenario = "memory" if weighed else "cold-install"
        fit = s.fit(name, scenario, "kernel_memory", "linear", (number(low), number(high)), **options)
        same(value, fit.estimate)
        same_interval(ends, fit.known)
        if fit.known.ci and not fit.known.leaves_out(0.0) and not known:
            raise Wrong(f"{name}: its interval holds 0, and nothing says so")
        key = s.key(name, scenario, int(number(high)), **options)
        held = [float(r["facts"]["kernel_memory_percpu"]) for r in s.run.cells[key] if r["outcome"] == "measured" and "kernel_memory_percpu" in r["facts"]]
        if bool(per_cpu) != bool(held and s.run.facts(key, "percpu_cpus")):
            raise Wrong(f"{name}: what is held for each CPU is known and not told, or the other way round")
        if per_cpu:
            told.append(name)
            of = max(int(c) for c in s.run.facts(key, "percpu_cpus"))
            same(bytes, median(held) / of / number(high))
            if number(cpus) != of:
                raise Wrong(f"{name}: {cpus} CPUs, not {of}")
    part = rf"({NAME}) ({VALUE}) \(({INTERVAL})(: not distinguished from 0)?; ({DIGITS})–({DIGITS}) services(, of that ({VALUE}) a possible CPU on ({DIGITS}) CPUs?)?\)"
    prices(s, rf"({NAME}) ({VALUE}) \((?!no interval|one |range of [^;:]* blocks |−)[^;:]*;")
    if not s.take(part, check):
        raise Wrong("states no price")
    if (s.finding["scenario"] == "memory") != weighed:
        raise Wrong(f"is of {s.finding['scenario']}")

    def unread(cores):
        if told or number(cores) != s.run.header["environments"][s.where["environment"]]["cores"]:
            raise Wrong(f"{cores} cores, or what each CPU holds was read")
    if not s.take(rf"What of it is held once for each possible CPU was not read, on a machine of ({DIGITS}) cores?", unread) and not told:
        raise Wrong("says nothing of possible CPUs")


@sentence("memory-by-cpus")
def memory_by_cpus(s):
    s.is_at(s.largest)

    def check(name, own, of_a_cpu, least_step, most_step, doubt, low, high, least, most, blocks, off, at_most, with_most):
        cpus = sorted({int(dict(k[6])["possible_cpus"]) for k in s.keys("memory") if "possible_cpus" in dict(k[6])})
        fits = [s.fit(name, "memory", "kernel_memory", "linear", (number(low), number(high)), possible_cpus=str(c)) for c in cpus]
        held = [fit.estimate for fit in fits]
        if number(blocks) != min(fit.known.n for fit in fits):
            raise Wrong(f"{name}: {blocks} blocks")
        a, b = line(cpus, held)
        same(own, a)
        same(of_a_cpu, b)
        steps = [(y - x) / (c - a) for a, c, x, y in zip(cpus, cpus[1:], held, held[1:])]
        same(least_step, min(steps))
        same(most_step, max(steps))
        if bool(doubt) != (min(steps) <= 0 <= max(steps)):
            raise Wrong(f"{name}: steps {steps}, and '{doubt}'")
        same(at_most, held[-1])
        same(off, 100 * max(abs((a + b * x - y) / y) for x, y in zip(cpus, held)))
        if [number(least), number(most), number(with_most)] != [cpus[0], cpus[-1], cpus[-1]] or len(cpus) < 3:
            raise Wrong(f"{name}: of {cpus} possible CPUs")
    part = rf"({NAME}) ({VALUE}) and ({VALUE}) for each possible CPU \(({VALUE}) to ({VALUE}) from one number of CPUs to the next(: not distinguished from 0)?; ({DIGITS})–({DIGITS}) services, ({DIGITS})–({DIGITS}) CPUs, ({DIGITS}) blocks?, at most ({DIGITS}) % from that line\), which is ({VALUE}) with ({DIGITS})"
    prices(s, rf"({NAME}) {VALUE} and [^()]* \([^()]* CPUs, (?![12] block)[^()]*\), which is ({VALUE}) with")
    if not s.take(part, check):
        raise Wrong("states no memory")


def prices(s, pattern):
    """In brief are the prices of the verdict that are known and more than nothing, ascending, where each mode has one; where there
    is none what the largest size holds, as it was read."""
    if read := re.fullmatch(r"Kernel memory of ([\d,]+) services, of too few stays for an interval: (.*)\.", s.finding.get("brief", "")):
        if number(read.group(1)) != s.largest or re.search(pattern, s.finding["verdict"]):
            raise Wrong("what is held in brief, and prices are known")
        listed = re.findall(rf"({'|'.join(MODES)}) ({VALUE})", read.group(2))
        for mode, text in listed:
            keys = [k for k in s.keys(s.finding["scenario"], s.largest) if k[0] == mode and s.run.sample(k, "kernel_memory")]
            chunked = [k for k in keys if dict(k[6]).get("chunk", "all") != "all"]
            same(text, s.run.sample((chunked or keys)[0], "kernel_memory").median)
        held = {k[0] for k in s.keys(s.finding["scenario"], s.largest) if k[0] not in MODES[:2] and s.run.sample(k, "kernel_memory")}
        if {mode for mode, _ in listed} != held or [t for _, t in listed] != sorted((t for _, t in listed), key=lambda t: number(split(t)[0]) * split(t)[1]):
            raise Wrong(f"holds {listed}, and {held} do")
        return
    said = [(name, text) for name, text in re.findall(rf"({'|'.join(MODES)}) ({VALUE})", s.finding.get("brief", "").split(": ", 1)[-1])]
    found = [(name.split(" (")[0], text) for name, text in re.findall(pattern, s.finding["verdict"])]
    bytes_of = lambda text: number(split(text)[0]) * split(text)[1]
    found = [(name, text) for name, text in found if bytes_of(text) > 0]
    if len({name for name, _ in found}) != len(found):
        found = []
    if sorted(said) != sorted(found) or said != sorted(said, key=lambda part: bytes_of(part[1])):
        raise Wrong(f"in brief {said}, and the verdict has {found}")
    if s.finding["kind"] == "memory-by-cpus" and said:
        most = re.search(r"with (\d+) possible CPUs: ", s.finding["brief"])
        if not most or f" with {most.group(1)}" not in s.finding["verdict"]:
            raise Wrong("in brief other CPUs than in the verdict")


# --- the picture at the top ------------------------------------------------------------------------------------

# What a panel asks: a scenario, a metric, and the options that its heading's groups are of.
PANELS = [
    (r"First packet of a new (TCP|UDP) flow to ([^:]*) service of ([0-9,]+)(?:, [^:]*)?", "first-packet", "latency"),
    (r"Add one service", "service-add", "update_time"),
    (r"Install all from nothing(?:, ([^:]*))?", "cold-install", "update_time"),
    (r"Kernel memory, [0-9,]+ services installed once(?:, ([^:]*))?", "cold-install", "kernel_memory"),
    (r"Kernel memory of [0-9,]+ services(?:, ([^:]*))?", "memory", "kernel_memory"),
]


def picture(run, path):
    """Every number of every panel is a median of the largest size, ascending, and every mode that has one is there."""
    title = html.unescape(re.search(r"<title>(.*?)</title>", open(path, encoding="utf-8").read(), re.S).group(1))
    # The longest first: some words begin others.
    reaches = {reach_words(scope[4]): scope[4] for scope in sorted(run.scopes[0], key=lambda scope: -len(reach_words(scope[4])))}
    place = re.search(rf"\((?:(\S+), )?([0-9,]+) endpoints? a service(?:, variant (\S+?))?(?:, ({'|'.join(NODES)}))?(?:, ({'|'.join(map(re.escape, reaches))}))?\)", title)
    environment, endpoints, variant, node, reach = place.groups() if place else (None,) * 5
    if run.scopes[1] != (node is not None):
        raise Wrong(f"its node is {'not ' * run.scopes[1]}said")
    if run.scopes[2] != (reach is not None):
        raise Wrong(f"how its services are reached is {'not ' * run.scopes[2]}said")
    inside = lambda key: is_of(key, reaches.get(reach, ORDINARY)) and environment in (None, key[4]) and (endpoints is None or number(endpoints) == key[3]) and (variant or "") == key[5] and NODES.get(node, NODES["IPv4"]) == node_of(key[6])
    largest = max(key[2] for key in run.cells if inside(key))
    # The figure's own title comes first; that of a single panel is the panel's.
    asked = re.match(r"Cost of each mode at ([0-9,]+) services(?: with cold caches)?(?: \([^)]*\))? ", title)
    alone = next(filter(None, (re.match(rf"({heading})(?: \([^)]*\))? (?=\1: )", title) for heading, *_ in PANELS)), None)
    if asked and number(asked.group(1)) != largest:
        raise Wrong(f"'{asked.group(0)}', and the largest size is {largest}")
    title = title[(asked or alone).end():] if asked or alone else title
    panels, left = 0, title
    for heading, scenario, metric in PANELS:
        found = re.search(rf"(?:^|\. )({heading}): (.*?)\.(?= [A-Z]|$)", title)
        if not found:
            continue
        panels += 1
        words, rows = found.groups()[1:-1], found.groups()[-1]
        left = left.replace(f"{found.group(1)}: {rows}", "")
        sizes = [number(n) for n in re.findall(r"([0-9,]+) services|service of ([0-9,]+)", found.group(1)) for n in n if n]
        if any(size != largest for size in sizes):
            raise Wrong(f"'{found.group(1)}', and the largest size is {largest}")
        wanted = {}
        if scenario == "first-packet":
            wanted = {"protocol": words[0].lower(), "position": {"any": "uniform"}.get(words[1], words[1].removeprefix("the "))}
        elif scenario in ("cold-install", "memory") and words[0]:
            wanted = dict([options_of(words[0])])
        told = re.findall(rf"({'|'.join(MODES)})( \*)? (?:({VALUE})|> ({VALUE})|[a-z][a-z-]+)(?:, noisy)?(?:, |$)", rows)
        if ", ".join(name + star for name, star, _, _ in told) != re.sub(rf" (?:> )?(?:{VALUE}|unsupported|not-run|timed-out|failed|measured)(?:, noisy)?(?=, |$)", "", rows):
            raise Wrong(f"'{rows}' is not understood: {told}")
        last, shown = 0, set()
        for name, star, text, longer in told:
            options = {k: v for k, v in wanted.items() if not (star and k == "chunk")}
            cells = [k for k in run.cells if inside(k) and k[0] == name and k[1] == scenario and k[2] == largest and all(dict(k[6]).get(o) == v for o, v in options.items())]
            samples = [run.whole(k) if metric == "update_time" else run.sample(k, metric) for k in cells]
            values = [sample.median for sample in samples if sample and sample.median < math.inf]
            if longer:
                same(longer, max(run.bound(k) or 0 for k in cells))
            if not text:
                if values:
                    raise Wrong(f"{heading}: {name} has {values}, and no number stands there")
                continue
            digits, scale = split(text)
            printed = number(digits) * scale
            if not any(abs(printed - value) <= 0.5001 * step(digits) * scale for value in values):
                raise Wrong(f"{heading}: {name} {text}, of {values}")
            if printed < last:
                raise Wrong(f"{heading}: {name} {text} stands behind more")
            last, shown = printed, shown | {name}
        if len(shown) < 2:
            raise Wrong(f"{heading}: {shown} alone")
        hidden = {k[0] for k in run.cells if inside(k) and k[1] == scenario and k[2] == largest and k[0] not in ("none", "conntrack")
                  and all(dict(k[6]).get(o) == v for o, v in wanted.items()) and run.sample(k, metric)} - {name for name, *_ in told}
        if hidden:
            raise Wrong(f"{heading}: nothing of {hidden}")
    if not panels or re.search(r"\d", re.sub(r"\(.*?\)", "", left)):
        raise Wrong(f"not understood: '{left}'")
    return panels


def main(paths):
    wrong = checked = pictures = panels = 0
    for path in paths:
        run = Run(path)
        findings = json.load(open(f"{path}/summary.json", encoding="utf-8"))["findings"]
        for finding in findings:
            text = finding["text"]
            try:
                s = Sentence(run, finding)
                SENTENCES[finding["kind"]](s)
                s.done()
                if not finding["evidence"]:
                    raise Wrong("names no evidence")
            except (Wrong, AttributeError, KeyError, ValueError, TypeError, ZeroDivisionError, IndexError) as error:
                wrong += 1
                print(f"FAIL  {path}: {error if isinstance(error, Wrong) else repr(error)}: {text[:300]}")
            checked += 1
        for why in unsaid(run):
            wrong += 1
            print(f"FAIL  {path}: {why}")
        if not findings:
            print(f"      {path}: no sentence")
        for plot in sorted(glob.glob(f"{path}/plots/in-brief*.svg")):
            pictures += 1
            try:
                panels += picture(run, plot)
            except (Wrong, AttributeError, KeyError, ValueError, TypeError, IndexError) as error:
                wrong += 1
                print(f"FAIL  {plot}: {error if isinstance(error, Wrong) else repr(error)}")
    print(f"{'FAIL' if wrong or not checked else 'ok   '}  {checked} sentences and {pictures} pictures of {panels} panels, of {len(paths)} runs, {wrong} with a number or an order that the results do not give")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
