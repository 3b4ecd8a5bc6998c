package main

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"
)

func TestParseStat(t *testing.T) {
	// A name made to mislead: blanks, parentheses, digits.
	line := "42 (a) S 1 (b) R 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 7 18 987654 20 21"
	got, err := parseStat(line)
	if err != nil || got != (processStat{threads: 7, startTicks: 987654}) {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, wrong := range []string{"", "42 (x) R 1 2", strings.Replace(line, "987654", "soon", 1)} {
		if _, err := parseStat(wrong); err == nil {
			t.Errorf("%q: want an error", wrong)
		}
	}
}

func TestParseStatm(t *testing.T) {
	got, err := parseStatm("300 20 10 1 0 50 0", 4096)
	if want := (processMemory{300 * 4096, 20 * 4096, 10 * 4096}); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	if _, err := parseStatm("300 20", 4096); err == nil {
		t.Error("want an error")
	}
}

func TestParseBootTime(t *testing.T) {
	if got, err := parseBootTime("cpu  1 2\nctxt 99\nbtime 1700000000\nprocesses 5\n"); err != nil || got != 1.7e9 {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := parseBootTime("cpu 1 2\n"); err == nil {
		t.Error("want an error")
	}
}

func TestCountDirents(t *testing.T) {
	var records []byte
	for _, length := range []uint16{24, 32, 24} {
		record := make([]byte, length)
		binary.LittleEndian.PutUint16(record[16:], length)
		records = append(records, record...)
	}
	if got := countDirents(records); got != 3 {
		t.Errorf("got %d", got)
	}
	if got := countDirents(nil); got != 0 {
		t.Errorf("got %d", got)
	}
}

// TestProcessFollowsThisProcess looks at the real thing: what changes must be seen to change, through files that were
// opened before.
func TestProcessFollowsThisProcess(t *testing.T) {
	process, err := openProcess()
	if err != nil {
		t.Fatal(err)
	}
	before, err := process.countDescriptors()
	if err != nil {
		t.Fatal(err)
	}
	opened, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if after, err := process.countDescriptors(); err != nil || after != before+1 {
		t.Errorf("%d descriptors before, %d after opening one (%v)", before, after, err)
	}
	earlier, err := processCPUTime()
	if err != nil {
		t.Fatal(err)
	}
	for spent := earlier; spent == earlier; {
		if spent, err = processCPUTime(); err != nil || spent < earlier {
			t.Fatalf("CPU time went from %v to %v (%v)", earlier, spent, err)
		}
	}
	var page exposition
	if err := process.expose(&page); err != nil {
		t.Error(err)
	}
}
