package main

import (
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"
)

// visible writes what is not to be printed as Go's escapes: control characters,
// those of C1 and those that turn the direction of text among them, and octets that
// are no UTF-8.
func visible(text string) string {
	if strings.IndexFunc(text, func(c rune) bool { return c == utf8.RuneError || !unicode.IsPrint(c) }) < 0 {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		c, n := utf8.DecodeRuneInString(text)
		switch {
		case c == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case unicode.IsPrint(c):
			b.WriteString(text[:n])
		case c < 0x80:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			fmt.Fprintf(&b, `\u%04x`, c)
		}
		text = text[n:]
	}
	return b.String()
}

// repeatAfter is how long the same trouble is not told again.
const repeatAfter = time.Minute

// A seldom says things that may come up again and again, a line for each cause in a
// minute. The causes must be few: none may hold what a packet or a file chose.
type seldom struct {
	say  speaker
	mu   sync.Mutex
	told map[string]*telling
}

// A telling is when a cause was told of last, and how often it came up since.
type telling struct {
	at    time.Time
	since int
}

func (s *seldom) tell(cause, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.told[cause]
	switch {
	case t == nil:
		if s.told == nil {
			s.told = map[string]*telling{}
		}
		s.told[cause] = &telling{at: time.Now()}
	case time.Since(t.at) < repeatAfter:
		t.since++
		return
	default:
		if t.since > 0 {
			format += fmt.Sprintf(" (%d times since the last such line)", t.since+1)
		}
		*t = telling{at: time.Now()}
	}
	s.say.always(format, args...)
}
