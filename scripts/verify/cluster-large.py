#!/usr/bin/env python3
"""Prints a large cluster as a tool would: cluster-large.py json|yaml|iptables SERVICES ENDPOINTS-EACH."""

import json
import sys


def address(base, number):
    return f"10.{base + number // 65536}.{number // 256 % 256}.{number % 256}"


def service(number):
    vip = address(96, number)
    return {
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"creationTimestamp": "2025-06-01T00:00:00Z", "name": f"service-{number}", "namespace": f"team-{number % 40}",
                     "uid": f"00000000-0000-4000-8000-{number:012d}"},
        "spec": {"clusterIP": vip, "clusterIPs": [vip], "internalTrafficPolicy": "Cluster", "ipFamilies": ["IPv4"],
                 "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
                 "selector": {"app": f"service-{number}"}, "sessionAffinity": "None", "type": "ClusterIP"},
        "status": {"loadBalancer": {}},
    }


def endpoint_slice(number, endpoints):
    return {
        "addressType": "IPv4", "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "endpoints": [{
            "addresses": [address(128, number * endpoints + e)], "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": f"ip-10-0-{e % 250}-7.region-1.compute.internal", "zone": "region-1a",
            "targetRef": {"kind": "Pod", "name": f"service-{number}-7d9c6b5f4-{e:05d}", "namespace": f"team-{number % 40}",
                          "uid": f"11111111-0000-4000-8000-{number * endpoints + e:012d}"},
        } for e in range(endpoints)],
        "metadata": {"labels": {"kubernetes.io/service-name": f"service-{number}"}, "name": f"service-{number}-abcde",
                     "namespace": f"team-{number % 40}"},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    }


def yaml(value, indent):
    """As kubectl prints it, more or less: what follows a key or a dash, with what is below it."""
    pad = "  " * indent
    if isinstance(value, dict):
        return "".join(f"\n{pad}{key}:{yaml(below, indent + (not isinstance(below, list)))}" for key, below in value.items()) or " {}"
    if isinstance(value, list):
        return "".join(f"\n{pad}-{yaml(below, indent + 1).replace(chr(10) + '  ' * (indent + 1), ' ', 1)}" for below in value) or " []"
    return " " + json.dumps(value)


def objects(services, endpoints):
    yield from (service(number) for number in range(services))
    yield from (endpoint_slice(number, endpoints) for number in range(services))


def write(form, services, endpoints):
    out = sys.stdout.write
    if form == "json":
        out('{\n    "apiVersion": "v1",\n    "items": [')
        for number, item in enumerate(objects(services, endpoints)):
            text = json.dumps(item, indent=4).replace("\n", "\n        ")
            out(f"{',' * (number > 0)}\n        {text}")
        out('\n    ],\n    "kind": "List"\n}\n')
    elif form == "yaml":
        out("apiVersion: v1\nitems:")
        for item in objects(services, endpoints):
            out(yaml([item], 0))
        out("\nkind: List\n")
    else:
        out("*nat\n")
        for s in range(services):
            name, vip = f"team/service-{s}:http", address(96, s)
            out(f'-A KUBE-SERVICES -d {vip}/32 -p tcp -m comment --comment "{name} cluster IP" -m tcp --dport 80 -j KUBE-SVC-{s:016d}\n')
            for e in range(endpoints):
                number, left = s * endpoints + e, endpoints - e
                place = address(128, number)
                chance = f"-m statistic --mode random --probability {1 / left:.11f} " if left > 1 else ""
                out(f'-A KUBE-SVC-{s:016d} -m comment --comment "{name} -> {place}:8080" {chance}-j KUBE-SEP-{number:016d}\n')
                out(f"-A KUBE-SEP-{number:016d} -s {place}/32 -j KUBE-MARK-MASQ\n")
                out(f"-A KUBE-SEP-{number:016d} -p tcp -m tcp -j DNAT --to-destination {place}:8080\n")
        out("COMMIT\n")


if __name__ == "__main__":
    try:
        write(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
    except (IndexError, ValueError):
        sys.exit(__doc__)
