//! A server process for one test; killed when dropped.

// Each test uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

/// A running server.
pub struct Server {
    /// Its process, or the one that watches it.
    pub child: Child,
    /// Where it echoes.
    pub echo: SocketAddr,
    /// Where its metrics are.
    pub metrics: SocketAddr,
}

impl Server {
    /// Starts `command`, which is the server or ends up as it, on free ports.
    pub fn start(mut command: Command, flags: &[&str]) -> Server {
        command
            .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .args(flags)
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = |name: &str| {
            let word = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            word.and_then(|word| word.parse().ok())
        };
        let (echo, metrics) = (address("echo="), address("metrics="));
        match (echo, metrics) {
            (Some(echo), Some(metrics)) => Server { child, echo, metrics },
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("it said `{line}` where `ready echo=… metrics=…` belongs");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
