package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
)

// machine is where the numbers come from, and what they were made with.
type machine struct {
	CPU     string `json:"cpu"`
	CPUs    int    `json:"cpus"`
	System  string `json:"system"`
	Go      string `json:"go"`
	OpenSSL string `json:"openssl,omitempty"`
	Rustls  string `json:"rustls,omitempty"`
	Before  string `json:"load_before,omitempty"` // the load average of the last minute
	After   string `json:"load_after,omitempty"`
}

func thisMachine() machine {
	return machine{
		CPU:     cpu(),
		CPUs:    runtime.NumCPU(),
		System:  runtime.GOOS + "/" + runtime.GOARCH,
		Go:      runtime.Version(),
		OpenSSL: opensslVersion(),
		Before:  load(),
	}
}

func (m machine) String() string {
	s := fmt.Sprintf("Machine: %d CPUs %s, %s, of which one is used; %s", m.CPUs, m.CPU, m.System, m.Go)
	if m.OpenSSL != "" {
		s += "; " + m.OpenSSL
	}
	if m.Rustls != "" {
		s += "; " + m.Rustls
	}
	if m.Before != "" && m.After != "" {
		s += fmt.Sprintf(". Load average before: %s, after: %s", m.Before, m.After)
	}
	return s + "."
}

// cpu is the model where Linux tells it.
func cpu() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "of unknown make"
}

func load() string {
	loads, _ := os.ReadFile("/proc/loadavg")
	last, _, _ := strings.Cut(string(loads), " ")
	return last
}

func opensslVersion() string {
	out, _ := exec.Command("openssl", "version").Output()
	if words := strings.Fields(string(out)); len(words) > 1 {
		return words[0] + " " + words[1]
	}
	return ""
}

// rustlsVersion is read from the lock file.
func rustlsVersion() string {
	lock, _ := os.ReadFile(rustlsSources + "/Cargo.lock")
	versions := make(map[string]string)
	name := ""
	for line := range strings.Lines(string(lock)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch value = strings.Trim(value, `"`); key {
		case "name":
			name = value
		case "version":
			versions[name] = value
		}
	}
	return fmt.Sprintf("rustls %s with aws-lc-rs %s", versions["rustls"], versions["aws-lc-rs"])
}
