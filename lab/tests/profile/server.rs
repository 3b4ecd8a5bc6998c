//! Echo servers with profiles, honest and other, as processes: the test binary starts itself as one of them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicUsize, Ordering};

use sys::bare::{Owning, Then};
use sys::socket::{accept, receive, send};
use telemetry::exporter::{Exporter, Extras};
use telemetry::profile::pprof::{Function, Line, Location, Profile, Sample, ValueType};

/// The word that makes the test binary a server: `profiled-server KIND PORT METRICS_PORT PID_FILE`.
pub const NAME: &str = "profiled-server";

/// Serves until it is killed.
pub fn main(words: &[String]) {
    let [kind, port, metrics_port, pid_file] = words else {
        panic!("{words:?} should be a kind, two ports and a file");
    };
    std::fs::write(pid_file, std::process::id().to_string()).unwrap();
    let bind = |port: &str| TcpListener::bind(("127.0.0.1", port.parse::<u16>().unwrap())).unwrap();
    let metrics = bind(metrics_port);
    let _exporter = match kind.as_str() {
        "honest" => Some(exporter(metrics)),
        fake => {
            let fake = fake.to_owned();
            std::thread::spawn(move || pretend(&metrics, &fake));
            None
        }
    };
    echo(bind(port));
}

fn exporter(listener: TcpListener) -> Exporter {
    let extras: Extras = server::profile::extras("test", None).unwrap();
    Exporter::start_with(listener, vec![], extras).unwrap()
}

/// One epoll loop: wait, read, write.
pub fn echo(listener: TcpListener) {
    listener.set_nonblocking(true).unwrap();
    let number = listener.as_fd().as_raw_fd();
    let mut sockets = Owning::new(64).unwrap();
    sockets.add(listener.into()).unwrap();
    let mut buffer = [0; 4096];
    loop {
        let waited = sockets.wait(|socket| {
            if socket.as_raw_fd() == number {
                return accept(socket).map_or(Then::Keep, Then::Add);
            }
            let Ok(received @ 1..) = receive(socket, &mut buffer) else {
                return Then::Close;
            };
            // A message is far smaller than a socket's buffer.
            match send(socket, &buffer[..received]) {
                Ok(sent) if sent == received => Then::Keep,
                _ => Then::Close,
            }
        });
        waited.unwrap();
    }
}

/// Answers what a contender of the user's may answer where its profile should be.
pub fn pretend(listener: &TcpListener, kind: &str) {
    let profiles = AtomicUsize::new(0);
    for stream in listener.incoming().flatten() {
        // Whoever hangs up has seen enough.
        let _ = answer(stream, kind, &profiles);
    }
}

fn answer(mut stream: TcpStream, kind: &str, profiles: &AtomicUsize) -> std::io::Result<()> {
    let mut request = [0; 2048];
    let read = stream.read(&mut request)?;
    let request = String::from_utf8_lossy(&request[..read]).into_owned();
    let (status, body) = if !request.starts_with("GET /debug/pprof/profile?seconds=") {
        (404, b"nothing here".to_vec())
    } else {
        match kind {
            "busy" => (409, b"try again in 7 s".to_vec()),
            "garbage" => (200, b"<html>".to_vec()),
            "foreign" => (200, foreign_profile().to_gzip()),
            "mortal" if profiles.fetch_add(1, Ordering::Relaxed) > 0 => std::process::exit(9),
            "mortal" => (200, foreign_profile().to_gzip()),
            "silent" => loop {
                std::thread::park();
            },
            _ => (404, b"no profiles".to_vec()),
        }
    };
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    stream.write_all(&body)
}

/// A profile as another program may write it: microseconds, no count, one function.
fn foreign_profile() -> Profile {
    Profile {
        string_table: ["", "cpu", "microseconds", "serve_forever"]
            .map(str::to_owned)
            .to_vec(),
        sample_type: vec![ValueType { kind: 1, unit: 2 }],
        sample: vec![Sample {
            location_id: vec![1],
            value: vec![50_000],
            label: vec![],
        }],
        location: vec![Location {
            id: 1,
            line: vec![Line {
                function_id: 1,
                line: 1,
            }],
            ..Location::default()
        }],
        function: vec![Function {
            id: 1,
            name: 3,
            ..Function::default()
        }],
        period_type: Some(ValueType { kind: 1, unit: 2 }),
        period: 10_000,
        duration_nanos: 1_000_000_000,
        ..Profile::default()
    }
}
