//! The health check of a running server, for images that hold no other program that could ask.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// Asks the server whose metrics are at `metrics` for /healthz; 0 when it is well.
pub fn check(metrics: SocketAddr) -> ExitCode {
    let address = reachable(metrics);
    match ask(address) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200 ") => ExitCode::SUCCESS,
        Ok(answer) => {
            let status = answer.lines().next().unwrap_or("nothing");
            eprintln!("error: http://{address}/healthz answered `{status}`");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!(
                "error: http://{address}/healthz: {error}; is the server running, with this --metrics address?"
            );
            ExitCode::FAILURE
        }
    }
}

/// A server that listens on every address is asked on the loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    // What is no HTTP server may send without end.
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_asked_on_the_loopback() {
        let text = |address: &str| reachable(address.parse().unwrap()).to_string();
        assert_eq!(text("0.0.0.0:9100"), "127.0.0.1:9100");
        assert_eq!(text("[::]:9100"), "[::1]:9100");
        assert_eq!(text("10.0.0.7:1"), "10.0.0.7:1");
    }
}
