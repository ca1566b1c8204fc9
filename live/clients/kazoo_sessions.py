"""Sessions through kazoo, while the server is killed and started again by whoever runs this.

Usage: kazoo_sessions.py HOST:PORT. Prints one word when it wants something done, and goes on when a line comes back:
RESTART: kill the server and start it again. Exits with 0 if all held.
"""

import os
import subprocess
import sys
import threading

from kazoo.client import KazooClient, KazooState
from kazoo.handlers.threading import SequentialThreadingHandler

PATIENCE = 60


def ask(word):
    print(word, flush=True)
    assert sys.stdin.readline(), "nobody answered"


def connect(address, **options):
    client = KazooClient(address, handler=SequentialThreadingHandler(),
                         connection_retry={"max_tries": -1, "delay": 0.02, "backoff": 1, "max_delay": 0.1},
                         command_retry={"max_tries": -1, "delay": 0.02, "backoff": 1, "max_delay": 0.1}, **options)
    client.start(PATIENCE)
    return client


def until(condition, what):
    waited = threading.Event()
    for _ in range(PATIENCE * 50):
        if condition():
            return
        waited.wait(0.02)
    raise AssertionError(f"gave up waiting until {what}")


def start_and_end(address):
    """A client that makes /silent and ends without a word, in a process of its own. Its session."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import kazoo_sessions; kazoo_sessions.silent(sys.argv[2])"
    command = [sys.executable, "-c", code, os.path.dirname(os.path.abspath(__file__)), address]
    said = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=PATIENCE).stdout.split()
    return int(said[0]), bytes.fromhex(said[1].decode())


def silent(address):
    client = connect(address, timeout=3.0)
    client.create("/silent", ephemeral=True)
    print(client.client_id[0], client.client_id[1].hex(), flush=True)
    os._exit(0)


def main(address):
    keeper = connect(address, timeout=5.0)
    changed = threading.Event()
    states = []
    keeper.add_listener(states.append)
    keeper.create("/keep", b"before")
    keeper.create("/mine", ephemeral=True)
    keeper.get("/keep", watch=lambda event: changed.set())
    session = keeper.client_id[0]

    ask("RESTART")
    until(lambda: KazooState.SUSPENDED in states and states[-1] == KazooState.CONNECTED, "kazoo is back")
    assert keeper.client_id[0] == session, "another session after the restart"
    assert KazooState.LOST not in states, states
    assert keeper.exists("/mine").ephemeralOwner == session
    writer = connect(address)
    writer.set("/keep", b"after")
    assert changed.wait(PATIENCE), "the watch did not survive the reconnect"

    # A session whose client falls silent expires, and its ephemerals go exactly once.
    deleted = []
    lost = start_and_end(address)
    assert writer.exists("/silent", watch=lambda event: deleted.append(event.type)), "it expired too early"
    until(lambda: deleted == ["DELETED"], "the silent session has expired")
    assert writer.exists("/silent") is None
    revenant = KazooClient(address, client_id=lost)
    seen = []
    revenant.add_listener(seen.append)
    revenant.start(PATIENCE)
    assert revenant.client_id[0] != lost[0], "an expired session came back"
    for client in (revenant, writer, keeper):
        client.stop()
        client.close()
    print("HELD", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
