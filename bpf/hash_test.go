package bpf

import "testing"

// Both objects' maps are read by the same Go, and go on under each other's programs.
func TestBothObjectsHaveOneLayout(t *testing.T) {
	inPlace, err := LayoutHash()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := LoadWeirCopied()
	if err != nil {
		t.Fatal(err)
	}
	if copied, err := layoutHash(spec); err != nil || copied != inPlace {
		t.Errorf("layout hash %s, %v, want %s", copied, err, inPlace)
	}
}
