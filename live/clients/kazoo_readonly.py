"""A kazoo client that is content with reading, at a server that loses its quorum and gets it back.

Usage: kazoo_readonly.py HOST:PORT. Prints SAW and what it sees, and one word when it wants something done, and goes on when a
line comes back: QUORUM-AWAY, QUORUM-BACK. Exits with 0 if all held.
"""

import socket
import sys
import threading

from kazoo.client import KazooClient
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.protocol.states import KeeperState

PATIENCE = 60


def ask(word):
    print(word, flush=True)
    assert sys.stdin.readline(), "nobody answered"


def saw(what):
    print("SAW", what, flush=True)


def until(condition, what):
    waited = threading.Event()
    for _ in range(PATIENCE * 50):
        if condition():
            return
        waited.wait(0.02)
    raise AssertionError(f"gave up waiting until {what}")


def word(address, word):
    host, port = address.split(":")
    with socket.create_connection((host, int(port)), PATIENCE) as stream:
        stream.sendall(word)
        answer = b""
        while piece := stream.recv(4096):
            answer += piece
    return answer.decode()


def refusal(call, *arguments, **options):
    try:
        call(*arguments, **options)
    except Exception as error:
        return type(error).__name__
    return "nothing"


def main(address):
    client = KazooClient(address, read_only=True, timeout=30, handler=SequentialThreadingHandler(),
                         connection_retry={"max_tries": -1, "delay": 0.02, "backoff": 1, "max_delay": 0.1})
    states = []
    client.add_listener(lambda state: states.append(f"{state}/{client.client_state}"))
    client.start(PATIENCE)
    client.create("/a", b"kept")
    saw(f"isro {word(address, b'isro')}")
    ask("QUORUM-AWAY")
    until(lambda: client.client_state == KeeperState.CONNECTED_RO, "it is connected for reading")
    data, stat = client.get("/a", watch=lambda event: None)
    saw(f"/a is {data.decode()}, version {stat.version}; children {sorted(client.get_children('/'))}")
    saw(f"a write is refused with {refusal(client.set, '/a', b'new')}")
    saw(f"an ephemeral is refused with {refusal(client.create, '/e', ephemeral=True)}")
    saw(f"a sync is refused with {refusal(client.sync, '/a')}")
    saw(f"isro {word(address, b'isro')}")
    mode = [line for line in word(address, b"srvr").splitlines() if line.startswith(("Mode", "READ-ONLY"))]
    saw(f"srvr says {mode}")
    strict = KazooClient(address, timeout=5)
    saw(f"who wants more is refused with {refusal(strict.start, 3)}")
    strict.stop()
    strict.close()
    ask("QUORUM-BACK")
    until(lambda: client.client_state == KeeperState.CONNECTED, "it may write again")
    client.set("/a", b"new")
    saw(f"isro {word(address, b'isro')}")
    saw(f"states {states}")
    client.stop()
    client.close()


if __name__ == "__main__":
    main(sys.argv[1])
