"""Writes through kazoo, pipelined, while the server is killed over and over.

Usage: kazoo_kills.py HOST:PORT WRITES. After every acknowledged write it prints "ACKED n". At the end it reads every
acknowledged node back: "HELD n". A write whose outcome the connection's loss has hidden may be there or not.
"""

import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError

PATIENCE = 120
WINDOW = 64


def main(address, writes):
    retry = {"max_tries": -1, "delay": 0.02, "backoff": 1, "max_delay": 0.1}
    zk = KazooClient(address, timeout=20.0, connection_retry=retry, command_retry=retry)
    zk.start(PATIENCE)
    zk.retry(zk.ensure_path, "/kills")
    acked = {}
    lock = threading.Lock()
    room = threading.Semaphore(WINDOW)
    enough = threading.Event()

    def done(number, data, result):
        try:
            result.get(block=False)
            ok = True
        except Exception:  # lost with the connection: unknown, so nothing is claimed
            ok = False
        with lock:
            if ok:
                acked[number] = data
                print("ACKED", len(acked), flush=True)
                if len(acked) >= writes:
                    enough.set()
        room.release()

    number = 0
    while not enough.is_set():
        assert room.acquire(timeout=PATIENCE), "no reply for too long"
        if not zk.connected:
            room.release()
            enough.wait(0.01)
            continue
        number += 1
        data = f"value {number}".encode()
        n = number
        zk.create_async(f"/kills/n{n:06}", data).rawlink(lambda r, n=n, d=data: done(n, d, r))
    with lock:  # the last acknowledgements print meanwhile, on a thread of kazoo's
        print("WRITTEN", flush=True)
    assert sys.stdin.readline(), "nobody answered"
    with lock:
        expected = dict(acked)
    children = set(zk.retry(zk.get_children, "/kills"))
    missing = [n for n in expected if f"n{n:06}" not in children]
    assert not missing, f"acknowledged and lost: {missing}"
    pending = [(n, zk.get_async(f"/kills/n{n:06}")) for n in expected]
    for n, result in pending:
        data, stat = result.get(timeout=PATIENCE)
        assert data == expected[n] and stat.version == 0, (n, data, stat)
    zk.stop()
    zk.close()
    print("HELD", len(expected), flush=True)


main(sys.argv[1], int(sys.argv[2]))
