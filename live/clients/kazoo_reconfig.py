"""One reconfig. Usage: kazoo_reconfig.py HOSTS JOINING LEAVING, "-" for none. Prints the new members."""

import sys

from kazoo.client import KazooClient


def main(hosts, joining, leaving):
    zk = KazooClient(hosts, timeout=30.0)
    zk.start(60)
    given = lambda text: None if text == "-" else text  # noqa: E731
    data, _ = zk.reconfig(given(joining), given(leaving), None)
    print(data.decode())
    zk.stop()


main(*sys.argv[1:])
