package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// someReport has one table of everything that tables can have.
func someReport() report {
	handshakes := table{
		ID: "full", Title: "Handshakes", Text: "Both ends.", Labels: []string{"key exchange"}, Unit: "ns",
		micro: true, sides: true, allocs: true,
		Rows: []row{
			{Labels: []string{"X25519"}, Results: []result{
				{Name: nameBaretls, Value: spread{300_000, 290_000, 310_000}, Ratio: spread{1, 1, 1},
					Client: spread{200_000, 0, 0}, Server: spread{100_000, 0, 0}, Allocs: 150, Bytes: 20_000},
				{Name: nameStd, Value: spread{480_000, 470_000, 490_000}, Ratio: spread{1.6, 1.55, 1.654},
					Client: spread{300_000, 0, 0}, Server: spread{180_000, 0, 0}, Allocs: 838, Bytes: 73_000},
			}},
			{Labels: []string{"P-256"}, Results: []result{
				{Name: nameBaretls, Value: spread{9_000, 9_000, 9_000}, Ratio: spread{1, 1, 1}, Client: spread{9_000, 0, 0}},
			}},
		},
	}
	idle := table{ID: "idle", Title: "Memory", Labels: []string{"suite", "side"}, Unit: "bytes"}
	r := row{Labels: []string{"AES-256-GCM", "client"}}
	r.add(nameBaretls, 2000)
	r.add(nameStd, 5000)
	idle.Rows = []row{r}
	left := table{ID: "openssl", Title: "OpenSSL", Skipped: "openssl is not installed"}
	return report{
		Machine: machine{CPU: "Z80", CPUs: 1, System: "cpm/z80", Go: "go1.26"},
		Effort:  "Medians of 3 runs.",
		Tables:  []table{handshakes, idle, left},
		Aims:    []aim{{"rate", 1.3, true, 1.6, true}, {"bytes", 20_000, false, 33_802.4, false}},
	}
}

func TestMarkdown(t *testing.T) {
	const want = `Machine: 1 CPUs Z80, cpm/z80, of which one is used; go1.26.

Medians of 3 runs.

` + legend + `

## Aims

` + aimsText + `

| aim | at | result |  |
|---|---|---:|---:|
| rate | least 1.30 | 1.60 | met |
| bytes | most 20,000 | 33,802 | **missed** |

## Handshakes

Both ends.

| key exchange | baretls, µs | crypto/tls | ratio |
|---|---:|---:|---:|
| X25519 | 300 | 480 | 1.60 (1.55–1.65) |
| P-256 | 9.0 |  |  |

| key exchange | baretls, µs, client | crypto/tls | ratio |
|---|---:|---:|---:|
| X25519 | 200 | 300 | 1.50 |
| P-256 | 9.0 |  |  |

| key exchange | baretls, µs, server | crypto/tls | ratio |
|---|---:|---:|---:|
| X25519 | 100 | 180 | 1.80 |
| P-256 |  |  |  |

| key exchange | baretls, allocations | bytes | crypto/tls, allocations | bytes |
|---|---:|---:|---:|---:|
| X25519 | 150 | 20,000 | 838 | 73,000 |
| P-256 | 0 | 0 |  |  |

## Memory

| suite | side | baretls, bytes | crypto/tls | ratio |
|---|---|---:|---:|---:|
| AES-256-GCM | client | 2,000 | 5,000 | 2.50 |

## OpenSSL

Left out: openssl is not installed.
`
	if got := someReport().markdown(); got != want {
		t.Errorf("the report is\n%s\nwant\n%s", got, want)
	}
}

// TestJSON reads what machines are to read.
func TestJSON(t *testing.T) {
	var b bytes.Buffer
	if err := someReport().json(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Tables []struct {
			ID   string
			Unit string
			Rows []struct {
				Labels  []string
				Results []struct {
					Name         string
					Value, Ratio struct{ Median, Low, High float64 }
					Allocations  float64
				}
			}
		}
		Aims []struct {
			What string
			Met  bool
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	full := got.Tables[0]
	std := full.Rows[0].Results[1]
	if full.ID != "full" || full.Unit != "ns" || std.Name != nameStd || std.Value.Median != 480_000 || std.Ratio.Low != 1.55 || std.Allocations != 838 {
		t.Errorf("the first table is %+v, want that of the report", full)
	}
	if len(got.Aims) != 2 || !got.Aims[0].Met || got.Aims[1].Met {
		t.Errorf("the aims are %+v, want one met and one missed", got.Aims)
	}
}

func TestThousands(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 999.4: "999", 999.6: "1,000", 12_345: "12,345", 1_234_567: "1,234,567"} {
		if got := thousands(v); got != want {
			t.Errorf("thousands of %v is %q, want %q", v, got, want)
		}
	}
}

func TestJudge(t *testing.T) {
	handshake := row{Labels: x25519Row, Results: []result{
		{Name: nameBaretls, Allocs: 151, Bytes: 20_000},
		{Name: nameOperations, Ratio: spread{Median: 0.8}},
		{Name: nameStd, Ratio: spread{Median: 1.3}},
	}}
	aims := judge([]table{{ID: "full", Rows: []row{handshake}}})
	got := make(map[string]aim)
	for _, a := range aims {
		got[a.What] = a
	}
	for _, want := range []aim{
		{"full handshake: time over that of its operations", 1.15, false, 1.25, false},
		{"full handshake: rate beside crypto/tls", 1.3, true, 1.3, true},
		{"full handshake: allocations", 150, false, 151, false},
		{"full handshake: bytes allocated", 20_000, false, 20_000, true},
	} {
		if got[want.What] != want {
			t.Errorf("the aim is %+v, want %+v", got[want.What], want)
		}
	}
	if len(aims) != 4 {
		t.Errorf("%d aims were judged, want the 4 of the row that was measured", len(aims))
	}
}
