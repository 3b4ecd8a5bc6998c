//! Listening sockets, with the same options for every runtime.

use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::cli::Config;
use crate::{Failure, Sharing};

/// The bound sockets.
pub struct Bound {
    /// One for each worker, or one in all. Blocking, as io_uring wants them; who needs another mode sets it.
    pub listeners: Vec<TcpListener>,
    /// The address that they share.
    pub address: SocketAddr,
    /// Ends the waits for connections.
    pub wakers: Wakers,
}

/// Further handles of the listeners, kept to wake who waits on them.
pub struct Wakers(Vec<TcpListener>);

impl Wakers {
    /// Shuts every listener down: it takes no more connections, and each pending or later accept, by whatever
    /// means it waits, fails at once (on Linux with EINVAL). So no runtime needs a channel into its event loop.
    pub fn wake(&self) {
        for listener in &self.0 {
            // It can fail only when it is shut down already.
            let _ = SockRef::from(listener).shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Bound {
    /// Binds what `sharing` asks for.
    ///
    /// # Errors
    /// When the address cannot be bound, or descriptors ran out.
    pub fn new(config: &Config, sharing: Sharing) -> Result<Bound, Failure> {
        let count = match sharing {
            Sharing::ListenerPerWorker => config.workers,
            Sharing::OneListener => 1,
        };
        let refused = |error| {
            let address = config.listen;
            Failure::Refused(format!(
                "--listen {address}: {error}; name an address of this machine that is free"
            ))
        };
        if count > 1 && config.listen.port() != 0 {
            // With SO_REUSEPORT nobody would notice that another server has the port, and each would get a share.
            drop(listen(config, config.listen, false).map_err(refused)?);
        }
        let mut address = config.listen;
        let mut listeners = Vec::with_capacity(count);
        let mut wakers = Vec::with_capacity(count);
        for _ in 0..count {
            let listener = listen(config, address, count > 1).map_err(refused)?;
            // The first one settles the port.
            address = listener.local_addr().map_err(refused)?;
            wakers.push(listener.try_clone().map_err(refused)?);
            listeners.push(listener);
        }
        Ok(Bound {
            listeners,
            address,
            wakers: Wakers(wakers),
        })
    }
}

/// Accepted sockets inherit nodelay and the send buffer's size, so that they cost nothing per connection.
fn listen(config: &Config, address: SocketAddr, reuse_port: bool) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_tcp_nodelay(config.nodelay)?;
    if let Some(bytes) = config.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    socket.bind(&address.into())?;
    socket.listen(config.backlog)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(address: &str) -> Config {
        Config {
            listen: address.parse().unwrap(),
            metrics: None,
            workers: 3,
            read_buffer_bytes: 200,
            send_buffer_bytes: Some(8192),
            nodelay: true,
            backlog: 16,
            max_connections: None,
            grace: std::time::Duration::ZERO,
            cpus: None,
            events: 64,
            profile_hz: None,
        }
    }

    #[test]
    fn workers_share_one_port_and_nobody_else_does() {
        let bound = Bound::new(&config("127.0.0.1:0"), Sharing::ListenerPerWorker).unwrap();
        assert_eq!(bound.listeners.len(), 3);
        for listener in &bound.listeners {
            assert_eq!(listener.local_addr().unwrap(), bound.address);
        }
        let taken = bound.address.to_string();
        let Err(Failure::Refused(why)) = Bound::new(&config(&taken), Sharing::ListenerPerWorker) else {
            panic!("{taken} was taken twice");
        };
        assert!(why.contains(&taken) && why.contains("in use"), "{why}");
    }

    #[test]
    fn accepted_sockets_inherit_the_options_and_a_wake_ends_the_wait() {
        let bound = Bound::new(&config("127.0.0.1:0"), Sharing::OneListener).unwrap();
        let _peer = std::net::TcpStream::connect(bound.address).unwrap();
        let (accepted, _) = bound.listeners[0].accept().unwrap();
        assert!(accepted.nodelay().unwrap());
        // The kernel doubles what it is asked for.
        assert_eq!(SockRef::from(&accepted).send_buffer_size().unwrap(), 2 * 8192);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| bound.listeners[0].accept().map(drop));
            bound.wakers.wake();
            assert!(waits.join().unwrap().is_err());
        });
    }
}
