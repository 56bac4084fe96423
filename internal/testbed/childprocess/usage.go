package childprocess

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticksPerSecond is the unit of /proc, the same on every Linux.
const ticksPerSecond = 100

// CPUSeconds returns the CPU time of a running process, if there is a /proc.
func CPUSeconds(pid int) (seconds float64, known bool) {
	stat, known := processStat(pid)
	return stat.own, known
}

// process has fields of /proc/PID/stat.
type process struct {
	name   string
	parent int
	// own is the CPU time of the process, children that of its ended children, both in
	// seconds.
	own, children float64
}

func processStat(pid int) (stat process, known bool) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The name is in parentheses, and may itself contain some.
	start, end := bytes.IndexByte(content, '('), bytes.LastIndexByte(content, ')')
	if start < 0 || end < start {
		return process{}, false
	}
	stat.name = string(content[start+1 : end])
	var state string
	var user, system, childrenUser, childrenSystem, skipped int64
	fields := []any{&state, &stat.parent}
	for range 9 { // from the process group to the children's page faults
		fields = append(fields, &skipped)
	}
	fields = append(fields, &user, &system, &childrenUser, &childrenSystem)
	if _, err := fmt.Fscan(bytes.NewReader(content[end+1:]), fields...); err != nil {
		return process{}, false
	}
	stat.own, stat.children = float64(user+system)/ticksPerSecond, float64(childrenUser+childrenSystem)/ticksPerSecond
	return stat, true
}

// FamilyCPUSeconds returns the CPU time of the parent of a process and of all its children,
// including ended ones. The process and its parent must have the name.
func FamilyCPUSeconds(child int, name string) (seconds float64, known bool) {
	stat, known := processStat(child)
	if !known || stat.name != name {
		return 0, false
	}
	parent := stat.parent
	if stat, known = processStat(parent); !known || stat.name != name {
		return 0, false
	}
	seconds = stat.own + stat.children
	processes, _ := filepath.Glob("/proc/[0-9]*") // the pattern is not malformed
	for _, folder := range processes {
		pid, _ := strconv.Atoi(filepath.Base(folder)) // 0 is not a process
		if stat, known := processStat(pid); known && stat.parent == parent {
			seconds += stat.own
		}
	}
	return seconds, true
}

// PeakRSS returns the peak memory of a running process in MiB; 0 if unknown. The rusage of a
// child does not work: on Linux it includes the memory of the parent it was forked from.
func PeakRSS(pid int) (mib float64) {
	content, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(content)) {
		if kib, found := strings.CutPrefix(line, "VmHWM:"); found {
			mib, _ = strconv.ParseFloat(strings.Fields(kib)[0], 64)
			return mib / 1024
		}
	}
	return 0
}
