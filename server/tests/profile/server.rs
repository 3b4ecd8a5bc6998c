//! A real server process with its metrics, ended for certain.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Far beyond what anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    /// Where it echoes.
    pub echo: SocketAddr,
    metrics: SocketAddr,
}

/// What an HTTP request brought.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, in lower case.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Server {
    /// Starts it with two workers.
    pub fn start(engine: &str, flags: &[&str]) -> Server {
        let mut command = Command::new(env!("CARGO_BIN_EXE_server"));
        command
            .args(["--engine", engine, "--workers", "2"])
            .args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"])
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        sys::child::die_with_parent(&mut command);
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = |key: &str| {
            let word = line.split_whitespace().find_map(|word| word.strip_prefix(key));
            word.and_then(|address| address.parse().ok())
                .unwrap_or_else(|| panic!("it said `{line}`"))
        };
        Server {
            echo: address("echo="),
            metrics: address("metrics="),
            child,
        }
    }

    /// Sends a request, and leaves the answer to whoever holds the connection.
    pub fn ask(&self, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        stream
    }

    /// Sends a request and reads the answer.
    pub fn get(&self, path: &str) -> Answer {
        let mut answer = Vec::new();
        self.ask(path).read_to_end(&mut answer).unwrap();
        let end = answer
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .expect("a head and a body");
        let head = String::from_utf8_lossy(&answer[..end]).to_lowercase();
        assert!(
            !head.contains("transfer-encoding"),
            "the body comes in one piece: {head}"
        );
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .expect("a status"),
            head,
            body: answer[end + 4..].to_vec(),
        }
    }

    /// The value of a metric with exactly this name and these labels.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
            .unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    }

    /// Asks again and again until there is an answer.
    pub fn poll_until<T>(&self, mut ask: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(Instant::now() < deadline, "waited too long");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Stops it in an orderly way.
    pub fn stop(mut self) {
        sys::child::terminate(self.child.id()).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the server ended with {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
