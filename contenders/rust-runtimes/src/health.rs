//! The health check of containers without a shell: one GET of /healthz.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// A server that takes longer is not healthy.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks /healthz at `address`.
///
/// # Errors
/// When it doesn't answer, or not with 200.
pub fn check(address: SocketAddr) -> Result<(), Failure> {
    match ask(address) {
        Ok(answer) if answer.starts_with(b"HTTP/1.1 200") => Ok(()),
        Ok(_) => Err(Failure::Failed(format!(
            "{address} answers, but not that it is healthy"
        ))),
        Err(error) => Err(Failure::Failed(format!("{address} does not answer: {error}"))),
    }
}

fn ask(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}
