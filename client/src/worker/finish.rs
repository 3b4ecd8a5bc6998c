//! The orderly end of a thread's connections.

use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::SockRef;

use super::{ALARM, FLAG, Worker};
use crate::clock::{Nanos, SECOND};
use crate::metrics::Reason;

/// How long the servers' own closes are awaited at most; a server that ignores ours must not hold us up.
const FAREWELL: Nanos = SECOND;
/// Connections of a client, over all its threads, that end with FIN. After a FIN the kernel and its connection tracking keep
/// an entry for one or two minutes. Tens of thousands of connections per round would fill these tables, and then nobody
/// could connect any more. After a reset they keep it for ten seconds at most.
const ORDERLY_MAX: usize = 1_000;

impl Worker {
    /// Closes this side of a connection (FIN), awaits the server's close for a moment, so that bytes which come unasked
    /// after the last reply are noticed, and closes the rest. Beyond [`ORDERLY_MAX`] a connection that waits for no reply
    /// is reset.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        let mut awaited = 0;
        for slot in 0..self.links.len() {
            let orderly = self.connections.start + slot < ORDERLY_MAX;
            if let Some(socket) = &self.links[slot].socket {
                let socket = socket.as_fd();
                let socket = SockRef::from(&socket);
                if !orderly && !self.links[slot].connection.in_flight() {
                    // When it fails, the close is an orderly one.
                    let _ = socket.set_linger(Some(Duration::ZERO));
                    self.close(slot);
                    continue;
                }
                match socket.shutdown(Shutdown::Write) {
                    Ok(()) => awaited += 1,
                    Err(_) => self.close(slot),
                }
            }
        }
        let deadline = self.setup.clock.now() + FAREWELL.min(self.setup.timeout);
        while awaited > 0 {
            let left = deadline.saturating_sub(self.setup.clock.now());
            if left == 0 {
                break;
            }
            for index in 0..self
                .epoll
                .wait(&mut self.events, Some(Duration::from_nanos(left)))?
            {
                match self.events.get(index) {
                    Some(event) if event.token == FLAG => self.flag.lower(),
                    Some(event) if event.token == ALARM => {}
                    Some(event) => {
                        let slot = event.token as usize;
                        let stood = self.links[slot].socket.is_some();
                        match self.take_in(slot, true).lost {
                            Some(Reason::BadReply) => self.lose(slot, Reason::BadReply),
                            Some(_) => self.close(slot),
                            None => {}
                        }
                        awaited -= usize::from(stood && self.links[slot].socket.is_none());
                    }
                    None => {}
                }
            }
        }
        for slot in 0..self.links.len() {
            self.close(slot);
        }
        Ok(())
    }

    /// Closes a connection whose time has come: no error.
    fn close(&mut self, slot: usize) {
        if self.links[slot].socket.take().is_some() {
            self.block().established.subtract(1);
            self.block().closed.add(1);
        }
    }
}
