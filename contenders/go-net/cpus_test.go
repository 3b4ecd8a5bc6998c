package main

import "testing"

func TestCPUsAreReadAndWrittenAlike(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "0-3": "0-3", "0,2": "0,2", "2,0": "0,2", "0-1,2-3": "0-3", "7,7": "7", "63-64": "63-64",
		"8191": "8191", "5-5": "5",
	} {
		set, err := parseCPUs(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if set.String() != want {
			t.Errorf("%q: got %q, want %q", text, set, want)
		}
	}
}

func TestWrongCPUs(t *testing.T) {
	for _, text := range []string{"", ",", "0,", "-", "1-", "-1", "3-1", "a", "0-1-2", "8192", " 0", "0x1", "+1",
		"99999999999999999999"} {
		if set, err := parseCPUs(text); err == nil {
			t.Errorf("%q: got %q, want an error", text, set)
		}
	}
}
