// Command corner builds the captures of frames that no program sends on
// request: odd headers, tunnels, times, link types and file formats.
//
//	go run ./tools/capture/corner OUTDIR
//
// The result is the same every time, octet for octet (compressed files: once
// unpacked).
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: corner OUTDIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "corner:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	files, err := build()
	if err != nil {
		return err
	}
	for name, data := range files {
		path := filepath.Join(out, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// A behaviour is one directory of testdata.
type behaviour struct {
	name  string // of the directory, without "built-"
	why   string // one line
	files []file
}

// A file is one capture; encode is how its packets become octets.
type file struct {
	name    string
	packets []packet
	encode  func([]packet) ([]byte, error)
}

func behaviours() []behaviour {
	var all []behaviour
	for _, group := range [][]behaviour{
		linkBehaviours(), networkBehaviours(), transportBehaviours(),
		tunnelBehaviours(), pppBehaviours(), wifiBehaviours(), timeBehaviours(), fileBehaviours(),
	} {
		all = append(all, group...)
	}
	return all
}

// build makes every file in memory, by its path below testdata.
func build() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, b := range behaviours() {
		dir := "built-" + b.name
		files[filepath.Join(dir, "README.md")] = []byte(b.why + "\n")
		for _, f := range b.files {
			data, err := f.encode(f.packets)
			if err != nil {
				return nil, fmt.Errorf("build %s/%s: %w", dir, f.name, err)
			}
			files[filepath.Join(dir, f.name)] = data
		}
	}
	return files, nil
}

// ethernet is a behaviour with one microsecond pcap of Ethernet frames.
func ethernet(name, why string, packets []packet) behaviour {
	return behaviour{name, why, []file{{name + ".pcap", packets, pcapOf(linkEthernet)}}}
}
