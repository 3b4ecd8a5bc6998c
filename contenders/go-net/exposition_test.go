package main

import (
	"math"
	"testing"
)

func TestExposition(t *testing.T) {
	var page exposition
	page.counter("a_total", "With a \\ and\na second line.", 3)
	page.family("b", "gauge", "B.")
	page.sample("b", 0.1, "one", `say "x\y"`, "two", "line\nbreak")
	page.gauge("c", "C.", math.Inf(1))
	page.gauge("d", "D.", 123456789)
	want := `# HELP a_total With a \\ and\na second line.
# TYPE a_total counter
a_total 3
# HELP b B.
# TYPE b gauge
b{one="say \"x\\y\"",two="line\nbreak"} 0.1
# HELP c C.
# TYPE c gauge
c +Inf
# HELP d D.
# TYPE d gauge
d 1.23456789e+08
`
	if got := page.page.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
