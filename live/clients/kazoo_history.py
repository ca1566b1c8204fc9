"""A history of all kinds of transactions. Usage: kazoo_history.py HOST:PORT ROUND. Leaves its session to expire."""

import os
import sys

from kazoo.client import KazooClient
from kazoo.security import OPEN_ACL_UNSAFE, make_acl, make_digest_acl


def main(address, number):
    zk = KazooClient(address, timeout=600.0)
    zk.start(60)
    zk.add_auth("digest", "alice:secret")
    top = f"/round{number}"
    zk.create(top, os.urandom(100))
    zk.create(f"{top}/private", b"x", acl=[make_digest_acl("alice", "secret", all=True)])
    zk.create(f"{top}/\u96ea", "donn\u00e9es".encode())
    zk.create(f"{top}/empty", b"")
    for n in range(120):
        zk.create(f"{top}/s-", bytes([n]) * n, sequence=True)
    for n in range(20):
        zk.set(f"{top}/empty", os.urandom(n * 50))
    zk.set_acls(f"{top}/empty", OPEN_ACL_UNSAFE + [make_acl("ip", "10.0.0.0/8", read=True)])
    zk.delete(f"{top}/s-0000000007")
    t = zk.transaction()
    t.create(f"{top}/m")
    t.create(f"{top}/m/a", ephemeral=True)
    t.set_data(f"{top}/m", b"1")
    t.check(f"{top}/m", 1)
    t.delete(f"{top}/s-0000000008")
    t.commit()
    t = zk.transaction()
    t.create(f"{top}/never")
    t.check(f"{top}/m", 99)
    t.commit()
    for path in ("/none/x", top):
        try:
            zk.create(path)
        except Exception:  # a refused write takes its zxid too
            pass
    other = KazooClient(address)
    other.start(60)
    other.create(f"{top}/gone", ephemeral=True)
    other.stop()
    other.close()
    zk.create(f"{top}/eph", b"mine", ephemeral=True)
    # No close: the session and its ephemerals must be there under the other server, too.
    os._exit(0)


main(sys.argv[1], int(sys.argv[2]))
