//! The echo on glommio.

use std::io;
use std::net;
use std::os::fd::OwnedFd;
use std::process::ExitCode;
use std::sync::Arc;

use futures_lite::future::yield_now;
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::{TcpListener, TcpStream};
use glommio::timer::sleep;
use glommio::{LocalExecutorBuilder, Placement};
use rust_runtimes::connection::{Connection, wrote_nothing};
use rust_runtimes::worker::Worker;
use rust_runtimes::{Contender, Sharing, accept, probe};

const CONTENDER: Contender = Contender {
    name: "glommio",
    about: "Echoes every byte of every connection, on glommio",
    sharing: Sharing::ListenerPerWorker,
    thread_per_core: true,
    probe: probe::glommio,
    work,
};

fn main() -> ExitCode {
    rust_runtimes::main(&CONTENDER, std::env::args_os())
}

fn work(worker: Arc<Worker>, listener: net::TcpListener) -> io::Result<()> {
    // The thread is pinned already, as `--cpus` says.
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .make()
        .map_err(io::Error::from)?;
    executor.run(async {
        // glommio's own bind takes neither a backlog nor a socket with options.
        let listener: TcpListener = sys::adopt::adopt(OwnedFd::from(listener));
        accept::until_stop(
            &worker,
            async || listener.accept().await.map_err(io::Error::from),
            async |rest| sleep(rest).await,
            |stream, connection| drop(glommio::spawn_local(echo(stream, connection)).detach()),
        )
        .await;
        Ok(())
    })
}

async fn echo(mut stream: TcpStream, mut connection: Connection) {
    let outcome = turns(&mut stream, &mut connection).await;
    connection.end(outcome);
}

async fn turns(stream: &mut TcpStream, connection: &mut Connection) -> io::Result<()> {
    let mut buffer = vec![0; connection.read_buffer_bytes()];
    loop {
        let bytes = stream.read(&mut buffer).await?;
        if bytes == 0 {
            return Ok(());
        }
        connection.received(bytes);
        if connection.should_yield(bytes) {
            yield_now().await;
        }
        let mut done = 0;
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
