//! The echo on monoio with its legacy driver, which is epoll.

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use monoio::{LegacyDriver, RuntimeBuilder};
use rust_runtimes::worker::Worker;
use rust_runtimes::{Contender, Sharing, monoio_echo, probe};

const CONTENDER: Contender = Contender {
    name: "monoio-epoll",
    about: "Echoes every byte of every connection, on monoio with its legacy driver (epoll)",
    sharing: Sharing::ListenerPerWorker,
    thread_per_core: true,
    probe: probe::nothing,
    work,
};

fn main() -> ExitCode {
    rust_runtimes::main(&CONTENDER, std::env::args_os())
}

fn work(worker: Arc<Worker>, listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
    runtime.block_on(monoio_echo::serve(worker, listener))
}
