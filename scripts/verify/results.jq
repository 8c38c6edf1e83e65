# Definitions for questions to summary.json and results.jsonl (both slurped into one array).

def median: sort | if length == 0 then null
  elif length % 2 == 1 then .[length / 2 | floor]
  else (.[length / 2 - 1] + .[length / 2]) / 2 end;

# Rounded to d decimals, for people; what has no interval has no ends.
def to($d): if . == null then "–" else pow(10; $d) as $k | (. * $k | round) / $k end;

# Input: slurped summary.json. The ordinary rows of one scenario and metric.
def rows($scenario; $metric):
  .[0].cells[] | select(.scenario == $scenario and .metric == $metric and .variant == "");

# Input: slurped summary.json. The linear latency fit over the widest range, at position last.
def slope($mode; $protocol):
  [.[0].fits[] | select(.mode == $mode and .scenario == "first-packet" and .metric == "latency"
    and .model == "linear" and .variant == "" and .options.position == "last"
    and .options.protocol == $protocol)]
  | max_by(.to - .from);

# Input: slurped results.jsonl. Cell lines.
def cells: .[] | select(.record == "cell");

# Input: slurped results.jsonl. Of cells that were measured again, because the first was disturbed, the last.
def last_cells: [cells] | group_by([.mode, .scenario, .services, .endpoints, .environment, .variant, .options, .block])[] | max_by(.stay);

# Input: a cell line. The samples of one metric, [] without.
def samples($metric): [(.series // [])[] | select(.metric == $metric) | .values[]?];

# Input: an environment of a header. What was measured on, for people.
def measured_on: "Linux \(.kernel | split("-")[0]), \(.machine), \(.cores) CPU\(if .cores == 1 then "" else "s" end), sandbox \(.sandbox)\(if .accel == "none" then "" else " (\(.accel))" end)";

# Every mode, in the order of `list modes`.
def all_modes: ["none", "conntrack", "iptables-legacy", "iptables-nft", "ipset", "ipvs", "nftables"];
