//! The other end of a connection, with a limit on everything that could hang.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use socket2::{Domain, SockRef, Socket, Type};

use super::contender::Running;

/// `length` bytes that differ from place to place and from seed to seed, so that lost, doubled, swapped and foreign
/// bytes all show.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    // SplitMix64 (Steele, Lea, Flood 2014).
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// One connection to the server.
pub struct Peer {
    stream: TcpStream,
}

impl Peer {
    /// Connects.
    pub fn connect(server: &Running) -> Result<Peer> {
        Peer::connect_to(server.echo, server.patience)
    }

    /// Connects to an address, as a thread does that does not hold the server.
    pub fn connect_to(address: SocketAddr, patience: Duration) -> Result<Peer> {
        Peer::own(
            TcpStream::connect_timeout(&address, patience).context("connecting")?,
            patience,
        )
    }

    /// Connects with room for about this many bytes that were not read yet, so that replies soon wait at the server.
    /// Not less than a few KiB: TCP then moves a few bytes at each tick of a timer, and tries nobody's patience but ours.
    pub fn connect_with_room(server: &Running, bytes: usize) -> Result<Peer> {
        let socket = Socket::new(Domain::for_address(server.echo), Type::STREAM, None)?;
        socket.set_recv_buffer_size(bytes)?;
        // Else the kernel here takes some MiB that the server never sees.
        socket.set_send_buffer_size(64 << 10)?;
        socket
            .connect_timeout(&server.echo.into(), server.patience)
            .context("connecting")?;
        Peer::own(socket.into(), server.patience)
    }

    fn own(stream: TcpStream, patience: Duration) -> Result<Peer> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Peer { stream })
    }

    /// Sends all of it.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("sending")
    }

    /// Reads exactly these bytes.
    pub fn expect(&mut self, bytes: &[u8]) -> Result<()> {
        let mut got = vec![0; bytes.len()];
        self.stream
            .read_exact(&mut got)
            .with_context(|| format!("reading {} bytes", bytes.len()))?;
        match got.iter().zip(bytes).position(|(got, sent)| got != sent) {
            Some(place) => bail!("of {} bytes that came back number {place} is wrong", bytes.len()),
            None => Ok(()),
        }
    }

    /// Sends something short and reads it back.
    pub fn echo(&mut self, bytes: &[u8]) -> Result<()> {
        self.send(bytes)?;
        self.expect(bytes)
    }

    /// Sends all of it while reading it back.
    pub fn exchange(&mut self, bytes: &[u8]) -> Result<()> {
        let mut writer = self.stream.try_clone()?;
        std::thread::scope(|scope| {
            let sent = scope.spawn(move || writer.write_all(bytes).context("sending"));
            let read = self.expect(bytes);
            if read.is_err() {
                // The writer may wait for room that nobody makes any more.
                self.abandon();
            }
            let sent = sent.join().expect("it does not panic");
            read.and(sent)
        })
    }

    /// Says that nothing more will be sent.
    pub fn half_close(&mut self) -> Result<()> {
        Ok(self.stream.shutdown(Shutdown::Write)?)
    }

    /// Reads the end of the stream, and nothing before it.
    pub fn expect_end(&mut self) -> Result<()> {
        let mut got = [0; 64];
        match self
            .stream
            .read(&mut got)
            .context("reading the end of the stream")?
        {
            0 => Ok(()),
            more => bail!("{more} bytes came where the stream should end"),
        }
    }

    /// Reads until the stream ends, however it does.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut got = Vec::new();
        // A reset is an end too; what came before it stands.
        let _ = self.stream.read_to_end(&mut got);
        got
    }

    /// Whether something arrives within `patience`.
    pub fn hears_something(&mut self, patience: Duration) -> Result<bool> {
        let before = self.stream.read_timeout()?;
        self.stream.set_read_timeout(Some(patience))?;
        let looked = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(before)?;
        match looked {
            Ok(length) => Ok(length > 0),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(false),
            Err(error) => Err(error).context("listening"),
        }
    }

    /// Sends bytes from `bytes` until it is over or nothing has gone out for `patience`; says how many went out.
    pub fn send_until_stuck(&mut self, bytes: &[u8], patience: Duration) -> Result<usize> {
        let before = self.stream.write_timeout()?;
        self.stream.set_write_timeout(Some(patience))?;
        let mut sent = 0;
        while sent < bytes.len() {
            match self.stream.write(&bytes[sent..]) {
                Ok(more) => sent += more,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
                Err(error) => return Err(error).context("sending until stuck"),
            }
        }
        self.stream.set_write_timeout(before)?;
        Ok(sent)
    }

    /// Ends the connection by a reset: with no time to linger, closing sends one.
    pub fn reset(self) -> Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
        Ok(())
    }

    /// Reads `length` bytes, whatever they are.
    pub fn skip(&mut self, length: u64) -> Result<()> {
        let skipped = std::io::copy(
            &mut Read::by_ref(&mut self.stream).take(length),
            &mut std::io::sink(),
        )?;
        ensure!(skipped == length, "the stream ended");
        Ok(())
    }

    /// Ends the connection in both directions for all its handles, so that no thread waits on one.
    pub fn abandon(&self) {
        // It fails for one that has ended already.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// A second handle on the same connection, for another thread.
    pub fn second(&self) -> Result<Peer> {
        let stream = self.stream.try_clone()?;
        Ok(Peer { stream })
    }
}

/// Connects as many peers, each with one message echoed, so that the server has them all.
pub fn connect_many(server: &Running, count: usize) -> Result<Vec<Peer>> {
    let connect = |number: usize| {
        let mut peer = Peer::connect(server)?;
        peer.echo(&pattern(number as u64, 100))?;
        Ok(peer)
    };
    let peers = (0..count).map(connect).collect::<Result<Vec<_>>>()?;
    ensure!(peers.len() == count);
    Ok(peers)
}
