//! The accept loop of every runtime with async functions, stop included.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::Connection;
use crate::worker::{Next, StopProgress, Worker};

/// Accepts until the stop, then waits until the connections are done. `accept` and `pause` are the runtime's;
/// `serve` spawns the echo of one connection and must not wait.
pub async fn until_stop<S: AsRawFd>(
    worker: &Arc<Worker>,
    accept: impl AsyncFn() -> io::Result<S>,
    pause: impl AsyncFn(Duration),
    serve: impl Fn(S, Connection),
) {
    worker.is_up();
    'accepting: loop {
        match worker.next() {
            Next::Accept => {}
            Next::Pause(rest) => {
                pause(rest).await;
                continue;
            }
            Next::Stop => break,
        }
        let stream = match accept().await {
            Ok(stream) => stream,
            Err(error) => {
                if let Some(rest) = worker.accept_failed(&error) {
                    pause(rest).await;
                }
                continue;
            }
        };
        // Another worker may have taken the last seat meanwhile: then this one waits for the next.
        let connection = loop {
            if let Some(connection) = worker.enter(stream.as_raw_fd()) {
                break connection;
            }
            match worker.next() {
                Next::Stop => break 'accepting,
                Next::Accept => {}
                Next::Pause(rest) => pause(rest).await,
            }
        };
        serve(stream, connection);
    }
    let mut progress = StopProgress::default();
    while let Some(rest) = worker.stop(&mut progress) {
        pause(rest).await;
    }
}
