//! Rings on this machine's kernel. Where it forbids io_uring the tests say so and end; `probe` has tests of its own.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use super::*;

const SETUP: Setup = Setup {
    submissions: 16,
    completions: 32,
    connections: 8,
    buffers: 4,
    buffer_bytes: 200,
};

/// A ring, unless this machine forbids it.
fn ring(setup: &Setup) -> Option<Ring> {
    match probe() {
        Ok(()) => Some(Ring::new(setup).unwrap()),
        Err(why) => {
            eprintln!("not tried: {why}");
            None
        }
    }
}

/// Waits for the next completion, at most 5 s.
fn next(ring: &mut Ring) -> Completion {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        if let Some(completion) = ring.next_completion().unwrap() {
            return completion;
        }
        assert!(Instant::now() < deadline, "no completion came");
        ring.wait(1, Duration::ZERO, Some(Duration::from_millis(100)))
            .unwrap();
    }
}

/// Submits, and reads what is there within a moment.
fn all_now(ring: &mut Ring) -> Vec<Completion> {
    ring.wait(1, Duration::ZERO, Some(Duration::from_millis(20)))
        .unwrap();
    let mut all = Vec::new();
    while let Some(completion) = ring.next_completion().unwrap() {
        all.push(completion);
    }
    all
}

/// A listener, and a ring that accepts from it.
fn listening(ring: &mut Ring) -> (TcpListener, Descriptor) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let adopted = ring.adopt(listener.as_fd()).unwrap();
    (listener, adopted)
}

fn accepted(ring: &mut Ring) -> Descriptor {
    match next(ring) {
        Completion::Accepted { result, .. } => result.unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A peer, and its connection in the ring's table.
fn pair(ring: &mut Ring, listener: &TcpListener, adopted: &Descriptor) -> (TcpStream, Descriptor) {
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    ring.accept(adopted, false).unwrap();
    (peer, accepted(ring))
}

fn bytes(ring: &mut Ring) -> Buffer {
    match next(ring) {
        Completion::Received {
            received: Received::Bytes(buffer),
            ..
        } => buffer,
        other => panic!("{other:?}"),
    }
}

fn set_send_buffer(socket: &TcpListener, bytes: i32) {
    // SAFETY: the option is an int that lives through the call.
    let returned = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_SNDBUF,
            (&raw const bytes).cast(),
            4,
        )
    };
    assert_eq!(returned, 0);
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_message_goes_round_and_its_buffer_comes_back() {
    let Some(mut ring) = ring(&SETUP) else { return };
    let (listener, adopted) = listening(&mut ring);
    let (mut peer, socket) = pair(&mut ring, &listener, &adopted);
    ring.receive(&socket).unwrap();
    // More rounds than there are buffers, operations or completions in the ring.
    for round in 0..100u8 {
        let message = [round; 100];
        peer.write_all(&message).unwrap();
        let buffer = bytes(&mut ring);
        assert_eq!(ring.bytes(&buffer), message);
        ring.send(&socket, &mut vec![buffer]).unwrap();
        assert!(all_now(&mut ring).is_empty(), "a finished send reports nothing");
        let mut reply = [0; 100];
        peer.read_exact(&mut reply).unwrap();
        assert_eq!(reply, message);
    }
    drop(peer);
    assert!(matches!(
        next(&mut ring),
        Completion::Received {
            received: Received::End,
            more: false,
            ..
        }
    ));
    ring.close(socket).unwrap();
}

#[test]
fn an_accept_of_many_goes_on_until_it_is_stopped() {
    let Some(mut ring) = ring(&SETUP) else { return };
    let (listener, adopted) = listening(&mut ring);
    ring.accept(&adopted, true).unwrap();
    let peers: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(listener.local_addr().unwrap()).unwrap())
        .collect();
    let sockets: Vec<_> = (0..3).map(|_| accepted(&mut ring)).collect();
    ring.stop_accepting(&adopted).unwrap();
    match next(&mut ring) {
        Completion::Accepted { result, more, .. } => {
            assert_eq!(result.unwrap_err().kind(), io::ErrorKind::Interrupted);
            assert!(!more);
        }
        other => panic!("{other:?}"),
    }
    drop((peers, sockets));
}

#[test]
fn a_place_is_free_again_when_its_socket_is_closed() {
    let Some(mut ring) = ring(&SETUP) else { return };
    let (listener, adopted) = listening(&mut ring);
    for _ in 0..5 * SETUP.connections {
        let (mut peer, socket) = pair(&mut ring, &listener, &adopted);
        ring.receive(&socket).unwrap();
        ring.close(socket).unwrap();
        assert!(
            all_now(&mut ring).is_empty(),
            "what is under way on a closed place is swallowed"
        );
        assert!(all_now(&mut ring).is_empty());
        // `read_to_end` goes on after EINTR, which the end of the probe's ring may cause here.
        assert_eq!(
            peer.read_to_end(&mut Vec::new()).unwrap(),
            0,
            "the socket is closed"
        );
    }
}

#[test]
fn a_full_table_is_an_error_of_the_accept() {
    let Some(mut ring) = ring(&SETUP) else { return };
    let (listener, adopted) = listening(&mut ring);
    let full: Vec<_> = (0..SETUP.connections)
        .map(|_| pair(&mut ring, &listener, &adopted))
        .collect();
    let _peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    ring.accept(&adopted, false).unwrap();
    match next(&mut ring) {
        Completion::Accepted { result, .. } => {
            assert!(crate::errno::is_out_of_descriptors(&result.unwrap_err()));
        }
        other => panic!("{other:?}"),
    }
    drop(full);
}

#[test]
fn what_the_socket_does_not_take_is_handed_back_in_order() {
    let setup = Setup { buffers: 64, ..SETUP };
    let Some(mut ring) = ring(&setup) else { return };
    let (listener, adopted) = listening(&mut ring);
    set_send_buffer(&listener, 1);
    let (mut peer, socket) = pair(&mut ring, &listener, &adopted);
    ring.receive(&socket).unwrap();
    let mut sent: Vec<u8> = Vec::new();
    let mut held = Vec::new();
    let mut taken = Vec::new();
    // The peer reads nothing: sooner or later its window and the small send buffer are full.
    let (rest, error) = loop {
        let message: Vec<u8> = (0..2000u32).map(|n| (n as usize + sent.len()) as u8).collect();
        peer.write_all(&message).unwrap();
        sent.extend(&message);
        while taken.len() < sent.len() {
            let buffer = bytes(&mut ring);
            taken.extend_from_slice(ring.bytes(&buffer));
            held.push(buffer);
        }
        ring.send(&socket, &mut held).unwrap();
        match all_now(&mut ring).pop() {
            None => {}
            Some(Completion::Unsent { rest, error, .. }) => break (rest, error),
            Some(other) => panic!("{other:?}"),
        }
        assert!(sent.len() < 64 << 20, "the socket takes everything");
    };
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    assert_eq!(
        rest,
        sent[sent.len() - rest.len()..],
        "the rest is the end of what was sent"
    );
    assert_eq!(taken, sent);
    let length = rest.len();
    ring.send_all(&socket, rest).unwrap();
    assert!(all_now(&mut ring).is_empty(), "there is still no room");
    let reader = std::thread::spawn(move || {
        let mut echoed = vec![0; sent.len()];
        peer.read_exact(&mut echoed).unwrap();
        assert!(echoed == sent, "bytes were lost, doubled or out of order");
    });
    match next(&mut ring) {
        Completion::Sent { result, memory, .. } => {
            assert_eq!((result.unwrap(), memory.len()), (length, length))
        }
        other => panic!("{other:?}"),
    }
    reader.join().unwrap();
}

#[test]
fn without_buffers_a_receive_ends_and_can_be_started_again() {
    let Some(mut ring) = ring(&SETUP) else { return };
    let (listener, adopted) = listening(&mut ring);
    let (mut peer, socket) = pair(&mut ring, &listener, &adopted);
    ring.receive(&socket).unwrap();
    let message: Vec<u8> = (0..10 * 200u32).map(|n| n as u8).collect();
    peer.write_all(&message).unwrap();
    let mut got = Vec::new();
    let mut dry = 0;
    while got.len() < message.len() {
        let mut buffers = Vec::new();
        loop {
            match next(&mut ring) {
                Completion::Received {
                    received: Received::Bytes(buffer),
                    ..
                } => buffers.push(buffer),
                Completion::Received {
                    received: Received::NoBuffers,
                    more,
                    ..
                } => {
                    assert!(!more);
                    break;
                }
                other => panic!("{other:?}"),
            }
            if got.len() + buffers.iter().map(Buffer::len).sum::<usize>() == message.len() {
                break;
            }
        }
        dry += 1;
        for buffer in buffers {
            got.extend_from_slice(ring.bytes(&buffer));
            ring.give_back(buffer);
        }
        if got.len() < message.len() {
            ring.receive(&socket).unwrap();
        }
    }
    assert_eq!(got, message);
    assert!(dry >= 3, "four buffers of 200 bytes cannot hold 2,000");
}

#[test]
fn completions_that_find_no_room_are_not_lost() {
    let setup = Setup {
        submissions: 2,
        completions: 2,
        buffers: 64,
        ..SETUP
    };
    let Some(mut ring) = ring(&setup) else { return };
    let (listener, adopted) = listening(&mut ring);
    let (mut first, first_socket) = pair(&mut ring, &listener, &adopted);
    let (mut second, second_socket) = pair(&mut ring, &listener, &adopted);
    ring.receive(&first_socket).unwrap();
    ring.receive(&second_socket).unwrap();
    assert!(all_now(&mut ring).is_empty());
    first.write_all(&[1; 3000]).unwrap();
    second.write_all(&[2; 3000]).unwrap();
    let mut got = [0, 0];
    while got != [3000, 3000] {
        match next(&mut ring) {
            Completion::Received {
                slot,
                received: Received::Bytes(buffer),
                more,
            } => {
                let index = usize::from(slot == second_socket.slot());
                got[index] += buffer.len();
                assert!(
                    ring.bytes(&buffer)
                        .iter()
                        .all(|byte| usize::from(*byte) == index + 1)
                );
                ring.give_back(buffer);
                if !more {
                    ring.receive([&first_socket, &second_socket][index]).unwrap();
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_receive_that_is_stopped_says_so_and_leaves_the_rest_unread() {
    let Some(mut ring) = ring(&SETUP) else { return };
    let (listener, adopted) = listening(&mut ring);
    let (mut peer, socket) = pair(&mut ring, &listener, &adopted);
    ring.receive(&socket).unwrap();
    assert!(all_now(&mut ring).is_empty());
    ring.stop_receiving(&socket).unwrap();
    assert!(matches!(
        next(&mut ring),
        Completion::Received {
            received: Received::Stopped,
            more: false,
            ..
        }
    ));
    peer.write_all(b"later").unwrap();
    assert!(all_now(&mut ring).is_empty());
    ring.receive(&socket).unwrap();
    let buffer = bytes(&mut ring);
    assert_eq!(ring.bytes(&buffer), b"later");
    ring.give_back(buffer);
}

#[test]
fn dropping_a_ring_ends_what_is_under_way_and_closes_its_sockets() {
    if ring(&SETUP).is_none() {
        return;
    }
    let before = open_descriptors();
    let start = Instant::now();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let flag = crate::wake::Flag::new().unwrap();
    let mut peers = Vec::new();
    for _ in 0..20 {
        let mut ring = Ring::new(&SETUP).unwrap();
        let adopted = ring.adopt(listener.as_fd()).unwrap();
        let stop = ring.adopt(flag.as_fd()).unwrap();
        ring.watch(&stop).unwrap();
        let (mut peer, socket) = pair(&mut ring, &listener, &adopted);
        ring.receive(&socket).unwrap();
        ring.send_all(&socket, vec![7; 8 << 20]).unwrap();
        ring.accept(&adopted, true).unwrap();
        peer.write_all(b"unread").unwrap();
        ring.wait(1, Duration::ZERO, Some(Duration::from_millis(1)))
            .unwrap();
        assert!(ring.under_way >= 3);
        // A send that is queued and never submitted.
        if let Ok(Some(Completion::Received {
            received: Received::Bytes(buffer),
            ..
        })) = ring.next_completion()
        {
            ring.send(&socket, &mut vec![buffer]).unwrap();
        }
        peers.push(peer);
    }
    assert!(start.elapsed() < DROP_WAIT, "dropping waited in vain");
    for mut peer in peers {
        let mut all = Vec::new();
        // Ended or reset, never left open: the send was cut, and a byte was left unread.
        let _ = peer.read_to_end(&mut all);
        assert!(all.len() <= (8 << 20) + 6);
    }
    drop((listener, flag));
    assert!(
        open_descriptors() <= before + 20,
        "other tests open some; twenty rings would open more"
    );
}

#[test]
fn a_lone_completion_ends_a_wait_once_the_gathering_time_is_over() {
    let Some(mut ring) = ring(&SETUP) else { return };
    if !ring.can_gather() {
        eprintln!("not tried: this kernel cannot gather");
        return;
    }
    let (listener, adopted) = listening(&mut ring);
    let (mut peer, socket) = pair(&mut ring, &listener, &adopted);
    ring.receive(&socket).unwrap();
    assert!(all_now(&mut ring).is_empty());
    // One is there, eight are wanted: the wait lasts as long as it may gather, and no longer.
    peer.write_all(b"one").unwrap();
    let start = Instant::now();
    ring.wait(8, Duration::from_millis(30), Some(Duration::from_secs(5)))
        .unwrap();
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(25), "{waited:?}");
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    let buffer = bytes(&mut ring);
    ring.give_back(buffer);
    // Nothing is there: it waits on for the first, beyond the gathering time. One call does, also without a timeout.
    for timeout in [Some(Duration::from_secs(5)), None] {
        let late = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(60));
            peer.write_all(b"two").unwrap();
            peer
        });
        ring.wait(8, Duration::from_millis(1), timeout).unwrap();
        let Some(Completion::Received {
            received: Received::Bytes(buffer),
            ..
        }) = ring.next_completion().unwrap()
        else {
            panic!("it ended before anything came, with the timeout {timeout:?}");
        };
        assert_eq!(ring.bytes(&buffer), b"two");
        ring.give_back(buffer);
        peer = late.join().unwrap();
    }
    peer.shutdown(Shutdown::Both).unwrap();
}

#[test]
#[should_panic(expected = "of another ring")]
fn a_buffer_of_another_ring_is_refused() {
    let (Some(mut ring), Some(other)) = (ring(&SETUP), ring(&SETUP)) else {
        panic!("not tried: of another ring");
    };
    let (listener, adopted) = listening(&mut ring);
    let (mut peer, socket) = pair(&mut ring, &listener, &adopted);
    ring.receive(&socket).unwrap();
    peer.write_all(b"x").unwrap();
    let buffer = bytes(&mut ring);
    other.bytes(&buffer);
}

#[test]
fn sizes_that_no_kernel_takes_are_refused() {
    for (buffers, buffer_bytes) in [(0, 200), (3, 200), (4, 0)] {
        let setup = Setup {
            buffers,
            buffer_bytes,
            ..SETUP
        };
        let error = Ring::new(&setup).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
