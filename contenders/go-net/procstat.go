package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

// process reads what the kernel knows about this process. Its files stay open, so that a scrape needs no descriptor and
// works when there are none left.
type process struct {
	stat, statm, descriptors *os.File
	startTimeSeconds         float64
	buffer                   [4096]byte
}

// userTicksPerSecond is the unit of the times in /proc: fixed at 100 for programs, whatever the kernel's own ticks.
const userTicksPerSecond = 100

func openProcess() (*process, error) {
	var result process
	var err error
	for path, file := range map[string]**os.File{
		"/proc/self/stat": &result.stat, "/proc/self/statm": &result.statm, "/proc/self/fd": &result.descriptors,
	} {
		if *file, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("the metrics need /proc: %w", err)
		}
	}
	system, err := os.ReadFile("/proc/stat")
	if err != nil {
		return nil, fmt.Errorf("the metrics need /proc: %w", err)
	}
	bootTimeSeconds, err := parseBootTime(string(system))
	if err != nil {
		return nil, err
	}
	stat, err := result.readStat()
	if err != nil {
		return nil, err
	}
	result.startTimeSeconds = bootTimeSeconds + float64(stat.startTicks)/userTicksPerSecond
	return &result, nil
}

// expose adds the process_ metrics, and those of ours that say more than the standard ones.
func (p *process) expose(page *exposition) error {
	stat, err := p.readStat()
	if err != nil {
		return err
	}
	memory, err := p.readMemory()
	if err != nil {
		return err
	}
	open, err := p.countDescriptors()
	if err != nil {
		return err
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return err
	}
	cpuTime, err := processCPUTime()
	if err != nil {
		return err
	}

	page.counter("process_cpu_seconds_total", "CPU time of all threads, user and system.", cpuTime.Seconds())
	const cpu = "echolab_cpu_seconds_total"
	page.family(cpu, "counter", "CPU time of all threads, by mode.")
	page.sample(cpu, seconds(usage.Utime), "mode", "user")
	page.sample(cpu, seconds(usage.Stime), "mode", "system")
	const switches = "echolab_context_switches_total"
	page.family(switches, "counter", "Context switches of all threads; a voluntary one is a thread that went to wait.")
	page.sample(switches, float64(usage.Nvcsw), "kind", "voluntary")
	page.sample(switches, float64(usage.Nivcsw), "kind", "involuntary")
	page.gauge("process_threads", "Threads of the operating system.", float64(stat.threads))
	page.gauge("process_start_time_seconds", "Start of the process, in seconds since 1970.", p.startTimeSeconds)
	page.gauge("process_resident_memory_bytes", "Memory in RAM: RES of top.", float64(memory.residentBytes))
	page.gauge("process_virtual_memory_bytes", "Address space in use: VIRT of top.", float64(memory.virtualBytes))
	page.gauge("process_virtual_memory_max_bytes", "Limit of the address space.", softLimit(syscall.RLIMIT_AS))
	page.gauge("echolab_shared_memory_bytes", "Memory in RAM that files back or others share: SHR of top.",
		float64(memory.sharedBytes))
	page.gauge("process_open_fds", "Open file descriptors.", float64(open))
	page.gauge("process_max_fds", "Limit of open file descriptors.", softLimit(syscall.RLIMIT_NOFILE))
	return nil
}

// processStat is what /proc/self/stat holds of interest.
type processStat struct{ threads, startTicks uint64 }

func (p *process) readStat() (processStat, error) {
	content, err := p.reread(p.stat)
	if err != nil {
		return processStat{}, err
	}
	return parseStat(content)
}

// parseStat reads a line of /proc/PID/stat. Its second field, the program's name, may hold blanks and parentheses, so
// fields count from the last parenthesis: after it comes field 3 of proc(5).
func parseStat(line string) (processStat, error) {
	const afterName, threadsField, startField = 3, 20, 22
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) <= startField-afterName {
		return processStat{}, errors.New("/proc/self/stat is shorter than expected")
	}
	threads, err := strconv.ParseUint(fields[threadsField-afterName], 10, 64)
	if err != nil {
		return processStat{}, fmt.Errorf("/proc/self/stat: %w", err)
	}
	startTicks, err := strconv.ParseUint(fields[startField-afterName], 10, 64)
	if err != nil {
		return processStat{}, fmt.Errorf("/proc/self/stat: %w", err)
	}
	return processStat{threads: threads, startTicks: startTicks}, nil
}

// parseBootTime finds the line btime of /proc/stat: when the machine started, in seconds since 1970.
func parseBootTime(content string) (float64, error) {
	for _, line := range strings.Split(content, "\n") {
		if name := "btime "; strings.HasPrefix(line, name) {
			return strconv.ParseFloat(line[len(name):], 64)
		}
	}
	return 0, errors.New("/proc/stat does not tell when the machine started")
}

// processMemory is what top shows as VIRT, RES and SHR.
type processMemory struct{ virtualBytes, residentBytes, sharedBytes uint64 }

func (p *process) readMemory() (processMemory, error) {
	content, err := p.reread(p.statm)
	if err != nil {
		return processMemory{}, err
	}
	return parseStatm(content, uint64(os.Getpagesize()))
}

// parseStatm reads /proc/PID/statm, which counts in pages.
func parseStatm(line string, pageBytes uint64) (processMemory, error) {
	var virtual, resident, shared uint64
	if _, err := fmt.Sscan(line, &virtual, &resident, &shared); err != nil {
		return processMemory{}, fmt.Errorf("/proc/self/statm: %w", err)
	}
	return processMemory{virtual * pageBytes, resident * pageBytes, shared * pageBytes}, nil
}

// countDescriptors tells how many descriptors are open.
func (p *process) countDescriptors() (int, error) {
	// Since Linux 6.2 the directory's size is their number; before that it is 0, and they are to be counted: at 10,000
	// connections some milliseconds for each scrape.
	if info, err := p.descriptors.Stat(); err == nil && info.Size() > 0 {
		return int(info.Size()), nil
	}
	if _, err := p.descriptors.Seek(0, io.SeekStart); err != nil {
		return 0, err
	}
	entries := 0
	for {
		// By hand, because os.File would make a string of each name and so disturb the allocation figures.
		n, err := syscall.ReadDirent(int(p.descriptors.Fd()), p.buffer[:])
		if err != nil {
			return 0, err
		}
		if n <= 0 {
			return entries - len([]string{".", ".."}), nil
		}
		entries += countDirents(p.buffer[:n])
	}
}

// countDirents counts the records that getdents64 has returned. Each tells its length after its inode and its offset of
// 8 bytes each.
func countDirents(records []byte) int {
	const lengthAt = 16
	count := 0
	for len(records) > lengthAt+1 {
		length := int(binary.LittleEndian.Uint16(records[lengthAt:]))
		if length == 0 || length > len(records) {
			break
		}
		records = records[length:]
		count++
	}
	return count
}

// reread reads a file of /proc from its start, as it is now.
func (p *process) reread(file *os.File) (string, error) {
	n, err := file.ReadAt(p.buffer[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return string(bytes.TrimSpace(p.buffer[:n])), nil
}

// processCPUTime reads the clock of this process's CPU time, over all its threads, in nanoseconds: the same clock that
// the lab reads from outside.
func processCPUTime() (time.Duration, error) {
	const clockProcessCPUTime = 2 // CLOCK_PROCESS_CPUTIME_ID of clock_gettime(2)
	var result syscall.Timespec
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPUTime,
		uintptr(unsafe.Pointer(&result)), 0)
	if errno != 0 {
		return 0, errno
	}
	return time.Duration(result.Nano()), nil
}

func seconds(value syscall.Timeval) float64 {
	return time.Duration(value.Nano()).Seconds()
}

// softLimit is a resource limit in force. Unlimited is shown as the greatest number there is, as the official client
// libraries do.
func softLimit(resource int) float64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(resource, &limit) != nil {
		return math.NaN()
	}
	return float64(limit.Cur)
}
