//! Small real servers that echo, and some that lie, and the client's binary to run against them.

#![allow(dead_code, reason = "each test binary uses its own part")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot go on has failed"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use model::protocol::Summary;

/// Nothing in these tests takes longer unless it hangs.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What a server does about the bytes of one read.
pub enum Answer {
    /// Echoes them.
    Echo,
    /// Sends these instead.
    Bytes(Vec<u8>),
    /// Keeps silent.
    Nothing,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    reads: AtomicU64,
    accepted: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    streams: Mutex<Vec<TcpStream>>,
}

/// A server with a thread for each connection. Stops when dropped.
pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Server {
    /// A true echo.
    pub fn echo() -> Server {
        Server::with(|_, _| Answer::Echo)
    }

    /// A server that does as `answer` says, which is told the number of the read (from 1, over all connections).
    pub fn with(answer: impl Fn(u64, &[u8]) -> Answer + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (shared, answer) = (Arc::<Shared>::default(), Arc::new(answer));
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || {
                let mut threads = Vec::new();
                while let Ok((stream, _)) = listener.accept() {
                    if shared.stop.load(Ordering::SeqCst) {
                        break;
                    }
                    shared.accepted.fetch_add(1, Ordering::SeqCst);
                    stream.set_nodelay(true).unwrap();
                    shared.streams.lock().unwrap().push(stream.try_clone().unwrap());
                    let (shared, answer) = (Arc::clone(&shared), Arc::clone(&answer));
                    threads.push(std::thread::spawn(move || serve(stream, &shared, &*answer)));
                }
                for thread in threads {
                    thread.join().unwrap();
                }
            }
        });
        Server {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    /// Bytes received and sent so far.
    pub fn bytes(&self) -> (u64, u64) {
        (
            self.shared.received.load(Ordering::SeqCst),
            self.shared.sent.load(Ordering::SeqCst),
        )
    }

    /// Connections accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Ends all at once, as a process does that is killed.
    pub fn die(&self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.die();
        // Wakes the acceptor, which then sees that it is over. What it had accepted meanwhile ends too.
        let _ = TcpStream::connect(self.address);
        for stream in self.shared.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn serve(mut stream: TcpStream, shared: &Shared, answer: &(dyn Fn(u64, &[u8]) -> Answer + Send + Sync)) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        shared.received.fetch_add(length as u64, Ordering::SeqCst);
        let number = shared.reads.fetch_add(1, Ordering::SeqCst) + 1;
        let bytes = match answer(number, &buffer[..length]) {
            Answer::Echo => buffer[..length].to_vec(),
            Answer::Bytes(bytes) => bytes,
            Answer::Nothing => continue,
            Answer::Close => break,
            Answer::Reset => {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                break;
            }
        };
        // Counted before: once the client has the bytes, the test may look.
        shared.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        if stream.write_all(&bytes).is_err() {
            break;
        }
    }
    // The copy kept for `die` would hold the connection open.
    let own = stream.local_addr().and(stream.peer_addr());
    let same = |other: &TcpStream| matches!((&own, other.peer_addr()), (Ok(own), Ok(other)) if *own == other);
    shared
        .streams
        .lock()
        .unwrap()
        .retain(|other| !same(other) && other.peer_addr().is_ok());
}

/// The client's binary, deaf to the environment of the tests.
pub fn client() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client"));
    command.env_clear();
    command
}

/// A finished run.
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    pub fn summary(&self) -> Summary {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}\nstdout: {}\nstderr: {}", self.stdout, self.stderr))
    }
}

/// Runs the client with these arguments (separated by `|`, as some contain spaces) to its end.
pub fn run(arguments: &str) -> Outcome {
    let mut command = assert_cmd::Command::from_std(client());
    command.args(arguments.split('|')).timeout(DEADLINE);
    let output = command.output().unwrap();
    Outcome {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A client that runs beside the test. Killed when dropped.
pub struct Running {
    pub child: Child,
    pub stdin: Option<ChildStdin>,
    pub stdout: Receiver<String>,
    pub stderr: Receiver<String>,
}

impl Running {
    pub fn start(arguments: &str) -> Running {
        let mut child = client()
            .args(arguments.split('|'))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Running {
            stdin: child.stdin.take(),
            stdout: lines(child.stdout.take().unwrap()),
            stderr: lines(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Writes a line to its standard input.
    pub fn say(&mut self, line: &str) {
        writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Its next line on standard output.
    pub fn hear(&self) -> String {
        self.stdout
            .recv_timeout(DEADLINE)
            .expect("a line on standard output")
    }

    /// The first line on standard error that contains `text`.
    pub fn await_error(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.stderr.recv_timeout(left).expect("a line on standard error");
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Awaits its end, and all that it still writes to standard output.
    pub fn end(mut self) -> (ExitStatus, String) {
        drop(self.stdin.take());
        let deadline = Instant::now() + DEADLINE;
        let mut rest = String::new();
        // The channel closes when standard output does.
        while let Ok(line) = self
            .stdout
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            rest.push_str(&line);
            rest.push('\n');
        }
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, rest);
            }
            assert!(Instant::now() < deadline, "the client does not end");
            std::thread::yield_now();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
