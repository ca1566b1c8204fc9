//! What a run costs: CPU time and memory of the servers' processes and of this one, as Linux accounts for them.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

/// CPU time of this process so far.
pub(super) fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// CPU time of a process so far, user and system, all its threads; to a clock tick (10 ms).
pub(super) fn cpu(pid: u32) -> Result<Duration> {
    let stat = read(pid, "stat")?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("/proc/{pid}/stat: no CPU times in {stat:?}"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
}

/// Resident memory of a process, in bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    let status = read(pid, "status")?;
    resident_kib(&status).map(|kib| kib * 1024).with_context(|| format!("/proc/{pid}/status: no VmRSS"))
}

/// CPU time that this machine has spent on anything so far, all processors together, with what its host took from it.
pub(super) fn machine_cpu() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat")?;
    let ticks = busy_ticks(&stat).with_context(|| format!("/proc/stat: no CPU times in {stat:?}"))?;
    Ok(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
}

/// user + nice + system + steal of the line of all processors. Interrupts are left out: most are our own traffic.
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<u64> = stat
        .strip_prefix("cpu ")?
        .lines()
        .next()?
        .split_ascii_whitespace()
        .map_while(|field| field.parse().ok())
        .collect();
    Some(fields.get(..3)?.iter().sum::<u64>() + fields.get(7)?)
}

fn read(pid: u32, name: &str) -> Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{name}")).with_context(|| format!("server process {pid}"))
}

/// utime + stime of `/proc/PID/stat`. The command's name before them may hold blanks and parentheses.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn resident_kib(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// The processes that serve these addresses: the given ones, or for loopback addresses whoever listens there.
/// Empty if a server is elsewhere: then its cost cannot be seen from here.
pub(super) fn processes(given: &[u32], servers: &[SocketAddr]) -> Result<Vec<u32>> {
    if !given.is_empty() {
        for pid in given {
            cpu(*pid)?;
        }
        return Ok(given.to_vec());
    }
    if servers.iter().any(|server| !server.ip().is_loopback()) {
        return Ok(Vec::new());
    }
    let mut pids = servers.iter().map(|server| listener(server.port())).collect::<Result<Vec<u32>>>()?;
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// The process that listens on a TCP port of this machine.
fn listener(port: u16) -> Result<u32> {
    let tables: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .collect();
    let links: Vec<String> = tables
        .iter()
        .flat_map(|table| listening_inodes(table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    for entry in fs::read_dir("/proc")? {
        let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process that ends meanwhile, or that belongs to somebody else, is not the one.
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let targets = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
        for target in targets {
            if links.iter().any(|link| target.as_os_str() == link.as_str()) {
                return Ok(pid);
            }
        }
    }
    bail!("no process that may be looked at listens on port {port}; name the server's with --pid")
}

/// Inodes of the sockets of `/proc/net/tcp` that listen on a port.
fn listening_inodes(table: &str, port: u16) -> Vec<u64> {
    const LISTEN: &str = "0A";
    let inode = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (_, local) = fields.get(1)?.rsplit_once(':')?;
        let listens = fields.get(3) == Some(&LISTEN) && u16::from_str_radix(local, 16) == Ok(port);
        fields.get(9).filter(|_| listens)?.parse().ok()
    };
    table.lines().skip(1).filter_map(inode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn cpu_times_are_found_behind_any_command_name() {
        let stat = "7 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 30 0 12345 999 100 1";
        assert_eq!(cpu_ticks(stat), Some(300));
        assert_eq!(cpu_ticks("7 (java) S 1 2"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn the_machine_s_cpu_time_leaves_waiting_out() {
        let stat = "cpu  100 20 3 9999 888 77 66 5 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n";
        assert_eq!(busy_ticks(stat), Some(128));
        assert_eq!(busy_ticks("cpu  1 2 3\n"), None);
        assert!(machine_cpu().expect("Linux") > Duration::ZERO);
    }

    #[test]
    fn resident_memory_is_vm_rss() {
        let status = "Name:\tjava\nVmHWM:\t  2000 kB\nVmRSS:\t  1500 kB\nThreads:\t3\n";
        assert_eq!(resident_kib(status), Some(1500));
        assert_eq!(resident_kib("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn only_the_listener_of_the_port_is_found_in_the_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:0885 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0\n   \
            1: 0100007F:0885 0100007F:A000 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 20 4 30 10 -1\n   \
            2: 0100007F:0886 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4244 1 0 100 0 0 10 0\n";
        assert_eq!(listening_inodes(table, 0x885), [4242]);
        assert_eq!(listening_inodes(table, 0x887), [0_u64; 0]);
    }

    #[test]
    fn this_process_is_found_by_its_port_and_has_used_cpu_and_memory() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("bound");
        let pids = processes(&[], &[address, address]).expect("we listen");
        assert_eq!(pids, [std::process::id()]);
        assert!(resident(pids[0]).expect("we run") > 100_000);
        let before = (cpu(pids[0]).expect("we run"), own_cpu());
        while own_cpu() < before.1 + Duration::from_millis(50) {
            std::hint::black_box(listening_inodes("", 1));
        }
        let spent = cpu(pids[0]).expect("we run") - before.0;
        assert!(spent >= Duration::from_millis(30), "{spent:?}");
    }

    #[test]
    fn servers_elsewhere_cost_nothing_that_could_be_seen() {
        let elsewhere = "192.0.2.1:2181".parse().expect("an address");
        assert_eq!(processes(&[], &[elsewhere]).expect("nothing looked up"), [0_u32; 0]);
        assert!(processes(&[u32::MAX], &[elsewhere]).is_err());
    }
}
