package baretls_test

import (
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestComparisonsOfSecretsAreListed: docs/security.md lists every comparison in
// constant time, by file and function, and there are no others.
func TestComparisonsOfSecretsAreListed(t *testing.T) {
	var listed []string
	for _, row := range table(t, "docs/security.md", "## Comparisons in constant time") {
		where := quoted(row[1])
		if len(where) != 2 {
			t.Fatalf("%q names no file and function", row)
		}
		listed = append(listed, where[0]+" "+where[1])
	}
	var found []string
	eachComparison(t, func(file, function, how string, _ []ast.Expr) {
		if how == "hmac.Equal" || how == "subtle.ConstantTimeCompare" {
			found = append(found, file+" "+function)
		}
	})
	slices.Sort(listed)
	slices.Sort(found)
	if !slices.Equal(listed, found) {
		t.Errorf("docs/security.md lists the comparisons\n\t%s\nand the code has\n\t%s", strings.Join(listed, "\n\t"), strings.Join(found, "\n\t"))
	}
}

// secretNames are what secrets, and MACs made with them, are called here.
var secretNames = regexp.MustCompile(`(?i)^(mac|binder|cookieMAC|verifyData|want|secret|psk|shared|main|finished|tag|key|priv(ate)?key|scalar|seed)$`)

// TestSecretsAreNotComparedOtherwise: what has the name of a secret is compared
// in constant time or not at all, but for its length and nil.
func TestSecretsAreNotComparedOtherwise(t *testing.T) {
	seen := 0
	eachComparison(t, func(file, function, how string, operands []ast.Expr) {
		seen++
		if how == "hmac.Equal" || how == "subtle.ConstantTimeCompare" {
			return
		}
		for i, operand := range operands {
			if name := lastName(operand); secretNames.MatchString(name) && !isTrivial(operands[1-i]) {
				t.Errorf("%s: %s compares %s by %s", file, function, name, how)
			}
		}
	})
	if seen < 100 {
		t.Errorf("only %d comparisons were looked at", seen)
	}
}

// eachComparison calls f with what the library compares, with which function or
// operator, and where.
func eachComparison(t *testing.T, f func(file, function, how string, operands []ast.Expr)) {
	t.Helper()
	eachFile(t, ".go", true, func(file string) {
		if strings.HasSuffix(file, "_test.go") || path.Dir(file) == "internal/tlstest" {
			return
		}
		for _, decl := range parse(t, file, parser.SkipObjectResolution).Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			name := receiver(fn) + fn.Name.Name
			ast.Inspect(fn, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BinaryExpr:
					if n.Op == token.EQL || n.Op == token.NEQ {
						f(file, name, n.Op.String(), []ast.Expr{n.X, n.Y})
					}
				case *ast.CallExpr:
					if how := expression(n.Fun); len(n.Args) == 2 && slices.Contains(comparers, how) {
						f(file, name, how, n.Args)
					}
				}
				return true
			})
		}
	})
}

var comparers = []string{"hmac.Equal", "subtle.ConstantTimeCompare", "bytes.Equal", "bytes.Compare", "slices.Equal", "slices.Compare", "reflect.DeepEqual", "strings.Compare"}

// lastName is what an expression calls its value.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.SliceExpr:
		return lastName(e.X)
	case *ast.ParenExpr:
		return lastName(e.X)
	case *ast.CallExpr: // a conversion, or what a function makes
		if name := lastName(e.Fun); name != "string" && name != "Bytes" || len(e.Args) != 1 {
			return name
		}
		return lastName(e.Args[0])
	}
	return ""
}

// isTrivial reports whether an expression is nil, an address, or a constant that
// is written there.
func isTrivial(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name == "nil"
	case *ast.UnaryExpr:
		return e.Op == token.AND
	case *ast.BasicLit:
		return true
	}
	return false
}

func expression(e ast.Expr) string {
	var b strings.Builder
	if err := printer.Fprint(&b, token.NewFileSet(), e); err != nil {
		return ""
	}
	return b.String()
}
