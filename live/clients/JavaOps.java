import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.zookeeper.AsyncCallback;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.Op;
import org.apache.zookeeper.OpResult;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooDefs.Perms;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Id;
import org.apache.zookeeper.data.Stat;
import org.apache.zookeeper.server.auth.DigestAuthenticationProvider;

/** Every operation of the client API through Apache's own Java client. Usage: JavaOps HOST:PORT */
public final class JavaOps {
    private static final int PATIENCE_S = 60;
    private final String address;

    private JavaOps(String address) {
        this.address = address;
    }

    public static void main(String[] args) throws Exception {
        JavaOps ops = new JavaOps(args[0]);
        Cuttable zk = ops.connect();
        ops.nodes(zk);
        ops.access(zk);
        ops.multi(zk);
        ops.watches(zk);
        ops.pipelined(zk);
        ops.reattach(zk);
        System.out.println("java: all operations held");
    }

    /** A client whose wire can be cut without closing its session. */
    private static final class Cuttable extends ZooKeeper {
        Cuttable(String address, Watcher watcher) throws Exception {
            super(address, 20000, watcher);
        }

        void cut() {
            cnxn.disconnect();
        }
    }

    private Cuttable connect() throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        Cuttable zk = new Cuttable(address, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        check(connected.await(PATIENCE_S, TimeUnit.SECONDS), "connected");
        return zk;
    }

    private static void check(boolean held, String what) {
        if (!held) {
            throw new AssertionError(what);
        }
    }

    private interface Call {
        void run() throws Exception;
    }

    private static void refused(KeeperException.Code code, Call call) throws Exception {
        try {
            call.run();
        } catch (KeeperException e) {
            check(e.code() == code, "expected " + code + ", found " + e.code());
            return;
        }
        throw new AssertionError("not refused with " + code);
    }

    private void nodes(ZooKeeper zk) throws Exception {
        check(zk.create("/j", "one".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT).equals("/j"), "create");
        Stat stat = new Stat();
        zk.create("/j2", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, stat);
        check(stat.getVersion() == 0 && stat.getCzxid() == stat.getMzxid(), "create2 stat " + stat);
        check(zk.getData("/j2", false, stat) == null, "null data stays null");
        zk.setData("/j2", new byte[0], 0);
        check(zk.getData("/j2", false, stat).length == 0, "empty data stays empty");
        refused(KeeperException.Code.NODEEXISTS, () -> zk.create("/j", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        refused(KeeperException.Code.NONODE, () -> zk.create("/no/x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        String seq = zk.create("/j/s-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT_SEQUENTIAL);
        check(seq.equals("/j/s-0000000000"), seq);
        String eph = zk.create("/j/e-", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL_SEQUENTIAL);
        check(eph.equals("/j/e-0000000001"), eph);
        check(zk.exists(eph, false).getEphemeralOwner() == zk.getSessionId(), "owner");
        refused(KeeperException.Code.NOCHILDRENFOREPHEMERALS,
            () -> zk.create(eph + "/x", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
        refused(KeeperException.Code.NOTEMPTY, () -> zk.delete("/j", -1));
        refused(KeeperException.Code.BADVERSION, () -> zk.setData("/j", null, 4));
        refused(KeeperException.Code.BADVERSION, () -> zk.delete("/j2", 0));
        List<String> children = zk.getChildren("/j", false);
        check(children.size() == 2, "getChildren " + children);
        check(zk.getChildren("/j", false, stat).size() == 2 && stat.getCversion() == 2, "getChildren2 " + stat);
        check(zk.exists("/absent", false) == null, "exists");
        CountDownLatch synced = new CountDownLatch(1);
        zk.sync("/j", (rc, path, ctx) -> synced.countDown(), null);
        check(synced.await(PATIENCE_S, TimeUnit.SECONDS), "sync");
        zk.delete("/j2", 1);
        check(zk.exists("/j2", false) == null, "deleted");
    }

    private void access(ZooKeeper zk) throws Exception {
        zk.addAuthInfo("digest", "alice:secret".getBytes());
        zk.create("/own", "x".getBytes(), Ids.CREATOR_ALL_ACL, CreateMode.PERSISTENT);
        Stat stat = new Stat();
        List<ACL> acl = zk.getACL("/own", stat);
        check(acl.get(0).getId().getId().equals(DigestAuthenticationProvider.generateDigest("alice:secret")), "" + acl);
        ZooKeeper other = connect();
        refused(KeeperException.Code.NOAUTH, () -> other.getData("/own", false, null));
        refused(KeeperException.Code.NOAUTH, () -> other.setData("/own", null, -1));
        List<ACL> wider = new ArrayList<>(acl);
        wider.add(new ACL(Perms.READ, new Id("ip", "127.0.0.1")));
        check(zk.setACL("/own", wider, 0).getAversion() == 1, "setACL");
        check(new String(other.getData("/own", false, null)).equals("x"), "read by address");
        String masked = other.getACL("/own", stat).get(0).getId().getId();
        check(masked.equals("alice:x"), "digest masked without ADMIN: " + masked);
        refused(KeeperException.Code.INVALIDACL,
            () -> other.create("/bad", null, Arrays.asList(new ACL(31, new Id("none", "x"))), CreateMode.PERSISTENT));
        other.close();
    }

    private void multi(ZooKeeper zk) throws Exception {
        List<OpResult> results = zk.multi(Arrays.asList(
            Op.create("/jm", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT),
            Op.create("/jm/a", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL),
            Op.setData("/jm", "1".getBytes(), 0), Op.check("/jm", 1), Op.delete("/jm/a", -1)));
        check(results.size() == 5 && ((OpResult.SetDataResult) results.get(2)).getStat().getVersion() == 1, "" + results);
        try {
            zk.multi(Arrays.asList(Op.delete("/jm", 1), Op.check("/absent", 0), Op.delete("/j", -1)));
            throw new AssertionError("a multi with a failing check went through");
        } catch (KeeperException e) {
            check(e.code() == KeeperException.Code.NONODE, "" + e.code());
            check(((OpResult.ErrorResult) e.getResults().get(2)).getErr() == -2, "later entries are -2");
        }
        check(zk.exists("/jm", false) != null, "nothing of a failed multi happened");
    }

    private void watches(ZooKeeper zk) throws Exception {
        BlockingQueue<WatchedEvent> heard = new ArrayBlockingQueue<>(16);
        ZooKeeper other = connect();
        zk.exists("/jw", heard::add);
        other.create("/jw", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        expect(heard, Watcher.Event.EventType.NodeCreated, "/jw");
        zk.getData("/jw", heard::add, null);
        other.setData("/jw", null, -1);
        expect(heard, Watcher.Event.EventType.NodeDataChanged, "/jw");
        zk.getChildren("/jw", heard::add);
        other.create("/jw/c", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        expect(heard, Watcher.Event.EventType.NodeChildrenChanged, "/jw");
        zk.getData("/jw/c", heard::add, null);
        other.close();
        expect(heard, Watcher.Event.EventType.NodeDeleted, "/jw/c");
        check(heard.isEmpty(), "one event a watch: " + heard);
    }

    private static void expect(BlockingQueue<WatchedEvent> heard, Watcher.Event.EventType type, String path) throws Exception {
        WatchedEvent event = heard.poll(PATIENCE_S, TimeUnit.SECONDS);
        check(event != null && event.getType() == type && event.getPath().equals(path), "expected " + type + ", heard " + event);
    }

    private void pipelined(ZooKeeper zk) throws Exception {
        int count = 2000;
        List<Integer> order = new ArrayList<>();
        CountDownLatch done = new CountDownLatch(count);
        zk.create("/jp", null, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        for (int i = 0; i < count; i++) {
            AsyncCallback.StringCallback reply = (rc, path, ctx, name) -> {
                if (rc == 0) {
                    order.add((Integer) ctx);
                }
                done.countDown();
            };
            zk.create("/jp/n" + i, new byte[100], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT, reply, i);
        }
        check(done.await(PATIENCE_S, TimeUnit.SECONDS), "2000 pipelined creates");
        for (int i = 0; i < count; i++) {
            check(order.get(i) == i, "replies in the order of requests");
        }
        check(zk.exists("/jp", false).getNumChildren() == count, "all there");
    }

    private void reattach(Cuttable zk) throws Exception {
        zk.create("/je", null, Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        zk.cut();
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper again = new ZooKeeper(address, 20000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        }, zk.getSessionId(), zk.getSessionPasswd());
        check(connected.await(PATIENCE_S, TimeUnit.SECONDS), "re-attached");
        check(again.getSessionId() == zk.getSessionId(), "same session");
        check(again.exists("/je", false).getEphemeralOwner() == again.getSessionId(), "the ephemeral is still its own");
        again.close();
        ZooKeeper after = connect();
        check(after.exists("/je", false) == null, "closing the session removed it");
        after.close();
    }
}
