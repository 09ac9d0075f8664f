package baretls_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const projectPath = "github.com/baretls/baretls"

// importLayers says what each package of the core may import of the project: imports
// run one way, and record, wire and keyschedule do not know each other.
var importLayers = map[string][]string{
	".":                    {"internal/handshake", "internal/record", "internal/wire", "internal/keyschedule", "internal/algo", "internal/fault"},
	"internal/handshake":   {"internal/record", "internal/wire", "internal/keyschedule", "internal/algo", "internal/fault"},
	"internal/record":      {"internal/algo", "internal/fault"},
	"internal/wire":        {"internal/algo", "internal/fault"},
	"internal/keyschedule": {"internal/algo", "internal/fault"},
	"internal/algo":        {"internal/fault"},
	"internal/fault":       {},
}

// apiUsers are the parts of the module that are programs like any other: if they
// need more than the public API, the API is wrong.
var apiUsers = map[string][]string{
	"cmd":             {".", "netconn", "netconn/nethttp"},
	"examples":        {".", "netconn"},
	"netconn":         {"."},
	"netconn/nethttp": {".", "netconn"},
}

// testHelpers are for tests only, and may know any layer but the root.
const testHelpers = "internal/tlstest"

// lockReasons are the files of the core that may use package sync, and why.
var lockReasons = map[string]string{
	"config.go":       "a config is compiled once for all connections, and lines of the key log are written one at a time",
	"session.go":      "stores of sessions are shared by connections, and asked once in a handshake",
	"ticket_keys.go":  "keys are shared by connections and may be exchanged while those run",
	"replay_guard.go": "what was seen has to be known to all connections",
	"split.go":        "the halves of a connection tell each other that it has failed, and exporters are used beside them",

	"internal/handshake/ask.go":         "questions are answered from any goroutine",
	"internal/handshake/chain_cache.go": "clients of one config share the chains that they have verified",
	"internal/handshake/split.go":       "what a reader calls for, its writer sends; without locks",
	"internal/handshake/memory.go":      "the pools that memory of handshakes is from: nobody waits for them",
	"internal/record/queue.go":          "likewise",
	"internal/record/join.go":           "likewise",
}

// foreignImports are the modules that the core imports, and the one package
// that may, if it is not for all.
var foreignImports = map[string]string{
	"golang.org/x/crypto":     "",
	"filippo.io/edwards25519": "internal/algo", // docs/decisions/0020
}

// unsafeReasons are the files of the core that may use package unsafe, and why.
var unsafeReasons = map[string]string{
	"internal/record/overlap.go": "whether two slices share memory can be told in no other way, and an AEAD panics if it is not told",
}

// inputOutput is what the core has no business with: it does no I/O.
var inputOutput = []string{"net", "net/http", "os", "os/exec", "syscall", "log", "log/slog", "C"}

func TestImportsRunOneWay(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range goFiles(t) {
		dir := path.Dir(f.name)
		seen[dir] = true
		for _, imported := range f.imports {
			of, ours := ofProject(imported)
			if !ours {
				continue
			}
			allowed, core := importLayers[dir]
			part, _, _ := strings.Cut(dir, "/")
			ofUser := apiUsers[dir]
			if ofUser == nil {
				ofUser = apiUsers[part]
			}
			switch within := isWithin(dir, of); {
			case isWithin(testHelpers, dir):
				if of == "." {
					t.Errorf("%s imports the root: helpers of the root's tests must not", f.name)
				}
			case isWithin(testHelpers, of):
				t.Errorf("%s imports %s, which is for tests", f.name, imported)
			case core && !slices.Contains(allowed, of):
				t.Errorf("%s imports %s: it may import %q", f.name, imported, allowed)
			case !core && ofUser == nil:
				t.Errorf("%s is in a package that is neither in the layers of the core nor one of its users", f.name)
			case !core && !within && !slices.Contains(ofUser, of):
				t.Errorf("%s imports %s: a user of the public API may import %q", f.name, imported, ofUser)
			}
		}
	}
	for dir := range importLayers {
		if !seen[dir] {
			t.Errorf("the layers have a package %s, but there is none", dir)
		}
	}
}

func TestCoreImports(t *testing.T) {
	for _, f := range goFiles(t) {
		if _, core := importLayers[path.Dir(f.name)]; !core {
			continue
		}
		for _, imported := range f.imports {
			if _, ours := ofProject(imported); ours {
				continue
			}
			host, _, _ := strings.Cut(imported, "/")
			if strings.Contains(host, ".") && !mayImport(path.Dir(f.name), imported) {
				t.Errorf("%s imports %s: of other modules, the core imports %q", f.name, imported, foreignImports)
			}
			if slices.Contains(inputOutput, imported) {
				t.Errorf("%s imports %s: the core does no I/O", f.name, imported)
			}
			if imported == "unsafe" && unsafeReasons[f.name] == "" {
				t.Errorf("%s imports unsafe, and unsafeReasons does not say why", f.name)
			}
		}
	}
}

func mayImport(dir, imported string) bool {
	for module, only := range foreignImports {
		if isWithin(module, imported) {
			return only == "" || only == dir
		}
	}
	return false
}

func TestModuleRequirements(t *testing.T) {
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+([^\s(]+) v\S+`).FindAllSubmatch(gomod, -1) {
		got = append(got, string(m[1]))
	}
	slices.Sort(got)
	// What x/crypto itself needs is there because of it.
	if want := []string{"filippo.io/edwards25519", "golang.org/x/crypto", "golang.org/x/sys"}; !slices.Equal(got, want) {
		t.Errorf("go.mod requires %q, want %q", got, want)
	}
	if strings.Contains(string(gomod), "replace") {
		t.Error("go.mod has a replace, which nobody's build but ours would follow")
	}
}

// TestCoreIsSequential: nothing inside starts, waits or locks, but for what the
// list of locks has a reason for.
func TestCoreIsSequential(t *testing.T) {
	idle := maps.Clone(lockReasons)
	for _, f := range goFiles(t) {
		if _, core := importLayers[path.Dir(f.name)]; !core {
			continue
		}
		if slices.Contains(f.imports, "sync") || slices.Contains(f.imports, "sync/atomic") {
			if lockReasons[f.name] == "" {
				t.Errorf("%s locks something, but the list of locks has no reason for it", f.name)
			}
			delete(idle, f.name)
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", f.at(n))
			case *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
				t.Errorf("%s uses a channel", f.at(n))
			}
			return true
		})
	}
	for name := range idle {
		t.Errorf("%s is in the list of locks, but needs none", name)
	}
}

// ofProject returns the folder of a package of this module.
func ofProject(imported string) (dir string, ok bool) {
	if imported == projectPath {
		return ".", true
	}
	return strings.CutPrefix(imported, projectPath+"/")
}

func isWithin(dir, name string) bool { return name == dir || strings.HasPrefix(name, dir+"/") }

// goFile is a file of the module that is no test.
type goFile struct {
	name    string // relative to the projectPath
	imports []string
	syntax  *ast.File
	files   *token.FileSet
}

func (s goFile) at(n ast.Node) string { return s.files.Position(n.Pos()).String() }

// The core has one source of randomness, beside the Rand of a configuration:
// RFC 9846, Appendix C.1.
func TestRandomnessIsCryptoRands(t *testing.T) {
	from := 0
	for _, f := range goFiles(t) {
		if _, core := importLayers[path.Dir(f.name)]; !core {
			continue
		}
		for _, imported := range f.imports {
			switch imported {
			case "math/rand", "math/rand/v2", "hash/maphash", "golang.org/x/crypto/chacha20":
				t.Errorf("%s imports %s, of which a key or a nonce could be made", f.name, imported)
			case "crypto/rand":
				from++
			}
		}
	}
	if from == 0 {
		t.Error("nothing imports crypto/rand: the test looks in the wrong place")
	}
}

// goFiles parses the module, whatever the files' build constraints.
func goFiles(t *testing.T) (all []goFile) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() {
			if name == "." {
				return nil
			}
			_, err := os.Stat(filepath.Join(name, "go.mod"))
			if err == nil || base == "testdata" || base[0] == '.' || base[0] == '_' {
				return filepath.SkipDir // a projectPath of its own, or no package
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		syntax, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		s := goFile{name: filepath.ToSlash(name), syntax: syntax, files: files}
		for _, spec := range syntax.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			s.imports = append(s.imports, imported)
		}
		all = append(all, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
