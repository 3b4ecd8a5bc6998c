//! The echo on smol: one executor, which all threads run.

use std::io::{self, ErrorKind, Write};
use std::net;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use futures_lite::AsyncReadExt;
use futures_lite::future::yield_now;
use rust_runtimes::connection::{Connection, wrote_nothing};
use rust_runtimes::worker::Worker;
use rust_runtimes::{Contender, Sharing, accept, probe};
use smol::{Async, Executor, Timer};

const CONTENDER: Contender = Contender {
    name: "smol",
    about: "Echoes every byte of every connection, on smol",
    sharing: Sharing::OneListener,
    thread_per_core: false,
    probe: probe::nothing,
    work,
};

fn main() -> ExitCode {
    rust_runtimes::main(&CONTENDER, std::env::args_os())
}

fn work(worker: Arc<Worker>, listener: net::TcpListener) -> io::Result<()> {
    let executor = Executor::new();
    // Closed, and so ends the other threads, when the sender goes.
    let (running, stopped) = smol::channel::unbounded::<()>();
    thread::scope(|scope| {
        let running = running;
        for index in 1..worker.shared.config.workers {
            let (executor, stopped) = (&executor, stopped.clone());
            let body = move || {
                // It ends with an error, as nothing is ever sent.
                let _ = smol::block_on(executor.run(stopped.recv()));
            };
            thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn_scoped(scope, body)?;
        }
        let served = smol::block_on(executor.run(serve(&executor, &worker, listener)));
        drop(running);
        served
    })
}

async fn serve(executor: &Executor<'_>, worker: &Arc<Worker>, listener: net::TcpListener) -> io::Result<()> {
    let listener = Async::new(listener)?;
    accept::until_stop(
        worker,
        async || listener.accept().await.map(|(stream, _)| stream),
        async |rest| {
            Timer::after(rest).await;
        },
        |stream, connection| executor.spawn(echo(stream, connection)).detach(),
    )
    .await;
    Ok(())
}

async fn echo(mut stream: Async<net::TcpStream>, mut connection: Connection) {
    let outcome = turns(&mut stream, &mut connection).await;
    connection.end(outcome);
}

async fn turns(stream: &mut Async<net::TcpStream>, connection: &mut Connection) -> io::Result<()> {
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
            // What `Async` does itself, with a count in between.
            match stream.get_ref().write(&buffer[done..bytes]) {
                Ok(0) => return Err(wrote_nothing()),
                Ok(wrote) => {
                    done += wrote;
                    connection.sent(wrote, bytes - done);
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => {
                        connection.sent(0, bytes - done);
                        stream.writable().await?;
                    }
                    ErrorKind::Interrupted => {}
                    _ => return Err(error),
                },
            }
        }
    }
}
