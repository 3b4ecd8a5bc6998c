//! A small load that checks every byte: threads that send a message, wait for its echo, and send the next.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes of a message, as in the built-in scenarios.
const MESSAGE_BYTES: usize = 100;
/// Far beyond what anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A load under way. Dropping it stops it.
pub struct Load {
    stop: Arc<AtomicBool>,
    messages: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// As many connections, each with a thread of its own and one message under way.
    pub fn start(echo: SocketAddr, connections: u64) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let messages = Arc::new(AtomicU64::new(0));
        let thread = |connection| {
            let stream = TcpStream::connect(echo).expect("the server accepts");
            stream.set_nodelay(true).expect("a fresh socket takes options");
            stream
                .set_read_timeout(Some(PATIENCE))
                .expect("a fresh socket takes options");
            let (stop, messages) = (Arc::clone(&stop), Arc::clone(&messages));
            std::thread::spawn(move || exchange(stream, connection, &stop, &messages))
        };
        let threads = (0..connections).map(thread).collect();
        Load {
            stop,
            messages,
            threads,
        }
    }

    /// Waits until as many more messages have come back.
    pub fn await_messages(&self, more: u64) {
        let goal = self.messages.load(Ordering::Relaxed) + more;
        let deadline = Instant::now() + PATIENCE;
        while self.messages.load(Ordering::Relaxed) < goal {
            assert!(Instant::now() < deadline, "the load stands still");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Stops, and fails if any byte was wrong or missing. Returns how many messages came back.
    pub fn finish(mut self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("every byte came back as it was sent");
        }
        self.messages.load(Ordering::Relaxed)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn exchange(mut stream: TcpStream, connection: u64, stop: &AtomicBool, messages: &AtomicU64) {
    let (mut sent, mut received) = ([0; MESSAGE_BYTES], [0; MESSAGE_BYTES]);
    for sequence in 0u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let seed = (connection << 32) + sequence;
        for (index, chunk) in sent.chunks_mut(8).enumerate() {
            let word = seed
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(index as u32)
                .to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        stream.write_all(&sent).expect("the server takes the message");
        stream
            .read_exact(&mut received)
            .expect("the server echoes the message");
        assert_eq!(received, sent, "message {sequence} of connection {connection}");
        messages.fetch_add(1, Ordering::Relaxed);
    }
}
