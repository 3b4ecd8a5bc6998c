//! What one peer does costs the others nothing.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use telemetry::process::Memory;

use crate::contract::contender::{Contender, Running};
use crate::contract::peer::{Peer, connect_many, pattern};

pub fn a_reset_closes_that_connection_alone(contender: &Contender) -> Result<()> {
    const RESETS: usize = 20;
    let server = contender.start(&[])?;
    let mut bystanders = connect_many(&server, 4)?;
    for round in 0..RESETS {
        let mut peer = Peer::connect(&server)?;
        peer.echo(b"whole")?;
        peer.send(b"hal")?;
        peer.reset()?;
        for bystander in &mut bystanders {
            bystander
                .echo(&pattern(round as u64, 150))
                .context("a bystander")?;
        }
    }
    let counted = |metrics: &crate::contract::scrape::Metrics| {
        // A server may also notice only when it writes, and name it differently; it must count all of them.
        let reset = metrics.get("echolab_connections_closed_total{reason=\"reset\"}")?;
        Some(reset == RESETS as f64)
    };
    server.await_metrics("the resets being counted", counted)?;
    server.await_metric("echolab_connections", |open| open == bystanders.len() as f64)
}

pub fn a_peer_that_never_reads_costs_bounded_memory(contender: &Contender) -> Result<()> {
    const PEERS: usize = 16;
    const OFFERED_BYTES: usize = 16 << 20;
    // Of 256 MiB offered. A profiler that reads its symbols meanwhile takes some dozens of MiB once.
    const GROWTH_MAX_BYTES: u64 = 96 << 20;
    // Of what it has read and not sent, for each peer: the rest of one read, or the few that one completion brings.
    const HELD_MAX_BYTES: f64 = (PEERS * (64 << 10)) as f64;
    let server = contender.start(&[("--send-buffer", "16384")])?;
    let mut quiet = Peer::connect(&server)?;
    quiet.echo(b"before")?;
    let resident = || Ok::<_, anyhow::Error>(Memory::of(server.pid())?.resident_bytes);
    let before = resident()?;
    let offered = pattern(5, OFFERED_BYTES);
    let mut peers = (0..PEERS)
        .map(|_| Peer::connect_with_room(&server, 64 << 10))
        .collect::<Result<Vec<_>>>()?;
    let mut sent = Vec::new();
    for peer in &mut peers {
        sent.push(peer.send_until_stuck(&offered, Duration::from_millis(100))?);
        quiet.echo(&pattern(9, 100)).context("a quiet peer meanwhile")?;
    }
    let growth = resident()?.saturating_sub(before);
    ensure!(
        growth < GROWTH_MAX_BYTES,
        "{PEERS} peers that never read made it grow by {growth} bytes; they sent {sent:?}"
    );
    server.await_metrics("little of what was read to be held", |metrics| {
        let received = metrics.get("echolab_received_bytes_total")?;
        Some(received - metrics.get("echolab_sent_bytes_total")? <= HELD_MAX_BYTES)
    })?;
    // Nothing was lost: once one of them does read, all of its bytes are there.
    let (mut late, sent) = (peers.remove(0), sent[0]);
    late.expect(&offered[..sent])?;
    quiet.echo(b"after")
}

pub fn a_flood_does_not_starve_a_quiet_peer(contender: &Contender) -> Result<()> {
    let server = contender.start(&[("--workers", "1")])?;
    let mut quiet = Peer::connect(&server)?;
    quiet.echo(b"before")?;
    let flood = Peer::connect(&server)?;
    let (mut writer, mut reader, cut) = (flood.second()?, flood.second()?, AtomicBool::new(false));
    std::thread::scope(|scope| {
        let bytes = pattern(3, 1 << 20);
        let (cut, patience) = (&cut, server.patience);
        scope.spawn(move || while !cut.load(Ordering::Relaxed) && writer.send(&bytes).is_ok() {});
        scope.spawn(move || while !cut.load(Ordering::Relaxed) && reader.skip(1 << 20).is_ok() {});
        // It is under way for certain.
        let echoed = server
            .await_metric("echolab_received_bytes_total", |bytes| bytes > 1e6)
            .and_then(|()| {
                (0..50).try_for_each(|round| {
                    quiet
                        .echo(&pattern(round, 100))
                        .with_context(|| format!("round {round} in {patience:?}"))
                })
            });
        cut.store(true, Ordering::Relaxed);
        flood.abandon();
        echoed
    })
}

pub fn connections_that_come_and_go_leave_nothing_behind(contender: &Contender) -> Result<()> {
    const THREADS: usize = 4;
    const EACH: usize = 500;
    let server = contender.start(&[])?;
    // Some servers open a descriptor or two with their first connections.
    drop(connect_many(&server, 8)?);
    server.await_metric("echolab_connections", |open| open == 0.0)?;
    let descriptors =
        || Ok::<_, anyhow::Error>(std::fs::read_dir(format!("/proc/{}/fd", server.pid()))?.count());
    let before = descriptors()?;
    let (address, patience) = (server.echo, server.patience);
    let come_and_go = |thread: usize| -> Result<()> {
        for round in 0..EACH {
            let mut peer = Peer::connect_to(address, patience)?;
            match round % 4 {
                0 => peer.echo(&pattern((thread * EACH + round) as u64, 250))?,
                1 => peer.send(b"never read")?,
                2 => peer.reset()?,
                _ => {
                    peer.half_close()?;
                    peer.expect_end()?;
                }
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || come_and_go(thread)))
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    server.await_metric("echolab_connections", |open| open == 0.0)?;
    server
        .poll("descriptors to be closed", || Ok(descriptors()? <= before))
        .with_context(|| format!("{before} before"))?;
    Peer::connect(&server)?.echo(b"still there")
}

/// Connections end in every way while others start on the same descriptors; each must see its own bytes alone.
pub fn a_reused_descriptor_brings_no_foreign_bytes(contender: &Contender) -> Result<()> {
    let server = contender.start(&[])?;
    let mut steady = connect_many(&server, 8)?;
    let (address, patience) = (server.echo, server.patience);
    let churning = AtomicBool::new(true);
    let churn = |thread: u64| -> Result<()> {
        for round in 0..400 {
            let seed = thread << 32 | round;
            let mut peer = Peer::connect_to(address, patience)?;
            peer.echo(&pattern(seed, 150))
                .with_context(|| format!("the first message of connection {round}"))?;
            peer.send(&pattern(seed + 1, 1000))?;
            // With the reply under way, or half read.
            match round % 3 {
                0 => peer.reset()?,
                1 => drop(peer),
                _ => peer.expect(&pattern(seed + 1, 1000)[..300])?,
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let churners: Vec<_> = (1..3).map(|thread| scope.spawn(move || churn(thread))).collect();
        let churning = &churning;
        let steady = scope.spawn(move || keep_echoing(&mut steady, churning));
        let churned = churners
            .into_iter()
            .map(|thread| thread.join().expect("it does not panic"))
            .fold(Ok(()), Result::and);
        churning.store(false, Ordering::Relaxed);
        churned.and(steady.join().expect("it does not panic").context("a steady peer"))
    })?;
    drained(&server)
}

fn keep_echoing(peers: &mut [Peer], going: &AtomicBool) -> Result<()> {
    let mut seed = 1 << 50;
    while going.load(Ordering::Relaxed) {
        for peer in &mut *peers {
            seed += 1;
            peer.echo(&pattern(seed, 333))?;
        }
    }
    Ok(())
}

fn drained(server: &Running) -> Result<()> {
    server.await_metric("echolab_connections", |open| open == 0.0)
}
