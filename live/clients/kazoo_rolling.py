"""Writers, readers, watches, ephemerals and locks, while servers are swapped for others and killed.

Usage: kazoo_rolling.py HOST:PORT,… Prints "ACKED n" with the number of acknowledged writes as it goes. On "pause" everything comes
to rest, what must hold then is checked, and "PAUSED" is printed; "go" goes on; "end" reads every acknowledged write back, prints
"HELD n" with their number and "LOCKS n" with how often a lock was held, and ends with 0.
"""

import itertools
import logging
import os
import sys
import threading
import traceback

from kazoo.client import KazooClient, KazooState
from kazoo.exceptions import BadVersionError, ConnectionLoss, NodeExistsError
from kazoo.handlers.threading import SequentialThreadingHandler

PATIENCE = 120
BATCH = 16
LOCKERS = 3

# That connections break is what is tested.
logging.disable(logging.WARNING)


def fail():
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(1)


class Gate:
    """What goes through it can be brought to rest."""

    def __init__(self):
        self.changed = threading.Condition()
        self.inside = 0
        self.open = True

    def __enter__(self):
        with self.changed:
            assert self.changed.wait_for(lambda: self.open, PATIENCE), "paused for too long"
            self.inside += 1

    def __exit__(self, *_):
        with self.changed:
            self.inside -= 1
            self.changed.notify_all()

    def shut(self):
        with self.changed:
            self.open = False
            assert self.changed.wait_for(lambda: self.inside == 0, PATIENCE), "something never ends"

    def go(self):
        with self.changed:
            self.open = True
            self.changed.notify_all()


class Client:
    """A session that must last, with an ephemeral."""

    def __init__(self, addresses, name):
        retry = {"max_tries": -1, "delay": 0.02, "backoff": 1, "max_delay": 0.1}
        self.zk = KazooClient(addresses, timeout=30.0, handler=SequentialThreadingHandler(),
                              connection_retry=retry, command_retry=retry)
        self.zk.add_listener(self.told)
        self.zk.start(PATIENCE)
        self.session = self.zk.client_id[0]
        self.zk.retry(self.zk.ensure_path, "/roll")
        self.mine = f"/roll/ephemeral-{name}"
        self.zk.create(self.mine, ephemeral=True)

    def told(self, state):
        if state == KazooState.LOST:
            try:
                raise AssertionError(f"the session of {self.mine} is lost")
            except AssertionError:
                fail()

    def check(self):
        stat = self.zk.retry(self.zk.exists, self.mine)
        assert stat and stat.ephemeralOwner == self.session, (self.mine, stat)


class Writer(Client):
    """Creates in batches, and counts its batches in /roll/top."""

    def __init__(self, addresses):
        super().__init__(addresses, "writer")
        self.acked = {}
        self.top = 0
        self.zk.retry(self.zk.create, "/roll/top", b"0")

    def step(self, number):
        batch = {f"/roll/n{number:05}-{i:02}": f"value {number} {i}".encode() for i in range(BATCH)}
        pending = [(path, data, self.zk.create_async(path, data)) for path, data in batch.items()]
        for path, data, result in pending:
            try:
                result.get(timeout=PATIENCE)
                self.acked[path] = data
            except Exception:  # lost with the connection: unknown, so nothing is claimed
                pass
        self.top = number
        self.zk.retry(self.zk.set, "/roll/top", str(number).encode())
        print("ACKED", len(self.acked), flush=True)

    def read_back(self):
        pending = [(path, data, self.zk.get_async(path)) for path, data in self.acked.items()]
        for path, data, result in pending:
            found, stat = result.get(timeout=PATIENCE)
            assert found == data and stat.version == 0, (path, found, stat)


class Watcher(Client):
    """Follows /roll/top by its watch alone."""

    def __init__(self, addresses):
        super().__init__(addresses, "watcher")
        self.changed = threading.Condition()
        self.seen = (0, -1)
        self.look()

    def look(self, _event=None):
        try:
            data, stat = self.zk.retry(self.zk.get, "/roll/top", watch=self.look)
            with self.changed:
                assert stat.mzxid >= self.seen[0] and int(data) >= self.seen[1], ("back in time", self.seen, data, stat)
                self.seen = (stat.mzxid, int(data))
                self.changed.notify_all()
        except Exception:
            if self.zk.state != KazooState.LOST:
                fail()

    def hears(self, top):
        with self.changed:
            assert self.changed.wait_for(lambda: self.seen[1] == top, PATIENCE), f"no event: {self.seen} of {top}"


class Reader(Client):
    """Reads, never back in time."""

    def __init__(self, addresses):
        super().__init__(addresses, "reader")
        self.last = -1

    def step(self, _number):
        data, _stat = self.zk.retry(self.zk.get, "/roll/top")
        assert int(data) >= self.last, f"{data} after {self.last}"
        self.last = int(data)


class Locker(Client):
    """Takes a lock, is alone in it, and counts."""

    def __init__(self, addresses, number):
        super().__init__(addresses, f"locker{number}")
        self.held = 0
        self.number = number
        self.zk.retry(self.zk.ensure_path, "/roll/locked")
        self.lock = self.zk.Lock("/roll/lock")

    def step(self, number):
        if not self.take():
            return
        try:
            self.zk.retry(self.alone)
            self.zk.retry(self.count, f"{self.number} {number}".encode())
            self.zk.retry(self.zk.delete, "/roll/inside")
            self.held += 1
        finally:
            self.lock.release()

    def take(self):
        try:
            return self.lock.acquire(timeout=PATIENCE)
        except ConnectionLoss:  # kazoo's recipe does not ask again for everything
            return False

    def alone(self):
        try:
            self.zk.create("/roll/inside", ephemeral=True)
        except NodeExistsError:
            stat = self.zk.exists("/roll/inside")
            # An earlier attempt of ours, whose answer was lost with the connection.
            assert stat and stat.ephemeralOwner == self.session, f"two hold the lock: {stat}"

    def count(self, mine):
        data, stat = self.zk.get("/roll/locked")
        if data == mine:  # an earlier attempt
            return
        try:
            self.zk.set("/roll/locked", mine, version=stat.version)
        except BadVersionError:
            data, _ = self.zk.get("/roll/locked")
            assert data == mine, f"somebody else wrote under the lock: {data}"


def run(gate, ended, step):
    try:
        for number in itertools.count(1):
            if ended.is_set():
                return
            with gate:
                step(number)
    except Exception:
        fail()


def main(addresses):
    gate, ended = Gate(), threading.Event()
    writer = Writer(addresses)
    watcher, reader = Watcher(addresses), Reader(addresses)
    lockers = [Locker(addresses, n) for n in range(LOCKERS)]
    threads = [threading.Thread(target=run, args=(gate, ended, one.step)) for one in [writer, reader, *lockers]]
    for thread in threads:
        thread.start()
    for line in sys.stdin:
        if line.strip() == "go":
            gate.go()
            continue
        gate.shut()
        watcher.hears(writer.top)
        for client in [writer, watcher, reader, *lockers]:
            client.check()
        if line.strip() == "end":
            break
        print("PAUSED", flush=True)
    ended.set()
    gate.go()
    for thread in threads:
        thread.join(PATIENCE)
    writer.read_back()
    print("HELD", len(writer.acked), flush=True)
    print("LOCKS", sum(locker.held for locker in lockers), flush=True)
    for client in [writer, watcher, reader, *lockers]:
        client.zk.remove_listener(client.told)
        client.zk.stop()
        client.zk.close()


try:
    main(sys.argv[1])
except Exception:
    fail()
