//! The echo on compio with its io_uring driver.

use std::io;
use std::net;
use std::process::ExitCode;
use std::sync::Arc;

use compio::BufResult;
use compio::buf::{IntoInner, IoBuf};
use compio::driver::ProactorBuilder;
use compio::io::{AsyncRead, AsyncWrite};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::RuntimeBuilder;
use compio::time::sleep;
use rust_runtimes::connection::{Connection, wrote_nothing};
use rust_runtimes::worker::Worker;
use rust_runtimes::{Contender, Sharing, accept, probe};

const CONTENDER: Contender = Contender {
    name: "compio",
    about: "Echoes every byte of every connection, on compio with its io_uring driver",
    sharing: Sharing::ListenerPerWorker,
    thread_per_core: true,
    probe: probe::io_uring,
    work,
};

fn main() -> ExitCode {
    rust_runtimes::main(&CONTENDER, std::env::args_os())
}

fn work(worker: Arc<Worker>, listener: net::TcpListener) -> io::Result<()> {
    let mut proactor = ProactorBuilder::new();
    let cooperative = probe::has_cooperative_ring();
    proactor.coop_taskrun(cooperative).taskrun_flag(cooperative);
    let runtime = RuntimeBuilder::new().with_proactor(proactor).build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        accept::until_stop(
            &worker,
            async || listener.accept().await.map(|(stream, _)| stream),
            async |rest| sleep(rest).await,
            |stream, connection| compio::runtime::spawn(echo(stream, connection)).detach(),
        )
        .await;
        Ok(())
    })
}

async fn echo(mut stream: TcpStream, connection: Connection) {
    let outcome = turns(&mut stream, &connection).await;
    connection.end(outcome);
}

/// The buffer goes to the kernel with each call and comes back with its result.
async fn turns(stream: &mut TcpStream, connection: &Connection) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(connection.read_buffer_bytes());
    loop {
        let BufResult(read, lent) = stream.read(buffer).await;
        buffer = lent;
        let bytes = read?;
        if bytes == 0 {
            return Ok(());
        }
        connection.received(bytes);
        let mut done = 0;
        while done < bytes {
            let BufResult(wrote, lent) = stream.write(buffer.slice(done..bytes)).await;
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
