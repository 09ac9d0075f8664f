package tlstest

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"
)

// CheckExamples makes sure that the package in the working directory shows
// every exported type at work, of which there are so many at least, and itself,
// and that each example is run.
func CheckExamples(t *testing.T, importPath string, types int) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	pkg, err := doc.NewFromFiles(fset, files, importPath)
	if err != nil {
		t.Fatal(err)
	}
	if len(pkg.Types) < types || len(pkg.Examples) == 0 {
		t.Errorf("%s has %d types and %d examples of its own: that cannot be all", importPath, len(pkg.Types), len(pkg.Examples))
	}
	for _, typ := range pkg.Types {
		if len(typ.Examples) == 0 {
			t.Errorf("type %s has no Example%s", typ.Name, typ.Name)
		}
	}
	for _, example := range doc.Examples(files...) {
		if example.Output == "" {
			t.Errorf("Example%s has no output, so that it is not run", example.Name)
		}
	}
}
