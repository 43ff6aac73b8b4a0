package worker

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/weirflow/weir/dpi/ndpi"
	"github.com/weirflow/weir/userspace"
)

// everyDetail has all fields set, to something of their own.
func everyDetail() *userspace.L7Details {
	d := new(userspace.L7Details)
	v := reflect.ValueOf(d).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString(v.Type().Field(i).Name)
		case reflect.Uint32:
			f.SetUint(uint64(1000 + i))
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{v.Type().Field(i).Name, "two"}))
		}
	}
	return d
}

func TestDetailsComeBackAsTheyWere(t *testing.T) {
	want := everyDetail()
	payload := appendDetails(appendResult(nil, &ndpi.Result{}), want)
	got, err := ParseVerdict(payload)
	if err != nil || !reflect.DeepEqual(got.Details, want) {
		t.Fatalf("%+v, %v; want %+v", got.Details, err, want)
	}
	whole := len(appendResult(nil, &ndpi.Result{}))
	for n := whole + 1; n < len(payload); n++ {
		if l, err := ParseVerdict(payload[:n]); err == nil && reflect.DeepEqual(l.Details, want) {
			t.Fatalf("%d of %d octets are taken for the whole", n, len(payload))
		}
	}
}

func TestDetailsAreBoundedAndUTF8(t *testing.T) {
	long := strings.Repeat("é", 1000)
	payload := appendDetails(appendResult(nil, &ndpi.Result{}), &userspace.L7Details{
		HTTPURL: long, JA4: "a\xffb", CertificateIssuer: long, Risks: append(make([]string, 100), long), DNSAnswers: []string{long},
	})
	l, err := ParseVerdict(payload)
	if err != nil {
		t.Fatal(err)
	}
	d := l.Details
	if len(d.HTTPURL) != 1022 || len(d.CertificateIssuer) != 254 || d.JA4 != "ab" || len(d.Risks) != elementsMax || len(d.DNSAnswers[0]) != 254 || !utf8.ValidString(d.HTTPURL) {
		t.Errorf("url %d, issuer %d, JA4 %q, %d risks, answer %d", len(d.HTTPURL), len(d.CertificateIssuer), d.JA4, len(d.Risks), len(d.DNSAnswers[0]))
	}
}

func TestDetailsThatCannotBeAreRefused(t *testing.T) {
	plain := appendResult(nil, &ndpi.Result{})
	for name, tail := range map[string][]byte{
		"half a header":          {1, 0},
		"a number of none":       {99, 0, 0},
		"a number that is short": {firstNumber, 3, 0, 1, 2, 3},
		"longer than there is":   {1, 9, 0, 'x'},
		"an element too long":    append([]byte{firstList, 0, 1}, make([]byte, 256)...),
		"too many elements":      []byte(strings.Repeat(string([]byte{firstList, 0, 0}), elementsMax+1)),
	} {
		if _, err := ParseVerdict(append(append([]byte(nil), plain...), tail...)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
