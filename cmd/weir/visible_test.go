package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

func TestH12WhatDoesNotPrintIsEscaped(t *testing.T) {
	for text, want := range map[string]string{
		"plain ä 漢 🐌": "plain ä 漢 🐌", "a\nb": `a\x0ab`, "\x1b[2J": `\x1b[2J`, "\u009b31m": `\u009b31m`, "\u202etxt": `\u202etxt`,
		"\x7f": `\x7f`, "\xff": `\xff`, "\u2028": `\u2028`, "\U000e0001": `\ue0001`, "\ufffd": "\ufffd", `a\b`: `a\b`, "\r\t": `\x0d\x09`,
	} {
		if got := visible(text); got != want {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
	}
}

func FuzzVisible(f *testing.F) {
	f.Add("\x1b]0;title\a")
	f.Add("\xe2\x80\xae\xe2\x80")
	f.Fuzz(func(t *testing.T, text string) {
		got := visible(text)
		if !utf8.ValidString(got) || strings.IndexFunc(got, func(c rune) bool { return !unicode.IsPrint(c) }) >= 0 {
			t.Errorf("%q is written %q", text, got)
		}
	})
}

func TestH12NamesOfFilesAreEscaped(t *testing.T) {
	code, f := weir(t, "replay", "/nowhere/\x1b[2J\nweir: all is well\u202e.pcap")
	if said := lines(f.err.String()); code != exitFailed || len(said) != 1 || !strings.Contains(said[0], `\x1b[2J`) || strings.ContainsAny(f.err.String(), "\x1b\u202e") {
		t.Errorf("exit code %d: %q", code, f.err.String())
	}
}

func TestH12TheSameTroubleIsToldOnceAMinute(t *testing.T) {
	var out bytes.Buffer
	s := seldom{say: speaker{to: &out}}
	const times = 1000
	for range times {
		s.tell("disk", "no space")
		s.tell("net", "no route")
	}
	if got := out.String(); got != "weir: no space\nweir: no route\n" {
		t.Errorf("it says %q", got)
	}
	t.Logf("measured: 2 causes, %d times each, are %d lines", times, strings.Count(out.String(), "\n"))
	out.Reset()
	s.told["disk"].at = time.Now().Add(-repeatAfter)
	s.tell("disk", "no space")
	s.tell("disk", "no space")
	if got := out.String(); got != "weir: no space (1000 times since the last such line)\n" {
		t.Errorf("a minute later it says %q", got)
	}
}
