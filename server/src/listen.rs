//! Binds the listening sockets, with all options that accepted connections inherit.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, Socket, Type};

use crate::engine::Listeners;
use crate::failure::Failure;

/// What the echo service listens on, and how.
#[derive(Debug, Clone)]
pub struct Listen {
    /// The address; port 0 takes any free one.
    pub address: SocketAddr,
    /// How many sockets with SO_REUSEPORT; `None` is one socket for all workers.
    pub sockets: Option<NonZeroUsize>,
    /// Connections that may wait to be accepted; the kernel caps it at net.core.somaxconn.
    pub backlog: i32,
    /// TCP_NODELAY, inherited by every connection.
    pub nodelay: bool,
    /// SO_SNDBUF, inherited by every connection; `None` leaves it to the kernel.
    pub send_buffer_bytes: Option<NonZeroUsize>,
}

/// Binds the echo service.
pub fn echo(listen: &Listen) -> Result<Listeners, Failure> {
    let bound = match listen.sockets {
        None => socket(listen, listen.address, false).map(Listeners::shared),
        Some(sockets) => per_worker(listen, sockets),
    };
    bound.map_err(|error| refusal("--listen", listen.address, error))
}

/// Binds the metrics' address, if there is one.
pub fn metrics(address: Option<SocketAddr>) -> Result<Option<TcpListener>, Failure> {
    let bound = address
        .map(|address| TcpListener::bind(address).map_err(|error| refusal("--metrics", address, error)));
    bound.transpose()
}

fn per_worker(listen: &Listen, sockets: NonZeroUsize) -> io::Result<Listeners> {
    if listen.address.port() != 0 {
        // With SO_REUSEPORT two servers may bind one port and take each other's connections. This one, without it,
        // finds out whether somebody else is there.
        drop(socket(listen, listen.address, false)?);
    }
    let first = socket(listen, listen.address, true)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..sockets.get() {
        all.push(socket(listen, address, true)?);
    }
    Listeners::per_worker(all).ok_or_else(|| io::Error::other("no sockets were asked for"))
}

fn socket(listen: &Listen, address: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server may bind although connections of the last one are still in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    socket.set_tcp_nodelay(listen.nodelay)?;
    if let Some(bytes) = listen.send_buffer_bytes {
        socket.set_send_buffer_size(bytes.get())?;
    }
    socket.bind(&address.into())?;
    socket.listen(listen.backlog)?;
    Ok(socket.into())
}

fn refusal(flag: &str, address: SocketAddr, error: io::Error) -> Failure {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is in use; choose another one, or port 0 for any free one, or stop what listens there"
        }
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; choose one of its own, or 0.0.0.0 for all"
        }
        io::ErrorKind::PermissionDenied => "this user may not bind that port; choose one above 1023",
        _ => {
            let error = anyhow::Error::new(error).context(format!("{flag} {address}: cannot listen there"));
            return Failure::Runtime(error);
        }
    };
    Failure::Input(format!("{flag} {address}: {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::net::TcpStream;

    fn listen(sockets: Option<usize>) -> Listen {
        Listen {
            address: "127.0.0.1:0".parse().unwrap(),
            sockets: sockets.and_then(NonZeroUsize::new),
            backlog: 16,
            nodelay: true,
            send_buffer_bytes: NonZeroUsize::new(20_000),
        }
    }

    #[test]
    fn connections_inherit_the_options_of_the_listener() {
        for nodelay in [true, false] {
            let listeners = echo(&Listen {
                nodelay,
                ..listen(None)
            })
            .unwrap();
            let _peer = TcpStream::connect(listeners.address().unwrap()).unwrap();
            let (accepted, _) = listeners.of_worker(0).accept().unwrap();
            assert_eq!(accepted.nodelay().unwrap(), nodelay);
            // The kernel doubles what is asked for, to account for its own overhead (socket(7)).
            assert_eq!(SockRef::from(&accepted).send_buffer_size().unwrap(), 40_000);
        }
    }

    #[test]
    fn workers_share_one_port() {
        let listeners = echo(&listen(Some(3))).unwrap();
        let ports: Vec<_> = listeners
            .all()
            .iter()
            .map(|socket| socket.local_addr().unwrap())
            .collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| *port == ports[0]), "{ports:?}");
    }

    #[test]
    fn a_port_in_use_is_refused_also_where_ports_are_shared() {
        let first = echo(&listen(Some(2))).unwrap();
        let again = Listen {
            address: first.address().unwrap(),
            ..listen(Some(2))
        };
        match echo(&again) {
            Err(Failure::Input(message)) => assert!(message.contains("in use"), "{message}"),
            _ => panic!("it was not refused"),
        }
    }

    #[test]
    fn nobody_connects_once_listening_is_closed() {
        let listeners = echo(&listen(None)).unwrap();
        let address = listeners.address().unwrap();
        listeners.close();
        listeners.close();
        assert!(TcpStream::connect(address).is_err());
        assert!(listeners.of_worker(0).accept().is_err());
    }
}
