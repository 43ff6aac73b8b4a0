package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Whoever has a clone and no reference beside it must be able to run make test: the
// Makefile allows just those tests to be skipped that say it is the reference they lack.
func TestWhatLacksTheReferenceMayBeSkippedWithoutIt(t *testing.T) {
	const root = "../.."
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	list := regexp.MustCompile(`(?m)^REFERENCE = (\S+)$`).FindSubmatch(makefile)
	if list == nil {
		t.Fatal("the Makefile names no tests that need the reference")
	}
	allowed := strings.Split(string(list[1]), ",")
	slices.Sort(allowed)
	if lacking := slices.Sorted(maps.Keys(lackReference(t, root))); !slices.Equal(lacking, allowed) {
		t.Errorf("without the reference %q are skipped; the Makefile's REFERENCE allows %q", lacking, allowed)
	}
}

// lackReference finds the tests below root that are skipped for want of the reference,
// by themselves or by a function that they call.
func lackReference(t *testing.T, root string) map[string]bool {
	t.Helper()
	lacking := map[string]bool{}
	for _, all := range testCode(t, root) {
		skipping := map[string]bool{}
		for _, f := range all {
			skipping[f.Name.Name] = calls(f, saysReference)
		}
		skips := func(c *ast.CallExpr) bool { name, is := c.Fun.(*ast.Ident); return is && skipping[name.Name] }
		for _, f := range all {
			if name := f.Name.Name; strings.HasPrefix(name, "Test") && (skipping[name] || calls(f, skips)) {
				lacking[name] = true
			}
		}
	}
	return lacking
}

// testCode are the functions of each folder's tests.
func testCode(t *testing.T, root string) map[string][]*ast.FuncDecl {
	t.Helper()
	packages := map[string][]*ast.FuncDecl{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "build" || d.Name() == ".git"):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			if f, is := d.(*ast.FuncDecl); is {
				packages[filepath.Dir(path)] = append(packages[filepath.Dir(path)], f)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages
}

// calls tells whether a function makes a call that is as wanted.
func calls(f *ast.FuncDecl, wanted func(*ast.CallExpr) bool) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if c, is := n.(*ast.CallExpr); is && wanted(c) {
			found = true
		}
		return !found
	})
	return found
}

// saysReference tells whether a call skips a test, with words about the reference.
func saysReference(c *ast.CallExpr) bool {
	method, is := c.Fun.(*ast.SelectorExpr)
	if !is || !strings.HasPrefix(method.Sel.Name, "Skip") || len(c.Args) == 0 {
		return false
	}
	why, is := c.Args[0].(*ast.BasicLit)
	return is && strings.Contains(why.Value, "reference's")
}
