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

// sections are the tables of contents of the RFCs that are implemented, with a *
// where the text demands something: of RFC 9846 where it has a MUST, a MUST NOT, a
// SHALL or a REQUIRED, of the others a SHOULD or a "must" too. What only explains
// such words (Conventions, Terminology) has none.
var sections = map[string]string{
	"9846": `
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
G`,
	"5246": `
1 1.1 1.2* 2 3 4 4.1 4.2 4.3 4.4 4.5 4.6 4.6.1 4.7* 4.8 5*
6* 6.1* 6.2 6.2.1* 6.2.2* 6.2.3* 6.2.3.1 6.2.3.2* 6.2.3.3* 6.3*
7 7.1* 7.2* 7.2.1* 7.2.2* 7.3* 7.4* 7.4.1 7.4.1.1* 7.4.1.2* 7.4.1.3* 7.4.1.4* 7.4.1.4.1* 7.4.2* 7.4.3* 7.4.4*
7.4.5* 7.4.6* 7.4.7* 7.4.7.1* 7.4.7.2* 7.4.8* 7.4.9* 8 8.1* 8.1.1 8.1.2 9* 10 11 12
A A.1 A.2 A.3 A.4 A.4.1 A.4.2 A.4.3 A.4.4 A.5* A.6 B C D D.1 D.2 D.3 D.4 E E.1* E.2* E.3*
F F.1 F.1.1 F.1.1.1 F.1.1.2 F.1.1.3* F.1.2 F.1.3 F.1.4 F.2 F.3 F.4 F.5 F.6`,
	"5077": "1 2 3 3.1 3.2* 3.3* 3.4* 4* 5 5.1 5.2* 5.3 5.4 5.5* 5.6 5.7* 5.8 6 7 8 8.1 8.2",
	"5288": "1 2 3* 4* 5 6 6.1 6.2* 7 8 8.1 8.2",
	"5705": "1 2 3 4* 5* 6* 7 8 8.1 8.2",
	"5746": "1 2 3 3.1 3.2 3.3* 3.4* 3.5* 3.6* 3.7* 4 4.1* 4.2* 4.3* 4.4* 4.5* 5* 6 7 8 8.1 8.2",
	"6066": "1 1.1* 1.2 2 3* 4* 5* 6* 7* 8* 9* 10 10.1* 10.2 11 11.1* 11.2 11.3* 11.4 11.5 11.6* 12 13",
	"7301": "1 2 3 3.1* 3.2* 4 5* 6 7 8 8.1 8.2",
	"7507": "1 2 3* 4* 5 6* 7 8 8.1 8.2",
	"7627": "1 2 3 4* 5 5.1* 5.2* 5.3* 5.4* 6 6.1 6.2* 6.3 6.4* 7 8 8.1 8.2",
	"7905": "1 2* 3 4 5 5.1 5.2",
	"8422": `
1 1.1 2* 2.1* 2.2* 2.3* 2.4 3* 3.1* 4* 5 5.1* 5.1.1* 5.1.2* 5.1.3 5.2* 5.3* 5.4* 5.4.1 5.5* 5.6* 5.7* 5.8 5.9*
5.10* 5.11* 6* 7 8 9 10 10.1 10.2 A`,
	"8449":  "1 2 3 4* 4.1* 5* 6 7 8 8.1 8.2",
	"9149":  "1 1.1 2* 3* 4 5 6* 7 7.1 7.2",
	"9155":  "1* 1.1 2* 3* 4* 5* 6 7 8 8.1 8.2",
	"9266":  "1 1.1 2* 3* 4* 4.1* 4.2* 5 5.1 5.2 6 6.1 6.2",
	"9850":  "1 1.1* 1.2 2* 2.1* 2.2 2.3* 3 4 4.1 4.2 5 5.1 5.2 A",
	"10024": "1 2 3 4 4.1 4.2* 4.3* 5 6 7 7.1 7.2 7.3 7.4 8 8.1 8.2",
}

// demands are the tables of conformance.md, by the number of their RFC.
func demands(t *testing.T) map[string][][]string {
	t.Helper()
	tables := make(map[string][][]string)
	for _, match := range regexp.MustCompile(`(?m)^## (RFC (\d+):.*)$`).FindAllStringSubmatch(readFile(t, conformance), -1) {
		tables[match[2]] = table(t, conformance, "## "+match[1])
	}
	for rfc := range sections {
		if tables[rfc] == nil {
			t.Fatalf("%s has no table for RFC %s", conformance, rfc)
		}
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

// Every section that demands something is in the table of its RFC, and so cited,
// or among those that demand nothing of us, with the reason.
func TestConformanceIsComplete(t *testing.T) {
	elsewhere := make(map[string]bool)
	free := func(rfc, section, reason string) {
		elsewhere[rfc+" "+section] = true
		if len(reason) < 10 {
			t.Errorf("RFC %s, Section %s, demands nothing of us, and the reason is %q", rfc, section, reason)
		}
	}
	for _, row := range table(t, conformance, "## Sections of RFC 9846 that demand nothing of us") {
		free("9846", row[0], row[2])
	}
	for _, row := range table(t, conformance, "## Sections of the other RFCs that demand nothing of us") {
		free(row[0], row[1], row[2])
	}
	demanded := make(map[string]bool)
	for rfc, rows := range demands(t) {
		for _, row := range rows {
			demanded[rfc+" "+row[0]] = true
		}
	}
	known := make(map[string]bool)
	for rfc, list := range sections {
		for _, section := range strings.Fields(list) {
			section, must := strings.CutSuffix(section, "*")
			at := rfc + " " + section
			known[at] = true
			if must && !demanded[at] && !elsewhere[at] {
				t.Errorf("RFC %s demands something, and %s has neither a row nor a reason for it", at, conformance)
			}
			if demanded[at] && elsewhere[at] {
				t.Errorf("RFC %s is said to demand nothing of us, and to demand something", at)
			}
		}
	}
	for _, list := range []map[string]bool{demanded, elsewhere} {
		for at := range list {
			if !known[at] {
				t.Errorf("%s knows a section %s, which that RFC has not, or an RFC that is not listed here", conformance, at)
			}
		}
	}
	_, rest, _ := strings.Cut(readFile(t, conformance), "\n## Not implemented\n")
	if paragraph, _, _ := strings.Cut(rest, "\n## "); !strings.Contains(paragraph, "RFC 7250") {
		t.Errorf("%s says neither that RFC 7250 is implemented nor that it is not", conformance)
	}
}

// A citation of an RFC that is implemented leads to a section that it has.
func TestCitationsLeadSomewhere(t *testing.T) {
	known := make(map[string][]string)
	for rfc, list := range sections {
		known[rfc] = strings.Fields(strings.ReplaceAll(list, "*", ""))
	}
	found := make(map[string]int)
	for citation, files := range citations(t) {
		rfc, section, _ := strings.Cut(citation, " ")
		if list, ok := known[rfc]; ok && !slices.Contains(list, section) {
			t.Errorf("%q cite Section %s of RFC %s, which does not exist", files, section, rfc)
		}
		found[rfc]++
	}
	for rfc := range sections {
		if found[rfc] == 0 {
			t.Errorf("nobody cites RFC %s; are citations found at all?", rfc)
		}
	}
	if found["9846"] < 50 || found["5246"] < 20 {
		t.Errorf("%d sections of RFC 9846 and %d of RFC 5246 are cited; are citations found at all?", found["9846"], found["5246"])
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
