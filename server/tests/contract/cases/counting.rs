//! What is counted is what happened.

use anyhow::{Context, Result};

use crate::contract::contender::Contender;
use crate::contract::peer::{connect_many, pattern};

pub fn bytes_are_conserved(contender: &Contender) -> Result<()> {
    let server = contender.start(&[])?;
    let mut peers = connect_many(&server, 20)?;
    // What connect_many echoed.
    let mut total = 20 * 100;
    for (number, peer) in peers.iter_mut().enumerate() {
        for round in 0..10 {
            let message = pattern(round, 1 + number * 37 + round as usize * 101);
            peer.echo(&message)?;
            total += message.len();
        }
    }
    // The reply is out before it is counted.
    let total = total as f64;
    for name in ["echolab_received_bytes_total", "echolab_sent_bytes_total"] {
        server
            .await_metric(name, |bytes| bytes == total)
            .with_context(|| format!("{name} should be {total}"))?;
    }
    server.await_metric("echolab_connections", |open| open == 20.0)?;
    server.await_metric("echolab_connections_accepted_total", |accepted| accepted == 20.0)?;
    // One turn for each message at least, and not many more: a turn takes up to 200 bytes.
    let turns = (20.0 * 11.0)..=(20.0 * 11.0 + total / 200.0 + 1.0);
    server.await_metric("echolab_messages_total", |messages| turns.contains(&messages))?;
    drop(peers);
    server.await_metric("echolab_connections_closed_total{reason=\"eof\"}", |closed| {
        closed == 20.0
    })?;
    server.await_metric("echolab_connections", |open| open == 0.0)
}
