//! Free ports of the loopback interface, or of the one that the pods of a node reach.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as Name, UnixListener};
use std::sync::Mutex;

/// A name in the kernel's abstract namespace stands for a port that was given out. It is ours until this
/// process ends, and no other test process can take it meanwhile, whether the port is in use yet or not.
static TAKEN: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());

/// An address of [`host`] that nothing listens on, and that no test process will be given while we live.
///
/// The port after it is free as well: Vault takes that one for its cluster, unasked. Both lie below the
/// kernel's ephemeral range. Inside it, the port of a stopped server could become the local port of
/// somebody's outgoing connection; a client that retries could even connect to itself.
pub fn free() -> SocketAddr {
    let top = ephemeral_start();
    let pairs = u32::from(top - FIRST) / 2;
    for _ in 0..1000 {
        let port = FIRST + 2 * (random() % pairs) as u16;
        let name = Name::from_abstract_name(format!("leasehold-tests-port-{port}")).expect("a short name");
        let Ok(ours) = UnixListener::bind_addr(&name) else { continue };
        if is_unused(port) && is_unused(port + 1) {
            TAKEN.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(ours);
            return SocketAddr::from((host(), port));
        }
    }
    panic!("no free port between {FIRST} and {top} in a thousand tries");
}

/// Where servers listen: 127.0.0.1, or `LEASEHOLD_TEST_HOST`.
pub fn host() -> IpAddr {
    let set = std::env::var("LEASEHOLD_TEST_HOST").ok().filter(|host| !host.is_empty());
    set.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |host| {
        host.parse().expect("LEASEHOLD_TEST_HOST is an IP address")
    })
}

const FIRST: u16 = 10_000;

/// Asked by connecting. A socket bound for a look would live on for a moment in any child that another
/// thread is just forking, and the port would be in use for whoever was given it.
fn is_unused(port: u16) -> bool {
    let connected = TcpStream::connect((host(), port));
    connected.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

fn ephemeral_start() -> u16 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|range| range.split_whitespace().next()?.parse().ok())
        .filter(|&start| start > 12_000)
        .unwrap_or(32_768)
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .expect("getrandom answers once the kernel is up");
    u32::from_ne_bytes(bytes)
}
