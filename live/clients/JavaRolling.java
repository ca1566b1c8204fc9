import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.LinkedHashMap;
import java.util.Map;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.WatchedEvent;
import org.apache.zookeeper.Watcher;
import org.apache.zookeeper.ZooDefs.Ids;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

/**
 * A session of Java's client that writes and watches while servers are swapped for others and killed: JavaRolling HOST:PORT,… The
 * conversation is that of kazoo_rolling.py.
 */
public class JavaRolling implements Watcher {
    private static final String TOP = "/java-top";
    private static final String MINE = "/java-ephemeral";
    private static final long PATIENCE_MS = 120_000;

    private final Object gate = new Object();
    private final Map<String, Integer> acked = new LinkedHashMap<>();
    private boolean open = true;
    private boolean inside;
    private boolean ended;
    private boolean connected;
    private int top;
    private int seen = -1;
    private ZooKeeper zk;

    public static void main(String[] args) throws Exception {
        try {
            new JavaRolling().run(args[0]);
            System.exit(0);
        } catch (Throwable failure) {
            failure.printStackTrace();
            System.exit(1);
        }
    }

    @Override
    public void process(WatchedEvent event) {
        if (event.getState() == Event.KeeperState.Expired) {
            System.err.println("the session of Java's client has expired");
            Runtime.getRuntime().halt(1);
        }
        synchronized (gate) {
            connected = event.getState() == Event.KeeperState.SyncConnected;
            gate.notifyAll();
        }
    }

    private void run(String addresses) throws Exception {
        zk = new ZooKeeper(addresses, 30_000, this);
        await(() -> connected, "a connection");
        zk.create(MINE, new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.EPHEMERAL);
        zk.create(TOP, "0".getBytes(), Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        zk.create("/java", new byte[0], Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
        Thread eye = thread(this::watch);
        Thread hand = thread(this::write);
        BufferedReader said = new BufferedReader(new InputStreamReader(System.in));
        for (String line = said.readLine(); line != null; line = said.readLine()) {
            if (line.equals("go")) {
                shut(false);
                continue;
            }
            shut(true);
            await(() -> !inside, "the writer at rest");
            await(() -> seen == top, "the event of the last write");
            Stat stat = retry(() -> zk.exists(MINE, false));
            if (stat == null || stat.getEphemeralOwner() != zk.getSessionId()) {
                throw new AssertionError("the ephemeral is gone: " + stat);
            }
            if (line.equals("end")) {
                break;
            }
            System.out.println("PAUSED");
        }
        synchronized (gate) {
            ended = true;
            open = true;
            gate.notifyAll();
        }
        hand.join(PATIENCE_MS);
        for (Map.Entry<String, Integer> entry : acked.entrySet()) {
            byte[] data = retry(() -> zk.getData(entry.getKey(), false, null));
            if (Integer.parseInt(new String(data)) != entry.getValue()) {
                throw new AssertionError(entry + " reads " + new String(data));
            }
        }
        System.out.println("HELD " + acked.size());
        zk.close();
    }

    private void write() throws Exception {
        for (int number = 1;; number++) {
            synchronized (gate) {
                await(() -> open, "the end of the pause");
                if (ended) {
                    return;
                }
                inside = true;
            }
            String path = "/java/n" + number;
            byte[] data = Integer.toString(number).getBytes();
            try {
                zk.create(path, data, Ids.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
                acked.put(path, number);
            } catch (KeeperException.ConnectionLossException unknown) {
                // It may be there or not: nothing is claimed.
            }
            retry(() -> zk.setData(TOP, data, -1));
            System.out.println("ACKED " + acked.size());
            synchronized (gate) {
                top = number;
                inside = false;
                gate.notifyAll();
            }
        }
    }

    /** Follows the top by its watch alone. */
    private void watch() throws Exception {
        final Object rung = new Object();
        final int[] rings = {0};
        Watcher bell = event -> {
            if (event.getType() == Event.EventType.NodeDataChanged) {
                synchronized (rung) {
                    rings[0]++;
                    rung.notifyAll();
                }
            }
        };
        while (true) {
            int before;
            synchronized (rung) {
                before = rings[0];
            }
            int found = Integer.parseInt(new String(retry(() -> zk.getData(TOP, bell, null))));
            synchronized (gate) {
                if (found < seen) {
                    throw new AssertionError("back in time: " + found + " after " + seen);
                }
                seen = found;
                gate.notifyAll();
            }
            synchronized (rung) {
                while (rings[0] == before) {
                    rung.wait();
                }
            }
        }
    }

    private void shut(boolean isShut) {
        synchronized (gate) {
            open = !isShut;
            gate.notifyAll();
        }
    }

    private interface Condition {
        boolean holds();
    }

    private interface Step {
        void run() throws Exception;
    }

    private interface Ask<T> {
        T ask() throws KeeperException, InterruptedException;
    }

    private void await(Condition condition, String what) throws InterruptedException {
        long until = System.currentTimeMillis() + PATIENCE_MS;
        synchronized (gate) {
            while (!condition.holds()) {
                long left = until - System.currentTimeMillis();
                if (left <= 0) {
                    throw new AssertionError("gave up waiting for " + what);
                }
                gate.wait(left);
            }
        }
    }

    /** Asks again as often as the connection is lost. */
    private <T> T retry(Ask<T> ask) throws Exception {
        while (true) {
            try {
                return ask.ask();
            } catch (KeeperException.ConnectionLossException lost) {
                await(() -> connected, "a connection");
            }
        }
    }

    private static Thread thread(Step step) {
        Thread thread = new Thread(() -> {
            try {
                step.run();
            } catch (Throwable failure) {
                failure.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
        });
        thread.setDaemon(true);
        thread.start();
        return thread;
    }
}
