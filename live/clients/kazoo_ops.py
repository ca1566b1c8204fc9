"""Every operation of the client API through kazoo. Usage: kazoo_ops.py HOST:PORT. Exits with 0 if all held."""

import sys
import threading

from kazoo.client import KazooClient
from kazoo.exceptions import (BadVersionError, InvalidACLError, NoAuthError, NoChildrenForEphemeralsError, NodeExistsError,
                              NoNodeError, NotEmptyError, RolledBackError, RuntimeInconsistency)
from kazoo.security import make_acl, make_digest_acl

PATIENCE = 60


def refused(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"{call.__name__}{args} was not refused with {error.__name__}")


def nodes(zk):
    assert zk.create("/k", b"one") == "/k"
    path, stat = zk.create("/k2", b"two", include_data=True)
    assert path == "/k2" and stat.version == 0 and stat.dataLength == 3 and stat.czxid == stat.mzxid == stat.pzxid
    refused(NodeExistsError, zk.create, "/k")
    refused(NoNodeError, zk.create, "/none/child")
    first = zk.create("/k/seq-", sequence=True)
    second = zk.create("/k/seq-", sequence=True)
    assert first == "/k/seq-0000000000" and second == "/k/seq-0000000001", (first, second)
    zk.delete(first)
    assert zk.create("/k/seq-", sequence=True) == "/k/seq-0000000002"
    assert zk.create("/k/e-", ephemeral=True, sequence=True) == "/k/e-0000000003"
    stat = zk.exists("/k/e-0000000003")
    assert stat.ephemeralOwner == zk.client_id[0]
    refused(NoChildrenForEphemeralsError, zk.create, "/k/e-0000000003/x")
    refused(NotEmptyError, zk.delete, "/k")
    assert zk.exists("/none") is None
    data, stat = zk.get("/k")
    assert data == b"one" and stat.numChildren == 3 and stat.cversion == 5, stat
    stat = zk.set("/k", b"1" * 1000)
    assert stat.version == 1 and stat.dataLength == 1000 and stat.mzxid > stat.czxid
    refused(BadVersionError, zk.set, "/k", b"x", version=0)
    refused(BadVersionError, zk.delete, "/k2", version=7)
    zk.set("/k", b"again", version=1)
    assert sorted(zk.get_children("/k")) == ["e-0000000003", "seq-0000000001", "seq-0000000002"]
    children, stat = zk.get_children("/k", include_data=True)
    assert len(children) == 3 and stat.version == 2
    refused(NoNodeError, zk.get_children, "/none")
    refused(NoNodeError, zk.get, "/none")
    refused(NoNodeError, zk.delete, "/none")
    assert zk.sync("/k") == "/k"
    zk.create("/\u00e9t\u00e9/\u96ea", "donn\u00e9es".encode(), makepath=True)
    assert zk.get("/\u00e9t\u00e9/\u96ea")[0].decode() == "donn\u00e9es"


def access(address, zk):
    zk.add_auth("digest", "alice:secret")
    mine = [make_digest_acl("alice", "secret", all=True)]
    zk.create("/private", b"hidden", acl=mine)
    acls, stat = zk.get_acls("/private")
    assert acls[0].perms == 31 and acls[0].id.scheme == "digest" and stat.aversion == 0
    other = KazooClient(address)
    other.start(PATIENCE)
    refused(NoAuthError, other.get, "/private")
    refused(NoAuthError, other.set, "/private", b"x")
    refused(NoAuthError, other.create, "/private/x")
    refused(NoAuthError, other.get_acls, "/private")
    refused(InvalidACLError, other.create, "/bad", acl=[make_acl("nonsense", "x", all=True)])
    local = [make_acl("ip", "127.0.0.0/8", read=True)]
    stat = zk.set_acls("/private", mine + local, version=0)
    assert stat.aversion == 1
    assert other.get("/private")[0] == b"hidden"
    refused(NoAuthError, other.set, "/private", b"x")
    refused(BadVersionError, zk.set_acls, "/private", mine, version=0)
    other.stop()
    other.close()


def multi(zk):
    t = zk.transaction()
    t.create("/m", b"0")
    t.create("/m/a")
    t.set_data("/m", b"1")
    t.check("/m", 1)
    t.delete("/m/a")
    results = t.commit()
    assert results[0] == "/m" and results[1] == "/m/a" and results[2].version == 1 and results[3:] == [True, True], results
    t = zk.transaction()
    t.create("/m/b")
    t.check("/m", 99)
    t.delete("/m")
    results = t.commit()
    assert [type(r) for r in results] == [RolledBackError, BadVersionError, RuntimeInconsistency], results
    assert zk.exists("/m/b") is None and zk.get("/m")[0] == b"1"


def watches(address, zk):
    other = KazooClient(address)
    other.start(PATIENCE)
    heard = []
    done = threading.Semaphore(0)

    def hear(event):
        heard.append((event.type, event.path))
        done.release()

    def expect(*events):
        for _ in events:
            assert done.acquire(timeout=PATIENCE), f"waiting for {events}, heard {heard}"
        assert sorted(heard) == sorted(events), heard
        heard.clear()

    assert zk.exists("/w", watch=hear) is None
    other.create("/w")
    expect(("CREATED", "/w"))
    zk.get("/w", watch=hear)
    other.set("/w", b"x")
    other.set("/w", b"y")
    expect(("CHANGED", "/w"))
    zk.get_children("/w", watch=hear)
    other.create("/w/c")
    expect(("CHILD", "/w"))
    zk.get("/w/c", watch=hear)
    zk.get_children("/w", watch=hear)
    other.delete("/w/c")
    expect(("DELETED", "/w/c"), ("CHILD", "/w"))
    other.stop()
    other.close()


def main(address):
    zk = KazooClient(address)
    zk.start(PATIENCE)
    nodes(zk)
    access(address, zk)
    multi(zk)
    watches(address, zk)
    answer = zk.command(b"mntr")
    assert any(f"zk_server_state\t{state}\n" in answer for state in ("standalone", "leader", "follower", "observer")), answer
    assert zk.command(b"ruok") == "imok"
    assert zk.server_version() >= (3, 8), zk.server_version()
    zk.stop()
    zk.close()
    again = KazooClient(address)
    again.start(PATIENCE)
    assert again.exists("/k/e-0000000003") is None, "the ephemeral outlived its session"
    again.stop()
    again.close()
    print("kazoo: all operations held")


main(sys.argv[1])
