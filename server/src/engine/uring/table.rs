//! The connections of one worker, found by their place in the ring's table.

use sys::uring::Descriptor;

/// One connection: sixteen bytes while it is quiet, and no buffer.
#[derive(Debug, Default)]
pub struct Connection {
    /// Its socket; `None` for a place that no connection has.
    pub socket: Option<Descriptor>,
    /// A receive is under way.
    pub receiving: bool,
    /// The receive was told to stop, and has not said yet that it did.
    pub told_to_stop: bool,
    /// The peer has ended its half.
    pub ended: bool,
    /// A reply waits for room in the socket; until then nothing is read.
    pub blocked: bool,
    /// The batch at hand holds bytes of this connection.
    pub in_batch: bool,
}

/// All connections of one worker. The ring uses a place again only when nothing of the former connection can still be
/// reported, so a place names one connection at any time.
#[derive(Debug, Default)]
pub struct Table {
    places: Vec<Connection>,
    open: usize,
}

impl Table {
    /// Takes a connection in.
    pub fn insert(&mut self, socket: Descriptor) {
        let place = socket.slot() as usize;
        if place >= self.places.len() {
            self.places.resize_with(place + 1, Connection::default);
        }
        self.places[place] = Connection {
            socket: Some(socket),
            ..Connection::default()
        };
        self.open += 1;
    }

    /// The connection at this place, if there is one.
    #[inline]
    pub fn get_mut(&mut self, place: u32) -> Option<&mut Connection> {
        let connection = self.places.get_mut(place as usize)?;
        connection.socket.is_some().then_some(connection)
    }

    /// Takes a connection out, and gives its socket to close.
    pub fn remove(&mut self, place: u32) -> Option<Descriptor> {
        let connection = std::mem::take(self.places.get_mut(place as usize)?);
        self.open -= usize::from(connection.socket.is_some());
        connection.socket
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Places of connections, and places of none, from 0 up to this.
    pub fn places(&self) -> std::ops::Range<u32> {
        0..self.places.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_connection_is_small() {
        assert!(size_of::<Connection>() <= 16, "{}", size_of::<Connection>());
    }
}
