package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"
)

// exporter makes the metrics page: the server's own figures, then the process's, then the Go runtime's. All work is
// done when somebody asks; between two scrapes it costs nothing.
type exporter struct {
	server  *server
	engine  string
	process *process

	// mutex admits one scrape at a time, so that they can share the page's memory and the process's open files.
	mutex sync.Mutex
	page  exposition
}

func newExporter(server *server, engine string) (*exporter, error) {
	process, err := openProcess()
	if err != nil {
		return nil, err
	}
	return &exporter{server: server, engine: engine, process: process}, nil
}

// ServeHTTP answers a scrape.
func (e *exporter) ServeHTTP(response http.ResponseWriter, _ *http.Request) {
	e.mutex.Lock()
	defer e.mutex.Unlock()
	e.page.page.Reset()
	e.server.expose(&e.page, e.engine)
	if err := e.process.expose(&e.page); err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	exposeGoRuntime(&e.page)
	response.Header().Set("Content-Type", expositionType)
	// A scraper that went away is no matter of ours.
	_, _ = response.Write(e.page.page.Bytes())
}

// expose adds the echo service's metrics.
func (s *server) expose(page *exposition, engine string) {
	sum := s.connections.totals()
	page.counter("echolab_messages_total", "Echo turns: one read and its write.", float64(sum.messages))
	page.counter("echolab_received_bytes_total", "Bytes read from connections.", float64(sum.receivedBytes))
	page.counter("echolab_sent_bytes_total", "Bytes written to connections.", float64(sum.sentBytes))
	page.gauge("echolab_connections", "Open connections.", float64(sum.open))
	page.counter("echolab_connections_accepted_total", "Connections accepted.", float64(sum.accepted))

	const closed = "echolab_connections_closed_total"
	page.family(closed, "counter", "Connections closed, by reason.")
	for reason := closeReason(0); reason < closeReasons; reason++ {
		page.sample(closed, float64(sum.closed[reason]), "reason", reason.String())
	}
	const acceptErrors = "echolab_accept_errors_total"
	page.family(acceptErrors, "counter", "Failed accepts, by reason.")
	for reason := acceptErrorReason(0); reason < acceptErrorReasons; reason++ {
		page.sample(acceptErrors, float64(s.acceptErrors[reason].Load()), "reason", reason.String())
	}
	const build = "echolab_build_info"
	page.family(build, "gauge", "Always 1; its labels tell the version and the engine.")
	page.sample(build, 1, "version", version, "engine", engine)
}

// listenMetrics binds the metrics listener.
func listenMetrics(address string) (net.Listener, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, bindError("metrics", address, err)
	}
	return keepReserve(listener.(*net.TCPListener)), nil
}

// serveMetrics answers on the metrics listener for as long as the process lives. Profiles are served here and nowhere
// else, so that whoever can reach the echo service cannot make it profile itself.
func serveMetrics(listener net.Listener, metrics http.Handler, logger *log.Logger) {
	routes := http.NewServeMux()
	routes.Handle("/metrics", metrics)
	routes.HandleFunc("/healthz", func(response http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(response, "ok")
	})
	routes.HandleFunc("/debug/pprof/", pprof.Index)
	routes.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	routes.HandleFunc("/debug/pprof/profile", pprof.Profile)
	routes.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	routes.HandleFunc("/debug/pprof/trace", pprof.Trace)
	web := http.Server{
		Handler:           routes,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute, // longer than any sensible scrape interval, so that scrapers need not reconnect
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	logger.Printf("metrics are no longer served: %v", web.Serve(listener))
}
