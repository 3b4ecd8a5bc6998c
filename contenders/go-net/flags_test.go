package main

import (
	"errors"
	"flag"
	"runtime"
	"strings"
	"testing"
	"time"
)

// environmentOf stands in for os.LookupEnv.
func environmentOf(variables map[string]string) lookup {
	return func(name string) (string, bool) {
		value, set := variables[name]
		return value, set
	}
}

func TestDefaults(t *testing.T) {
	got, err := parseServer(nil, environmentOf(nil))
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		listen: "127.0.0.1:8888", metrics: "127.0.0.1:9100", workers: runtime.NumCPU(), readBufferBytes: 200,
		nodelay: true, backlog: 4096, grace: 5 * time.Second,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestFlagBeatsEnvironmentBeatsDefault(t *testing.T) {
	environment := environmentOf(map[string]string{
		"READ_BUFFER": "300", "WORKERS": "3", "TUNED": "true", "GRACE": "", "MAX_CONNECTIONS": "7",
	})
	got, err := parseServer([]string{"--workers", "5", "-max-connections=9"}, environment)
	if err != nil {
		t.Fatal(err)
	}
	if got.workers != 5 || got.maxConnections != 9 {
		t.Errorf("the flags did not win: %+v", got)
	}
	if got.readBufferBytes != 300 || !got.tuned {
		t.Errorf("the environment did not count: %+v", got)
	}
	if got.grace != 5*time.Second {
		t.Errorf("an empty variable must count as unset: %+v", got)
	}
}

func TestWrongInputNamesFlagValueAndRemedy(t *testing.T) {
	for _, each := range []struct {
		args        []string
		environment map[string]string
		says        []string
	}{
		{args: []string{"--workers", "abc"}, says: []string{"--workers", `"abc"`, "whole number", "--workers 4"}},
		{args: []string{"--workers=0"}, says: []string{"--workers", `"0"`, "from 1"}},
		{args: []string{"--workers="}, says: []string{"--workers", `""`, "from 1"}},
		{args: []string{"--read-buffer", "-1"}, says: []string{"--read-buffer", `"-1"`, "from 1"}},
		{args: []string{"--send-buffer", "99999999999999999999"}, says: []string{"--send-buffer", "from 0"}},
		{args: []string{"--backlog", "1.5"}, says: []string{"--backlog", `"1.5"`}},
		{args: []string{"--listen", "8888"}, says: []string{"--listen", `"8888"`, "HOST:PORT"}},
		{args: []string{"--listen", "localhost:http"}, says: []string{"--listen", "HOST:PORT"}},
		{args: []string{"--listen", "none"}, says: []string{"--listen", "HOST:PORT"}},
		{args: []string{"--metrics", "127.0.0.1:70000"}, says: []string{"--metrics", "65535", "or none"}},
		{args: []string{"--grace", "5"}, says: []string{"--grace", `"5"`, "--grace=5s"}},
		{args: []string{"--grace", "-5s"}, says: []string{"--grace", `"-5s"`}},
		{args: []string{"--cpus", "0-"}, says: []string{"--cpus", `"0-"`, "0-3"}},
		{args: []string{"--tuned=maybe"}, says: []string{"--tuned", `"maybe"`, "--tuned=true"}},
		{args: []string{"--tuned", "true"}, says: []string{`"true"`, "--tuned=true"}},
		{args: []string{"--speed", "9"}, says: []string{"-speed", "--help"}},
		{args: []string{"--workers"}, says: []string{"-workers", "--help"}},
		{environment: map[string]string{"NODELAY": "1"}, says: []string{"--nodelay", `"1"`, "NODELAY", "--nodelay=true"}},
	} {
		_, err := parseServer(each.args, environmentOf(each.environment))
		var wrong *wrongInput
		if !errors.As(err, &wrong) {
			t.Errorf("%v %v: got %v, want a wrongInput", each.args, each.environment, err)
			continue
		}
		for _, part := range each.says {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v %v: %q does not say %q", each.args, each.environment, err, part)
			}
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %q is more than one line", each.args, err)
		}
	}
}

func TestHelp(t *testing.T) {
	if _, err := parseServer([]string{"--help"}, environmentOf(nil)); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("got %v", err)
	}
	for _, each := range serverSettings {
		if !strings.Contains(helpText(), "--"+each.name+"=") {
			t.Errorf("--help leaves out --%s", each.name)
		}
	}
}

func TestHealthcheckAddress(t *testing.T) {
	environment := environmentOf(map[string]string{"METRICS": "0.0.0.0:9200", "LISTEN": "not looked at"})
	if got, err := parseHealthcheck(nil, environment); err != nil || got != "0.0.0.0:9200" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, address := range []string{metricsOff, "127.0.0.1:0", "x"} {
		var wrong *wrongInput
		if _, err := parseHealthcheck([]string{"--metrics", address}, environment); !errors.As(err, &wrong) {
			t.Errorf("%q: got %v", address, err)
		}
	}
}

func TestReachable(t *testing.T) {
	for address, want := range map[string]string{
		"0.0.0.0:1": "127.0.0.1:1", ":1": "127.0.0.1:1", "[::]:1": "[::1]:1", "10.0.0.1:1": "10.0.0.1:1",
		"localhost:1": "localhost:1",
	} {
		if got := reachable(address); got != want {
			t.Errorf("%s: got %s, want %s", address, got, want)
		}
	}
}
