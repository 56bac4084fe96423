package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// noCPUTime is why there is no cpuSeconds, or none of PostgreSQL.
const noCPUTime = "only Linux tells the CPU time of processes, in /proc, and only of those on this machine"

// ticksPerSecond is the unit of /proc, the same on every Linux.
const ticksPerSecond = 100

// processTimes is what /proc tells of a running process.
type processTimes struct {
	name        string
	parent      int
	own, reaped float64 // seconds; reaped is that of its children that have ended
}

func readProcessTimes(statFile string) (t processTimes, known bool) {
	stat, err := os.ReadFile(statFile)
	if err != nil {
		return t, false
	}
	// The name is in parentheses and may have blanks.
	before, after, _ := strings.Cut(string(stat), ") ")
	_, t.name, _ = strings.Cut(before, "(")
	fields := strings.Fields(after)
	if len(fields) < 15 {
		return t, false
	}
	var ticks [4]float64 // utime, stime, cutime, cstime
	for i := range ticks {
		if ticks[i], err = strconv.ParseFloat(fields[11+i], 64); err != nil {
			return t, false
		}
	}
	t.parent, err = strconv.Atoi(fields[1])
	t.own, t.reaped = (ticks[0]+ticks[1])/ticksPerSecond, (ticks[2]+ticks[3])/ticksPerSecond
	return t, err == nil
}

func statFile(pid int) string { return fmt.Sprintf("/proc/%d/stat", pid) }

// cpuSeconds is how long a running process has computed so far.
func cpuSeconds(pid int) (seconds float64, known bool) {
	t, known := readProcessTimes(statFile(pid))
	return t.own, known
}

// familyCPUSeconds is how long the parent of a process and all its children have
// computed so far, those that have ended among them. All of them have the name.
func familyCPUSeconds(child int, name string) (seconds float64, known bool) {
	t, known := readProcessTimes(statFile(child))
	if !known || t.name != name {
		return 0, false
	}
	parent := t.parent
	if t, known = readProcessTimes(statFile(parent)); !known || t.name != name {
		return 0, false
	}
	seconds = t.own + t.reaped
	files, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, file := range files {
		if t, known := readProcessTimes(file); known && t.parent == parent {
			seconds += t.own
		}
	}
	return seconds, true
}
