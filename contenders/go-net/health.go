package main

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// healthTimeout is well under the interval at which containers are asked for their health.
const healthTimeout = 2 * time.Second

// checkHealth asks the server at a metrics address for its health, so that an image without a shell or curl can.
func checkHealth(metrics string) error {
	url := "http://" + reachable(metrics) + "/healthz"
	// A transport of its own, because the default one would obey the environment's proxies.
	client := http.Client{Timeout: healthTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answered %s", url, response.Status)
	}
	return nil
}

// reachable turns an address to listen on into one to connect to: a server that listens on every address is asked on
// this machine's own.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified() && ip.To4() != nil) {
		host = "127.0.0.1"
	} else if ip != nil && ip.IsUnspecified() {
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
