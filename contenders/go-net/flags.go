package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// metricsOff as --metrics' value means that there is no metrics listener.
const metricsOff = "none"

// config is validated: whoever holds one need not check it again.
type config struct {
	listen          string        // host:port of the echo service
	metrics         string        // host:port of the metrics, or metricsOff
	tuned           bool          // one buffer per connection and GOMAXPROCS = workers
	workers         int           // at least 1
	readBufferBytes int           // at least 1
	sendBufferBytes int           // 0 leaves the kernel's default
	nodelay         bool          // TCP_NODELAY
	backlog         int           // at least 1
	maxConnections  int           // 0 is unlimited
	grace           time.Duration // at least 0
	cpus            cpuSet        // empty leaves the affinity alone
}

// lookup is os.LookupEnv, or a test's stand-in for it.
type lookup func(name string) (string, bool)

// wrongInput is an error that only another command line or environment can cure.
type wrongInput struct{ message string }

func (w *wrongInput) Error() string { return w.message }

// setting is one flag and, in capitals, one environment variable.
type setting struct {
	name     string
	value    string // what the help text calls its value
	fallback string // in effect when neither flag nor environment names one
	help     string
	isSwitch bool // may stand alone: --tuned
	// apply validates text and keeps it; its error says what was expected.
	apply func(text string, into *config) error
}

var metricsSetting = setting{
	name: "metrics", value: "ADDR", fallback: "127.0.0.1:9100",
	help: "address of /metrics, /healthz and /debug/pprof/, or none",
	apply: func(text string, into *config) error {
		if text == metricsOff {
			into.metrics = text
			return nil
		}
		if err := checkAddress(text); err != nil {
			return fmt.Errorf("%w, or none", err)
		}
		into.metrics = text
		return nil
	},
}

var serverSettings = []setting{
	{
		name: "listen", value: "ADDR", fallback: "127.0.0.1:8888",
		help: "address of the echo service; port 0 takes any free one",
		apply: func(text string, into *config) error {
			into.listen = text
			return checkAddress(text)
		},
	},
	metricsSetting,
	{
		name: "tuned", value: "true|false", fallback: "false", isSwitch: true,
		help:  "false: as published; true: one buffer per connection, GOMAXPROCS = workers",
		apply: func(text string, into *config) error { return parseSwitch(text, "tuned", &into.tuned) },
	},
	{
		name: "workers", value: "N", fallback: "",
		help: "GOMAXPROCS when tuned (default: the CPUs this process may use)",
		apply: func(text string, into *config) error {
			return parseCount(text, 1, 4096, "workers", "4", &into.workers)
		},
	},
	{
		name: "read-buffer", value: "BYTES", fallback: "200",
		help: "bytes that one read may bring",
		apply: func(text string, into *config) error {
			return parseCount(text, 1, 64<<20, "read-buffer", "200", &into.readBufferBytes)
		},
	},
	{
		name: "send-buffer", value: "BYTES", fallback: "0",
		help: "SO_SNDBUF of each connection; 0 leaves the kernel's default",
		apply: func(text string, into *config) error {
			return parseCount(text, 0, 1<<30, "send-buffer", "65536", &into.sendBufferBytes)
		},
	},
	{
		name: "nodelay", value: "true|false", fallback: "true", isSwitch: true,
		help:  "TCP_NODELAY on each connection",
		apply: func(text string, into *config) error { return parseSwitch(text, "nodelay", &into.nodelay) },
	},
	{
		name: "backlog", value: "N", fallback: "4096",
		help: "connections that may wait to be accepted; net.core.somaxconn caps it",
		apply: func(text string, into *config) error {
			return parseCount(text, 1, math.MaxInt32, "backlog", "4096", &into.backlog)
		},
	},
	{
		name: "max-connections", value: "N", fallback: "0",
		help: "accepting pauses while this many are open; 0 is unlimited",
		apply: func(text string, into *config) error {
			return parseCount(text, 0, math.MaxInt32, "max-connections", "10000", &into.maxConnections)
		},
	},
	{
		name: "grace", value: "DURATION", fallback: "5s",
		help: "time to finish in after SIGTERM or SIGINT",
		apply: func(text string, into *config) error {
			grace, err := time.ParseDuration(text)
			if err != nil || grace < 0 {
				return errors.New("expected a duration with its unit; write for example --grace=5s or --grace=500ms")
			}
			into.grace = grace
			return nil
		},
	},
	{
		name: "cpus", value: "LIST", fallback: "",
		help: "run on these CPUs alone, such as 0-3 or 0,2 (default: leave the affinity alone)",
		apply: func(text string, into *config) (err error) {
			into.cpus, err = parseCPUs(text)
			return err
		},
	},
}

// parseServer makes the server's configuration of its command line and environment.
func parseServer(args []string, environment lookup) (config, error) {
	result := config{workers: runtime.NumCPU()}
	return result, parseInto(&result, serverSettings, args, environment)
}

// parseHealthcheck returns the address whose /healthz the healthcheck command asks.
func parseHealthcheck(args []string, environment lookup) (string, error) {
	var result config
	if err := parseInto(&result, []setting{metricsSetting}, args, environment); err != nil {
		return "", err
	}
	if _, port, _ := net.SplitHostPort(result.metrics); result.metrics == metricsOff || port == "0" {
		return "", &wrongInput{fmt.Sprintf(
			"--metrics %q: nothing can be asked there; name the address that the server exposes its metrics on",
			result.metrics)}
	}
	return result.metrics, nil
}

// parseInto applies each setting from its flag, else its environment variable, else its fallback. An empty variable
// counts as unset, because that is what a compose file makes of a variable without a value.
func parseInto(into *config, settings []setting, args []string, environment lookup) error {
	flags := flag.NewFlagSet("go-net", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // its messages take several lines; ours take one
	flags.Usage = func() {}
	typed := make(map[string]*typedValue, len(settings))
	for _, each := range settings {
		typed[each.name] = &typedValue{isSwitch: each.isSwitch}
		flags.Var(typed[each.name], each.name, each.help)
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return &wrongInput{fmt.Sprintf("%v; --help lists the flags and their values", err)}
	}
	if flags.NArg() > 0 {
		return &wrongInput{fmt.Sprintf(
			"unexpected argument %q; write a switch's value with an equals sign, as in --tuned=true", flags.Arg(0))}
	}
	for _, each := range settings {
		text, source := each.fallback, ""
		if value, set := environment(variableName(each.name)); set && value != "" {
			text, source = value, " (from the environment variable "+variableName(each.name)+")"
		}
		if value := typed[each.name]; value.set {
			text, source = value.text, ""
		} else if text == "" {
			continue
		}
		if err := each.apply(text, into); err != nil {
			return &wrongInput{fmt.Sprintf("--%s %q%s: %v", each.name, text, source, err)}
		}
	}
	return nil
}

// typedValue remembers what was typed, so that all validation, and its wording, is in one place for flags and
// environment.
type typedValue struct {
	text     string
	set      bool
	isSwitch bool
}

func (v *typedValue) String() string        { return v.text }
func (v *typedValue) Set(text string) error { v.text, v.set = text, true; return nil }

// IsBoolFlag is what the flag package asks to learn whether a flag may stand without a value.
func (v *typedValue) IsBoolFlag() bool { return v.isSwitch }

// variableName is the environment variable that stands in for a flag.
func variableName(flagName string) string {
	return strings.ToUpper(strings.ReplaceAll(flagName, "-", "_"))
}

func parseSwitch(text, name string, into *bool) error {
	switch text {
	case "true":
		*into = true
	case "false":
		*into = false
	default:
		return fmt.Errorf("expected true or false; write --%s=true or --%s=false", name, name)
	}
	return nil
}

func parseCount(text string, low, high int, name, example string, into *int) error {
	count, err := strconv.Atoi(text)
	if err != nil || count < low || count > high {
		return fmt.Errorf("expected a whole number from %d to %d; write for example --%s %s", low, high, name, example)
	}
	*into = count
	return nil
}

// checkAddress accepts HOST:PORT with a numeric port. Whether the host exists is for the listener to find out.
func checkAddress(text string) error {
	_, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("expected HOST:PORT with a port from 0 to 65535; write for example 127.0.0.1:8888")
	}
	return nil
}

// helpText is what --help prints.
func helpText() string {
	var text strings.Builder
	text.WriteString("Echoes every byte of every connection, with one goroutine per connection.\n\n" +
		"Usage: go-net [flags]\n       go-net healthcheck [--metrics ADDR]\n\n" +
		"Each flag may also be set by the environment variable of its name, such as READ_BUFFER.\n\n")
	for _, each := range serverSettings {
		fmt.Fprintf(&text, "  --%-28s %s", each.name+"="+each.value, each.help)
		if each.fallback != "" {
			fmt.Fprintf(&text, " (default %s)", each.fallback)
		}
		text.WriteByte('\n')
	}
	return text.String()
}
