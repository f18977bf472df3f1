"""Writes inventories of many hosts, and what a query must find in them."""

import datetime
import hashlib
import json

START = datetime.datetime(2026, 1, 1)
SERVICES = [
    ("/usr/sbin/nginx", "nginx"),
    ("/usr/sbin/haproxy", "haproxy"),
    ("/usr/bin/python3.11", "python3"),
    ("/usr/lib/jvm/java-17/bin/java", "java"),
    ("/usr/sbin/sshd", "sshd"),
]
OLD, NEW = "/usr/lib/x86_64-linux-gnu/libssl.so.1.1", "/usr/lib/x86_64-linux-gnu/libssl.so.3"


def identity(kind, text):
    return "%s-%s" % (kind, hashlib.sha256(kind.encode() + b"\0" + text.encode()).hexdigest()[:16])


def when(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def days_valid(number, renewed):
    """Days from the start to the end of a certificate, which is renewed every 60 days."""
    return 60 * renewed + 20 + 5 * number


def certificate(host, number, renewed):
    name = "%s/%d/%d" % (host, number, renewed)
    not_after = START + datetime.timedelta(days=days_valid(number, renewed))
    return {
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "subject": "CN=service%d.%s.example" % (number, host), "issuer": "CN=Fleet CA",
        "serial": "%x" % (number + 16 * renewed), "not_before": when(START)[:19] + "Z",
        "not_after": not_after.strftime("%Y-%m-%dT%H:%M:%SZ"), "public_key": "rsa", "bits": 2048,
        "signature": "sha256-rsa", "ca": False, "self_signed": False,
    }


def inventory(index, day, services):
    """One day of one host. Every seventh host maps the old library; every 50th forgets to reload after a renewal."""
    host = "host%05d" % index
    begin = START + datetime.timedelta(days=day)
    end = begin + datetime.timedelta(hours=24)
    programs, files, uses = [], [], []
    path = OLD if index % 7 == 0 else NEW
    library = {
        "id": identity("l", path), "name": "libssl", "path": path,
        "version": "1.1.1w" if path == OLD else "3.0.15", "first_seen": None, "last_seen": when(begin),
    }
    renewed = day // 60
    for number in range(services):
        exe, name = SERVICES[number % len(SERVICES)]
        exe = exe if number < len(SERVICES) else "%s-%d" % (exe, number)
        program = identity("p", exe)
        programs.append({
            "id": program, "exe": exe, "name": name, "users": ["root"], "containers": [],
            "processes": 1 + number % 4, "first_seen": None, "last_seen": when(begin),
        })
        uses.append({
            "program": program, "target": library["id"], "count": 1, "modes": ["load"],
            "first": when(begin), "last": when(begin), "stale": None,
        })
        for kind, folder in (("certificate", "certs"), ("private_key", "private")):
            target = "/etc/ssl/%s/service%d.pem" % (folder, number)
            stale = None
            if kind == "certificate" and index % 50 == 0 and number == 0 and renewed > 0:
                stale = {"since": when(begin), "reason": "replaced"}
            files.append({
                "id": identity("f", target), "path": target, "type": kind, "labels": {},
                "certificates": [certificate(host, number, renewed)] if kind == "certificate" else [],
                "first_seen": when(begin), "last_seen": when(begin),
            })
            uses.append({
                "program": program, "target": identity("f", target), "count": 1 + number, "modes": ["read"],
                "first": when(begin), "last": when(begin), "stale": stale,
            })
    lost = 3 if index % 97 == 0 else 0
    return {
        "inventory_version": "1.0", "generated_at": when(end),
        "window": {"from": when(begin), "to": when(end)},
        "host": {"hostname": host, "kernel": "6.1.0", "os": "Debian GNU/Linux 12 (bookworm)"},
        "coverage": {
            "complete": lost == 0, "events_lost": lost, "lost_by_cause": {"ring_full_open": lost} if lost else {},
            "probes": ["lsm:file_open"], "blind_spots": [], "unreadable_processes": 0,
            "not_listed": {
                "programs": 0, "libraries": 0, "files": 0, "certificates": 0, "uses": 0,
                "users_and_containers": 0, "events": 0,
            },
        },
        "programs": sorted(programs, key=lambda it: it["id"]), "libraries": [library],
        "files": sorted(files, key=lambda it: it["id"]),
        "uses": sorted(uses, key=lambda it: (it["program"], it["target"])),
    }


def write(folder, hosts, days, services):
    """One file for each day, one line for each host."""
    for day in days:
        with open(folder / ("day%03d.json" % day), "w") as out:
            for index in range(hosts):
                out.write(json.dumps(inventory(index, day, services), separators=(",", ":")) + "\n")
