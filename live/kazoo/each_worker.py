"""A pytest plugin for kazoo's own test suite: a cluster of its own for every worker, and each test's outcome in a file.

Tests whose names begin with a word of $EXCEPTED are left out. The file that $OUTCOMES names gets a line "passed test_lock.py::KazooLockTests::test_lock" for each test.
"""

import os
import socket

CLUSTER = 3 * 10
"""Ports of a cluster: kazoo's harness counts on from ZOOKEEPER_PORT_OFFSET, ten for each server."""

outcomes = {}


def worker():
    """This worker's number; None in the process that only hands tests out."""
    name = os.environ.get("PYTEST_XDIST_WORKER")
    return name and int(name.removeprefix("gw"))


def is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(number):
    """The first of CLUSTER ports that nobody listens on; workers look in different places."""
    first = 12_000 + number * 2_000
    for base in range(first, first + 2_000 - CLUSTER, 100):
        if all(is_free(port) for port in range(base, base + CLUSTER)):
            return base
    raise RuntimeError(f"no {CLUSTER} free ports in a row from {first} on")


def pytest_configure():
    os.environ["ZOOKEEPER_PORT_OFFSET"] = str(free_ports(worker() or 0))


def name_of(test):
    return test.nodeid.rpartition("/")[2]


def pytest_collection_modifyitems(items):
    excepted = tuple(os.environ.get("EXCEPTED", "").split())
    items[:] = [item for item in items if not name_of(item).startswith(excepted)]


def pytest_runtest_logreport(report):
    name = name_of(report)
    if report.failed:
        outcomes[name] = "failed"
    elif report.skipped or report.when == "call":
        outcomes.setdefault(name, report.outcome)


def pytest_sessionfinish():
    if worker() is None:
        with open(os.environ["OUTCOMES"], "w", encoding="utf-8") as file:
            file.writelines(f"{outcome} {name}\n" for name, outcome in sorted(outcomes.items()))
