package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/weirflow/weir/userspace/feature"
)

func TestWrongCommandLinesAreOneLineAndExitCode2(t *testing.T) {
	for name, c := range map[string]struct{ args, want string }{
		"nothing":               {"", "a command is missing; see weir --help"},
		"no such command":       {"meter", `no command is called "meter"`},
		"no such flag":          {"replay --bogus x", "flag provided but not defined: --bogus; see weir replay --help"},
		"no such flag of weir":  {"--bogus", "flag provided but not defined: --bogus; see weir --help"},
		"no file":               {"replay", "name a capture file, or - for standard input"},
		"no interface":          {"attach --statistics", "name an interface"},
		"value missing":         {"attach lo --filter", "flag --filter wants a value"},
		"no duration":           {"replay x --idle-timeout 120", `invalid value "120" for flag --idle-timeout: want a duration`},
		"negative duration":     {"replay x --active-timeout -5s", "want 0s or more"},
		"duration of nothing":   {"attach lo --duration 0s", "want 1ms or more"},
		"statistics too long":   {"replay x --statistics --active-timeout 80m", "with statistics or first-N vectors want less than 71m34s"},
		"too many packets":      {"replay x --splt 21", `invalid value "21" for flag --splt: want a number from 0 to 20`},
		"too many dissections":  {"replay x --dissections 256", "want a number from 0 to 255"},
		"no number":             {"replay x --max-flows many", "want a number from 1 to"},
		"no layer":              {"replay x --accounting frame", "want one of link, ip, transport, payload"},
		"no percentage":         {"replay x --max-loss 101", "want a percentage from 0 to 100"},
		"no direction":          {"attach lo --direction up", "want one of in, out, both"},
		"mode without XDP":      {"attach lo --hook tcx --xdp-mode native", "--xdp-mode means nothing with --hook tcx"},
		"no format":             {"replay x -o xml:-", `no format is called "xml"`},
		"format not clear":      {"replay x -o flows", "the format is not clear"},
		"outputs that mix":      {"replay x -o csv:- -o ndjson:-", "another output goes to the same place"},
		"outputs to one file":   {"replay x -o ./a.csv -o csv:a.csv", "another output goes to the same place"},
		"output over its input": {"replay ../../LICENSE -o csv:../../LICENSE", "it would overwrite the capture"},
		"quiet and verbose":     {"replay x -q -v", "--quiet and --verbose contradict each other"},
		"group without a pin":   {"attach lo --pin-group 7", "--pin-group means nothing without --pin"},
		"no such group":         {"attach lo --pin x --pin-group no-such-group", "want a group of this machine"},
		"no pin to consume":     {"consume", "name the pinned meter with --pin; see weir consume --help"},
		"no pin to look at":     {"status", "name the meter with --pin or --control"},
		"no pin to detach":      {"detach --discard", "name the pinned meter with --pin"},
		"user of no sandbox":    {"attach eth0 --no-sandbox --user nobody", "--user means nothing with --no-sandbox"},
		"interface to detach":   {"detach --pin x eth0", "no arguments are taken"},
		"no truth":              {"replay x --statistics=maybe", `invalid boolean value "maybe" for --statistics`},
		"two lists":             {"protocols --risks --categories", "--categories and --risks are two lists"},
		"no such user":          {"attach eth0 --user no-such-user", `find the user "no-such-user"`},
		"an address alone":      {"replay x -o udp://collector:4739", `no format is called "udp": write it before the address, as in ipfix:udp://collector:4739`},
		"lines to an address":   {"replay x -o tls://collector:4739", `as in ndjson:tls://collector:4739`},
		"schema of something":   {"schema x", "no arguments are taken"},
		"version of something":  {"version x", "no arguments are taken"},
	} {
		t.Run(name, func(t *testing.T) {
			code, f := weir(t, strings.Fields(c.args)...)
			said := lines(f.err.String())
			if code != exitUsage || len(said) != 1 || !strings.HasPrefix(said[0], "weir: ") || !strings.Contains(said[0], c.want) {
				t.Errorf("exit code %d, stderr %q; want 2 and one line with %q", code, f.err.String(), c.want)
			}
			if f.out.Len() > 0 {
				t.Errorf("stdout has %q; want nothing", f.out.String())
			}
		})
	}
}

func TestFlagsMayFollowArguments(t *testing.T) {
	app := newApp(&newFake().environment)
	for name, c := range map[string]struct{ args, want string }{
		"before":               {"replay --splt 5 a", "replay --splt 5 -- a"},
		"after":                {"replay a b --splt 5", "replay --splt 5 -- a b"},
		"with equals":          {"replay a --splt=5 b", "replay --splt=5 -- a b"},
		"switches":             {"replay a -q b", "replay -q -- a b"},
		"aliases":              {"replay a -o csv:x b", "replay -o csv:x -- a b"},
		"standard input":       {"replay - -o -", "replay -o - -- -"},
		"after the dashes":     {"replay a -- -q", "replay -- a -q"},
		"not a command":        {"meter a -q", "meter a -q"},
		"a value with dashes":  {"replay a -o -- b", "replay -o -- -- a b"},
		"of which nothing is":  {"replay", "replay --"},
		"unknown flags go too": {"replay a --bogus b", "replay --bogus -- a b"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := flagsFirst(app, strings.Fields(c.args))
			if err != nil || !slices.Equal(got, strings.Fields(c.want)) {
				t.Errorf("%q becomes %q, %v; want %q", c.args, got, err, c.want)
			}
		})
	}
}

func TestDefaultsAreShownInHelp(t *testing.T) {
	code, f := weir(t, "attach", "--help")
	if code != exitComplete {
		t.Fatalf("exit code %d", code)
	}
	for _, want := range []string{
		"--idle-timeout", "(default: 120s)", "(default: 1800s)", "(default: link)", "(default: in)", "(default: 20)",
		"--direction", "--hook", "--xdp-mode", "--duration", "--max-flows", "--statistics", "--splt", "--decode-tunnels", "-f", "-o", "-q", "-v", "--max-loss",
	} {
		if !strings.Contains(f.out.String(), want) {
			t.Errorf("help lacks %q", want)
		}
	}
}

func TestTheWorkerIsHidden(t *testing.T) {
	_, f := weir(t, "--help")
	if help := f.out.String(); strings.Contains(help, "dpi-worker") || !strings.Contains(help, "attach") {
		t.Errorf("help is %q; want attach in it and dpi-worker not", help)
	}
}

func TestSchemaListsEveryColumn(t *testing.T) {
	want := feature.Schema(feature.Options{Statistics: true, TCP: true, IP: true, SPLT: 3, L7: true, L7Full: true, Tunnels: true})
	code, f := weir(t, "schema", "--splt", "3", "--format", "json")
	var got []feature.Field
	if err := json.Unmarshal(f.out.Bytes(), &got); err != nil || code != exitComplete {
		t.Fatalf("exit code %d, %v", code, err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d fields, want the %d of the schema", len(got), len(want))
	}
	_, f = weir(t, "schema", "--splt", "3")
	text := lines(f.out.String())
	if len(text) != len(want)+1 || !strings.HasPrefix(text[0], "COLUMN") {
		t.Errorf("%d lines, the first %q; want a header and one for each of %d columns", len(text), text[0], len(want))
	}
	for column, element := range map[string]string{"interface": "interfaceName (82)", "dst2src_packets": "reverse packetDeltaCount (2)", "fragments": "-"} {
		line := regexp.MustCompile(`(?m)^` + column + ` .*  ` + regexp.QuoteMeta(element) + `  `)
		if !line.MatchString(f.out.String()) {
			t.Errorf("the line of %s names no IPFIX element %s", column, element)
		}
	}
}

func TestVersionNamesWhatTheBuildIsMadeOf(t *testing.T) {
	code, f := weir(t, "version")
	got := lines(f.out.String())
	if code != exitComplete || len(got) < 3 || !strings.HasPrefix(got[0], "weir ") || !strings.HasPrefix(got[1], "nDPI ") {
		t.Errorf("exit code %d, %q", code, got)
	}
}
