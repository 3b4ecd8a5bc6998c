// Command go-net is a contender of echolab: an echo server with one goroutine per connection on Go's net package, as
// the original experiment had it. With -tuned=false it is the published server, which allocates a buffer for every
// message and runs on every CPU; with -tuned=true it is what a Go programmer would write for the same job.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"syscall"
)

// version is what echolab_build_info reports; a build can set it with -ldflags "-X main.version=1.2.3".
var version = "0.1.0"

// Exit codes: a caller can tell a request that can never work from a failure that may pass.
const (
	exitOK         = 0
	exitFailure    = 1
	exitWrongInput = 2
)

// main is the only place that exits.
func main() {
	err := dispatch(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)
	var wrong *wrongInput
	switch {
	case err == nil:
		os.Exit(exitOK)
	case errors.Is(err, flag.ErrHelp):
		fmt.Print(helpText())
		os.Exit(exitOK)
	case errors.As(err, &wrong):
		fmt.Fprintln(os.Stderr, "go-net:", err)
		os.Exit(exitWrongInput)
	default:
		fmt.Fprintln(os.Stderr, "go-net:", err)
		os.Exit(exitFailure)
	}
}

// dispatch picks the command: the server, unless the first word is healthcheck.
func dispatch(args []string, environment lookup, stdout, stderr io.Writer) error {
	if len(args) > 0 && args[0] == "healthcheck" {
		address, err := parseHealthcheck(args[1:], environment)
		if err != nil {
			return err
		}
		return checkHealth(address)
	}
	configuration, err := parseServer(args, environment)
	if err != nil {
		return err
	}
	return serve(configuration, stdout, log.New(stderr, "go-net: ", 0))
}

// serve is the server's life in story order: pin, prepare, bind, get ready, echo, stop.
func serve(configuration config, stdout io.Writer, logger *log.Logger) error {
	// Comes first, because it may replace this process image by a pinned one.
	if err := pin(configuration.cpus); err != nil {
		return err
	}
	if configuration.tuned {
		runtime.GOMAXPROCS(configuration.workers)
	}
	if err := raiseDescriptorLimit(); err != nil {
		logger.Printf("cannot raise the limit of open files (%v); going on with the present one", err)
	}

	// From here on a signal means an orderly stop, also one that comes before the first connection. A reader of our
	// output that goes away must not end the server.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Ignore(syscall.SIGPIPE)

	listener, err := listenEcho(configuration, logger)
	if err != nil {
		return err
	}
	server := newServer(listener, configuration)

	metricsAddress := metricsOff
	if configuration.metrics != metricsOff {
		metricsListener, err := listenMetrics(configuration.metrics)
		if err != nil {
			return err
		}
		exporter, err := newExporter(server, configuration.engine())
		if err != nil {
			return err
		}
		metricsAddress = metricsListener.Addr().String()
		go serveMetrics(metricsListener, exporter, logger)
	}

	accepting := make(chan error, 1)
	go func() { accepting <- server.accept() }()
	fmt.Fprintf(stdout, "ready echo=%s metrics=%s\n", listener.Addr(), metricsAddress)

	select {
	case received := <-signals:
		logger.Printf("%v: stopping within %v", received, configuration.grace)
	case err := <-accepting:
		return fmt.Errorf("accepting connections failed: %w", err)
	}
	if cut := server.stop(configuration.grace); cut > 0 {
		logger.Printf("the grace period ended with %d connections whose peers did not take their replies", cut)
	}
	return nil
}

// engine names this server in echolab_build_info.
func (c config) engine() string {
	if c.tuned {
		return "go-net-tuned"
	}
	return "go-net"
}
