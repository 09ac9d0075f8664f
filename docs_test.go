package baretls_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/baretls/baretls"
	"github.com/baretls/baretls/internal/algo"
)

const modulePath = "github.com/baretls/baretls"

// exchange is the loop of the documentation: doc.go and README.md show it as it
// stands here, which TestLoopOfTheDocuments makes sure of and runs.
func exchange(conn *baretls.Conn, transport io.ReadWriter, request []byte) (response []byte, err error) {
	var in, out []byte // received and not discarded; encoded and not sent
	buf := make([]byte, 16<<10)
	for ended := false; ; {
		status, err := conn.ProcessTLSRecords(in)
		discard, send, receive := status.Discard, false, false
		switch state := status.State.(type) {
		case baretls.EncodeTLSData:
			out, err = state.AppendTo(out)
		case baretls.TransmitTLSData:
			send, err = true, state.Done()
		case baretls.ReadTraffic:
			for record := range state.Records() {
				response = append(response, record.Payload...)
				discard += record.Discard
			}
		case baretls.BlockedHandshake:
			receive = true
		case baretls.WriteTraffic:
			switch {
			case len(request) > 0:
				out, err = state.AppendEncrypted(out, request)
				request, send = nil, true
			case ended: // answer the peer's close_notify with ours
				out, err = state.AppendCloseNotify(out)
				send = true
			default:
				receive = true
			}
		case baretls.PeerClosed:
			ended = true
		case baretls.Closed:
			return response, nil
		}
		if err != nil {
			return response, err // its alert has been sent by now
		}
		in = slices.Delete(in, 0, discard)
		if send {
			if _, err := transport.Write(out); err != nil {
				return response, err
			}
			out = out[:0]
		}
		if receive {
			n, err := transport.Read(buf)
			in = append(in, buf[:n]...)
			if err == io.EOF {
				conn.CloseInput() // an error, unless the peer has closed
			} else if err != nil {
				return response, err
			}
		}
	}
}

// What readers paste is the code above, letter by letter, and it works against
// the server of the standard library, in both versions, whether that closes well
// or refuses.
func TestLoopOfTheDocuments(t *testing.T) {
	loop := source(t, "docs_test.go", "exchange")
	if !strings.Contains(readFile(t, "README.md"), "```go\n"+loop+"\n```\n") {
		t.Error("README.md does not show the loop as docs_test.go has it")
	}
	if !strings.Contains(packageDoc(t), indent(loop)) {
		t.Error("doc.go does not show the loop as docs_test.go has it")
	}

	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) { testLoop(t, version) })
	}
}

func testLoop(t *testing.T, version uint16) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello over %s and %s", r.Proto, tls.VersionName(r.TLS.Version))
	}))
	server.TLS = &tls.Config{MaxVersion: version}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	request := []byte("GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")

	dial := func(name string) ([]byte, error) {
		transport, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer transport.Close()
		client, err := baretls.NewClient(&baretls.ClientConfig{RootCAs: roots}, name)
		if err != nil {
			t.Fatal(err)
		}
		return exchange(&client.Conn, transport, request)
	}

	response, err := dial("example.com")
	if err != nil || !bytes.HasSuffix(response, []byte("hello over HTTP/1.1 and "+tls.VersionName(version))) {
		t.Errorf("the loop got %q and the error %v; it wants the page and none", response, err)
	}
	if _, err := dial("elsewhere.example.org"); err == nil || !strings.Contains(err.Error(), "elsewhere.example.org") {
		t.Errorf("for a certificate of another name the loop got the error %v; it wants one with the name", err)
	}
}

// What the README shows of HTTP is a part of an Example, which is run.
func TestREADMEShowsExamples(t *testing.T) {
	_, section, _ := strings.Cut(readFile(t, "README.md"), "\n## net.Conn and HTTP\n")
	section, _, _ = strings.Cut(section, "\n## ")
	shown := blocks(section, "go")
	if len(shown) < 2 {
		t.Fatalf("the README shows %d pieces of code; 2 were promised", len(shown))
	}
	for _, code := range shown {
		if !strings.Contains(readFile(t, "netconn/nethttp/example_test.go"), indent(strings.TrimSpace(code))) {
			t.Errorf("the README shows what is in no Example:\n%s", code)
		}
	}
}

// The table "Where is …?" of architecture.md leads to files that exist, and to
// declarations that are in them.
func TestArchitectureNamesWhatExists(t *testing.T) {
	rows := table(t, "docs/architecture.md", "## Where is …?")
	if len(rows) < 20 {
		t.Errorf("the table has %d questions; 20 were promised", len(rows))
	}
	for _, row := range rows {
		question, files, symbols := row[0], quoted(row[1]), quoted(row[2])
		if len(files) != 1 {
			t.Errorf("%q: %d files in one row; it wants exactly one", question, len(files))
			continue
		}
		file := files[0]
		if _, err := os.Stat(file); err != nil {
			t.Errorf("%q: %s does not exist", question, file)
			continue
		}
		if path.Ext(file) != ".go" {
			continue
		}
		if len(symbols) == 0 {
			t.Errorf("%q: no symbol beside %s", question, file)
		}
		declared := declarations(t, file)
		for _, symbol := range symbols {
			if !slices.Contains(declared, symbol) {
				t.Errorf("%q: %s declares no %s", question, file, symbol)
			}
		}
	}
}

// Every package of the module is in the table of layers, and imports only what
// that allows.
func TestArchitectureLayersAreTrue(t *testing.T) {
	layers := make(map[string][]string)
	for _, row := range table(t, "docs/architecture.md", "## Layers") {
		for _, pkg := range quoted(row[1]) {
			layers[pkg] = quoted(row[3])
		}
	}
	seen := make(map[string]bool)
	eachFile(t, ".go", true, func(file string) {
		pkg := path.Dir(file)
		allowed, ok := layers[pkg]
		if !ok && !seen[pkg] {
			t.Errorf("package %s is in no layer", pkg)
		}
		seen[pkg] = true
		if !ok || strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, imported := range parse(t, file, parser.ImportsOnly).Imports {
			of := strings.Trim(imported.Path.Value, `"`)
			if of != modulePath && !strings.HasPrefix(of, modulePath+"/") {
				continue
			}
			of = strings.TrimPrefix(strings.TrimPrefix(of, modulePath), "/")
			if of == "" {
				of = "."
			}
			if !slices.Contains(allowed, of) {
				t.Errorf("%s imports %s, which its layer may not", file, of)
			}
		}
	})
	for pkg := range layers {
		if !seen[pkg] {
			t.Errorf("the table of layers has package %s, which does not exist", pkg)
		}
	}
}

// Commands of the README can be run: their packages and subcommands exist, and
// those that .ci/run executes are marked for it.
func TestREADMECommandsExist(t *testing.T) {
	readme := readFile(t, "README.md")
	var commands []string
	for _, block := range blocks(readme, "sh") {
		commands = append(commands, strings.Split(strings.TrimSpace(block), "\n")...)
	}
	for _, want := range []string{"go run ./cmd/baretls demo", "go test ./..."} {
		if !slices.Contains(commands, want) {
			t.Errorf("the README lacks the command %q", want)
		}
	}
	for _, mark := range []string{"<!-- ci: demo -->", "<!-- ci: test -->"} {
		if !strings.Contains(readme, mark+"\n```sh\n") {
			t.Errorf("no commands follow %s, and .ci/run looks for them", mark)
		}
	}
	for _, command := range commands {
		words := strings.Fields(command)
		for i, word := range words {
			if !strings.HasPrefix(word, "./") || word == "./..." {
				continue
			}
			if _, err := os.Stat(word); err != nil {
				t.Errorf("command %q: %s does not exist", command, word)
				continue
			}
			if word == "./cmd/baretls" && i+1 < len(words) && !declaresString(t, word, words[i+1]) {
				t.Errorf("command %q: %s does not know %s", command, word, words[i+1])
			}
		}
	}
}

// What the README says is supported is what the tables of internal/algo have.
func TestREADMEListsAlgorithms(t *testing.T) {
	readme := readFile(t, "README.md")
	var names []string
	for _, id := range algo.DefaultSuites() {
		names = append(names, algo.SuiteByID(id).Name)
	}
	for _, id := range algo.DefaultGroups() {
		names = append(names, algo.GroupByID(id).Name)
	}
	for _, id := range algo.DefaultSchemes() {
		names = append(names, algo.SchemeByID(id).Name)
	}
	for _, name := range names {
		if !strings.Contains(readme, "`"+name+"`") {
			t.Errorf("the README does not mention %s", name)
		}
	}
}

// Links between documents lead somewhere, to a heading if they name one.
func TestLinksResolve(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	eachFile(t, ".md", false, func(file string) {
		for _, match := range link.FindAllStringSubmatch(prose(readFile(t, file)), -1) {
			target, anchor, _ := strings.Cut(match[1], "#")
			if strings.Contains(target, ":") {
				continue // another site
			}
			to := file
			if target != "" {
				to = path.Join(path.Dir(file), target)
			}
			if _, err := os.Stat(to); err != nil {
				if !inZip(to) {
					t.Errorf("%s: link to %s, which does not exist", file, match[1])
				}
				continue
			}
			if anchor != "" && !slices.Contains(anchors(readFile(t, to)), anchor) {
				t.Errorf("%s: link to %s, but %s has no such heading", file, match[1], to)
			}
		}
	})
}

// Every decision is in the index, with its title.
func TestDecisionsAreListed(t *testing.T) {
	index := readFile(t, "docs/decisions/README.md")
	files, err := filepath.Glob("docs/decisions/[0-9]*.md")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d decisions, error %v; 10 were written down", len(files), err)
	}
	for i, file := range files {
		name := filepath.Base(file)
		if want := fmt.Sprintf("%04d-", i+1); !strings.HasPrefix(name, want) {
			t.Errorf("%s breaks the numbering: it wants to start with %s", name, want)
		}
		text := readFile(t, file)
		title, _, _ := strings.Cut(strings.TrimPrefix(text, "# "), "\n")
		if entry := fmt.Sprintf("[%s](%s)", title, name); !strings.Contains(index, entry) {
			t.Errorf("docs/decisions/README.md does not list %s", entry)
		}
		for _, part := range []string{"## Context", "## Choice", "## Cost"} {
			if !strings.Contains(text, "\n"+part+"\n") {
				t.Errorf("%s has no part %q", name, part)
			}
		}
	}
}

// RFC 9846 has replaced the document that it obsoletes; code that cites the old
// one sends its readers to the wrong sections.
func TestNobodyCitesTheOldRFC(t *testing.T) {
	old := regexp.MustCompile(`RFC[ -]?84` + `46\b`)
	eachFile(t, ".go", false, func(file string) {
		for i, line := range strings.Split(readFile(t, file), "\n") {
			if old.MatchString(line) {
				t.Errorf("%s:%d cites the RFC that RFC 9846 obsoletes: %s", file, i+1, strings.TrimSpace(line))
			}
		}
	})
}

// eachFile calls f with every file of that extension, by its slashed path from
// the root; without those of nested modules if ownModule.
func eachFile(t *testing.T, ext string, ownModule bool, f func(file string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case !entry.IsDir():
			if filepath.Ext(name) == ext {
				f(filepath.ToSlash(name))
			}
		case name == ".":
		case entry.Name() == ".git" || entry.Name() == "testdata":
			return fs.SkipDir
		case ownModule:
			if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil {
				return fs.SkipDir
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// inZip reports whether a file is missing because this is the zip of a module,
// which leaves out the modules below it.
func inZip(file string) bool {
	_, git := os.Stat(".git")
	top, _, _ := strings.Cut(file, "/")
	_, dir := os.Stat(top)
	return git != nil && dir != nil
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func parse(t *testing.T, file string, mode parser.Mode) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, mode)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// source is the text of a function without its comment.
func source(t *testing.T, file, name string) string {
	t.Helper()
	text := readFile(t, file)
	for _, decl := range parse(t, file, 0).Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Name.Name == name {
			return text[f.Pos()-1 : f.End()-1]
		}
	}
	t.Fatalf("%s has no function %s", file, name)
	return ""
}

func packageDoc(t *testing.T) string {
	t.Helper()
	return parse(t, "doc.go", parser.ParseComments).Doc.Text()
}

// indent makes of code what it is in a comment.
func indent(code string) string {
	return "\t" + strings.ReplaceAll(code, "\n", "\n\t")
}

// declarations are the names that a file declares at its top: functions, types,
// variables, constants, and Type.Name for methods and fields.
func declarations(t *testing.T, file string) (names []string) {
	t.Helper()
	for _, decl := range parse(t, file, parser.SkipObjectResolution).Decls {
		switch decl := decl.(type) {
		case *ast.FuncDecl:
			names = append(names, receiver(decl)+decl.Name.Name)
		case *ast.GenDecl:
			for _, spec := range decl.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for _, name := range spec.Names {
						names = append(names, name.Name)
					}
				case *ast.TypeSpec:
					names = append(names, spec.Name.Name)
					if of, ok := spec.Type.(*ast.StructType); ok {
						for _, field := range of.Fields.List {
							for _, name := range field.Names {
								names = append(names, spec.Name.Name+"."+name.Name)
							}
						}
					}
				}
			}
		}
	}
	return names
}

func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	of := f.Recv.List[0].Type
	for {
		switch e := of.(type) {
		case *ast.StarExpr:
			of = e.X
		case *ast.IndexExpr: // of a generic type
			of = e.X
		case *ast.Ident:
			return e.Name + "."
		default:
			return ""
		}
	}
}

// declaresString reports whether some file of the package has the string as a
// literal, as a table of subcommands does.
func declaresString(t *testing.T, dir, s string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(file string) bool {
		return !strings.HasSuffix(file, "_test.go") && strings.Contains(readFile(t, file), `"`+s+`"`)
	})
}

// table returns the cells of the first table below a heading, without its head.
func table(t *testing.T, file, heading string) (rows [][]string) {
	t.Helper()
	_, text, ok := strings.Cut(readFile(t, file), "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no heading %q", file, heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	for line := range strings.Lines(text) {
		if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) > 2 {
			rows = append(rows, cells[1:len(cells)-1])
		} else if len(rows) > 0 {
			break
		}
	}
	if len(rows) < 3 {
		t.Fatalf("%s has no table under %q", file, heading)
	}
	for _, row := range rows {
		if len(row) != len(rows[0]) {
			t.Fatalf("%s: the row %q has %d cells, its head has %d", file, row, len(row), len(rows[0]))
		}
		for i := range row {
			row[i] = strings.TrimSpace(row[i])
		}
	}
	return rows[2:]
}

// quoted returns what stands between backquotes.
func quoted(s string) (words []string) {
	for i, part := range strings.Split(s, "`") {
		if i%2 == 1 {
			words = append(words, part)
		}
	}
	return words
}

// blocks returns the fenced code of one language.
func blocks(text, language string) (blocks []string) {
	for i, part := range strings.Split("\n"+text, "\n```") {
		if code, ok := strings.CutPrefix(part, language+"\n"); ok && i%2 == 1 {
			blocks = append(blocks, code)
		}
	}
	return blocks
}

// prose is a document without its fenced code.
func prose(text string) string {
	var b strings.Builder
	for i, part := range strings.Split("\n"+text, "\n```") {
		if i%2 == 0 {
			b.WriteString(part)
		}
	}
	return b.String()
}

// anchors are the names by which the headings of a document can be linked to.
func anchors(text string) (names []string) {
	for line := range strings.Lines(prose(text)) {
		title := strings.TrimLeft(line, "#")
		if title == line || !strings.HasPrefix(title, " ") {
			continue
		}
		names = append(names, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(strings.TrimSpace(title))))
	}
	return names
}
