package main

import (
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// reservedListener can accept one connection even when the process has run out of descriptors: it holds one back. Else
// a server full of connections could be neither scraped nor asked for its health, and nobody would see why it takes no
// more.
//
// The echo service's accept loop is after every descriptor too. For the blink in which the one in reserve changes hands
// nothing keeps it from being taken there but that loop's pauses, which are a thousand times as long.
type reservedListener struct {
	*net.TCPListener
	mutex sync.Mutex
	spare *os.File // nil while a connection uses its descriptor
}

// shortageInterval is how often the listener looks whether it can go on, in times without descriptors.
const shortageInterval = 20 * time.Millisecond

func keepReserve(listener *net.TCPListener) *reservedListener {
	reserved := &reservedListener{TCPListener: listener}
	reserved.refill()
	return reserved
}

// Accept gives the reserve away when that is what it takes.
func (r *reservedListener) Accept() (net.Conn, error) {
	for {
		connection, err := r.TCPListener.Accept()
		if err == nil {
			return &reservedConnection{Conn: connection, listener: r}, nil
		}
		if !isOutOfDescriptors(err) {
			return nil, err
		}
		// Without descriptors accept(2) fails even if nobody wants to connect, so ask first.
		if !r.isSomebodyWaiting() || !r.release() {
			time.Sleep(shortageInterval)
			r.refill()
		}
	}
}

// isSomebodyWaiting is true when a connection waits to be accepted.
func (r *reservedListener) isSomebodyWaiting() bool {
	raw, err := r.SyscallConn()
	if err != nil {
		return false
	}
	ready := 0
	err = onDescriptor(raw, func(descriptor int) (err error) {
		// This listener is bound before there are any connections, so its number is small enough for select(2).
		var wanted syscall.FdSet
		wanted.Bits[descriptor/bitsPerWord] |= 1 << (descriptor % bitsPerWord)
		ready, err = syscall.Select(descriptor+1, &wanted, nil, nil, &syscall.Timeval{})
		return err
	})
	return err == nil && ready > 0
}

// release frees the spare descriptor; false means that there was none.
func (r *reservedListener) release() bool {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.spare == nil {
		return false
	}
	r.spare.Close()
	r.spare = nil
	return true
}

// refill takes a descriptor into reserve again, if there is one.
func (r *reservedListener) refill() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.spare != nil {
		return
	}
	if spare, err := os.Open(os.DevNull); err == nil {
		r.spare = spare
	}
}

// reservedConnection refills the reserve when it is closed.
type reservedConnection struct {
	net.Conn
	listener *reservedListener
}

func (c *reservedConnection) Close() error {
	err := c.Conn.Close()
	c.listener.refill()
	return err
}
