package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// raiseDescriptorLimit lifts the soft limit of open files to the hard one. Go does so by itself since 1.19, quietly and
// only where it can; here a failure is heard of.
func raiseDescriptorLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur == limit.Max {
		return nil
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}

// listenEcho binds the echo service.
func listenEcho(configuration config, logger *log.Logger) (*net.TCPListener, error) {
	settings := net.ListenConfig{
		// Go would have every connection probed for life each 15 s; the other contenders do not.
		KeepAlive: -1,
		Control: func(_, _ string, raw syscall.RawConn) error {
			return onDescriptor(raw, func(descriptor int) error {
				// Accepted connections inherit the size, so it costs nothing per connection. It must be there before
				// the handshake to count from the first byte on.
				return setSendBuffer(descriptor, configuration.sendBufferBytes, logger)
			})
		},
	}
	listener, err := settings.Listen(context.Background(), "tcp", configuration.listen)
	if err != nil {
		return nil, bindError("listen", configuration.listen, err)
	}
	// Go always asks for the longest backlog the system allows; a second listen(2) on the same socket changes it.
	tcp := listener.(*net.TCPListener)
	raw, err := tcp.SyscallConn()
	if err == nil {
		err = onDescriptor(raw, func(descriptor int) error {
			return syscall.Listen(descriptor, configuration.backlog)
		})
	}
	if err != nil {
		tcp.Close()
		return nil, fmt.Errorf("cannot set the backlog of %s: %w", configuration.listen, err)
	}
	if most := somaxconn(); most > 0 && most < configuration.backlog {
		logger.Printf("--backlog %d: the system allows %d; raise net.core.somaxconn for more",
			configuration.backlog, most)
	}
	return tcp, nil
}

// setSendBuffer sets SO_SNDBUF, and says so when the system grants less than was asked for.
func setSendBuffer(descriptor, bytes int, logger *log.Logger) error {
	if bytes == 0 {
		return nil
	}
	if err := syscall.SetsockoptInt(descriptor, syscall.SOL_SOCKET, syscall.SO_SNDBUF, bytes); err != nil {
		return err
	}
	granted, err := syscall.GetsockoptInt(descriptor, syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	// The kernel doubles the figure, to have room for its own bookkeeping.
	if err == nil && granted/2 < bytes {
		logger.Printf("--send-buffer %d: the system grants %d; raise net.core.wmem_max for more", bytes, granted/2)
	}
	return nil
}

// onDescriptor runs action on a socket's descriptor and joins the two ways in which that can fail.
func onDescriptor(raw syscall.RawConn, action func(descriptor int) error) error {
	var failed error
	if err := raw.Control(func(descriptor uintptr) { failed = action(int(descriptor)) }); err != nil {
		return err
	}
	return failed
}

// somaxconn is the system's cap on backlogs, or 0 when it cannot be told.
func somaxconn() int {
	content, err := os.ReadFile("/proc/sys/net/core/somaxconn")
	if err != nil {
		return 0
	}
	most, _ := strconv.Atoi(strings.TrimSpace(string(content)))
	return most
}

// bindError turns a failed bind into one line that says what to change.
func bindError(flagName, address string, err error) error {
	var errno syscall.Errno
	var lookupFailed *net.DNSError
	reason, remedy := "", ""
	switch {
	case errors.As(err, &lookupFailed):
		reason, remedy = "this host name has no address", "write an IP address of this machine"
	case !errors.As(err, &errno):
		reason, remedy = err.Error(), "write for example 127.0.0.1:8888"
	case errno == syscall.EADDRINUSE:
		remedy = "stop the program that listens there, or choose another port (0 takes any free one)"
	case errno == syscall.EADDRNOTAVAIL, errno == syscall.EAFNOSUPPORT:
		remedy = "write an address of this machine, such as 127.0.0.1 or 0.0.0.0"
	case errno == syscall.EACCES, errno == syscall.EPERM:
		remedy = "choose a port above 1023, or run with the right to use this one"
	default:
		return fmt.Errorf("cannot listen on --%s %q: %w", flagName, address, errno)
	}
	if reason == "" {
		reason = errno.Error()
	}
	return &wrongInput{fmt.Sprintf("--%s %q: %s; %s", flagName, address, reason, remedy)}
}
