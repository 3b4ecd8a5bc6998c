package main

import (
	"net"
	"os"
	"sync"
)

// reservedListener can accept one connection even when the process has run out of descriptors: it holds one back. Else
// a server full of connections could not be scraped, and nobody would see why it takes no more.
type reservedListener struct {
	net.Listener
	mutex sync.Mutex
	spare *os.File // nil while a connection uses its descriptor
}

func keepReserve(listener net.Listener) *reservedListener {
	reserved := &reservedListener{Listener: listener}
	reserved.refill()
	return reserved
}

// Accept gives the reserve away if that is what it takes.
func (r *reservedListener) Accept() (net.Conn, error) {
	connection, err := r.Listener.Accept()
	if err != nil && isOutOfDescriptors(err) && r.release() {
		// The echo service's accept loop is after the same descriptor, but it rests for most of the time in which there
		// are none.
		connection, err = r.Listener.Accept()
	}
	if err != nil {
		r.refill()
		return nil, err
	}
	return &reservedConnection{Conn: connection, listener: r}, nil
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
