//! A tiny echo server that keeps the contract, and can be told to break it in one way.
//!
//! It is this test's own binary, started again with the mutant's name in a variable: a thread per connection, plain
//! enough to be right at a glance, and slow. It shares nothing with the engines but the counters.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};
use sys::epoll::{Epoll, Events, Interest};
use sys::signal::Termination;
use telemetry::counters::{AcceptError, ClosedReason, ServerCounters, WorkerCounters};
use telemetry::exporter::Exporter;
use telemetry::process::OwnProcess;

/// Names the mutant, and makes this binary the server.
pub const VARIABLE: &str = "CONTRACT_MUTANT";
/// The name under which nothing is broken.
pub const UNBROKEN: &str = "unbroken";

/// Serves until SIGTERM.
pub fn main(mutant: &str) -> ExitCode {
    let termination = Termination::block().expect("signals can be blocked");
    let flags = Flags::parse();
    let server = Arc::new(Server {
        mutant: mutant.to_owned(),
        counters: ServerCounters::new("tiny", "0"),
        open: Mutex::default(),
        leftovers: Mutex::default(),
        turn: Mutex::default(),
        shared_buffer: Mutex::new(vec![0; flags.read_buffer]),
        stopped: AtomicBool::new(false),
        flags,
    });
    let listener = Arc::new(server.flags.bind().expect("port 0 can be bound"));
    let metrics = TcpListener::bind("127.0.0.1:0").expect("port 0 can be bound");
    let process = OwnProcess::new().expect("/proc can be read");
    let exporter = Exporter::start(
        metrics,
        vec![Arc::clone(&server.counters) as _, Arc::new(process)],
    )
    .expect("the exporter starts");
    let echo = listener.local_addr().expect("it is bound");
    println!("ready echo={echo} metrics={}", exporter.address());
    {
        let (server, listener) = (Arc::clone(&server), Arc::clone(&listener));
        thread::spawn(move || server.accept_all(&listener));
    }
    while !termination.wait(None).expect("signals can be read") || server.is("ignores_sigterm") {}
    server.stop(&listener)
}

struct Flags {
    read_buffer: usize,
    send_buffer: usize,
    max_connections: usize,
    grace: Duration,
}

impl Flags {
    /// Takes what it knows and ignores the rest.
    fn parse() -> Flags {
        let words: Vec<String> = std::env::args().collect();
        let value = |name: &str| {
            let place = words.iter().position(|word| word == name)?;
            words.get(place + 1).cloned()
        };
        let number = |name: &str, default: usize| {
            value(name).map_or(default, |value| value.parse().expect("a number"))
        };
        Flags {
            read_buffer: number("--read-buffer", 200),
            send_buffer: number("--send-buffer", 0),
            max_connections: match number("--max-connections", 0) {
                0 => usize::MAX,
                limit => limit,
            },
            grace: value("--grace").map_or(Duration::from_secs(5), |value| {
                humantime::parse_duration(&value).expect("a duration")
            }),
        }
    }

    fn bind(&self) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_tcp_nodelay(true)?;
        if self.send_buffer > 0 {
            socket.set_send_buffer_size(self.send_buffer)?;
        }
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.listen(4096)?;
        Ok(socket.into())
    }
}

struct Server {
    mutant: String,
    flags: Flags,
    counters: Arc<ServerCounters>,
    open: Mutex<HashMap<RawFd, Arc<TcpStream>>>,
    stopped: AtomicBool,
    // For single mutants: what was left unsent on a descriptor, whose turn it is, a buffer for all.
    leftovers: Mutex<HashMap<RawFd, Vec<u8>>>,
    turn: Mutex<()>,
    shared_buffer: Mutex<Vec<u8>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no thread panics with it")
}

impl Server {
    fn is(&self, mutant: &str) -> bool {
        self.mutant == mutant
    }

    fn accept_all(self: &Arc<Self>, listener: &TcpListener) {
        let counters = self.counters.claim();
        loop {
            let full = || lock(&self.open).len() >= self.flags.max_connections;
            while full() && !self.is("ignores_the_limit") && !self.is("closes_beyond_the_limit") {
                if self.is("never_accepts_again") {
                    return;
                }
                thread::sleep(Duration::from_millis(2));
            }
            match listener.accept() {
                Ok(_) if full() && self.is("closes_beyond_the_limit") => {}
                Ok((stream, _)) => self.start(stream),
                Err(_) if self.stopped.load(Ordering::SeqCst) => return,
                Err(_) => {
                    if !self.is("does_not_count_failed_accepts") {
                        counters.accept_error(AcceptError::Descriptors).add(1);
                    }
                    match self.mutant.as_str() {
                        "dies_without_descriptors" => std::process::abort(),
                        "never_accepts_again" => return,
                        "spins_without_descriptors" => {}
                        _ => thread::sleep(Duration::from_millis(20)),
                    }
                }
            }
        }
    }

    fn start(self: &Arc<Self>, stream: TcpStream) {
        let stream = Arc::new(stream);
        lock(&self.open).insert(stream.as_raw_fd(), Arc::clone(&stream));
        let server = Arc::clone(self);
        thread::spawn(move || {
            let counters = server.counters.claim();
            counters.accepted.add(1);
            let reason = match server.serve(&stream, &counters) {
                Ok(()) => ClosedReason::Eof,
                Err(_) => ClosedReason::Reset,
            };
            server.end(&stream, reason, &counters);
        });
    }

    fn end(&self, stream: &Arc<TcpStream>, reason: ClosedReason, counters: &WorkerCounters) {
        if reason == ClosedReason::Reset {
            match self.mutant.as_str() {
                "dies_of_a_reset" => std::process::abort(),
                "closes_all_on_a_reset" => self.shut_all(Shutdown::Both),
                _ => {}
            }
        }
        if self.is("never_closes") {
            return std::mem::forget(Arc::clone(stream));
        }
        if self.is("leaks_descriptors") {
            // It fails for one that was reset.
            let _ = stream.shutdown(Shutdown::Both);
            std::mem::forget(Arc::clone(stream));
        }
        lock(&self.open).remove(&stream.as_raw_fd());
        let counted = if self.is("does_not_count_resets") {
            ClosedReason::Eof
        } else {
            reason
        };
        counters.closed(counted).add(1);
    }

    /// Echoes until the stream ends.
    fn serve(&self, stream: &TcpStream, counters: &WorkerCounters) -> io::Result<()> {
        if self.is("reads_without_bound") {
            return self.queue_everything(stream, counters);
        }
        let edges = match self.mutant.as_str() {
            "reads_once_per_edge" | "takes_a_short_read_for_drained" => {
                Some(Interest::READABLE | Interest::EDGE)
            }
            "ends_at_the_half_close" => Some(Interest::READABLE | Interest::PEER_CLOSED),
            _ => None,
        };
        let epoll = match edges {
            Some(interest) => {
                let epoll = Epoll::new()?;
                epoll.add(stream.as_fd(), interest, 0)?;
                Some(epoll)
            }
            None => None,
        };
        let mut events = Events::with_capacity(1);
        let mut buffer = vec![0; self.flags.read_buffer];
        if self.is("mixes_up_reused_descriptors")
            && let Some(old) = lock(&self.leftovers).remove(&stream.as_raw_fd())
        {
            (&*stream).write_all(&old)?;
        }
        loop {
            if let Some(epoll) = &epoll {
                epoll.wait(&mut events, None)?;
                if self.is("ends_at_the_half_close") && events.get(0).is_some_and(|event| event.is_hangup()) {
                    return Ok(());
                }
            }
            let _turn = if self.is("serves_one_at_a_time") {
                stream.peek(&mut [0])?;
                Some(lock(&self.turn))
            } else {
                None
            };
            // A turn lasts until the peer has been silent for a while, for those who wait their turn or their edge.
            loop {
                let Some(received) = self.turn(stream, &mut buffer, counters)? else {
                    return Ok(());
                };
                let more = match self.mutant.as_str() {
                    "serves_one_at_a_time" => is_readable(stream, Duration::from_millis(200))?,
                    "takes_a_short_read_for_drained" => received == buffer.len(),
                    _ => false,
                };
                if !more {
                    break;
                }
            }
        }
    }

    /// One read and its reply; `None` at the end of the stream.
    fn turn(
        &self,
        stream: &TcpStream,
        buffer: &mut [u8],
        counters: &WorkerCounters,
    ) -> io::Result<Option<usize>> {
        let received = match self.mutant.as_str() {
            "waits_for_a_full_buffer" => {
                (&*stream).read_exact(buffer)?;
                buffer.len()
            }
            _ => (&*stream).read(buffer)?,
        };
        if received == 0 {
            return Ok(None);
        }
        counters.messages.add(1);
        counters.received_bytes.add(received as u64);
        let reply = &mut buffer[..received];
        match self.mutant.as_str() {
            "reverses_each_read" => reply.reverse(),
            "shares_one_buffer" => {
                lock(&self.shared_buffer)[..received].copy_from_slice(reply);
                thread::sleep(Duration::from_millis(1));
                reply.copy_from_slice(&lock(&self.shared_buffer)[..received]);
            }
            "mixes_up_reused_descriptors" => {
                // As one does that keeps its buffers by descriptor and forgets to clear them.
                lock(&self.leftovers).insert(stream.as_raw_fd(), reply.to_vec());
            }
            _ => {}
        }
        match self.mutant.as_str() {
            "drops_the_rest_of_a_write" | "gives_up_when_a_write_blocks" => {
                stream.set_nonblocking(true)?;
                let written = (&*stream).write(reply);
                stream.set_nonblocking(false)?;
                match written {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                    Err(_) if self.is("gives_up_when_a_write_blocks") => loop {
                        thread::park();
                    },
                    _ => {}
                }
            }
            _ => (&*stream).write_all(reply)?,
        }
        if self.is("echoes_twice") {
            (&*stream).write_all(reply)?;
        }
        let miscounted = self.is("miscounts") && received % 10 == 3;
        counters
            .sent_bytes
            .add(if miscounted { 0 } else { received as u64 });
        if self.is("mixes_up_reused_descriptors") && is_quiet(stream)? {
            lock(&self.leftovers).remove(&stream.as_raw_fd());
        }
        Ok(Some(received))
    }

    /// Reads whatever comes; another thread sends it when it can.
    fn queue_everything(&self, stream: &TcpStream, counters: &WorkerCounters) -> io::Result<()> {
        let (queue, queued) = mpsc::channel::<Vec<u8>>();
        thread::scope(|scope| {
            scope.spawn(move || {
                for bytes in queued {
                    if (&*stream).write_all(&bytes).is_err() {
                        return;
                    }
                }
            });
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let received = (&*stream).read(&mut buffer)?;
                if received == 0 {
                    return Ok(());
                }
                counters.received_bytes.add(received as u64);
                let _ = queue.send(buffer[..received].to_vec());
            }
        })
    }

    fn shut_all(&self, how: Shutdown) {
        for stream in lock(&self.open).values() {
            // It fails for one that was reset.
            let _ = stream.shutdown(how);
        }
    }

    fn stop(&self, listener: &TcpListener) -> ExitCode {
        match self.mutant.as_str() {
            "leaves_at_once" => return ExitCode::SUCCESS,
            "dies_of_sigterm" => std::process::abort(),
            "waits_out_the_grace_period" => thread::sleep(self.flags.grace),
            _ => {}
        }
        if !self.is("accepts_after_a_stop") {
            self.stopped.store(true, Ordering::SeqCst);
            let _ = SockRef::from(listener).shutdown(Shutdown::Both);
        }
        self.shut_all(Shutdown::Read);
        let deadline = Instant::now() + self.flags.grace;
        while !lock(&self.open).is_empty() && (Instant::now() < deadline || self.is("waits_for_every_peer")) {
            thread::sleep(Duration::from_millis(2));
        }
        ExitCode::SUCCESS
    }
}

fn is_readable(stream: &TcpStream, patience: Duration) -> io::Result<bool> {
    Ok(sys::wake::wait_readable([stream.as_fd()], Some(patience))?[0])
}

fn is_quiet(stream: &TcpStream) -> io::Result<bool> {
    is_readable(stream, Duration::from_millis(1)).map(|readable| !readable)
}
