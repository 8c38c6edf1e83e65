"""Recomputes every number of every generated sentence from results.jsonl. Standard library only, and nothing of
the program that wrote the sentences: a parser, medians, fits and resampling of its own.

    python3 findings.py RUN…        run directories with results.jsonl and summary.json

Medians, counts, ratios and fits must agree to the digits printed. Ends of intervals of two to four stays are
Student's and must agree to the digits printed where they are wider than the resampled ones; ends that come out of
resampling are compared with an independent resampling and may differ by two fifths of the interval's width (with few stays its ends are the extremes of what is drawn). A
claim of an order must rest on intervals that do not overlap. What is left of a sentence once every
checked part is taken out must not hold a digit.
"""
import base64, bisect, json, math, random, re, statistics, struct, sys, zlib
from functools import lru_cache

RESAMPLES = 2000
SLACK = 0.4
FLAT = 0.10
MODES = ["none", "conntrack", "iptables-legacy", "iptables-nft", "ipset", "ipvs", "nftables"]
UNITS = {"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9, "B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "%": 0.01, None: 1, "": 1}


class Wrong(Exception):
    pass


# --- the results -----------------------------------------------------------------------------------------------

def histogram(text):
    """HdrHistogram, V2 encoding: counts in zigzag LEB128, negative ones are runs of zeros."""
    raw = base64.b64decode(text)
    cookie, length = struct.unpack(">II", raw[:8])
    if cookie & ~0xF0 == 0x1C849304 & ~0xF0:
        raw = zlib.decompress(raw[8:8 + length])
    payload, _, digits, low, _, _ = struct.unpack(">IIIQQd", raw[4:40])
    body, counts, at = raw[40:40 + payload], [], 0
    while at < len(body):
        value = shift = 0
        for index in range(9):
            byte = body[at]
            at += 1
            value |= (byte if index == 8 else byte & 0x7F) << shift
            shift += 7
            if index == 8 or not byte & 0x80:
                break
        value = (value >> 1) ^ -(value & 1)
        counts.extend([0] * -value if value < 0 else [value])
    half = math.ceil(math.log2(2 * 10 ** digits)) - 1
    unit = int(math.log2(low))
    out = []
    for index, count in enumerate(counts):
        bucket, sub = (index >> half) - 1, (index & ((1 << half) - 1)) + (1 << half)
        if bucket < 0:
            bucket, sub = 0, sub - (1 << half)
        out.extend([(sub << (bucket + unit)) + (((1 << (bucket + unit)) - 1) >> 1)] * count)
    return [float(v) for v in out]


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
        self.known = {}

    @staticmethod
    def key(r):
        return (r["mode"], r["scenario"], r["services"], r["endpoints"], r["environment"], r.get("variant", ""),
                tuple(sorted(r.get("options", {}).items())))

    def sample(self, key, metric):
        if (key, metric) not in self.known:
            stays = {}
            for record in self.cells.get(key, []):
                for series in record.get("series", []) if record["outcome"] == "measured" else []:
                    if series["metric"] == metric:
                        values = series["values"] if "values" in series else histogram(series["hdr"])
                        stays.setdefault(record["stay"], []).extend(float(v) for v in values)
            self.known[key, metric] = Sample(stays) if any(stays.values()) else None
        return self.known[key, metric]

    def facts(self, key, name):
        measured = [r for r in self.cells.get(key, []) if r["outcome"] == "measured"]
        return {r["facts"][name] for r in measured if name in r.get("facts", {})}

    def bound(self, key):
        records = self.cells.get(key, [])
        if any(r["outcome"] in ("measured", "failed") for r in records):
            return None
        bounds = [r.get("after_ns") for r in records if r["outcome"] == "timed-out"]
        return max((b for b in bounds if b), default=None)


def quantile(ascending, p):
    h = (len(ascending) - 1) * p
    low = int(h)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (h - low) * (ascending[high] - ascending[low])


def median(values):
    return quantile(sorted(values), 0.5)


class Sample:
    def __init__(self, stays):
        self.stays = {stay: sorted(values) for stay, values in stays.items() if values}
        self.pool = sorted(v for values in self.stays.values() for v in values)
        self.n = len(self.pool)
        self.median = median(self.pool)
        self.medians = {stay: quantile(values, 0.5) for stay, values in self.stays.items()}

    def resampled(self, drawn, rng):
        """The median of as many draws as the drawn stays have samples: where their pooled distribution passes a
        share around one half that scatters as it does when each stay is drawn from by itself."""
        if len(drawn) == 1 and self.n <= 40:
            values = self.stays[drawn[0]]
            return median(rng.choices(values, k=len(values)))
        groups = [self.stays[stay] for stay in drawn]
        total = sum(len(g) for g in groups)
        if total <= 60:
            return median([v for g in groups for v in rng.choices(g, k=len(g))])
        below = lambda value: sum(bisect.bisect_right(g, value) for g in groups)

        def at(share):
            low, high = 0, self.n - 1
            while low < high:
                middle = (low + high) // 2
                if below(self.pool[middle]) >= share * total:
                    high = middle
                else:
                    low = middle + 1
            return self.pool[low]
        centre = at(0.5)
        spread = sum(len(g) * (p := bisect.bisect_right(g, centre) / len(g)) * (1 - p) for g in groups)
        return at(min(max(0.5 + rng.gauss(0, math.sqrt(spread)) / total, 0.5 / total), 1.0))

    @lru_cache(maxsize=None)
    def resamples(self):
        rng = random.Random(repr((self.n, self.median)))
        names = list(self.stays)
        return [self.resampled(rng.choices(names, k=len(names)), rng) for _ in range(RESAMPLES)]


# --- intervals ---------------------------------------------------------------------------------------------------

@lru_cache(maxsize=None)
def student(freedom):
    """The 97.5 % point, by bisection on Simpson's rule over the density."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    density = lambda t: scale * (1 + t * t / freedom) ** (-(freedom + 1) / 2)

    def half(t):
        steps = 4000
        h = t / steps
        return h / 3 * (density(0) + density(t) + sum((4 if i % 2 else 2) * density(i * h) for i in range(1, steps)))
    low, high = 1.9, 14.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if half(middle) < 0.475 else (low, middle)
    return (low + high) / 2


class Interval:
    """Two ends, and how far a printed end may be from each."""

    def __init__(self, low, high, slack_low=0.0, slack_high=0.0):
        self.ends, self.slack = (low, high), (slack_low, slack_high)

    def map(self, f):
        low, high = (f(e) for e in self.ends)
        wide = max(self.ends[1] - self.ends[0], 1e-300)
        return Interval(low, high, *(s / wide * (high - low) for s in self.slack))


def tails(estimates, freedom, group):
    if group < 2:
        return None
    tail = statistics.NormalDist().cdf(-student(freedom) * math.sqrt(group / (group - 1)))
    ordered = sorted(estimates)
    low, high = quantile(ordered, tail), quantile(ordered, 1 - tail)
    return Interval(low, high, SLACK * (high - low), SLACK * (high - low))


def hull(resampled, exact):
    """The smallest interval that holds both: an end that is clearly the exact one's has no slack."""
    if resampled is None or exact is None:
        return None
    ends, slack = [], []
    for side in (0, 1):
        sign = 1 if side else -1
        beyond = sign * (exact[side] - resampled.ends[side])
        ends.append(max(sign * exact[side], sign * resampled.ends[side]) * sign)
        slack.append(0.0 if beyond > resampled.slack[side] else resampled.slack[side])
    return Interval(*ends, *slack)


def mean_interval(groups):
    """Student's interval of a sum of signed means of independent values, with the fewest degrees of freedom."""
    value = variance = 0.0
    freedom = None
    for sign, values in groups:
        if len(values) < 2:
            return None
        value += sign * statistics.fmean(values)
        variance += statistics.variance(values) / len(values)
        freedom = len(values) - 1 if freedom is None else min(freedom, len(values) - 1)
    half = student(freedom) * math.sqrt(variance)
    return value - half, value + half


@lru_cache(maxsize=None)
def interval(sample):
    if sample.n < 2:
        return None
    stays = len(sample.stays)
    resampled = tails(sample.resamples(), (stays if stays > 1 else sample.n) - 1, stays if stays > 1 else sample.n)
    if not 2 <= stays < 5:
        return resampled
    medians = list(sample.medians.values())
    if len(set(medians)) == 1:
        exact = (medians[0], medians[0])
    elif min(medians) > 0:
        exact = tuple(math.exp(e) for e in mean_interval([(1, [math.log(m) for m in medians])]))
    else:
        exact = mean_interval([(1, medians)])
    return hull(resampled, exact)


def ratio_interval(a, b):
    if a.n < 2 or b.n < 2:
        return None
    shared = [stay for stay in a.stays if stay in b.stays]
    rng = random.Random(1)
    logs = lambda sample: [math.log(m) for m in sample.medians.values()]
    if shared:
        estimates = []
        for _ in range(RESAMPLES):
            drawn = rng.choices(shared, k=len(shared))
            estimates.append(a.resampled(drawn, rng) / b.resampled(drawn, rng))
        if len(shared) == 1:
            return tails(estimates, min(a.n, b.n) - 1, min(a.n, b.n))
        resampled = tails(estimates, len(shared) - 1, len(shared))
        exact = mean_interval([(1, [math.log(a.medians[s] / b.medians[s]) for s in shared])])
        few = len(shared) < 5
    else:
        units = min(len(s.stays) if len(s.stays) > 1 else s.n for s in (a, b))
        resampled = tails([x / y for x, y in zip(a.resamples(), b.resamples())], units - 1, units)
        few = min(len(a.stays), len(b.stays)) >= 2 and min(len(a.stays), len(b.stays)) < 5
        exact = mean_interval([(1, logs(a)), (-1, logs(b))]) if few else None
    return hull(resampled, tuple(math.exp(e) for e in exact)) if few else resampled


def line(xs, ys):
    mx, my = statistics.fmean(xs), statistics.fmean(ys)
    sxx = sum((x - mx) ** 2 for x in xs)
    slope = sum((x - mx) * (y - my) for x, y in zip(xs, ys)) / sxx
    return my - slope * mx, slope


class Fit:
    """a + b·N, or c·N^k: least squares through one value a size, the median of its stays' medians."""

    def __init__(self, sizes, model):
        scale = math.log if model == "power" else float
        unscale = math.exp if model == "power" else float
        self.sizes = sorted(sizes)
        samples = [sizes[n] for n in self.sizes]
        xs = [scale(n) for n in self.sizes]
        ys = [scale(median(s.medians.values())) for s in samples]
        intercept, self.estimate = line(xs, ys)
        self.intercept = unscale(intercept)
        counts = [len(s.stays) for s in samples]
        if min(counts) > 1:
            rng = random.Random(2)
            found = []
            for _ in range(RESAMPLES):
                drawn = [[s.resampled([rng.choice(names)], rng) for _ in names] for s, names in
                         ((s, list(s.stays)) for s in samples)]
                found.append(line(xs, [scale(median(d)) for d in drawn]))
            freedom, group = sum(c - 1 for c in counts), min(counts)
            self.intercept_ci = tails([f[0] for f in found], freedom, group).map(unscale)
            self.ci = tails([f[1] for f in found], freedom, group)
        else:
            n, mean = len(xs), statistics.fmean(xs)
            sxx = sum((x - mean) ** 2 for x in xs)
            error = math.sqrt(sum((y - intercept - self.estimate * x) ** 2 for x, y in zip(xs, ys)) / (n - 2))
            t = student(n - 2)
            half, base = t * error / math.sqrt(sxx), t * error * math.sqrt(1 / n + mean ** 2 / sxx)
            self.ci = Interval(self.estimate - half, self.estimate + half)
            self.intercept_ci = Interval(intercept - base, intercept + base).map(unscale)


# --- numbers as printed ------------------------------------------------------------------------------------------

DIGITS = r"−?\d[\d,]*(?:\.\d+)?"
UNIT = r"(?: (?:ns|µs|ms|s|B|kB|MB|GB|%)(?![a-zA-Z]))?"
VALUE = rf"{DIGITS}{UNIT}"
INTERVAL = rf"(?:exactly {VALUE}|{DIGITS}(?:–| to ){VALUE}|no interval)"
NAME = rf"(?:{'|'.join(MODES)})(?: \((?!exactly|no interval|timed|noisy|few)[a-zA-Z][^()]*\))?"
STATED = rf"{VALUE} \({INTERVAL}; n = {DIGITS} in {DIGITS} stays?(?:; others timed out, so the true median is higher)?\)"
RANGE = rf"{DIGITS}–{DIGITS} services"


def number(text):
    return float(text.replace("−", "-").replace(",", ""))


def split(text):
    match = re.fullmatch(rf"({DIGITS})(?: (\S+))?", text.strip())
    return match.group(1), UNITS[match.group(2)]


def step(digits):
    return 10.0 ** -len(digits.split(".")[1]) if "." in digits else 1.0


def same(text, value, slack=0.0, unit=None):
    digits, scale = split(text)
    scale = unit or scale
    shown = number(digits) * scale
    if abs(shown - value) > 0.5001 * step(digits) * scale + slack + 1e-9 * abs(value):
        raise Wrong(f"'{text}' should be {value / scale:.6g}")


def same_interval(text, expected):
    if text == "no interval":
        if expected is not None:
            raise Wrong(f"no interval, though {expected.ends} can be computed")
        return
    if expected is None:
        raise Wrong(f"'{text}' though nothing is replicated")
    if text.startswith("exactly "):
        for end, slack in zip(expected.ends, expected.slack):
            same(text[8:], end, slack)
        return
    low, high = re.fullmatch(rf"({DIGITS})(?:–| to )({VALUE})", text).groups()
    unit = split(high)[1]
    same(low, expected.ends[0], expected.slack[0], unit)
    same(high, expected.ends[1], expected.slack[1], unit)


# --- sentences ---------------------------------------------------------------------------------------------------

def options_of(words):
    """An option's words back to its key and value."""
    words = words.strip()
    fixed = {"one transaction": ("chunk", "all"), "iptables-restore": ("transport", "restore"), "netlink": ("transport", "netlink"),
             "nft -f": ("transport", "nft"), "a process a rule": ("transport", "exec"), "ipset restore": ("transport", "ipset-restore"),
             "without endpoint comments": ("large_cluster", "on"), "with endpoint comments": ("large_cluster", "off"),
             "any service": ("position", "uniform"), "TCP": ("protocol", "tcp"), "UDP": ("protocol", "udp")}
    if words in fixed:
        return fixed[words]
    for pattern, key in ((r"transactions of (\d+)", "chunk"), (r"(\w+) engine", "engine"), (r"(\d+) endpoints", "churn"),
                         (r"the (\w+) service", "position")):
        if match := re.fullmatch(pattern, words):
            return key, match.group(1)
    key, value = words.split(" ", 1)
    return key, value


class Sentence:
    def __init__(self, run, text):
        self.run, self.text, self.left = run, text, text
        self.where = {}
        scopes = {(k[4], k[3], k[5]) for k in run.cells if k[5] != "control"}
        if len(scopes) > 1:
            for environment, endpoints, variant in scopes:
                prefix = f"{environment}, {endpoints} endpoints a service{', variant ' + variant if variant else ''}: "
                if text.startswith(prefix):
                    self.where = {"environment": environment, "endpoints": endpoints, "variant": variant}
                    self.left = text[len(prefix):]
            if not self.where:
                raise Wrong("names no scope")
        else:
            (environment, endpoints, variant), = scopes
            self.where = {"environment": environment, "endpoints": endpoints, "variant": variant}
        self.text = self.left
        keys = list(self.keys())
        self.sizes = sorted({k[2] for k in keys})
        self.largest = self.sizes[-1]

    def keys(self, scenario=None, services=None, **options):
        for key in self.run.cells:
            mode, kind, n, endpoints, environment, variant, own = key
            inside = (environment, endpoints, variant) == (self.where["environment"], self.where["endpoints"], self.where["variant"])
            if inside and scenario in (None, kind) and services in (None, n) and all(dict(own).get(k) == v for k, v in options.items()):
                yield key

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
        sizes = {}
        for n in self.sizes:
            if low <= n <= high:
                try:
                    sample = self.run.sample(self.key(name, scenario, n, **options), metric)
                except Wrong:
                    continue
                if sample:
                    sizes[n] = sample
        if not sizes or min(sizes) != low or max(sizes) != high:
            raise Wrong(f"{name}: no numbers at {low} and {high}")
        memo = (name, scenario, metric, low, high, tuple(options.items()), tuple(self.where.values()))
        if memo not in self.run.known:
            self.run.known[memo] = Fit(sizes, model)
        return self.run.known[memo]

    def take(self, pattern, check):
        """Every match of a pattern in what is left of the sentence is checked and taken out."""
        count = 0
        while match := re.search(pattern, self.left):
            check(*match.groups())
            self.left = self.left[:match.start()] + "•" + self.left[match.end():]
            count += 1
        return count

    def exact(self, pattern, *expected):
        """A part with numbers that are facts of the plan: sizes, N, versions."""
        def check(*found):
            if [number(f) for f in found] != [float(e) for e in expected]:
                raise Wrong(f"{found} should be {expected}")
        if not self.take(pattern, check):
            raise Wrong(f"does not hold '{pattern}'")

    def done(self):
        if rest := re.search(r"\S*\d\S*", self.left):
            raise Wrong(f"'{rest.group(0)}' was not recomputed")

    # What is printed of a row.
    def stated(self, text, sample):
        value, ends, n, stays = re.match(rf"({VALUE}) \(({INTERVAL}); n = ({DIGITS}) in ({DIGITS}) stay", text).groups()
        if sample is None:
            raise Wrong(f"'{text}' of a cell without samples")
        same(value, sample.median)
        same_interval(ends, interval(sample))
        if (number(n), number(stays)) != (sample.n, len(sample.stays)):
            raise Wrong(f"'{text}' of {sample.n} samples in {len(sample.stays)} stays")

    def apart(self, lower, higher, lower_name, higher_name):
        """An order is claimed: the intervals must not overlap."""
        a, b = interval(lower), interval(higher)
        if a is None or b is None:
            raise Wrong(f"{lower_name} before {higher_name} without intervals")
        if a.ends[1] - a.slack[1] >= b.ends[0] + b.slack[0]:
            raise Wrong(f"{lower_name} before {higher_name}, whose intervals overlap: {a.ends}, {b.ends}")

    def ranking(self, scenario, metric, **options):
        run, sample = self.run, {}

        def medians(name, text):
            key = self.key(name, scenario, **options)
            sample[name] = run.sample(key, metric)
            self.stated(text, sample[name])

        def bounds(name, text):
            same(text, run.bound(self.key(name, scenario, **options)))
            sample[name] = None
        self.take(rf"({NAME}) ({STATED})", medians)
        self.take(rf"({NAME}) longer than ({VALUE}) \(timed out: a lower bound\)", bounds)
        if not sample:
            raise Wrong("ranks nothing")
        measured = {n: s for n, s in sample.items() if s}
        lowest = min(measured, key=lambda n: measured[n].median) if measured else None
        fastest = re.search(rf"({NAME}) is the fastest", self.left) or re.search(rf"Against ({NAME}),", self.left)
        if fastest and measured[fastest.group(1)].median > measured[lowest].median:
            raise Wrong(f"{fastest.group(1)} is not the lowest, {lowest} is")

        def slower(name, times, ends):
            a, b = sample[name], sample[fastest.group(1)]
            same(times, a.median / b.median)
            same_interval(ends, ratio_interval(a, b))
            self.apart(b, a, fastest.group(1), name)

        def beyond(name, times):
            top = interval(sample[fastest.group(1)])
            same(times, run.bound(self.key(name, scenario, **options)) / top.ends[1],
                 top.slack[1] / top.ends[1] * number(times))
        self.take(rf"({NAME}) takes ({VALUE}) times as long \(({INTERVAL})\)", slower)
        self.take(rf"({NAME}) takes more than ({VALUE}) times as long", beyond)
        if " is the fastest" in self.text and " are not distinguished" in self.text.split("Fastest by size")[0].split("Medians")[0]:
            raise Wrong("both the fastest and not distinguished")
        if tail := re.search(r"Fastest by size: (.*?)\.(?= |$|•)", self.left):
            seen = []
            for part in tail.group(1).split("; "):
                winner, sizes = re.fullmatch(r"(.*) at ([\d, and]*)", part).groups()
                sizes = [int(number(s)) for s in re.findall(r"\d+(?:,\d{3})*(?!\d)", sizes)]
                seen += sizes
                for n in sizes if winner != "not distinguished" else []:
                    self.first_of_all(winner, scenario, metric, n, options)
            if seen != self.sizes:
                raise Wrong(f"by size names {seen} of {self.sizes}")
            self.left = self.left.replace(tail.group(0), "•")
        for outcome, names in re.findall(r" (Failed|Timed out|Unsupported|Not run): (.*?)\.(?= |$)", self.left):
            for name in re.findall(NAME, names):
                if run.sample(self.key(name, scenario, **options), metric):
                    raise Wrong(f"{name} is called '{outcome}', and has numbers")

        # What is left are names: those of the cells above, with the numbers of their options.
        self.left = re.sub(NAME, "", self.left)

    def first_of_all(self, mode, scenario, metric, n, options):
        samples = {k: self.run.sample(k, metric) for k in self.keys(scenario, n, **options) if k[0] not in MODES[:2]}
        mine = [(k, s) for k, s in samples.items() if k[0] == mode and s]
        others = [(k, s) for k, s in samples.items() if k[0] != mode and s]

        def holds(key, sample):
            try:
                for other, theirs in others:
                    self.apart(sample, theirs, mode, other[0])
                return True
            except Wrong:
                return False
        if not any(holds(k, s) for k, s in mine):
            raise Wrong(f"{mode} is not told apart from all others at {n}")


SENTENCES = []


def sentence(pattern):
    def register(check):
        SENTENCES.append((re.compile(pattern), check))
        return check
    return register


@sentence(r"^First packet of a new (TCP|UDP) flow to the last of")
def first_packet(s, protocol):
    s.exact(rf"to the last of ({DIGITS}) services", s.largest)
    s.ranking("first-packet", "latency", position="last", protocol=protocol.lower())


@sentence(r"^Adding one service to ")
def adding(s):
    s.exact(rf"^Adding one service to ({DIGITS})", s.largest)
    s.ranking("service-add", "update_time")


@sentence(r"^Installing .* from nothing: ")
def installing(s):
    s.exact(rf"^Installing ({DIGITS}) services", s.largest)
    s.ranking("cold-install", "update_time")


def slope_of(s, name, protocol, span):
    return s.fit(name, "first-packet", "latency", "linear", span, position="last", protocol=protocol.lower())


def spans(text):
    low, high = re.search(rf"({DIGITS})–({DIGITS}) services", text).groups()
    return number(low), number(high)


@sentence(r"^Each further service adds to the first (TCP|UDP) packet to the last one, ")
def slopes(s, protocol):
    span = spans(s.text)
    s.take(rf"the last one, {RANGE}", lambda: None)

    def check(value, name, ends):
        fit = slope_of(s, name, protocol, span)
        same(value, fit.estimate)
        same_interval(ends, fit.ci)
    s.take(r"distinguished from 0", lambda: None)
    if not s.take(rf"({VALUE}) in ({NAME}) \(({INTERVAL})\)", check):
        raise Wrong("states no slope")
    claimed = s.text.split("not distinguished from 0")[0].split(": ", 1)[1] if "nothing that is" not in s.text else ""
    for value, name, ends in re.findall(rf"({VALUE}) in ({NAME}) \(({INTERVAL})\)", claimed):
        fit = slope_of(s, name, protocol, span)
        if fit.ci.ends[0] + fit.ci.slack[0] < 0 < fit.ci.ends[1] - fit.ci.slack[1]:
            raise Wrong(f"{name} adds something, though its interval holds 0")


@sentence(r"^What .* add to the fixed part of the first (TCP|UDP) packet")
def flatness(s, protocol):
    n = int(number(re.match(rf"^What ({DIGITS}) services", s.text).group(1)))
    s.take(rf"^What {DIGITS} services", lambda: None)
    s.take(r"flat being below (10) %", lambda _: None)

    def check(name, verdict, value, ends):
        sizes = [k for k in s.sizes if k <= n]
        fit = slope_of(s, name, protocol, (sizes[0], n))
        same(value, n * fit.estimate / fit.intercept)
        low, high = (n * e for e in fit.ci.ends)
        least, most = fit.intercept_ci.ends
        share = Interval(low / (least if low < 0 else most), high / (most if high < 0 else least))
        wide = SLACK * (share.ends[1] - share.ends[0])
        share = Interval(*share.ends, wide, wide)
        same_interval(ends, share)
        if verdict == "flat" and share.ends[1] - wide >= FLAT or verdict == "grows" and share.ends[0] + wide <= FLAT:
            raise Wrong(f"{name} is called {verdict} at {share.ends}")
    if not s.take(rf"({NAME}) (flat|grows|not known to be flat), ({VALUE}) \(({INTERVAL})\)", check):
        raise Wrong("states no share")


@sentence(r"^What each service passed on the way to the last one costs in both iptables engines, (TCP|UDP) packets")
def engines(s, protocol):
    span = spans(s.text)
    nft, legacy = (slope_of(s, m, protocol, span) for m in ("iptables-nft", "iptables-legacy"))
    s.take(rf"packets, {RANGE}", lambda: None)

    def quotient(value, ends):
        same(value, nft.estimate / legacy.estimate)
        low, high = nft.ci.ends[0] / legacy.ci.ends[1], nft.ci.ends[1] / legacy.ci.ends[0]
        same_interval(ends, Interval(low, high, SLACK * (high - low), SLACK * (high - low)))
    s.take(rf"a ratio of ({DIGITS}) \(({INTERVAL})\)", quotient)

    def slope(name, value, ends):
        fit = {"iptables-nft": nft, "iptables-legacy": legacy}[name]
        same(value, fit.estimate)
        same_interval(ends, fit.ci)
    if s.take(rf"(iptables-nft|iptables-legacy) ({VALUE}) \(({INTERVAL})\)", slope) != 2:
        raise Wrong("does not state two slopes")


@sentence(r"^First (TCP|UDP) packet to the last of .* ÷ to the first one")
def positions(s, protocol):
    s.exact(rf"to the last of ({DIGITS}) services", s.largest)

    def check(value, name, ends, stays, known):
        of = lambda position: s.run.sample(s.key(name, "first-packet", position=position, protocol=protocol.lower()), "latency")
        last, first = of("last"), of("first")
        same(value, last.median / first.median)
        expected = ratio_interval(last, first)
        same_interval(ends, expected)
        if number(stays) != len(last.stays):
            raise Wrong(f"{name}: {stays} stays, not {len(last.stays)}")
        if not known and expected.ends[0] + expected.slack[0] < 1 < expected.ends[1] - expected.slack[1]:
            raise Wrong(f"{name}: its interval holds 1, and nothing says so")
    if not s.take(rf"({DIGITS}) in ({NAME}) \(({INTERVAL}); ({DIGITS}) stays?(: not distinguished from 1)?\)", check):
        raise Wrong("states no ratio")


@sentence(r"^To add one service at ")
def handed_over(s):
    s.exact(rf"^To add one service at ({DIGITS}) and at ({DIGITS}) services", s.sizes[0], s.largest)
    parts = s.left.split(": ", 1)[1].rstrip(".").split("; ")
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


@sentence(r"^Set messages to add one service at ")
def set_messages(s):
    s.exact(rf"^Set messages to add one service at ({DIGITS}) and at ({DIGITS}) services", s.sizes[0], s.largest)
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


@sentence(r"^kube-proxy's whole sync ")
def syncs(s):
    s.exact(rf"that adds one service to ({DIGITS}):", s.largest)

    def check(name, sync, versions, times, ends, known, apply):
        key = s.key(name, "service-add")
        a, b = s.run.sample(key, "sync_time"), s.run.sample(key, "update_time")
        s.stated(sync, a)
        s.stated(apply, b)
        same(times, a.median / b.median)
        # Stays that have one only say something of its median, and nothing of the quotient.
        if ends != "no interval" or len(a.stays) > 1 and a.n > 1:
            expected = ratio_interval(a, b)
            if expected and set(a.stays) != set(b.stays):
                wide = expected.ends[1] - expected.ends[0]
                expected = Interval(*expected.ends, 2 * SLACK * wide, 2 * SLACK * wide)
            same_interval(ends, expected)
            if expected and not known and expected.ends[0] + expected.slack[0] < 1 < expected.ends[1] - expected.slack[1]:
                raise Wrong(f"{name}: its interval holds 1, and nothing says so")
        if set(versions.split(" and ")) != s.run.facts(key, "kube_proxy_version"):
            raise Wrong(f"{name} names kube-proxy {versions}, and its cells name {s.run.facts(key, 'kube_proxy_version')}")
    part = rf"({NAME}) ({STATED})(?: through [^,]*?)? in kube-proxy ([^,]*), ({DIGITS}) times \(({INTERVAL})(: not distinguished from 1)?\) its update_time of ({STATED})"
    if not s.take(part, check):
        raise Wrong("states no sync")


@sentence(r"^Installing .* services in one transaction: ")
def chunks(s):
    s.exact(rf"^Installing ({DIGITS}) services in one transaction", s.largest)

    def cells(chunk, mode, words):
        options = dict(options_of(w) for w in words.split(", "))
        return [s.key(mode, "cold-install", chunk=c, **options) for c in ("all", chunk)]

    def check(times, ends, known, chunk, mode, words):
        single, chunked = (s.run.sample(k, "update_time") for k in cells(chunk, mode, words))
        same(times, single.median / chunked.median)
        expected = ratio_interval(single, chunked)
        same_interval(ends, expected)
        if not known and expected.ends[0] + expected.slack[0] < 1 < expected.ends[1] - expected.slack[1]:
            raise Wrong(f"{mode}: its interval holds 1, and nothing says so")

    def beyond(times, chunk, mode, words):
        single, chunked = cells(chunk, mode, words)
        top = interval(s.run.sample(chunked, "update_time"))
        same(times, s.run.bound(single) / top.ends[1], top.slack[1] / top.ends[1] * number(times))
    words = r"as long as in transactions of (\d+), in (\S+) through ([^;.]*?)(?=[;.])"
    if not s.take(rf"({DIGITS}) times \(({INTERVAL})(: not distinguished from 1)?\) {words}", check) \
            + s.take(rf"more than ({DIGITS}) times \(it timed out\) {words}", beyond):
        raise Wrong("states no ratio")


@sentence(r"^Which mode overtakes which, as N grows, for (.*?): ")
def crossings(s, question):
    match = re.fullmatch(r"first (TCP|UDP) packets to the last service", question)
    scenario = "first-packet" if match else {"adding one service": "service-add", "installing from nothing": "cold-install"}[question]
    options = {"position": "last", "protocol": match.group(1).lower()} if match else {}
    metric = "latency" if match else "update_time"

    def rows(name):
        found = {}
        for n in s.sizes:
            try:
                sample = s.run.sample(s.key(name, scenario, n, **options), metric)
            except Wrong:
                continue
            if sample:
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
        s.apart(a[below[-1]], b[below[-1]], under, over)
        s.apart(b[above[0]], a[above[0]], over, under)
        between = [n for n in sizes if below[-1] <= n <= above[0]]
        ends = lambda side, of: lambda n: interval(of[n]).ends[side]
        first = zeros(between, ends(1, a), ends(0, b))
        last = zeros(between, ends(0, a), ends(1, b))
        # The ends of intervals are known to a part of their widths: so is where they meet.
        wide = max((e := interval(x[n]).ends)[1] / max(e[0], 1e-9) for x in (a, b) for n in between)
        if first and not (first[0] / wide <= number(low) <= first[0] * wide):
            raise Wrong(f"{over} and {under} part below {first[0]:.0f}, not {low}")
        if last and not (last[-1] / wide <= number(high) <= last[-1] * wide):
            raise Wrong(f"{over} and {under} part above {last[-1]:.0f}, not {high}")
    s.take(rf"({NAME}) overtakes ({NAME}) at ({DIGITS}) services \(95 %: ({DIGITS})–({DIGITS})\)", check)
    s.left = re.sub(NAME, "", s.left)


@sentence(r"^How installing from nothing grows with N: ")
def exponents(s):
    last = {}

    def check(name, value, ends, low, high):
        fit = s.fit(name, "cold-install", "update_time", "power", (number(low), number(high)))
        same(value, fit.estimate)
        same_interval(ends, fit.ci)
        last[name] = True
    def tail(name, part, value, ends, low, high):
        fit = s.fit(name, "cold-install", "update_time", "power", (number(low), number(high)))
        same(value, fit.estimate)
        same_interval(ends, fit.ci)
    power = rf"N\^({DIGITS}) \(({INTERVAL})\)"
    s.take(rf"({NAME})( N\^{DIGITS} \({INTERVAL}\) over {RANGE}), {power} over its last part, ({DIGITS})–({DIGITS}) services",
           lambda name, whole, *rest: (tail(name, whole, *rest), check(name, *re.fullmatch(
               rf" {power} over ({DIGITS})–({DIGITS}) services", whole).groups())))
    s.take(rf"({NAME}) {power} over ({DIGITS})–({DIGITS}) services", check)
    if not last:
        raise Wrong("states no exponent")


@sentence(r"^The tool's own part \(user mode\) of the processor time of (adding one service to|installing, in one transaction,) ")
def tool_share(s, act):
    s.exact(rf"({DIGITS}) services: ", s.largest)
    scenario, options = ("service-add", {}) if act.startswith("adding") else ("cold-install", {"chunk": "all"})

    def check(name, value, ends, stays):
        key = s.key(name, scenario, **options)
        quotients = {}
        for record in s.run.cells[key]:
            of = {x["metric"]: x.get("values") for x in record.get("series", [])}
            if record["outcome"] == "measured" and of.get("user_time") and of.get("cpu_time"):
                quotients[record["stay"]] = [a / b for a, b in zip(of["user_time"], of["cpu_time"]) if b > 0]
        sample = Sample(quotients)
        same(value, sample.median)
        expected = interval(sample)
        if expected:
            expected.ends = tuple(min(max(e, 0.0), 1.0) for e in expected.ends)
        same_interval(ends, expected)
        if number(stays) != len(sample.stays):
            raise Wrong(f"{name}: {stays} stays")
    if not s.take(rf"({NAME}) ({VALUE}) \(({INTERVAL}), ({DIGITS}) stays?\)", check):
        raise Wrong("states no share")


@sentence(r"^Kernel memory of each further service")
def memory(s):
    weighed = any(s.run.sample(k, "kernel_memory") for k in s.keys("memory"))

    def check(name, value, ends, known, low, high):
        options = {}
        if not weighed and "transaction" not in name:
            mode = name.split(" ")[0]
            keys = [k for k in s.keys("cold-install") if k[0] == mode and s.run.sample(k, "kernel_memory")]
            sizes = {dict(k[6]).get("chunk") for k in keys} - {"all", None}
            options = {"chunk": sizes.pop()} if sizes else {"chunk": "all"}
        fit = s.fit(name, "memory" if weighed else "cold-install", "kernel_memory", "linear", (number(low), number(high)), **options)
        same(value, fit.estimate)
        same_interval(ends, fit.ci)
        if not known and fit.ci.ends[0] + fit.ci.slack[0] <= 0 <= fit.ci.ends[1] - fit.ci.slack[1]:
            raise Wrong(f"{name}: its interval holds 0, and nothing says so")
    if not s.take(rf"({NAME}) ({VALUE}) \(({INTERVAL})(: not distinguished from 0)?; ({DIGITS})–({DIGITS}) services\)", check):
        raise Wrong("states no price")


def main(paths):
    wrong = checked = 0
    for path in paths:
        run = Run(path)
        findings = json.load(open(f"{path}/summary.json", encoding="utf-8"))["findings"]
        for finding in findings:
            text = finding["text"]
            try:
                s = Sentence(run, text)
                kinds = [(p.match(s.text), check) for p, check in SENTENCES if p.match(s.text)]
                if len(kinds) != 1:
                    raise Wrong("is of no known kind")
                match, check = kinds[0]
                check(s, *match.groups())
                s.done()
                if not finding["evidence"]:
                    raise Wrong("names no evidence")
            except (Wrong, AttributeError, KeyError, ValueError, TypeError, ZeroDivisionError, IndexError) as error:
                wrong += 1
                print(f"FAIL  {path}: {error if isinstance(error, Wrong) else repr(error)}: {text[:300]}")
            checked += 1
        if not findings:
            print(f"      {path}: no sentence")
    print(f"{'FAIL' if wrong or not checked else 'ok   '}  {checked} sentences of {len(paths)} runs, {wrong} with a number or an order that the results do not give")
    return 1 if wrong or not checked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
