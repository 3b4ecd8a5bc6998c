package main

import (
	"bytes"
	"strconv"
	"strings"
)

// exposition is a page in Prometheus' text format, version 0.0.4.
type exposition struct{ page bytes.Buffer }

// expositionType is its media type.
const expositionType = "text/plain; version=0.0.4; charset=utf-8"

var (
	escapeHelp  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	escapeLabel = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)
)

// family starts a metric; its samples follow. kind is counter, gauge or summary.
func (e *exposition) family(name, kind, help string) {
	e.write("# HELP ", name, " ", escapeHelp.Replace(help), "\n# TYPE ", name, " ", kind, "\n")
}

// sample adds one line. Labels are pairs of a name and a value.
func (e *exposition) sample(name string, value float64, labels ...string) {
	e.write(name)
	opening := "{"
	for i := 0; i+1 < len(labels); i += 2 {
		e.write(opening, labels[i], `="`, escapeLabel.Replace(labels[i+1]), `"`)
		opening = ","
	}
	if len(labels) > 1 {
		e.write("}")
	}
	e.write(" ")
	// The shortest text that reads back as the same number. Infinities and NaN come out as the format wants them too.
	e.write(strconv.FormatFloat(value, 'g', -1, 64), "\n")
}

// counter adds a counter that has a single series.
func (e *exposition) counter(name, help string, value float64) {
	e.family(name, "counter", help)
	e.sample(name, value)
}

// gauge adds a gauge that has a single series.
func (e *exposition) gauge(name, help string, value float64) {
	e.family(name, "gauge", help)
	e.sample(name, value)
}

func (e *exposition) write(parts ...string) {
	for _, part := range parts {
		e.page.WriteString(part)
	}
}
