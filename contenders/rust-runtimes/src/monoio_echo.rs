//! The echo on monoio, which its two drivers share.

use std::io;
use std::net;
use std::sync::Arc;

use futures_lite::future::yield_now;
use monoio::buf::IoBuf;
use monoio::io::{AsyncReadRent, AsyncWriteRent};
use monoio::net::{TcpListener, TcpStream};
use monoio::time::sleep;

use crate::accept;
use crate::connection::{Connection, wrote_nothing};
use crate::worker::Worker;

/// Serves one listener inside a monoio runtime of this thread.
///
/// # Errors
/// When the driver does not take the listener.
pub async fn serve(worker: Arc<Worker>, listener: net::TcpListener) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    accept::until_stop(
        &worker,
        async || listener.accept().await.map(|(stream, _)| stream),
        async |rest| sleep(rest).await,
        |stream, connection| drop(monoio::spawn(echo(stream, connection))),
    )
    .await;
    Ok(())
}

async fn echo(mut stream: TcpStream, mut connection: Connection) {
    let outcome = turns(&mut stream, &mut connection).await;
    connection.end(outcome);
}

/// The buffer is lent to the kernel for each call and comes back with its result (monoio's "rent").
async fn turns(stream: &mut TcpStream, connection: &mut Connection) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(connection.read_buffer_bytes());
    loop {
        let (read, lent) = stream.read(buffer).await;
        buffer = lent;
        let bytes = read?;
        if bytes == 0 {
            return Ok(());
        }
        connection.received(bytes);
        if connection.should_yield(bytes) {
            yield_now().await;
        }
        let mut done = 0;
        while done < bytes {
            let (wrote, lent) = stream.write(buffer.slice(done..bytes)).await;
            buffer = lent.into_inner();
            let wrote = wrote?;
            if wrote == 0 {
                return Err(wrote_nothing());
            }
            done += wrote;
            connection.sent(wrote, bytes - done);
        }
    }
}
