package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"
)

// maxCPUs is how many CPUs a cpuSet can hold; Linux itself is built for at most 8192.
const maxCPUs = 8192

// bitsPerWord is the size of the words that the kernel counts CPUs in; this program runs on 64-bit machines only.
const bitsPerWord = 64

// cpuSet is a set of CPU numbers in the kernel's own form, so that two of them compare with ==. The zero value is the
// empty set.
type cpuSet [maxCPUs / bitsPerWord]uint64

func (s *cpuSet) add(cpu int) { s[cpu/bitsPerWord] |= 1 << (cpu % bitsPerWord) }

func (s *cpuSet) has(cpu int) bool { return s[cpu/bitsPerWord]&(1<<(cpu%bitsPerWord)) != 0 }

// String writes the set the way that parseCPUs reads it: 0-3,6.
func (s cpuSet) String() string {
	var parts []string
	for first := 0; first < maxCPUs; first++ {
		if !s.has(first) {
			continue
		}
		last := first
		for last+1 < maxCPUs && s.has(last+1) {
			last++
		}
		if first == last {
			parts = append(parts, strconv.Itoa(first))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", first, last))
		}
		first = last
	}
	return strings.Join(parts, ",")
}

// parseCPUs reads a list of CPUs and ranges of them, such as 0-3 or 0,2.
func parseCPUs(text string) (cpuSet, error) {
	expected := errors.New("expected a list of CPU numbers; write for example --cpus 0-3 or --cpus 0,2")
	var set cpuSet
	for _, part := range strings.Split(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := parseCPU(from)
		if err != nil {
			return cpuSet{}, expected
		}
		last := first
		if isRange {
			if last, err = parseCPU(to); err != nil || last < first {
				return cpuSet{}, expected
			}
		}
		for cpu := first; cpu <= last; cpu++ {
			set.add(cpu)
		}
	}
	return set, nil
}

func parseCPU(text string) (int, error) {
	cpu, err := strconv.ParseUint(text, 10, 32)
	if err != nil || cpu >= maxCPUs {
		return 0, fmt.Errorf("%q is no CPU number", text)
	}
	return int(cpu), nil
}

// pin makes this process run on the wanted CPUs alone. The Go runtime counts its CPUs once, before main, so the
// affinity is set and then the program starts itself anew in the same process: it is then just as if taskset had
// started it, with every thread pinned and GOMAXPROCS to match. The second time round nothing is left to do.
func pin(wanted cpuSet) error {
	if wanted == (cpuSet{}) {
		return nil
	}
	// Affinity belongs to the thread, and exec keeps that of the thread that calls it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if present, err := affinity(); err != nil {
		return fmt.Errorf("cannot read the CPUs this process may use: %w", err)
	} else if present == wanted {
		return nil
	}
	err := setAffinity(wanted)
	if errors.Is(err, syscall.EINVAL) {
		return unavailable(wanted)
	} else if err != nil {
		return fmt.Errorf("cannot run on CPUs %v alone: %w; leave --cpus out or allow sched_setaffinity", wanted, err)
	}
	// The kernel drops CPUs that do not exist or that a cgroup withholds, without a word.
	if effective, err := affinity(); err != nil {
		return fmt.Errorf("cannot read the CPUs this process may use: %w", err)
	} else if effective != wanted {
		return unavailable(wanted)
	}
	program, err := os.Executable()
	if err == nil {
		err = syscall.Exec(program, os.Args, os.Environ())
	}
	return fmt.Errorf("cannot start anew on CPUs %v: %w; leave --cpus out and use taskset", wanted, err)
}

func unavailable(wanted cpuSet) error {
	return &wrongInput{fmt.Sprintf("--cpus %q: this machine or container does not have all of these; "+
		"name some of those that Cpus_allowed_list in /proc/self/status shows", wanted)}
}

// affinity returns the CPUs that the calling thread may run on.
func affinity() (cpuSet, error) {
	var set cpuSet
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(set),
		uintptr(unsafe.Pointer(&set)))
	if errno != 0 {
		return cpuSet{}, errno
	}
	return set, nil
}

func setAffinity(set cpuSet) error {
	_, _, errno := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, 0, unsafe.Sizeof(set),
		uintptr(unsafe.Pointer(&set)))
	if errno != 0 {
		return errno
	}
	return nil
}
