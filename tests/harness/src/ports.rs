//! Free ports of the loopback interface.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Mutex;

static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());

/// An address of 127.0.0.1 that nothing listens on, and that this process will not be given again.
///
/// It lies below the kernel's ephemeral range. Inside it, the port of a stopped server could become the
/// local port of somebody's outgoing connection; a client that retries could even connect to itself.
pub fn free() -> SocketAddr {
    let mut taken = TAKEN.lock().expect("no one panics while holding the ports");
    let top = ephemeral_start();
    for _ in 0..1000 {
        let port = 10_000 + (random() % u32::from(top - 10_000)) as u16;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if !taken.contains(&port) && TcpListener::bind(address).is_ok() {
            taken.insert(port);
            return address;
        }
    }
    panic!("no free port between 10000 and {top} in a thousand tries");
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
