//! The connections of one worker, found by descriptor and generation.

use std::os::fd::{AsFd, AsRawFd};

use super::connection::Connection;

/// Names one connection for all time: its descriptor, which the kernel gives out again, and a generation, which tells
/// the connections that had this descriptor apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token(u64);

impl Token {
    /// Marks events of the listening socket; no descriptor is that high.
    pub const LISTENER: Token = Token(u64::MAX);
    /// Marks events of the stop flag.
    pub const STOP: Token = Token(u64::MAX - 1);

    /// The token of an event.
    pub fn from_event(token: u64) -> Token {
        Token(token)
    }

    /// What to register a descriptor under.
    pub fn for_event(self) -> u64 {
        self.0
    }

    fn new(slot: usize, generation: u32) -> Token {
        Token(u64::from(generation) << 32 | slot as u64)
    }

    fn slot(self) -> usize {
        self.0 as u32 as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// A connection and the generation that it was given.
struct Entry {
    generation: u32,
    connection: Connection,
}

/// All connections of one worker. Looking one up is one index and one comparison.
#[derive(Default)]
pub struct Table {
    slots: Vec<Option<Entry>>,
    open: usize,
    /// The generation of the newest connection. It wraps after 2^32 connections, long after any event of the first.
    generation: u32,
}

impl Table {
    /// Takes a connection in.
    pub fn insert(&mut self, connection: Connection) -> Token {
        let slot = connection.as_fd().as_raw_fd() as usize;
        if slot >= self.slots.len() {
            self.slots.resize_with(slot + 1, || None);
        }
        self.generation = self.generation.wrapping_add(1);
        debug_assert!(self.slots[slot].is_none(), "a descriptor is open once");
        self.slots[slot] = Some(Entry {
            generation: self.generation,
            connection,
        });
        self.open += 1;
        Token::new(slot, self.generation)
    }

    /// The connection that `token` names, if it is still open.
    #[inline]
    pub fn get_mut(&mut self, token: Token) -> Option<&mut Connection> {
        match self.slots.get_mut(token.slot()) {
            Some(Some(entry)) if entry.generation == token.generation() => Some(&mut entry.connection),
            _ => None,
        }
    }

    /// Takes out the connection that `token` names, if it is still open.
    pub fn remove(&mut self, token: Token) -> Option<Connection> {
        self.get_mut(token)?;
        self.open -= 1;
        self.slots[token.slot()].take().map(|entry| entry.connection)
    }

    /// How many connections are open.
    pub fn len(&self) -> usize {
        self.open
    }

    /// The tokens of all open connections, as they are now.
    pub fn tokens(&self) -> Vec<Token> {
        let named = |(slot, entry): (usize, &Option<Entry>)| {
            entry.as_ref().map(|entry| Token::new(slot, entry.generation))
        };
        self.slots.iter().enumerate().filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::OwnedFd;

    fn connection() -> Connection {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        Connection::new(OwnedFd::from(
            TcpStream::connect(listener.local_addr().unwrap()).unwrap(),
        ))
    }

    #[test]
    fn a_stale_token_does_not_reach_the_next_connection_on_its_descriptor() {
        let mut table = Table::default();
        let first = table.insert(connection());
        let Connection { socket, .. } = table.remove(first).unwrap();
        let second = table.insert(Connection::new(socket));
        assert_eq!(first.slot(), second.slot(), "the descriptor is the same");
        assert!(table.get_mut(first).is_none() && table.remove(first).is_none());
        assert!(table.get_mut(second).is_some());
        assert_eq!((table.len(), table.tokens()), (1, vec![second]));
    }

    #[test]
    fn tokens_of_the_worker_itself_name_no_connection() {
        let mut table = Table::default();
        table.insert(connection());
        assert!(table.get_mut(Token::LISTENER).is_none() && table.get_mut(Token::STOP).is_none());
    }
}
