package childprocess

import "github.com/prometheus/procfs"

// ticksPerSecond is the unit of /proc, the same on every Linux.
const ticksPerSecond = 100

// CPUSeconds is how long a running process has computed so far, where /proc tells.
func CPUSeconds(pid int) (seconds float64, known bool) {
	stat, known := processStat(pid)
	return stat.CPUTime(), known
}

func processStat(pid int) (stat procfs.ProcStat, known bool) {
	process, err := procfs.NewProc(pid)
	if err == nil {
		stat, err = process.Stat()
	}
	return stat, err == nil
}

// FamilyCPUSeconds is how long the parent of a process and all its children have
// computed so far, those that have ended among them. All of them have the name.
func FamilyCPUSeconds(child int, name string) (seconds float64, known bool) {
	stat, known := processStat(child)
	if !known || stat.Comm != name {
		return 0, false
	}
	parent := stat.PPID
	if stat, known = processStat(parent); !known || stat.Comm != name {
		return 0, false
	}
	seconds = stat.CPUTime() + float64(stat.CUTime+stat.CSTime)/ticksPerSecond
	processes, _ := procfs.AllProcs() // /proc is there
	for _, process := range processes {
		if stat, err := process.Stat(); err == nil && stat.PPID == parent {
			seconds += stat.CPUTime()
		}
	}
	return seconds, true
}

// PeakRSS is the most memory, in MiB, that a running process has ever had; 0 when
// that is not known. The rusage of a child would not do: on Linux it counts the memory
// of the parent that it was forked from.
func PeakRSS(pid int) (mib float64) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0
	}
	status, err := process.NewStatus()
	if err != nil {
		return 0
	}
	return float64(status.VmHWM) / (1 << 20)
}
