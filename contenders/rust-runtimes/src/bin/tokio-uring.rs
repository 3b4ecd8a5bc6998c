//! The echo on tokio-uring: tokio's single thread with io_uring below.

use std::io;
use std::net;
use std::process::ExitCode;
use std::sync::Arc;

use rust_runtimes::connection::{Connection, wrote_nothing};
use rust_runtimes::worker::Worker;
use rust_runtimes::{Contender, Sharing, accept, probe};
use tokio::time::sleep;
use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

const CONTENDER: Contender = Contender {
    name: "tokio-uring",
    about: "Echoes every byte of every connection, on tokio-uring",
    sharing: Sharing::ListenerPerWorker,
    thread_per_core: true,
    probe: probe::io_uring,
    work,
};

fn main() -> ExitCode {
    rust_runtimes::main(&CONTENDER, std::env::args_os())
}

fn work(worker: Arc<Worker>, listener: net::TcpListener) -> io::Result<()> {
    tokio_uring::builder().uring_builder(&probe::ring()).start(async {
        let listener = TcpListener::from_std(listener);
        accept::until_stop(
            &worker,
            async || listener.accept().await.map(|(stream, _)| stream),
            async |rest| sleep(rest).await,
            |stream, connection| drop(tokio_uring::spawn(echo(stream, connection))),
        )
        .await;
        Ok(())
    })
}

async fn echo(stream: TcpStream, connection: Connection) {
    let outcome = turns(&stream, &connection).await;
    connection.end(outcome);
}

/// The buffer goes to the kernel with each call and comes back with its result.
async fn turns(stream: &TcpStream, connection: &Connection) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(connection.read_buffer_bytes());
    loop {
        let (read, lent) = stream.read(buffer).await;
        buffer = lent;
        let bytes = read?;
        if bytes == 0 {
            return Ok(());
        }
        connection.received(bytes);
        let mut done = 0;
        while done < bytes {
            let (wrote, lent) = stream.write(buffer.slice(done..bytes)).submit().await;
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
