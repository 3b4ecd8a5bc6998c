package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestShortageOfDescriptors lowers the limit of this very process to a few more than it uses, having made its own
// sockets before.
func TestShortageOfDescriptors(t *testing.T) {
	server := startServer(t)
	metrics, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reserved := keepReserve(metrics.(*net.TCPListener))
	web := http.Server{Handler: http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
		io.WriteString(response, "ok")
	})}
	go web.Serve(reserved)
	t.Cleanup(func() { web.Close() })

	const sockets, spareDescriptors = 20, 5
	var clients []int
	for i := 0; i < sockets; i++ {
		client, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		timeout := syscall.NsecToTimeval(int64(testPatience))
		syscall.SetsockoptTimeval(client, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &timeout)
		clients = append(clients, client)
	}
	defer func() {
		for _, client := range clients {
			syscall.Close(client)
		}
	}()

	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	lowered := limit
	lowered.Cur = uint64(clients[sockets-1] + 1 + spareDescriptors)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lowered); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)

	for _, client := range clients[1:] {
		connectRaw(t, client, server.address)
	}
	shortages := func() uint64 { return server.acceptErrors[acceptOutOfDescriptors].Load() }
	eventually(t, "a failed accept", func() bool { return shortages() > 0 })
	before, began := shortages(), time.Now()
	time.Sleep(10 * acceptPause)
	if tries, most := shortages()-before, uint64(2*time.Since(began)/acceptPause); tries == 0 || tries > most {
		t.Errorf("%d tries in %v", tries, time.Since(began))
	}

	// The metrics can still be had, more than once.
	connectRaw(t, clients[0], reserved.Addr().String())
	for round := 0; round < 2; round++ {
		if got := askRaw(t, clients[0], "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); len(got) < 2 || got[len(got)-2:] != "ok" {
			t.Errorf("metrics answered %q", got)
		}
	}

	// The first is served in spite of it all, and as each one ends the next ones come in.
	for len(clients) > 1 {
		if got := askRaw(t, clients[1], "hello"); got != "hello" {
			t.Fatalf("with %d clients left: got %q", len(clients)-1, got)
		}
		syscall.Close(clients[1])
		clients = append(clients[:1], clients[2:]...)
	}
}

// TestReserveIsRefilled lets a connection come and go.
func TestReserveIsRefilled(t *testing.T) {
	metrics, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reserved := keepReserve(metrics.(*net.TCPListener))
	defer reserved.Close()
	if reserved.isSomebodyWaiting() {
		t.Error("nobody has connected yet")
	}
	client, err := net.Dial("tcp", reserved.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	eventually(t, "a connection to accept", reserved.isSomebodyWaiting)
	if !reserved.release() || reserved.release() {
		t.Error("there must be one spare descriptor")
	}
	connection, err := reserved.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if reserved.spare != nil {
		t.Error("refilled too early")
	}
	connection.Close()
	if reserved.spare == nil {
		t.Error("not refilled")
	}
}

func connectRaw(t *testing.T, socket int, address string) {
	t.Helper()
	target, err := net.ResolveTCPAddr("tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	raw := syscall.SockaddrInet4{Port: target.Port}
	copy(raw.Addr[:], target.IP.To4())
	if err := os.NewSyscallError("connect", syscall.Connect(socket, &raw)); err != nil {
		t.Fatal(err)
	}
}

// askRaw writes and returns what one read then brings.
func askRaw(t *testing.T, socket int, sent string) string {
	t.Helper()
	if _, err := syscall.Write(socket, []byte(sent)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 4096)
	n, err := syscall.Read(socket, answer)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer[:n])
}
