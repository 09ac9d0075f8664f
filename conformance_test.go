package baretls_test

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"go/ast"
	"go/parser"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls/internal/wire"
)

// docs/conformance.md says what the RFCs demand, where the code says so too, and
// which tests hold it. Here it is held to the RFC's table of contents, to the
// citations in the code and to the tests that there are.

const conformance = "docs/conformance.md"

// sections9846 are the sections of RFC 9846, with a * where the text has a MUST,
// a MUST NOT, a SHALL or a REQUIRED.
const sections9846 = `
1* 1.1 1.2* 1.3 1.4
2* 2.1* 2.2* 2.3
3 3.1 3.2 3.3 3.4 3.5 3.6 3.7 3.8
4* 4.1 4.2 4.2.1* 4.2.2* 4.2.3* 4.2.4* 4.3* 4.3.1* 4.3.2* 4.3.3* 4.3.4 4.3.5* 4.3.6* 4.3.7*
4.3.8* 4.3.8.1* 4.3.8.2* 4.3.9* 4.3.10* 4.3.11* 4.3.11.1* 4.3.11.2 4.3.11.3* 4.4 4.4.1*
4.4.2* 4.5 4.5.1* 4.5.1.1* 4.5.1.2* 4.5.1.3* 4.5.2* 4.5.3* 4.6* 4.7 4.7.1* 4.7.2* 4.7.3*
5* 5.1* 5.2* 5.3* 5.4* 5.5*
6* 6.1* 6.2*
7 7.1 7.2 7.3 7.4 7.4.1 7.4.2* 7.5*
8* 8.1 8.2* 8.3
9 9.1* 9.2* 9.3*
10
11 11.1
A A.1 A.2
B* B.1 B.2 B.3 B.3.1 B.3.1.1 B.3.1.2 B.3.1.3 B.3.1.4* B.3.2 B.3.3 B.3.4 B.3.5 B.4
C C.1 C.2 C.3 C.4 C.5*
D
E* E.1* E.2* E.3* E.4* E.5*
F F.1* F.1.1 F.1.2 F.1.3 F.1.4 F.1.5 F.1.6 F.2 F.2.1 F.3 F.4 F.5* F.5.1 F.6 F.7 F.8 F.9
F.10
G
`

// demands are the tables of conformance.md, by the number of their RFC.
func demands(t *testing.T) map[string][][]string {
	t.Helper()
	tables := make(map[string][][]string)
	for _, match := range regexp.MustCompile(`(?m)^## (RFC (\d+):.*)$`).FindAllStringSubmatch(readFile(t, conformance), -1) {
		tables[match[2]] = table(t, conformance, "## "+match[1])
	}
	if len(tables) < 10 {
		t.Fatalf("%s has tables for %d RFCs; it wants one for each that is implemented", conformance, len(tables))
	}
	return tables
}

// Each demand is cited in the file that is said to obey it, and held by tests
// that exist.
func TestConformanceIsTrue(t *testing.T) {
	cited, tests := citations(t), testNames(t)
	for rfc, rows := range demands(t) {
		for _, row := range rows {
			section, demand, files, names := row[0], row[1], quoted(row[2]), quoted(row[3])
			if len(files) == 0 || len(names) == 0 {
				t.Errorf("RFC %s, %s, %q: it names %d files and %d tests; it wants one of each at least", rfc, section, demand, len(files), len(names))
			}
			for _, file := range files {
				if !slices.Contains(cited[rfc+" "+section], file) {
					t.Errorf("RFC %s, %s, %q: %s does not cite the section; these do: %q", rfc, section, demand, file, cited[rfc+" "+section])
				}
			}
			for _, name := range names {
				if !tests[name] {
					t.Errorf("RFC %s, %s, %q: there is no test %s", rfc, section, demand, name)
				}
			}
		}
	}
}

// Every section of RFC 9846 with a MUST is in the table of demands, and so cited,
// or in the one of sections that demand nothing of us, with the reason.
func TestConformanceIsComplete(t *testing.T) {
	elsewhere := make(map[string]bool)
	for _, row := range table(t, conformance, "## Sections of RFC 9846 that demand nothing of us") {
		elsewhere[row[0]] = true
		if len(row[2]) < 10 {
			t.Errorf("Section %s demands nothing of us, and the reason is %q", row[0], row[2])
		}
	}
	demanded := make(map[string]bool)
	for _, row := range demands(t)["9846"] {
		demanded[row[0]] = true
	}
	known := make(map[string]bool)
	for _, section := range strings.Fields(sections9846) {
		section, must := strings.CutSuffix(section, "*")
		known[section] = true
		if must && !demanded[section] && !elsewhere[section] {
			t.Errorf("RFC 9846, %s, has a MUST, and %s has neither a demand nor a reason for it", section, conformance)
		}
		if demanded[section] && elsewhere[section] {
			t.Errorf("RFC 9846, %s, is said to demand nothing of us, and to demand something", section)
		}
	}
	for _, list := range []map[string]bool{demanded, elsewhere} {
		for section := range list {
			if !known[section] {
				t.Errorf("%s knows a section %s, which RFC 9846 has not", conformance, section)
			}
		}
	}
}

// A citation of RFC 9846 leads to a section that it has.
func TestCitationsLeadSomewhere(t *testing.T) {
	known := strings.Fields(strings.ReplaceAll(sections9846, "*", ""))
	found := 0
	for citation, files := range citations(t) {
		section, ok := strings.CutPrefix(citation, "9846 ")
		if !ok {
			continue
		}
		if found++; !slices.Contains(known, section) {
			t.Errorf("%q cite Section %s of RFC 9846, which does not exist", files, section)
		}
	}
	if found < 50 {
		t.Errorf("%d sections of RFC 9846 are cited; are citations found at all?", found)
	}
}

var (
	sectionNumber  = `(?:[A-G](?:\.\d+)+|[A-G]\b|\d+(?:\.\d+)*)`
	sectionNumbers = regexp.MustCompile(sectionNumber)
	citation       = regexp.MustCompile(`(?:\b(RFC|FIPS)\s+(\d+),?\s+)?\b(?:Sections?|Appendix)\s+(` + sectionNumber +
		`(?:(?:,\s+and|,\s+Appendix|,|\s+and\s+Appendix|\s+and|\s+to)\s+` + sectionNumber + `)*)`)
	commentBreak = regexp.MustCompile(`\n\s*//\s*`)
)

// citations are the files that cite "rfc section". A section without an RFC is
// one of RFC 9846, or in files about TLS 1.2 of RFC 5246.
func citations(t *testing.T) map[string][]string {
	t.Helper()
	cited := make(map[string][]string)
	eachFile(t, ".go", true, func(file string) {
		if file == "conformance_test.go" {
			return
		}
		usual := "9846"
		switch {
		case strings.Contains(file, "rfc8448"):
			usual = "8448"
		case strings.Contains(path.Base(file), "tls12"):
			usual = "5246"
		}
		text := commentBreak.ReplaceAllString(readFile(t, file), " ")
		for _, match := range citation.FindAllStringSubmatch(text, -1) {
			kind, rfc := match[1], match[2]
			if rfc == "" {
				rfc = usual
			} else if kind != "RFC" {
				rfc = kind + " " + rfc
			}
			for _, section := range sectionNumbers.FindAllString(match[3], -1) {
				if at := rfc + " " + section; !slices.Contains(cited[at], file) {
					cited[at] = append(cited[at], file)
				}
			}
		}
	})
	return cited
}

// testNames are the tests and fuzz targets of the module.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	eachFile(t, ".go", true, func(file string) {
		if !strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, decl := range parse(t, file, parser.SkipObjectResolution).Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				names[f.Name.Name] = true
			}
		}
	})
	return names
}

// What is fresh for each connection: key shares (RFC 9846, Section 4.3.8), both
// randoms, the server's independent of the client's (Section 4.2.3), and the
// session ID that names no session (Section 4.2.2).
func TestNothingOfAHelloComesTwice(t *testing.T) {
	client, server := clientConfig(), serverConfig()
	seen := make(map[string]string)
	for range 3 {
		p := newPair(t, client, server)
		p.client.turns()
		flight := p.client.take()
		p.server.give(flight)
		p.server.turns()
		var ch wire.ClientHello
		if err := ch.Parse(flight[5+4:]); err != nil {
			t.Fatal(err)
		}
		var sh wire.ServerHello
		if err := sh.Parse(records(t, p.server.take())[0][5+4:], ch.Has); err != nil {
			t.Fatal(err)
		}
		fresh := map[string][]byte{
			"the client's random": ch.Random, "the server's random": sh.Random,
			"the session ID": ch.SessionID, "the server's share": sh.KeyShare[len(sh.KeyShare)-32:],
		}
		for group, share := range ch.KeyShares.All() {
			fresh[fmt.Sprintf("the client's share of %v", tls.CurveID(group))] = share[:32]
		}
		if len(fresh) != 6 {
			t.Fatalf("the hellos have %d parts to be looked at, want 6", len(fresh))
		}
		for name, value := range fresh {
			if len(value) != 32 || bytes.Equal(value, make([]byte, 32)) {
				t.Errorf("%s is %x", name, value)
			}
			if before, ok := seen[string(value)]; ok {
				t.Errorf("%s comes again, as %s", before, name)
			}
			seen[string(value)] = name
		}
	}
}

// The exporter of TLS 1.3 by code of its own, for which no context is an empty one
// (RFC 9846, Section 7.5), and the channel binding that is made with it (RFC 9266,
// Section 2).
func TestExporterOfTLS13(t *testing.T) {
	p := newPair(t, nil, nil)
	p.handshake()
	want := func(label string, context []byte) []byte {
		empty, hashed := sha256.Sum256(nil), sha256.Sum256(context)
		secret := expandLabelOver(t, p.keys.secret(t, "EXPORTER_SECRET"), label, empty[:])
		return expandLabelOver(t, secret, "exporter", hashed[:])
	}
	for _, s := range p.sides() {
		for _, context := range [][]byte{nil, {}, []byte("context")} {
			got, err := s.conn.ExportKeyingMaterial("EXPERIMENTAL label", context, 32)
			if err != nil || !bytes.Equal(got, want("EXPERIMENTAL label", context)) {
				t.Errorf("%s: with the context %q, nil %v, is exported %x, %v", s.role, context, context == nil, got, err)
			}
		}
		got, err := s.conn.TLSExporter()
		if err != nil || !bytes.Equal(got, want("EXPORTER-Channel-Binding", nil)) {
			t.Errorf("%s: tls-exporter is %x, %v", s.role, got, err)
		}
	}
}

// expandLabelOver is expandLabel of 32 bytes with a context.
func expandLabelOver(t *testing.T, secret []byte, label string, context []byte) []byte {
	t.Helper()
	info := append([]byte{0, 32, byte(len("tls13 ") + len(label))}, "tls13 "+label...)
	out, err := hkdf.Expand(sha256.New, secret, string(append(append(info, byte(len(context))), context...)), 32)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
