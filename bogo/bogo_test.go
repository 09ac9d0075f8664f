package bogo_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// config is config.json: what the runner reads of it, and what is for people.
type config struct {
	DisabledTests  map[string]string   // pattern: reason
	ErrorMap       map[string][]string // BoringSSL's error: parts of ours
	ErrorReasons   map[string]string   // BoringSSL's error: why these are the same
	HalfRTTTickets int

	patterns []string // of DisabledTests, in the order of the file
}

func readConfig(t *testing.T) (c config) {
	t.Helper()
	encoded, err := os.ReadFile("config.json")
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(encoded)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&c); err != nil {
		t.Fatal(err)
	}
	c.patterns = slices.SortedFunc(maps.Keys(c.DisabledTests), func(a, b string) int {
		return strings.Index(string(encoded), strconv.Quote(a)) - strings.Index(string(encoded), strconv.Quote(b))
	})
	return c
}

// What is left out, and what passes for BoringSSL's errors, has a reason.
func TestEverythingHasAReason(t *testing.T) {
	c := readConfig(t)
	sentence := func(what, reason string) {
		if !strings.HasSuffix(reason, ".") {
			t.Errorf("%s: the reason %q is no sentence", what, reason)
		}
	}
	for pattern, reason := range c.DisabledTests {
		sentence(pattern, reason)
		if _, err := path.Match(pattern, ""); err != nil {
			t.Errorf("%s: %v", pattern, err)
		}
	}
	for name, ours := range c.ErrorMap {
		sentence(name, c.ErrorReasons[name])
		if len(ours) == 0 || slices.Contains(ours, "") {
			t.Errorf("%s: any error of ours would do", name)
		}
	}
	for name := range c.ErrorReasons {
		if c.ErrorMap[name] == nil {
			t.Errorf("%s has a reason and is not mapped", name)
		}
	}
}

// The shim is a user like any other.
func TestTheShimUsesThePublicAPI(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "./shim").Output()
	if err != nil {
		t.Fatal(err)
	}
	for imported := range strings.Lines(string(out)) {
		if strings.Contains(imported, "/internal/") {
			t.Errorf("the shim imports %s", imported)
		}
	}
}

// atLeast is how many tests have to pass.
const atLeast = 2000

// TestRunner runs all tests of a runner that BOGO_RUNNER names, but for those
// that config.json leaves out.
func TestRunner(t *testing.T) {
	runner := os.Getenv("BOGO_RUNNER")
	if runner == "" {
		t.Skip("BOGO_RUNNER does not name a test runner of BoringSSL: see README.md")
	}
	shim := filepath.Join(t.TempDir(), "shim")
	if out, err := exec.Command("go", "build", "-o", shim, "./shim").CombinedOutput(); err != nil {
		t.Fatalf("the shim does not build: %v\n%s", err, out)
	}
	ran := 0
	for _, mode := range []struct {
		name string
		args []string
	}{
		{"as the tests have it", nil},
		{"everything asynchronous", []string{"-shim-extra-flags", "-async"}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			results, out := run(t, runner, shim, append(mode.args, "-shim-config", absolute(t, "config.json"))...)
			passed, failed, skipped := results["PASS"], results["FAIL"], results["SKIP"]
			ran = len(passed) + len(failed) + len(skipped)
			t.Logf("%d tests pass, %d fail", len(passed), len(failed))
			if len(passed) < atLeast {
				t.Errorf("%d tests pass, and not %d", len(passed), atLeast)
			}
			for _, name := range failed[:min(20, len(failed))] {
				t.Errorf("%s fails:\n%s", name, report(out, name))
			}
			for _, name := range skipped {
				t.Errorf("%s wants what there is not, and config.json does not leave it out", name)
			}
			if len(failed) > 20 {
				t.Errorf("… and more: %d fail", len(failed))
			}
		})
	}
	t.Run("what is left out", func(t *testing.T) {
		page, err := os.ReadFile("../docs/conformance.md")
		if err != nil {
			t.Fatal(err)
		}
		_, summary, ok := strings.Cut(string(page), "\n| | |\n|---:|---|\n")
		if !ok {
			t.Fatal("docs/conformance.md has no summary")
		}
		// A flag that nobody knows skips every test: so all names are known.
		all, _ := run(t, runner, shim, "-shim-extra-flags", "-no-such-flag")
		want := strings.Join(leftOut(t, readConfig(t), all["SKIP"], ran), "\n")
		if got := strings.TrimSuffix(summary, "\n"); got != want {
			t.Errorf("the summary in docs/conformance.md is not that of this run, which is\n%s", want)
		}
	})
}

// run runs the runner on all tests and sorts their names by the result.
func run(t *testing.T, runner, shim string, args ...string) (byResult map[string][]string, out string) {
	t.Helper()
	results := filepath.Join(t.TempDir(), "results.json")
	cmd := exec.Command(runner, append([]string{
		"-test.timeout", "10m", "-pipe", "-allow-unimplemented", "-shim-path", shim, "-json-output", results,
	}, args...)...)
	output, err := cmd.CombinedOutput()
	encoded, readErr := os.ReadFile(results)
	if readErr != nil {
		t.Fatalf("the runner gives no results: %v\n%s", err, output)
	}
	var parsed struct {
		Tests map[string]struct{ Actual string }
	}
	if err := json.Unmarshal(encoded, &parsed); err != nil {
		t.Fatal(err)
	}
	byResult = make(map[string][]string)
	for _, name := range slices.Sorted(maps.Keys(parsed.Tests)) {
		result := parsed.Tests[name].Actual
		byResult[result] = append(byResult[result], name)
	}
	return byResult, string(output)
}

// report is what the runner says about a test that fails.
func report(out, name string) string {
	_, report, _ := strings.Cut(out, "FAILED ("+name+")\n")
	if next := endOfReport.FindStringIndex(report); next != nil {
		report = report[:next[0]]
	}
	return report
}

var endOfReport = regexp.MustCompile(`(?m)^(PASSED|FAILED|UNIMPLEMENTED) \(`)

func absolute(t *testing.T, name string) string {
	t.Helper()
	file, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// leftOut makes the rows of docs/conformance.md: how many tests pass, and how many are
// left out for which reason, each for the first of the patterns that match it.
// It finds patterns that match none.
func leftOut(t *testing.T, c config, names []string, ran int) (rows []string) {
	t.Helper()
	used := map[string]bool{}
	count := map[string]int{}
	total := 0
	for _, name := range names {
		first := ""
		for _, pattern := range c.patterns {
			if ok, _ := path.Match(pattern, name); ok {
				used[pattern] = true
				first = cmp.Or(first, pattern)
			}
		}
		if first != "" {
			count[c.DisabledTests[first]]++
			total++
		}
	}
	for _, pattern := range c.patterns {
		if !used[pattern] {
			t.Errorf("%s leaves nothing out", pattern)
		}
	}
	if len(names) != total+ran {
		t.Errorf("%d tests ran and %d are left out, of %d", ran, total, len(names))
	}
	rows = append(rows,
		fmt.Sprintf("| %d | tests |", len(names)),
		fmt.Sprintf("| %d | pass |", ran),
		fmt.Sprintf("| %d | are left out |", total))
	for _, reason := range slices.SortedFunc(maps.Keys(count), func(a, b string) int {
		return cmp.Or(count[b]-count[a], strings.Compare(a, b))
	}) {
		rows = append(rows, fmt.Sprintf("| %d | %s |", count[reason], reason))
	}
	return rows
}
