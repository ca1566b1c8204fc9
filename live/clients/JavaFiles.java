import java.util.Scanner;
import org.apache.zookeeper.server.SnapshotFormatter;
import org.apache.zookeeper.server.persistence.TxnLogToolkit;

/** Dumps logs and snapshots with Java's own tools, each behind a line with its name. Usage: JavaFiles FILE... */
public final class JavaFiles {
    public static void main(String[] args) throws Exception {
        for (String file : args) {
            System.out.println("=== " + file);
            if (file.contains("/log.")) {
                try (TxnLogToolkit toolkit = new TxnLogToolkit(false, false, file, false)) {
                    toolkit.dump(new Scanner(""));
                }
            } else {
                new SnapshotFormatter().run(file, true, false);
            }
        }
    }
}
