package main

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// server takes connections from one listener and gives each a goroutine.
type server struct {
	listener    *net.TCPListener
	connections *connections

	tuned           bool
	readBufferBytes int
	nodelay         bool

	// seats holds one entry for each open connection when their number is limited, else it is nil.
	seats chan struct{}

	acceptErrors [acceptErrorReasons]atomic.Uint64

	// stopping is closed first of all in a stop, acceptEnded when the accept loop has ended.
	stopping    chan struct{}
	acceptEnded chan struct{}
}

// acceptErrorReason is a label of echolab_accept_errors_total.
type acceptErrorReason int

const (
	acceptOutOfDescriptors acceptErrorReason = iota
	acceptOutOfMemory
	acceptAborted // stays 0 for as long as Go's own Accept tries again by itself
	acceptOther
	acceptErrorReasons // how many there are
)

func (r acceptErrorReason) String() string {
	return [acceptErrorReasons]string{"descriptors", "memory", "aborted", "other"}[r]
}

// acceptPause is how long accepting rests after an error. Running out of descriptors is over only when some connection
// ends, and until then each try would fail at once: without a pause that is a busy loop.
const acceptPause = 20 * time.Millisecond

func newServer(listener *net.TCPListener, configuration config) *server {
	result := &server{
		listener:        listener,
		connections:     newConnections(),
		tuned:           configuration.tuned,
		readBufferBytes: configuration.readBufferBytes,
		nodelay:         configuration.nodelay,
		stopping:        make(chan struct{}),
		acceptEnded:     make(chan struct{}),
	}
	if configuration.maxConnections > 0 {
		result.seats = make(chan struct{}, configuration.maxConnections)
	}
	return result
}

// accept takes connections until the server is stopped (then it returns nil) or its listener fails for good.
func (s *server) accept() error {
	defer close(s.acceptEnded)
	for s.takeSeat() {
		connection, err := s.listener.AcceptTCP()
		if err == nil {
			s.start(connection)
			continue
		}
		s.leaveSeat()
		select {
		case <-s.stopping:
			return nil
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		s.acceptErrors[acceptReasonOf(err)].Add(1)
		select {
		case <-s.stopping:
		case <-time.After(acceptPause):
		}
	}
	return nil
}

// start hands a connection to a goroutine of its own.
func (s *server) start(connection *net.TCPConn) {
	if !s.nodelay {
		// Go has set TCP_NODELAY already. Should clearing it fail, so will the first read, which then says why.
		_ = connection.SetNoDelay(false)
	}
	entry := s.connections.claim(connection)
	go func() {
		reason := s.echo(connection, entry)
		connection.Close()
		s.connections.release(entry, reason)
		s.leaveSeat()
	}()
}

// takeSeat waits until one more connection is allowed; it returns false when the server stops.
func (s *server) takeSeat() bool {
	select {
	case <-s.stopping:
		return false
	default:
	}
	if s.seats == nil {
		return true
	}
	select {
	case s.seats <- struct{}{}:
		return true
	case <-s.stopping:
		return false
	}
}

func (s *server) leaveSeat() {
	if s.seats != nil {
		<-s.seats
	}
}

// stop ends accepting, lets each connection echo what has arrived, and returns, within the grace period, how many did
// not get it done because their peers do not read: those are left for the process to take with it. It may be called
// once.
func (s *server) stop(grace time.Duration) (cut int) {
	// Leaves time for the process to end in.
	deadline := time.Now().Add(grace - minDuration(grace/10, 100*time.Millisecond))
	close(s.stopping)
	s.listener.Close()
	<-s.acceptEnded // so that no connection can come after the wake-up

	past := time.Unix(1, 0)
	emptied := s.connections.stop(func(connection *net.TCPConn) {
		// Ends the read that a quiet connection waits in, and a busy one's next. An error means that the connection is
		// closing anyway.
		_ = connection.SetReadDeadline(past)
	})
	timeout := time.NewTimer(time.Until(deadline))
	defer timeout.Stop()
	select {
	case <-emptied:
		return 0
	case <-timeout.C:
		return s.connections.totals().open
	}
}

func minDuration(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

// acceptReasonOf sorts a failed accept.
func acceptReasonOf(err error) acceptErrorReason {
	switch {
	case isOutOfDescriptors(err):
		return acceptOutOfDescriptors
	case errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		return acceptOutOfMemory
	case errors.Is(err, syscall.ECONNABORTED):
		return acceptAborted
	default:
		return acceptOther
	}
}

// isOutOfDescriptors is true for this process's limit and for the system's.
func isOutOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
