import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.ACL;
import org.apache.zookeeper.data.Stat;

/**
 * Prints the whole tree as Java's client reads it, one node a line, sorted: path, data, stat, ACL.
 * Without the nodes below /zookeeper, which every server keeps for itself. Usage: TreeDump HOST:PORT
 */
public final class TreeDump {
    public static void main(String[] args) throws Exception {
        CountDownLatch connected = new CountDownLatch(1);
        ZooKeeper zk = new ZooKeeper(args[0], 20000, event -> {
            if (event.getState() == Watcher.Event.KeeperState.SyncConnected) {
                connected.countDown();
            }
        });
        connected.await();
        zk.addAuthInfo("digest", "alice:secret".getBytes());
        List<String> lines = new ArrayList<>();
        dump(zk, "/", lines);
        Collections.sort(lines);
        lines.forEach(System.out::println);
        zk.close();
    }

    private static void dump(ZooKeeper zk, String path, List<String> lines) throws Exception {
        Stat stat = new Stat();
        byte[] data = zk.getData(path, false, stat);
        List<ACL> acl = zk.getACL(path, null);
        String shown = data == null ? "null" : Base64.getEncoder().encodeToString(data);
        lines.add("TREE " + path + " " + shown + " " + stat.toString().replace("\n", "") + " " + acl.toString().replace("\n", ""));
        for (String child : zk.getChildren(path, false)) {
            String below = path.equals("/") ? "/" + child : path + "/" + child;
            if (!below.startsWith("/zookeeper/")) {
                dump(zk, below, lines);
            }
        }
    }
}
