package main

import (
	"net"
	"sync"
	"sync/atomic"
)

// counter counts events of one connection. One goroutine adds to it, any number may load it.
type counter struct{ value uint64 }

// add is a plain addition: no lock prefix, no fence. The published server must not become slower by being measured, and
// three locked instructions per message are what Go's atomics would cost. It is sound because one goroutine alone
// writes, and because Go's memory model promises that a racing load of one machine word sees some value that was really
// written; the race detector, which reports every such pair, is told to look away.
//
//go:norace
func (c *counter) add(n int) { c.value += uint64(n) }

func (c *counter) load() uint64 { return atomic.LoadUint64(&c.value) }

// A 64-bit counter is one machine word only on 64-bit machines: elsewhere this does not compile.
const _ uint = 1 << 63

// slot is one connection's entry in the table. It outlives the connection: the next one takes it over with its counts,
// so that their sum over all slots never falls.
type slot struct {
	messages      counter // echo turns: one read and its write
	receivedBytes counter
	sentBytes     counter

	connection *net.TCPConn // nil while the slot is free; guarded by the table's mutex
	nextFree   *slot        // likewise

	// Fills a cache line, so that no connection's counting slows another's.
	_ [cacheLineBytes - 3*8 - 2*8]byte
}

const (
	cacheLineBytes = 64
	slotsPerSlab   = 64
)

// connections is the table of all open connections and of everything ever counted on one. Goroutines come here when
// they start and end; in between they touch their own slot alone.
type connections struct {
	mutex sync.Mutex
	slabs []*[slotsPerSlab]slot
	free  *slot
	open  int
	// closed counts by reason.
	closed   [closeReasons]uint64
	accepted uint64
	// emptied is closed when stopping has begun and no connection is open.
	emptied  chan struct{}
	stopping bool
}

// totals is what the connections have counted together.
type totals struct {
	messages, receivedBytes, sentBytes uint64
	open                               int
	accepted                           uint64
	closed                             [closeReasons]uint64
}

func newConnections() *connections {
	return &connections{emptied: make(chan struct{})}
}

// claim enters a new connection.
func (c *connections) claim(connection *net.TCPConn) *slot {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.free == nil {
		slab := new([slotsPerSlab]slot)
		c.slabs = append(c.slabs, slab)
		for i := range slab {
			slab[i].nextFree, c.free = c.free, &slab[i]
		}
	}
	claimed := c.free
	c.free, claimed.nextFree = claimed.nextFree, nil
	claimed.connection = connection
	c.open++
	c.accepted++
	return claimed
}

// release removes a connection that has been closed, whose goroutine must not touch the slot any more.
func (c *connections) release(released *slot, reason closeReason) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	released.connection = nil
	released.nextFree, c.free = c.free, released
	c.open--
	c.closed[reason]++
	if c.stopping && c.open == 0 {
		close(c.emptied)
	}
}

// stop runs wake on every open connection and returns a channel that is closed once all are released. No claim may
// follow.
func (c *connections) stop(wake func(*net.TCPConn)) <-chan struct{} {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.stopping = true
	if c.open == 0 {
		close(c.emptied)
	}
	for _, slab := range c.slabs {
		for i := range slab {
			if connection := slab[i].connection; connection != nil {
				wake(connection)
			}
		}
	}
	return c.emptied
}

// totals sums up over all connections, open and closed.
func (c *connections) totals() totals {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	sum := totals{open: c.open, accepted: c.accepted, closed: c.closed}
	for _, slab := range c.slabs {
		for i := range slab {
			// The reverse of the order in which a turn counts them, so that a turn under way shows as received and not
			// yet sent, never as sent and not received.
			sum.messages += slab[i].messages.load()
			sum.sentBytes += slab[i].sentBytes.load()
			sum.receivedBytes += slab[i].receivedBytes.load()
		}
	}
	return sum
}
