//! The echo on tokio's single thread: a runtime of its own for each worker, nothing ever moves between threads.

use std::io;
use std::net;
use std::process::ExitCode;
use std::sync::Arc;

use rust_runtimes::connection::{Connection, wrote_nothing};
use rust_runtimes::worker::Worker;
use rust_runtimes::{Contender, Sharing, accept, probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::sleep;

const CONTENDER: Contender = Contender {
    name: "tokio-current-thread",
    about: "Echoes every byte of every connection, on a single-threaded tokio runtime for each worker",
    sharing: Sharing::ListenerPerWorker,
    thread_per_core: false,
    probe: probe::nothing,
    work,
};

fn main() -> ExitCode {
    rust_runtimes::main(&CONTENDER, std::env::args_os())
}

fn work(worker: Arc<Worker>, listener: net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        accept::until_stop(
            &worker,
            async || listener.accept().await.map(|(stream, _)| stream),
            async |rest| sleep(rest).await,
            |stream, connection| drop(tokio::task::spawn_local(echo(stream, connection))),
        )
        .await;
        Ok(())
    })
}

async fn echo(mut stream: TcpStream, connection: Connection) {
    let outcome = turns(&mut stream, &connection).await;
    connection.end(outcome);
}

async fn turns(stream: &mut TcpStream, connection: &Connection) -> io::Result<()> {
    let mut buffer = vec![0; connection.read_buffer_bytes()];
    loop {
        let bytes = stream.read(&mut buffer).await?;
        if bytes == 0 {
            return Ok(());
        }
        connection.received(bytes);
        // At once, without a detour over the reactor; only a rest has to wait.
        let mut done = match stream.try_write(&buffer[..bytes]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            result => result?,
        };
        connection.sent(done, bytes - done);
        while done < bytes {
            let wrote = stream.write(&buffer[done..bytes]).await?;
            if wrote == 0 {
                return Err(wrote_nothing());
            }
            done += wrote;
            connection.sent(wrote, bytes - done);
        }
    }
}
