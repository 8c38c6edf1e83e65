"""Holds what the API server serves to Kubernetes' published schemas, in their strict form, of every minor that kube-proxy
is run of. Each kind of object is also broken on purpose: a schema that finds nothing in that would prove nothing.

    python validate.py SERVE      SERVE is the example `serve`; exit code 1 if a claim does not hold
"""

import copy
import json
import subprocess
import sys
import urllib.request

import kubernetes_validate

MINORS = ["1.32", "1.33", "1.34", "1.35", "1.36", "1.37"]
PATHS = {
    "Service": "/api/v1/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/endpointslices",
    "Node": "/api/v1/nodes",
    "ServiceCIDR": "/apis/networking.k8s.io/v1/servicecidrs",
}


# What each kind is broken by, with the object as `it`.
FAULTS = {
    "Service": "del it['spec']['ports'][0]['port']",
    "EndpointSlice": "del it['addressType']",
    "Node": "del it['status']['addresses'][0]['address']",
    "ServiceCIDR": "it['spec']['cidrs'] = it['spec']['cidrs'][0]",
}
broken = 0


def claim(text, holds):
    global broken
    broken += not holds
    print("ok   " if holds else "FAIL ", text)


def refused(what, minor):
    """Why a schema refuses it; None if it does not."""
    try:
        kubernetes_validate.validate(what, minor, strict=True)
    except kubernetes_validate.ValidationError as error:
        return f"{minor}: {error.message}"
    return None


def valid(text, what, minors):
    whys = [why for minor in minors if (why := refused(what, minor))]
    claim(" ".join([text, "is valid"] + whys[:1]), not whys)


def main():
    serve = subprocess.Popen([sys.argv[1], "3"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    server = json.loads(serve.stdout.readline())["clusters"][0]["cluster"]["server"]

    def ask(path):
        return json.load(urllib.request.urlopen(server + path, timeout=20))

    for kind, path in PATHS.items():
        # The first minor whose API has service CIDRs as v1.
        minors = MINORS[1:] if kind == "ServiceCIDR" else MINORS
        listed = ask(path)
        valid(f"the list of {kind}s, of {len(listed['items'])},", listed, minors)
        item = listed["items"][0]
        name, namespace = item["metadata"]["name"], item["metadata"].get("namespace")
        base, _, plural = path.rpartition("/")
        one = ask(f"{base}/namespaces/{namespace}/{plural}/{name}" if namespace else f"{path}/{name}")
        valid(f"{kind} {name}", one, minors)
        fault = copy.deepcopy(one)
        exec(FAULTS[kind], {"it": fault})
        claim(f"{kind} after {FAULTS[kind]} is refused", refused(fault, minors[-1]))
        listed["items"][0] = fault
        claim("and a list with it", refused(listed, minors[-1]))
    serve.stdin.write("delete svc-1\n")
    serve.stdin.flush()
    serve.stdout.readline()
    watched = urllib.request.urlopen(f"{server}{PATHS['Service']}?watch=true&resourceVersion=2&timeoutSeconds=1", timeout=20)
    events = [json.loads(line) for line in watched]
    claim("a watch adds and deletes", [event["type"] for event in events] == ["ADDED"] * 3 + ["DELETED"])
    valid("what a watch says is deleted", events[-1]["object"], MINORS)
    serve.stdin.close()
    serve.wait(timeout=20)
    sys.exit(1 if broken else 0)


main()
