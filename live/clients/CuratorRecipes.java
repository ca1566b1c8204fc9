import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.api.transaction.CuratorTransactionResult;
import org.apache.curator.framework.recipes.atomic.AtomicValue;
import org.apache.curator.framework.recipes.atomic.DistributedAtomicLong;
import org.apache.curator.framework.recipes.barriers.DistributedBarrier;
import org.apache.curator.framework.recipes.barriers.DistributedDoubleBarrier;
import org.apache.curator.framework.recipes.cache.CuratorCache;
import org.apache.curator.framework.recipes.cache.CuratorCacheListener;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderSelector;
import org.apache.curator.framework.recipes.leader.LeaderSelectorListenerAdapter;
import org.apache.curator.framework.recipes.locks.InterProcessMultiLock;
import org.apache.curator.framework.recipes.locks.InterProcessMutex;
import org.apache.curator.framework.recipes.locks.InterProcessReadWriteLock;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreV2;
import org.apache.curator.framework.recipes.locks.Lease;
import org.apache.curator.framework.recipes.nodes.GroupMember;
import org.apache.curator.framework.recipes.nodes.PersistentNode;
import org.apache.curator.framework.recipes.nodes.PersistentTtlNode;
import org.apache.curator.framework.recipes.shared.SharedCount;
import org.apache.curator.framework.recipes.shared.SharedCountListener;
import org.apache.curator.framework.recipes.shared.SharedCountReader;
import org.apache.curator.framework.state.ConnectionState;
import org.apache.curator.retry.RetryNTimes;
import org.apache.curator.x.discovery.ServiceCache;
import org.apache.curator.x.discovery.ServiceDiscovery;
import org.apache.curator.x.discovery.ServiceDiscoveryBuilder;
import org.apache.curator.x.discovery.ServiceInstance;
import org.apache.curator.x.discovery.details.ServiceCacheListener;
import org.apache.zookeeper.CreateMode;
import org.apache.zookeeper.KeeperException;
import org.apache.zookeeper.data.Stat;

/** Curator's recipes, each between two clients. Usage: CuratorRecipes HOST:PORT */
public final class CuratorRecipes {
    private static final int PATIENCE_S = 60;
    private static int held;
    private final String address;
    private final List<CuratorFramework> clients = new ArrayList<>();
    private final ExecutorService others = Executors.newCachedThreadPool();

    private CuratorRecipes(String address) {
        this.address = address;
    }

    public static void main(String[] args) throws Exception {
        CuratorRecipes recipes = new CuratorRecipes(args[0]);
        try {
            recipes.roots();
            recipes.locks();
            recipes.leaders();
            recipes.barriers();
            recipes.caches();
            recipes.counters();
            recipes.nodes();
            recipes.discovery();
            recipes.transactions();
        } finally {
            recipes.clients.forEach(CuratorFramework::close);
            recipes.others.shutdownNow();
        }
        System.out.println("curator: " + held + " checks held");
    }

    private CuratorFramework connect() throws Exception {
        CuratorFramework client =
            CuratorFrameworkFactory.newClient(address, 20000, 20000, new RetryNTimes(3, 100));
        client.start();
        check("connected", client.blockUntilConnected(PATIENCE_S, TimeUnit.SECONDS));
        clients.add(client);
        return client;
    }

    /** Curator makes containers of missing parents: one that is empty may go while it makes another one below. */
    private void roots() throws Exception {
        CuratorFramework client = connect();
        for (String root : Arrays.asList("/locks", "/leaders", "/barriers", "/counters", "/nodes", "/services")) {
            client.create().forPath(root);
        }
    }

    private void locks() throws Exception {
        CuratorFramework one = connect();
        CuratorFramework two = connect();
        InterProcessMutex mine = new InterProcessMutex(one, "/locks/mutex");
        InterProcessMutex theirs = new InterProcessMutex(two, "/locks/mutex");
        check("a free lock is taken", mine.acquire(PATIENCE_S, TimeUnit.SECONDS));
        check("twice by its owner", mine.acquire(PATIENCE_S, TimeUnit.SECONDS));
        check("by nobody else", !theirs.acquire(50, TimeUnit.MILLISECONDS));
        Future<Boolean> waiting = others.submit(() -> theirs.acquire(PATIENCE_S, TimeUnit.SECONDS));
        eventually("two stand in line", () -> theirs.getParticipantNodes().size() == 2);
        mine.release();
        check("held until the last release", !waiting.isDone());
        mine.release();
        check("then handed on", waiting.get(PATIENCE_S, TimeUnit.SECONDS));
        two.close();
        check("freed by the end of its session", mine.acquire(PATIENCE_S, TimeUnit.SECONDS));
        mine.release();

        CuratorFramework three = connect();
        InterProcessReadWriteLock ours = new InterProcessReadWriteLock(one, "/locks/rw");
        InterProcessReadWriteLock other = new InterProcessReadWriteLock(three, "/locks/rw");
        check("read", ours.readLock().acquire(PATIENCE_S, TimeUnit.SECONDS));
        check("read by two", other.readLock().acquire(PATIENCE_S, TimeUnit.SECONDS));
        other.readLock().release();
        check("no writer beside a reader", !other.writeLock().acquire(50, TimeUnit.MILLISECONDS));
        ours.readLock().release();
        check("a writer alone", other.writeLock().acquire(PATIENCE_S, TimeUnit.SECONDS));
        check("no reader beside a writer", !ours.readLock().acquire(50, TimeUnit.MILLISECONDS));
        other.writeLock().release();

        InterProcessSemaphoreV2 seats = new InterProcessSemaphoreV2(one, "/locks/seats", 2);
        List<Lease> taken = new ArrayList<>(seats.acquire(2));
        check("two of two leases", taken.size() == 2);
        check("no third", seats.acquire(50, TimeUnit.MILLISECONDS) == null);
        seats.returnLease(taken.remove(0));
        InterProcessSemaphoreV2 elsewhere = new InterProcessSemaphoreV2(three, "/locks/seats", 2);
        Lease lease = elsewhere.acquire(PATIENCE_S, TimeUnit.SECONDS);
        check("the returned one, elsewhere", lease != null);
        elsewhere.returnLease(lease);
        seats.returnAll(taken);

        List<String> paths = Arrays.asList("/locks/a", "/locks/b");
        InterProcessMultiLock both = new InterProcessMultiLock(one, paths);
        InterProcessMultiLock again = new InterProcessMultiLock(three, paths);
        check("several at once", both.acquire(PATIENCE_S, TimeUnit.SECONDS));
        check("all or none", !again.acquire(50, TimeUnit.MILLISECONDS));
        both.release();
    }

    private void leaders() throws Exception {
        CuratorFramework one = connect();
        CuratorFramework two = connect();
        LeaderLatch first = new LeaderLatch(one, "/leaders/latch", "one");
        first.start();
        check("the first leads", first.await(PATIENCE_S, TimeUnit.SECONDS));
        LeaderLatch second = new LeaderLatch(two, "/leaders/latch", "two");
        second.start();
        eventually("two candidates", () -> second.getParticipants().size() == 2);
        check("the second sees who leads", second.getLeader().getId().equals("one") && !second.hasLeadership());
        first.close();
        check("the second follows", second.await(PATIENCE_S, TimeUnit.SECONDS));
        second.close();

        BlockingQueue<String> terms = new LinkedBlockingQueue<>();
        CountDownLatch enough = new CountDownLatch(1);
        LeaderSelector early = selector(one, "early", terms, enough);
        check("selected", "early".equals(terms.poll(PATIENCE_S, TimeUnit.SECONDS)));
        LeaderSelector late = selector(two, "late", terms, enough);
        eventually("both are in", () -> late.getParticipants().size() == 2);
        check("one leads", early.hasLeadership() && !late.hasLeadership() && terms.isEmpty());
        enough.countDown();
        check("and the other after it", "late".equals(terms.poll(PATIENCE_S, TimeUnit.SECONDS)));
        early.close();
        late.close();
    }

    private static LeaderSelector selector(
            CuratorFramework client, String id, BlockingQueue<String> terms, CountDownLatch enough) {
        LeaderSelector selector =
            new LeaderSelector(client, "/leaders/selector", new LeaderSelectorListenerAdapter() {
                @Override
                public void takeLeadership(CuratorFramework of) throws Exception {
                    terms.add(id);
                    enough.await();
                }
            });
        selector.setId(id);
        selector.start();
        return selector;
    }

    private void barriers() throws Exception {
        CuratorFramework one = connect();
        CuratorFramework two = connect();
        DistributedBarrier barrier = new DistributedBarrier(one, "/barriers/one");
        barrier.setBarrier();
        DistributedBarrier waited = new DistributedBarrier(two, "/barriers/one");
        check("closed", !waited.waitOnBarrier(50, TimeUnit.MILLISECONDS));
        Future<Boolean> passed = others.submit(() -> waited.waitOnBarrier(PATIENCE_S, TimeUnit.SECONDS));
        barrier.removeBarrier();
        check("opened", passed.get(PATIENCE_S, TimeUnit.SECONDS));

        DistributedDoubleBarrier in = new DistributedDoubleBarrier(one, "/barriers/two", 2);
        DistributedDoubleBarrier too = new DistributedDoubleBarrier(two, "/barriers/two", 2);
        Future<Boolean> entered = others.submit(() -> in.enter(PATIENCE_S, TimeUnit.SECONDS));
        check("entered together", too.enter(PATIENCE_S, TimeUnit.SECONDS) && entered.get());
        Future<Boolean> left = others.submit(() -> in.leave(PATIENCE_S, TimeUnit.SECONDS));
        check("left together", too.leave(PATIENCE_S, TimeUnit.SECONDS) && left.get());
    }

    private void caches() throws Exception {
        CuratorFramework writer = connect();
        CuratorFramework reader = connect();
        writer.create().creatingParentsIfNeeded().forPath("/cache/there", bytes("0"));
        BlockingQueue<String> events = new LinkedBlockingQueue<>();
        CountDownLatch filled = new CountDownLatch(1);
        CuratorCache cache = CuratorCache.build(reader, "/cache");
        cache.listenable().addListener(CuratorCacheListener.builder()
            .forCreates(node -> events.add("+" + node.getPath()))
            .forChanges((old, node) -> events.add(text(old.getData()) + ">" + text(node.getData())))
            .forDeletes(node -> events.add("-" + node.getPath()))
            .forInitialized(filled::countDown)
            .build());
        cache.start();
        check("filled", filled.await(PATIENCE_S, TimeUnit.SECONDS));
        check("with what was there", text(cache.get("/cache/there").get().getData()).equals("0"));
        events.clear();
        writer.setData().forPath("/cache/there", bytes("1"));
        heard(events, "0>1");
        writer.create().forPath("/cache/there/below", bytes("x"));
        heard(events, "+/cache/there/below");
        writer.delete().deletingChildrenIfNeeded().forPath("/cache/there");
        heard(events, "-/cache/there/below");
        heard(events, "-/cache/there");
        for (int i = 0; i < 200; i++) {
            writer.create().forPath("/cache/n" + i, bytes("" + i));
        }
        eventually("two hundred and the root", () -> cache.size() == 201);
        check("each with its data", cache.stream().filter(node -> !node.getPath().equals("/cache"))
            .allMatch(node -> node.getPath().equals("/cache/n" + text(node.getData()))));
        cache.close();
    }

    private void counters() throws Exception {
        CuratorFramework one = connect();
        CuratorFramework two = connect();
        SharedCount mine = new SharedCount(one, "/counters/shared", 7);
        SharedCount theirs = new SharedCount(two, "/counters/shared", 9);
        mine.start();
        theirs.start();
        check("the first seed holds", theirs.getCount() == 7);
        BlockingQueue<Integer> counts = new LinkedBlockingQueue<>();
        theirs.addListener(new SharedCountListener() {
            @Override
            public void countHasChanged(SharedCountReader from, int count) {
                counts.add(count);
            }

            @Override
            public void stateChanged(CuratorFramework of, ConnectionState state) {
            }
        });
        mine.setCount(8);
        check("a change is told", Integer.valueOf(8).equals(counts.poll(PATIENCE_S, TimeUnit.SECONDS)));
        check("a guess that is right", theirs.trySetCount(theirs.getVersionedValue(), 10));
        eventually("and told back", () -> mine.getCount() == 10);
        mine.close();
        theirs.close();

        List<Future<Void>> adders = new ArrayList<>();
        for (CuratorFramework client : Arrays.asList(one, two)) {
            adders.add(others.submit(() -> {
                DistributedAtomicLong sum =
                    new DistributedAtomicLong(client, "/counters/sum", new RetryNTimes(1000, 1));
                for (int added = 0; added < 50; added++) {
                    check("added", sum.increment().succeeded());
                }
                return null;
            }));
        }
        for (Future<Void> adder : adders) {
            adder.get(PATIENCE_S, TimeUnit.SECONDS);
        }
        AtomicValue<Long> sum =
            new DistributedAtomicLong(one, "/counters/sum", new RetryNTimes(1, 1)).get();
        check("none lost", sum.succeeded() && sum.postValue() == 100);
    }

    private void nodes() throws Exception {
        CuratorFramework one = connect();
        CuratorFramework two = connect();
        PersistentNode node =
            new PersistentNode(one, CreateMode.EPHEMERAL, false, "/nodes/persistent", bytes("here"));
        node.start();
        check("made", node.waitForInitialCreate(PATIENCE_S, TimeUnit.SECONDS));
        Stat before = two.checkExists().forPath("/nodes/persistent");
        two.delete().forPath("/nodes/persistent");
        eventually("made again", () -> {
            Stat now = two.checkExists().forPath("/nodes/persistent");
            return now != null && now.getCzxid() > before.getCzxid();
        });
        node.close();
        check("gone with it", two.checkExists().forPath("/nodes/persistent") == null);

        GroupMember member = new GroupMember(one, "/nodes/group", "one", bytes("1"));
        GroupMember other = new GroupMember(two, "/nodes/group", "two", bytes("2"));
        member.start();
        other.start();
        eventually("both are members", () -> member.getCurrentMembers().keySet().containsAll(
            Arrays.asList("one", "two")));
        eventually("with their data", () -> "2".equals(text(member.getCurrentMembers().get("two"))));
        other.close();
        eventually("until one leaves", () -> !member.getCurrentMembers().containsKey("two"));
        member.close();

        PersistentTtlNode lasting = new PersistentTtlNode(one, "/nodes/lasting", 2000, bytes("x"));
        lasting.start();
        check("with a TTL", lasting.waitForInitialCreate(PATIENCE_S, TimeUnit.SECONDS));
        eventually("touched", () -> two.checkExists().forPath("/nodes/lasting/touch") != null);
        lasting.close();
        eventually("over", () -> two.checkExists().forPath("/nodes/lasting") == null);
    }

    private void discovery() throws Exception {
        CuratorFramework one = connect();
        CuratorFramework two = connect();
        ServiceInstance<String> service = ServiceInstance.<String>builder()
            .name("search").id("s-1").address("127.0.0.1").port(4711).payload("blue").build();
        ServiceDiscovery<String> offers = ServiceDiscoveryBuilder.builder(String.class)
            .client(one).basePath("/services").thisInstance(service).build();
        offers.start();
        ServiceDiscovery<String> finds =
            ServiceDiscoveryBuilder.builder(String.class).client(two).basePath("/services").build();
        finds.start();
        check("named", finds.queryForNames().equals(Collections.singletonList("search")));
        ServiceInstance<String> found = finds.queryForInstance("search", "s-1");
        check("found", found.getPort() == 4711 && found.getPayload().equals("blue"));
        ServiceCache<String> cache = finds.serviceCacheBuilder().name("search").build();
        BlockingQueue<Integer> sizes = new LinkedBlockingQueue<>();
        cache.addListener(new ServiceCacheListener() {
            @Override
            public void cacheChanged() {
                sizes.add(cache.getInstances().size());
            }

            @Override
            public void stateChanged(CuratorFramework of, ConnectionState state) {
            }
        });
        cache.start();
        check("cached", cache.getInstances().size() == 1);
        offers.unregisterService(service);
        eventually("withdrawn", () -> cache.getInstances().isEmpty());
        check("and told", sizes.poll(PATIENCE_S, TimeUnit.SECONDS) != null);
        cache.close();
        finds.close();
        offers.close();
    }

    private void transactions() throws Exception {
        CuratorFramework client = connect();
        List<CuratorTransactionResult> results = client.transaction().forOperations(
            client.transactionOp().create().forPath("/tx", bytes("0")),
            client.transactionOp().create().withMode(CreateMode.PERSISTENT_SEQUENTIAL).forPath("/tx/n-"),
            client.transactionOp().setData().withVersion(0).forPath("/tx", bytes("1")),
            client.transactionOp().check().withVersion(1).forPath("/tx"));
        check("all", results.get(1).getResultPath().equals("/tx/n-0000000000"));
        long created = client.checkExists().forPath("/tx").getCzxid();
        check("in one", results.get(2).getResultStat().getMzxid() == created);
        try {
            client.transaction().forOperations(
                client.transactionOp().setData().forPath("/tx", bytes("2")),
                client.transactionOp().delete().withVersion(5).forPath("/tx/n-0000000000"));
            throw new AssertionError("a wrong version held");
        } catch (KeeperException.BadVersionException expected) {
            check("or none", text(client.getData().forPath("/tx")).equals("1"));
        }
    }

    private static void heard(BlockingQueue<String> events, String expected) throws Exception {
        String event = events.poll(PATIENCE_S, TimeUnit.SECONDS);
        check(expected + ", not " + event, expected.equals(event));
    }

    private static void eventually(String what, Callable<Boolean> done) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_S);
        boolean holds = done.call();
        while (!holds && System.nanoTime() < end) {
            Thread.sleep(10);
            holds = done.call();
        }
        check(what, holds);
    }

    private static synchronized void check(String what, boolean holds) {
        if (!holds) {
            throw new AssertionError("does not hold: " + what);
        }
        held++;
    }

    private static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    private static String text(byte[] bytes) {
        return new String(bytes, StandardCharsets.UTF_8);
    }
}
