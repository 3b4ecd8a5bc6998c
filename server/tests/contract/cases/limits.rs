//! Out of descriptors, or at the limit of connections: existing connections go on, accepting pauses and resumes.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::contract::contender::{Contender, Running};
use crate::contract::peer::{Peer, pattern};

/// How long a peer that should hear nothing is listened to.
const SILENCE: Duration = Duration::from_millis(300);

pub fn out_of_descriptors_is_survived(contender: &Contender) -> Result<()> {
    const DESCRIPTORS: u64 = 64;
    /// As many as workers, which `Contender::start` sets.
    const ACCEPTORS: usize = 2;
    let server = contender.start_with_descriptors(DESCRIPTORS, &[])?;
    // More than it can have; the kernel completes the others' handshakes all the same.
    let peers = (0..2 * DESCRIPTORS)
        .map(|_| Peer::connect(&server))
        .collect::<Result<Vec<_>>>()?;
    let (mut served, mut waiting) = sort(peers)?;
    ensure!(
        !served.is_empty() && !waiting.is_empty(),
        "{} are served",
        served.len()
    );
    let failures = "echolab_accept_errors_total{reason=\"descriptors\"}";
    server.await_metric(failures, |count| count > 0.0)?;

    // Existing connections go on, and meanwhile it does not spin: not by its CPU time, nor, where that is scarce, by how
    // often it tried.
    let tried = || Ok::<_, anyhow::Error>(server.metrics()?.and_then(|metrics| metrics.get(failures)));
    let tried_before = tried()?;
    let before = (sys::clock::process_cpu_time(server.pid())?, Instant::now());
    while before.1.elapsed() < Duration::from_secs(1) {
        for peer in &mut served {
            peer.echo(&pattern(2, 100))
                .context("while there are no descriptors")?;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let share = (sys::clock::process_cpu_time(server.pid())? - before.0).as_secs_f64()
        / before.1.elapsed().as_secs_f64();
    ensure!(
        share < 0.4,
        "without descriptors it used {:.0} % of a core",
        share * 100.0
    );
    if let (Some(before), Some(after)) = (tried_before, tried()?) {
        ensure!(
            after - before < 1000.0,
            "without descriptors it tried {} times a second",
            after - before
        );
    }

    // Each peer that leaves makes room for a peer that waits. Linux reserves a descriptor before it blocks in `accept`:
    // an acceptor whose queue is empty keeps one, while the queue of another still holds peers.
    let room = served.len().min(waiting.len()) / 2;
    served.truncate(served.len() - room);
    expect_served(&server, &mut waiting, &mut served, room - ACCEPTORS..=room)?;
    for peer in &mut served {
        peer.echo(b"still there")?;
    }
    Ok(())
}

pub fn max_connections_pauses_accepting(contender: &Contender) -> Result<()> {
    let server = contender.start(&[("--max-connections", "10")])?;
    let peers = (0..16)
        .map(|_| Peer::connect(&server))
        .collect::<Result<Vec<_>>>()?;
    let (mut served, mut waiting) = sort(peers)?;
    ensure!(served.len() == 10, "{} are served", served.len());
    server.await_metric("echolab_connections", |open| open == 10.0)?;
    served.truncate(6);
    expect_served(&server, &mut waiting, &mut served, 4..=4)?;
    ensure!(waiting.len() == 2);
    for peer in &mut served {
        peer.echo(b"still there")?;
    }
    // Those two are still not served, and not closed either.
    for peer in &mut waiting {
        ensure!(
            !peer.hears_something(SILENCE)?,
            "an eleventh connection is served"
        );
    }
    served.truncate(8);
    expect_served(&server, &mut waiting, &mut served, 2..=2)
}

/// Sends a message on each, and sorts out who gets it back. Those who don't have one under way.
fn sort(mut peers: Vec<Peer>) -> Result<(Vec<Peer>, Vec<Peer>)> {
    for peer in &mut peers {
        peer.send(b"anybody there?")?;
    }
    let (mut served, mut waiting) = (Vec::new(), Vec::new());
    let mut silence = SILENCE;
    for mut peer in peers {
        if peer.hears_something(silence)? {
            peer.expect(b"anybody there?")?;
            served.push(peer);
        } else {
            // The others have been waiting as long.
            silence = Duration::from_millis(10);
            waiting.push(peer);
        }
    }
    Ok((served, waiting))
}

/// Waits until as many of the waiting peers have got their message back, and moves them to the served peers.
fn expect_served(
    server: &Running,
    waiting: &mut Vec<Peer>,
    served: &mut Vec<Peer>,
    counts: RangeInclusive<usize>,
) -> Result<()> {
    let mut taken = Vec::new();
    server.poll("accepting to resume", || {
        let mut index = 0;
        while index < waiting.len() {
            if waiting[index].hears_something(Duration::from_millis(1))? {
                let mut peer = waiting.remove(index);
                peer.expect(b"anybody there?")?;
                taken.push(peer);
            } else {
                index += 1;
            }
        }
        Ok(taken.len() >= *counts.start())
    })?;
    ensure!(
        counts.contains(&taken.len()),
        "{} instead of {counts:?} were taken",
        taken.len()
    );
    for peer in &mut taken {
        peer.echo(b"welcome")?;
    }
    served.append(&mut taken);
    Ok(())
}
