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

// CPUSeconds is how long a running process has computed so far, where /proc tells.
func CPUSeconds(pid int) (seconds float64, known bool) {
	stat, known := processStat(pid)
	return stat.own, known
}

// process is what /proc/PID/stat tells.
type process struct {
	name   string
	parent int
	// own is the CPU time of the process, children that of its children that have
	// ended, both in seconds.
	own, children float64
}

func processStat(pid int) (stat process, known bool) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	// The name stands in parentheses, and may have some of its own.
	begin, end := bytes.IndexByte(content, '('), bytes.LastIndexByte(content, ')')
	if begin < 0 || end < begin {
		return process{}, false
	}
	stat.name = string(content[begin+1 : end])
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

// FamilyCPUSeconds is how long the parent of a process and all its children have
// computed so far, those that have ended among them. All of them have the name.
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
		pid, _ := strconv.Atoi(filepath.Base(folder)) // 0, which is no process, of what is none
		if stat, known := processStat(pid); known && stat.parent == parent {
			seconds += stat.own
		}
	}
	return seconds, true
}

// PeakRSS is the most memory, in MiB, that a running process has ever had; 0 when
// that is not known. The rusage of a child would not do: on Linux it counts the memory
// of the parent that it was forked from.
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
