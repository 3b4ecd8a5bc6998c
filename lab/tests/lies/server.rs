//! Echo servers that lie in one way each, as processes: the test binary starts itself as one of them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// The word that makes the test binary a server: `lying-server LIE PORT PID_FILE`.
pub const NAME: &str = "lying-server";

/// How a server lies.
#[derive(Clone, Copy, PartialEq)]
enum Lie {
    /// Not at all.
    Honest,
    /// Every 100th reply holds a wrong byte.
    WrongBytes,
    /// Every 1,000th reply is never sent.
    Drops,
    /// For 300 ms of each second it does nothing.
    Stalls,
    /// Each reply takes so much CPU more.
    Burns(Duration),
}

/// Serves until it is killed.
pub fn main(words: &[String]) {
    let [lie, port, pid_file] = words else {
        panic!("{words:?} should be a lie, a port and a file");
    };
    let lie = match lie.as_str() {
        "honest" => Lie::Honest,
        "wrong-bytes" => Lie::WrongBytes,
        "drops" => Lie::Drops,
        "stalls" => Lie::Stalls,
        "burns-60us" => Lie::Burns(Duration::from_micros(60)),
        "burns-500us" => Lie::Burns(Duration::from_micros(500)),
        other => panic!("nobody lies like {other}"),
    };
    std::fs::write(pid_file, std::process::id().to_string()).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
    let replies = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    for stream in listener.incoming().flatten() {
        let replies = Arc::clone(&replies);
        std::thread::spawn(move || {
            // The end of one connection, however it comes, is no business of the others.
            let _ = serve(stream, lie, &replies, started);
        });
    }
}

fn serve(mut stream: TcpStream, lie: Lie, replies: &AtomicU64, started: Instant) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    loop {
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let number = replies.fetch_add(1, Ordering::Relaxed) + 1;
        match lie {
            Lie::Honest => {}
            Lie::WrongBytes if number.is_multiple_of(100) => buffer[read / 2] ^= 1,
            Lie::Drops if number.is_multiple_of(1_000) => continue,
            Lie::WrongBytes | Lie::Drops => {}
            Lie::Stalls => {
                let into_second = Duration::from_nanos(u64::from(started.elapsed().subsec_nanos()));
                let stall = Duration::from_millis(300);
                std::thread::sleep(stall.saturating_sub(into_second));
            }
            Lie::Burns(cpu) => {
                let until = sys::clock::thread_cpu_time()? + cpu;
                while sys::clock::thread_cpu_time()? < until {}
            }
        }
        stream.write_all(&buffer[..read])?;
    }
}
