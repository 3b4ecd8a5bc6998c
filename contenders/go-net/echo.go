package main

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// closeReason says why a connection ended; it is a label of echolab_connections_closed_total.
type closeReason int

const (
	closedByEOF      closeReason = iota // the peer had sent everything, and has got it back
	closedByReset                       // the peer broke off
	closedByError                       // anything else that went wrong on this connection
	closedByShutdown                    // this server stopped
	closeReasons                        // how many there are
)

func (r closeReason) String() string {
	return [closeReasons]string{"eof", "reset", "error", "shutdown"}[r]
}

// echo is the server's side of one connection, from its first byte until it may be closed: read, write, again. While a
// write waits for the peer nothing more is read, so a connection never holds more than one buffer.
func (s *server) echo(connection *net.TCPConn, counts *slot) closeReason {
	var buffer []byte
	if s.tuned {
		buffer = make([]byte, s.readBufferBytes)
	}
	for {
		if !s.tuned {
			// As published: new for every message. Its size is not known to the compiler, so it is always on the heap.
			buffer = make([]byte, s.readBufferBytes)
		}
		err := echoOnce(connection, buffer, counts)
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return reasonOf(err)
		}
		// Nothing but a stop sets deadlines.
		finish(connection, buffer, counts)
		return closedByShutdown
	}
}

// echoOnce is one turn: one read, and its write.
func echoOnce(connection *net.TCPConn, buffer []byte, counts *slot) error {
	n, err := connection.Read(buffer)
	if err != nil {
		return err // on a TCP connection an error never comes along with bytes
	}
	counts.receivedBytes.add(n)
	n, err = connection.Write(buffer[:n])
	counts.sentBytes.add(n)
	if err != nil {
		return err
	}
	counts.messages.add(1)
	return nil
}

// finish makes a stop gentle for one connection. Requests that had arrived but not been read would not only go
// unanswered: a socket that is closed over unread bytes, or meets with more of them after, resets the connection, and
// that destroys replies that are still on their way. So what is there now is echoed, and the socket may be closed only
// when the peer's kernel has all of it. A peer that does not take its replies holds this up, until the grace period is
// over.
func finish(connection *net.TCPConn, buffer []byte, counts *slot) {
	if connection.SetReadDeadline(time.Time{}) != nil {
		return
	}
	// Bounded by what is there at this moment, so that a peer that never pauses cannot keep the server from stopping;
	// and as it is there, no read waits.
	for waiting := queuedBytes(connection, unreadQueue); waiting > 0; {
		turn := buffer
		if waiting < len(turn) {
			turn = turn[:waiting]
		}
		before := counts.receivedBytes.load()
		if echoOnce(connection, turn, counts) != nil {
			return
		}
		waiting -= int(counts.receivedBytes.load() - before)
	}
	if queuedBytes(connection, unackedQueue) == 0 || connection.CloseWrite() != nil {
		return // a quiet connection has nothing on its way
	}
	for queuedBytes(connection, unackedQueue) > 0 {
		time.Sleep(unackedPollInterval)
	}
}

// unackedPollInterval is short against any grace period, and asked for only in a stop.
const unackedPollInterval = 2 * time.Millisecond

// reasonOf tells why a read or a write outside of a stop failed.
func reasonOf(err error) closeReason {
	switch {
	case errors.Is(err, io.EOF):
		return closedByEOF
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return closedByReset
	default:
		return closedByError
	}
}

// The two queues of a socket, by the ioctl that tells their length.
const (
	unreadQueue  = syscall.TIOCINQ  // SIOCINQ: arrived, not read
	unackedQueue = syscall.TIOCOUTQ // SIOCOUTQ: written, not acknowledged by the peer's kernel; the end counts too
)

// queuedBytes returns the length of one of the connection's queues; 0 too if the connection is broken, for then nothing
// more can be done for it, although the kernel goes on showing what was never sent.
func queuedBytes(connection *net.TCPConn, queue uintptr) int {
	raw, err := connection.SyscallConn()
	if err != nil {
		return 0
	}
	var length int32
	err = onDescriptor(raw, func(descriptor int) error {
		pending, err := syscall.GetsockoptInt(descriptor, syscall.SOL_SOCKET, syscall.SO_ERROR)
		if err != nil {
			return err
		}
		if pending != 0 {
			return syscall.Errno(pending)
		}
		_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(descriptor), queue,
			uintptr(unsafe.Pointer(&length)))
		if errno != 0 {
			return errno
		}
		return nil
	})
	if err != nil {
		return 0
	}
	return int(length)
}
