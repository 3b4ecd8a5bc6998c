//! On SIGTERM no new connection is taken, what was read is echoed, and the server ends within the grace period.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::contract::contender::{Contender, Running};
use crate::contract::peer::{Peer, connect_many, pattern};

pub fn quiet_connections_do_not_delay_a_stop(contender: &Contender) -> Result<()> {
    // A server that waits for its quiet peers waits far longer than anyone here is patient.
    let mut server = contender.start(&[("--grace", "60s")])?;
    let mut peers = connect_many(&server, 50)?;
    server.terminate()?;
    server.expect_orderly_end(server.patience)?;
    for peer in &mut peers {
        peer.expect_end()
            .context("a quiet peer of a server that stopped")?;
    }
    Ok(())
}

/// The peer has sent more than the server could send back, and reads only after the signal.
pub fn a_stop_delivers_replies_under_way(contender: &Contender) -> Result<()> {
    const SENT: usize = 48 * 1024;
    let mut server = contender.start(&[
        ("--grace", "60s"),
        ("--send-buffer", "1"),
        ("--read-buffer", "16384"),
    ])?;
    let mut bystanders = connect_many(&server, 3)?;
    let mut peer = Peer::connect_with_room(&server, 8 << 10)?;
    let bytes = pattern(11, SENT);
    peer.send(&bytes)?;
    let beside = 3 * 100;
    // It has read all that it may before its first reply is out, and is stuck.
    let read = "echolab_received_bytes_total";
    server.await_metric(read, |count| count > f64::from(beside))?;
    let read = match server.metrics()?.and_then(|metrics| metrics.get(read)) {
        Some(count) => count as usize - beside as usize,
        None => 1,
    };
    server.terminate()?;
    await_end(&mut bystanders)?;
    let got = peer.read_to_end();
    ensure!(
        bytes.starts_with(&got),
        "the bytes that came after the signal are wrong"
    );
    ensure!(
        got.len() >= read,
        "the server had read {read} bytes and gave back {}",
        got.len()
    );
    // Ours also echo what had arrived and was not read yet.
    ensure!(
        !server.is_ours() || got.len() == SENT,
        "of {SENT} bytes that had arrived {} came back",
        got.len()
    );
    server.expect_orderly_end(server.patience)
}

pub fn a_peer_that_never_reads_does_not_hold_a_stop(contender: &Contender) -> Result<()> {
    let mut server = contender.start(&[("--grace", "300ms"), ("--send-buffer", "1")])?;
    let _stuck = stuck_peer(&server)?;
    server.terminate()?;
    // Far longer than the grace period, for a busy machine, and far shorter than for ever.
    server.expect_orderly_end(server.patience)
}

pub fn nobody_connects_after_a_stop(contender: &Contender) -> Result<()> {
    let mut server = contender.start(&[("--grace", "60s"), ("--send-buffer", "1")])?;
    // Holds the stop, so that there is time to try.
    let (mut stuck, read) = stuck_peer(&server)?;
    server.terminate()?;
    let (address, patience) = (server.echo, server.patience);
    server.poll("connections to be refused", || {
        match TcpStream::connect_timeout(&address, patience) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(true),
            // Its handshake was under way when the listener went: that says nothing about those who come now.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(false),
            Err(error) => bail!("connecting after a stop: {error}"),
            Ok(_) => Ok(false),
        }
    })?;
    // All the time it was there for the reply under way, and still is.
    let got = stuck.read_to_end().len();
    ensure!(
        got >= read,
        "it had read {read} bytes and gave back {got}: it ended before its grace period was over, with a reply under way"
    );
    server.expect_orderly_end(server.patience)
}

/// A peer that sent until nothing more went out, and reads nothing; the server is left with a reply under way. With it,
/// how many bytes the server has read (1 when it does not say).
fn stuck_peer(server: &Running) -> Result<(Peer, usize)> {
    let mut peer = Peer::connect_with_room(server, 64 << 10)?;
    let bytes = pattern(13, 32 << 20);
    let (mut sent, mut seen) = (0, None);
    // On a busy machine nothing may go out because the server does not get its turn, so it has to say so itself, twice.
    server.poll("a reply that its peer does not take", || {
        let more = peer.send_until_stuck(&bytes[sent..], Duration::from_millis(100))?;
        sent += more;
        ensure!(sent < bytes.len(), "32 MiB went out although nothing was read");
        let Some(metrics) = server.metrics()? else {
            return Ok(more == 0);
        };
        let now = metrics
            .get("echolab_received_bytes_total")
            .zip(metrics.get("echolab_sent_bytes_total"));
        let before = std::mem::replace(&mut seen, now);
        let under_way = now.is_none_or(|(received, sent)| received > sent);
        Ok(more == 0 && under_way && before == now)
    })?;
    Ok((peer, seen.map_or(1, |(received, _)| received as usize)))
}

/// Quiet peers are closed at once: then the stop is under way.
fn await_end(peers: &mut [Peer]) -> Result<()> {
    peers
        .iter_mut()
        .try_for_each(|peer| peer.expect_end().context("a quiet peer"))
}
