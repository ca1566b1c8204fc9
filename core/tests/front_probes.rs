//! Probes of a server's behaviour that have surprised people (semantics §19), each against a real server's answer.

mod one_server;

use one_server::Server;
#[test]
fn x() {
    let mut s = Server::new();
    let c = s.connect();
    println!("{:?}", s.take(c));
}
