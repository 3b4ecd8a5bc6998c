package main

import (
	"runtime"
	"runtime/debug"
	"strconv"
	"time"
)

// exposeGoRuntime adds what Go tells of itself, under the names that the official Prometheus client library gave it.
// Left out is go_memstats_lookups_total, which has been 0 since Go 1.8.
//
// It stops all goroutines for some microseconds, as whoever reads MemStats must; so it happens once per scrape.
func exposeGoRuntime(page *exposition) {
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	exposeMemory(page, &memory)
	exposeCollections(page)

	const info = "go_info"
	page.family(info, "gauge", "Always 1; its label tells the version of Go.")
	page.sample(info, 1, "version", runtime.Version())
	threads, _ := runtime.ThreadCreateProfile(nil)
	page.gauge("go_threads", "Threads of the operating system that Go has made.", float64(threads))
	page.gauge("go_goroutines", "Goroutines that exist now.", float64(runtime.NumGoroutine()))
	page.gauge("go_sched_gomaxprocs_threads", "Threads that may run Go code at once: GOMAXPROCS.",
		float64(runtime.GOMAXPROCS(0)))
}

func exposeMemory(page *exposition, memory *runtime.MemStats) {
	for _, each := range []struct {
		name  string
		help  string
		value uint64
	}{
		{"alloc_bytes", "Bytes of heap objects that are in use or not yet swept.", memory.Alloc},
		{"sys_bytes", "Bytes that Go has from the system, for everything.", memory.Sys},
		{"heap_alloc_bytes", "Bytes of heap objects that are in use or not yet swept.", memory.HeapAlloc},
		{"heap_sys_bytes", "Bytes that the heap has from the system.", memory.HeapSys},
		{"heap_idle_bytes", "Bytes of heap spans without an object.", memory.HeapIdle},
		{"heap_inuse_bytes", "Bytes of heap spans with at least one object.", memory.HeapInuse},
		{"heap_released_bytes", "Bytes of idle heap spans that were given back to the system.", memory.HeapReleased},
		{"heap_objects", "Objects on the heap.", memory.HeapObjects},
		{"stack_inuse_bytes", "Bytes of goroutines' stacks.", memory.StackInuse},
		{"stack_sys_bytes", "Bytes that stacks have from the system.", memory.StackSys},
		{"mspan_inuse_bytes", "Bytes of span structures in use.", memory.MSpanInuse},
		{"mspan_sys_bytes", "Bytes that span structures have from the system.", memory.MSpanSys},
		{"mcache_inuse_bytes", "Bytes of the processors' caches in use.", memory.MCacheInuse},
		{"mcache_sys_bytes", "Bytes that the processors' caches have from the system.", memory.MCacheSys},
		{"buck_hash_sys_bytes", "Bytes of the profiler's tables.", memory.BuckHashSys},
		{"gc_sys_bytes", "Bytes of the garbage collector's own data.", memory.GCSys},
		{"other_sys_bytes", "Bytes that Go has from the system for anything else.", memory.OtherSys},
		{"next_gc_bytes", "Heap size at which the next garbage collection is due.", memory.NextGC},
	} {
		page.gauge("go_memstats_"+each.name, each.help, float64(each.value))
	}
	page.gauge("go_memstats_last_gc_time_seconds", "End of the last garbage collection, in seconds since 1970.",
		time.Duration(memory.LastGC).Seconds())
	page.gauge("go_memstats_gc_cpu_fraction", "Share of the available CPU time that garbage collection took so far.",
		memory.GCCPUFraction)

	page.counter("go_memstats_alloc_bytes_total", "Bytes of all heap objects ever allocated, by size class.",
		float64(memory.TotalAlloc))
	page.counter("go_memstats_mallocs_total", "Heap objects ever allocated.", float64(memory.Mallocs))
	page.counter("go_memstats_frees_total", "Heap objects ever freed.", float64(memory.Frees))
}

// exposeCollections adds the pauses that garbage collections made.
func exposeCollections(page *exposition) {
	// Five quantiles: the least, the quartiles, the greatest.
	collections := debug.GCStats{PauseQuantiles: make([]time.Duration, 5)}
	debug.ReadGCStats(&collections)
	const name = "go_gc_duration_seconds"
	page.family(name, "summary", "Pauses that garbage collections made; quantiles are over the latest 256.")
	last := len(collections.PauseQuantiles) - 1
	for i, pause := range collections.PauseQuantiles {
		quantile := strconv.FormatFloat(float64(i)/float64(last), 'g', -1, 64)
		page.sample(name, pause.Seconds(), "quantile", quantile)
	}
	page.sample(name+"_sum", collections.PauseTotal.Seconds())
	page.sample(name+"_count", float64(collections.NumGC))
}
