//! The echo on monoio with its io_uring driver.

use std::io;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use monoio::{IoUringDriver, RuntimeBuilder};
use rust_runtimes::worker::Worker;
use rust_runtimes::{Contender, Sharing, monoio_echo, probe};

const CONTENDER: Contender = Contender {
    name: "monoio-uring",
    about: "Echoes every byte of every connection, on monoio with its io_uring driver",
    sharing: Sharing::ListenerPerWorker,
    thread_per_core: true,
    probe: probe::io_uring,
    work,
};

fn main() -> ExitCode {
    rust_runtimes::main(&CONTENDER, std::env::args_os())
}

fn work(worker: Arc<Worker>, listener: TcpListener) -> io::Result<()> {
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(probe::ring())
        .enable_timer()
        .build()?;
    runtime.block_on(monoio_echo::serve(worker, listener))
}
