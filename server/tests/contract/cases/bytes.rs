//! Every byte is echoed, once, in order, also after the peer's half-close; then the connection closes.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::contract::contender::Contender;
use crate::contract::peer::{Peer, connect_many, pattern};

/// Around the read buffer's 200 bytes, and around common powers of two.
const ODD_SIZES: [usize; 14] = [
    1, 2, 99, 100, 199, 200, 201, 399, 400, 401, 1000, 4096, 65_537, 300_001,
];

pub fn every_byte_comes_back_once_in_order(contender: &Contender) -> Result<()> {
    let server = contender.start(&[])?;
    let mut peer = Peer::connect(&server)?;
    for (seed, size) in ODD_SIZES.into_iter().enumerate() {
        peer.exchange(&pattern(seed as u64, size))
            .with_context(|| format!("{size} bytes"))?;
    }
    peer.half_close()?;
    peer.expect_end()
}

pub fn a_dripping_peer_gets_each_byte_at_once(contender: &Contender) -> Result<()> {
    let server = contender.start(&[])?;
    let mut peer = Peer::connect(&server)?;
    for byte in pattern(1, 500) {
        peer.echo(&[byte])?;
    }
    Ok(())
}

pub fn pipelined_messages_all_come_back(contender: &Contender) -> Result<()> {
    let server = contender.start(&[])?;
    let mut peers = connect_many(&server, 4)?;
    std::thread::scope(|scope| {
        let exchange = |(number, peer): (usize, &mut Peer)| {
            let messages = pattern(100 + number as u64, 20_000 * 100);
            peer.exchange(&messages)
        };
        let running: Vec<_> = peers
            .iter_mut()
            .enumerate()
            .map(|numbered| scope.spawn(move || exchange(numbered)))
            .collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().expect("it does not panic"))
    })
}

pub fn interleaved_connections_do_not_mix(contender: &Contender) -> Result<()> {
    let server = contender.start(&[])?;
    let mut peers = connect_many(&server, 16)?;
    for round in 0..50 {
        let message = |number: usize| pattern((round * 100 + number) as u64, 60 + 13 * number);
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.send(&message(number))?;
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.expect(&message(number))
                .with_context(|| format!("round {round}, peer {number}"))?;
        }
    }
    Ok(())
}

/// The send buffer is the kernel's minimum: each reply of some KiB is taken in parts. And the peer starts to read only
/// when everything is stuck: then the server has been left with the rest of a reply for certain.
pub fn a_partial_write_loses_nothing(contender: &Contender) -> Result<()> {
    read_late(contender, "1", 4 << 20)
}

pub fn a_slow_reader_gets_all_64_mib(contender: &Contender) -> Result<()> {
    read_late(contender, "65536", 64 << 20)
}

fn read_late(contender: &Contender, send_buffer_bytes: &str, length: usize) -> Result<()> {
    let server = contender.start(&[("--send-buffer", send_buffer_bytes), ("--read-buffer", "16384")])?;
    let mut peer = Peer::connect_with_room(&server, 64 << 10)?;
    let mut writer = peer.second()?;
    let bytes = pattern(64, length);
    let stuck = writer.send_until_stuck(&bytes, Duration::from_millis(200))?;
    ensure!(
        stuck < bytes.len(),
        "{length} bytes went out although nothing was read"
    );
    std::thread::scope(|scope| {
        let rest = &bytes[stuck..];
        let sent = scope.spawn(move || {
            writer.send(rest)?;
            writer.half_close()
        });
        let mut place = 0;
        let mut read = Ok(());
        for chunk in bytes.chunks(50_000) {
            read = peer
                .expect(chunk)
                .with_context(|| format!("from byte {place} on"));
            if read.is_err() {
                // The writer may wait for room that nobody makes any more.
                peer.abandon();
                break;
            }
            place += chunk.len();
        }
        let sent = sent.join().expect("it does not panic");
        read.and(sent)
    })?;
    peer.expect_end()?;
    if contender.counts_partial_writes {
        server.await_metric("echolab_partial_writes_total", |count| count > 0.0)?;
    }
    Ok(())
}

pub fn half_close_echoes_everything(contender: &Contender) -> Result<()> {
    let server = contender.start(&[("--send-buffer", "1")])?;
    let mut peer = Peer::connect(&server)?;
    let bytes = pattern(7, 1 << 20);
    let mut writer = peer.second()?;
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| {
            writer.send(&bytes)?;
            writer.half_close()
        });
        let read = peer.expect(&bytes);
        if read.is_err() {
            peer.abandon();
        }
        read.and(sent.join().expect("it does not panic"))
    })?;
    peer.expect_end()
}

/// The end of the stream may arrive with the last bytes, before them being read, or after: no order may be missed.
pub fn a_half_close_right_behind_a_message_is_seen(contender: &Contender) -> Result<()> {
    let server = contender.start(&[])?;
    for round in 0..200 {
        let mut peer = Peer::connect(&server)?;
        // Less than one read, exactly one, and more.
        let message = pattern(round, [1, 150, 200, 450][round as usize % 4]);
        peer.send(&message)?;
        peer.half_close()?;
        peer.expect(&message)?;
        peer.expect_end().with_context(|| format!("round {round}"))?;
    }
    Ok(())
}
