package main

import (
	"bytes"
	"io"
	"log"
	"math/rand"
	"net"
	"testing"
	"time"
)

// testPatience is far more than anything here takes, and less than a developer's.
const testPatience = 20 * time.Second

// running is a server that a test has started; it is stopped when the test ends, however it ends.
type running struct {
	*server
	address string
	stopped bool
}

func startServer(t *testing.T, args ...string) *running {
	t.Helper()
	configuration, err := parseServer(append([]string{"--listen=127.0.0.1:0"}, args...), environmentOf(nil))
	if err != nil {
		t.Fatal(err)
	}
	listener, err := listenEcho(configuration, log.New(io.Discard, "", 0))
	if err != nil {
		t.Fatal(err)
	}
	result := &running{server: newServer(listener, configuration), address: listener.Addr().String()}
	go result.accept()
	t.Cleanup(func() {
		if !result.stopped {
			result.stop(0)
		}
	})
	return result
}

func (r *running) stopWithin(grace time.Duration) int {
	r.stopped = true
	return r.stop(grace)
}

func (r *running) dial(t *testing.T) *net.TCPConn {
	t.Helper()
	connection, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	connection.SetDeadline(time.Now().Add(testPatience))
	return connection.(*net.TCPConn)
}

// exchange sends bytes and reads as many back.
func exchange(t *testing.T, connection net.Conn, sent string) {
	t.Helper()
	if _, err := io.WriteString(connection, sent); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(connection, got); err != nil || string(got) != sent {
		t.Fatalf("sent %q, got %q, %v", sent, got, err)
	}
}

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(testPatience); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func bothVariants(t *testing.T, test func(t *testing.T, variant string)) {
	for _, variant := range []string{"--tuned=false", "--tuned=true"} {
		variant := variant
		t.Run(variant, func(t *testing.T) { test(t, variant) })
	}
}

// TestEveryByteComesBack sends far more than the buffers on the way can hold before it reads a byte, with the smallest
// send buffer there is, so that nearly every write of the server is cut into pieces; and half-closes before it reads.
func TestEveryByteComesBack(t *testing.T) {
	bothVariants(t, func(t *testing.T, variant string) {
		server := startServer(t, variant, "--send-buffer=1", "--read-buffer=65536")
		connection := server.dial(t)
		sent := make([]byte, 16<<20)
		rand.New(rand.NewSource(1)).Read(sent)
		go func() {
			connection.Write(sent)
			connection.CloseWrite()
		}()
		got, err := io.ReadAll(connection)
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("got %d bytes of %d, equal: %v, %v", len(got), len(sent), bytes.Equal(got, sent), err)
		}
		eventually(t, "the connection's end", func() bool { return server.connections.totals().open == 0 })
		sum := server.connections.totals()
		if sum.closed[closedByEOF] != 1 || sum.receivedBytes != uint64(len(sent)) ||
			sum.sentBytes != uint64(len(sent)) || sum.messages == 0 {
			t.Errorf("counted %+v", sum)
		}
	})
}

// TestBufferPerMessage holds the two variants to what they are compared for.
func TestBufferPerMessage(t *testing.T) {
	for variant, allowed := range map[string][2]float64{"--tuned=false": {1, 1.2}, "--tuned=true": {0, 0.2}} {
		connection := startServer(t, variant).dial(t)
		message, reply := make([]byte, 100), make([]byte, 100)
		allocations := testing.AllocsPerRun(500, func() {
			connection.Write(message)
			io.ReadFull(connection, reply)
		})
		if allocations < allowed[0] || allocations > allowed[1] {
			t.Errorf("%s: %v allocations per message, want %v", variant, allocations, allowed)
		}
	}
}

func TestResetCostsOneConnection(t *testing.T) {
	server := startServer(t)
	other, broken := server.dial(t), server.dial(t)
	exchange(t, broken, "hello")
	broken.SetLinger(0)
	broken.Close()
	eventually(t, "the reset", func() bool { return server.connections.totals().closed[closedByReset] == 1 })
	exchange(t, other, "still here")
}

// TestSlotsAreReused keeps the table from growing with every connection there ever was, and the sums from falling.
func TestSlotsAreReused(t *testing.T) {
	server := startServer(t)
	const rounds = 3 * slotsPerSlab
	for round := 0; round < rounds; round++ {
		connection := server.dial(t)
		exchange(t, connection, "12345")
		connection.Close()
		eventually(t, "the end", func() bool { return server.connections.totals().open == 0 })
	}
	if slabs := len(server.connections.slabs); slabs != 1 {
		t.Errorf("%d slabs for one connection at a time", slabs)
	}
	sum := server.connections.totals()
	if sum.accepted != rounds || sum.closed[closedByEOF] != rounds || sum.receivedBytes != 5*rounds {
		t.Errorf("counted %+v", sum)
	}
}

func TestMaxConnectionsPausesAndResumes(t *testing.T) {
	server := startServer(t, "--max-connections=2")
	first, second := server.dial(t), server.dial(t)
	exchange(t, first, "1")
	exchange(t, second, "2")
	third := server.dial(t) // the kernel takes it, the server does not
	third.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	io.WriteString(third, "3")
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Fatal("a third connection was served")
	}
	first.Close()
	third.SetReadDeadline(time.Now().Add(testPatience))
	if _, err := io.ReadFull(third, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

// TestStopDoesNotWaitForQuietConnections would take the whole grace period if it did.
func TestStopDoesNotWaitForQuietConnections(t *testing.T) {
	server := startServer(t, "--max-connections=3") // also stops while accepting pauses
	var quiet []*net.TCPConn
	for i := 0; i < 3; i++ {
		quiet = append(quiet, server.dial(t))
		exchange(t, quiet[i], "hello")
	}
	began := time.Now()
	if cut := server.stopWithin(testPatience); cut != 0 {
		t.Errorf("%d connections were cut", cut)
	}
	if took := time.Since(began); took > testPatience/2 {
		t.Errorf("took %v", took)
	}
	for _, connection := range quiet {
		if n, err := connection.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("got %d bytes and %v, want the end", n, err)
		}
	}
	if sum := server.connections.totals(); sum.closed[closedByShutdown] != 3 {
		t.Errorf("counted %+v", sum)
	}
	if connection, err := net.Dial("tcp", server.address); err == nil {
		connection.Close()
		t.Error("a stopped server takes connections")
	}
}

// TestStopEchoesWhatHasArrived stops a server that stands in a write, with more requests waiting in its socket, and
// reads the replies only afterwards.
func TestStopEchoesWhatHasArrived(t *testing.T) {
	bothVariants(t, func(t *testing.T, variant string) {
		server := startServer(t, variant, "--send-buffer=1")
		connection := server.dial(t)
		connection.SetReadBuffer(1)
		sent := make([]byte, 100_000)
		rand.New(rand.NewSource(2)).Read(sent)
		if _, err := connection.Write(sent); err != nil {
			t.Fatal(err)
		}
		// Some bytes may still be in our own socket; what counts is that all had reached the server's.
		eventually(t, "arrival", func() bool { return queuedBytes(connection, unackedQueue) == 0 })
		done := make(chan int)
		go func() { done <- server.stopWithin(testPatience) }()
		time.Sleep(20 * time.Millisecond)
		got, err := io.ReadAll(connection)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("got %d bytes of %d, %v", len(got), len(sent), err)
		}
		if cut := <-done; cut != 0 {
			t.Errorf("%d connections were cut", cut)
		}
	})
}

// TestStopDespiteAPeerThatNeverReads must end with the grace period, and a bit before it.
func TestStopDespiteAPeerThatNeverReads(t *testing.T) {
	server := startServer(t, "--send-buffer=1")
	connection := server.dial(t)
	// Else the kernel would take replies for the peer, for seconds at this size of send buffer.
	connection.SetReadBuffer(1)
	go connection.Write(make([]byte, 64<<20))
	eventually(t, "a full send buffer", func() bool {
		before := server.connections.totals().sentBytes
		time.Sleep(50 * time.Millisecond)
		return before > 0 && server.connections.totals().sentBytes == before
	})
	const grace = 500 * time.Millisecond
	began := time.Now()
	cut := server.stopWithin(grace)
	if took := time.Since(began); took < grace/2 || took > grace {
		t.Errorf("took %v of a grace period of %v", took, grace)
	}
	if cut != 1 {
		t.Errorf("%d connections were cut", cut)
	}
}

// TestStopDespiteAPeerThatNeverPauses must not wait for the peer's end, and must not let the reset that is then due
// destroy replies that the peer has yet to take.
func TestStopDespiteAPeerThatNeverPauses(t *testing.T) {
	server := startServer(t)
	connection := server.dial(t)
	connection.SetReadBuffer(16 << 10) // so that most replies wait at the server
	go func() {
		for chunk := make([]byte, 64<<10); ; {
			if _, err := connection.Write(chunk); err != nil {
				return
			}
		}
	}()
	eventually(t, "traffic", func() bool { return server.connections.totals().messages > 20 })
	began := time.Now()
	done := make(chan int)
	go func() { done <- server.stopWithin(testPatience) }()
	time.Sleep(20 * time.Millisecond)
	received, _ := io.Copy(io.Discard, connection) // whether with the end or with a reset is a matter of timing
	if cut := <-done; cut != 0 {
		t.Errorf("%d connections were cut", cut)
	}
	if took := time.Since(began); took > testPatience/2 {
		t.Errorf("took %v", took)
	}
	if sum := server.connections.totals(); received != int64(sum.sentBytes) || sum.sentBytes != sum.receivedBytes {
		t.Errorf("the peer got %d bytes; counted %+v", received, sum)
	}
}

// BenchmarkCount is what being measured costs a message.
func BenchmarkCount(b *testing.B) {
	table := newConnections()
	b.RunParallel(func(each *testing.PB) {
		counts := table.claim(nil)
		for each.Next() {
			counts.receivedBytes.add(100)
			counts.sentBytes.add(100)
			counts.messages.add(1)
		}
	})
}
