package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// report is everything that was found out.
type report struct {
	Machine machine `json:"machine"`
	Effort  string  `json:"effort"`
	Tables  []table `json:"tables"`
	Aims    []aim   `json:"aims"`
}

// table is a part of the report: rows of one kind.
type table struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Text    string   `json:"text"`
	Labels  []string `json:"labels"` // headings of the rows' labels
	Unit    string   `json:"unit"`   // of all values: ns, bytes or times
	Rows    []row    `json:"rows"`
	Skipped string   `json:"skipped,omitempty"` // why there are no rows

	micro  bool // nanoseconds are shown as microseconds
	sides  bool // client and server are shown apart, too
	allocs bool // and allocations
}

const legend = `A number in brackets is the middle half of the runs. A ratio is another's time, or memory, over that of
baretls in the same run: above 1, baretls takes less.`

func (r report) json(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "\t")
	return e.Encode(r)
}

func (r report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n%s\n\n%s\n", r.Machine, r.Effort, legend)
	if len(r.Aims) > 0 {
		fmt.Fprintf(&b, "\n## Aims\n\n%s\n\n", aimsText)
		rows := [][]string{{"aim", "at", "result", ""}}
		for _, a := range r.Aims {
			rows = append(rows, []string{a.What, a.bound(), a.result(), a.verdict()})
		}
		markdownTable(&b, 2, rows)
	}
	for _, t := range r.Tables {
		t.markdown(&b)
	}
	return b.String()
}

func (t table) markdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n", t.Title)
	if t.Text != "" {
		fmt.Fprintf(b, "\n%s\n", t.Text)
	}
	if t.Skipped != "" {
		fmt.Fprintf(b, "\nLeft out: %s.\n", t.Skipped)
		return
	}
	t.part(b, t.heading(), func(x result) (spread, bool) { return x.Value, x.Value.Median > 0 })
	if t.sides {
		t.part(b, t.heading()+", client", func(x result) (spread, bool) { return x.Client, x.Client.Median > 0 })
		t.part(b, t.heading()+", server", func(x result) (spread, bool) { return x.Server, x.Server.Median > 0 })
	}
	if t.allocs {
		t.allocations(b)
	}
}

func (t table) heading() string {
	if t.micro {
		return "µs"
	}
	return t.Unit
}

// part is a table of values and their ratios. Those of both sides together have
// a ratio of their own; others are compared by their medians.
func (t table) part(b *strings.Builder, heading string, pick func(result) (spread, bool)) {
	names := t.contenders()
	rows := [][]string{slices.Concat(t.Labels, []string{names[0] + ", " + heading})}
	for _, name := range names[1:] {
		rows[0] = append(rows[0], name, "ratio")
	}
	for _, r := range t.Rows {
		line := slices.Clone(r.Labels)
		first, _ := pick(r.Results[0])
		for i, name := range names {
			x, took := r.get(name)
			value, ok := pick(x)
			switch {
			case i == 0 && !ok:
				line = append(line, "")
			case i == 0:
				line = append(line, t.value(value.Median))
			case !took || !ok:
				line = append(line, "", "")
			case value == x.Value && x.Ratio.Low != x.Ratio.High:
				line = append(line, t.value(value.Median), fmt.Sprintf("%.2f (%.2f–%.2f)", x.Ratio.Median, x.Ratio.Low, x.Ratio.High))
			default:
				line = append(line, t.value(value.Median), fmt.Sprintf("%.2f", value.Median/first.Median))
			}
		}
		rows = append(rows, line)
	}
	b.WriteByte('\n')
	markdownTable(b, len(t.Labels), rows)
}

// allocations leaves out what cannot allocate.
func (t table) allocations(b *strings.Builder) {
	names := slices.DeleteFunc(t.contenders(), func(name string) bool {
		return name == nameAEAD || name == nameAEADCopy || name == nameAEADNoType
	})
	rows := [][]string{slices.Clone(t.Labels)}
	for _, name := range names {
		rows[0] = append(rows[0], name+", allocations", "bytes")
	}
	for _, r := range t.Rows {
		line := slices.Clone(r.Labels)
		for _, name := range names {
			x, ok := r.get(name)
			if !ok {
				line = append(line, "", "")
				continue
			}
			line = append(line, thousands(x.Allocs), thousands(x.Bytes))
		}
		rows = append(rows, line)
	}
	b.WriteByte('\n')
	markdownTable(b, len(t.Labels), rows)
}

// contenders are those of all rows: some take part in some of them only.
func (t table) contenders() []string {
	var names []string
	for _, r := range t.Rows {
		for _, x := range r.Results {
			if !slices.Contains(names, x.Name) {
				names = append(names, x.Name)
			}
		}
	}
	return names
}

func (t table) value(v float64) string {
	switch {
	case t.micro && v < 10_000:
		return strconv.FormatFloat(v/1000, 'f', 1, 64)
	case t.micro:
		return thousands(v / 1000)
	case t.Unit == "times":
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return thousands(v)
}

// thousands rounds to a whole number and groups its digits.
func thousands(v float64) string {
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// markdownTable writes rows, of which the first is the heading. Text is what
// stands in the first columns; all others are numbers.
func markdownTable(b *strings.Builder, text int, rows [][]string) {
	for i, row := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(row, " | "))
		if i > 0 {
			continue
		}
		b.WriteByte('|')
		for column := range row {
			if column < text {
				b.WriteString("---|")
			} else {
				b.WriteString("---:|")
			}
		}
		b.WriteByte('\n')
	}
}
