package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/weirflow/weir/dpi"
)

// secretPcap has a conversation over UDP in whose payload a secret is.
func secretPcap(secret string) []byte {
	file := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	file = append(file, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0)
	for n := range 30 {
		frame := append(make([]byte, 12), 8, 0, 0x45, 0, 0, byte(28+len(secret)), 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2,
			0x20, byte(n&1), 0x30, 0, 0, byte(8+len(secret)), 0, 0)
		frame = append(frame, secret...)
		for _, v := range []uint32{uint32(n), 0, uint32(len(frame)), uint32(len(frame))} {
			file = binary.LittleEndian.AppendUint32(file, v)
		}
		file = append(file, frame...)
	}
	return file
}

// What packets carry comes into no output, in whatever way it might be written, with
// all columns on. (What nDPI and weir learn of known protocols does: names, agents.)
func TestH10NoOutputHoldsPayload(t *testing.T) {
	const secret = "the secret of 4711"
	dir := t.TempDir()
	outputs := []string{"csv:" + dir + "/flows.csv", "table:" + dir + "/flows.table", "ndjson:" + dir + "/flows.ndjson"}
	args := []string{"replay", "-v", "--statistics", "--tcp-statistics", "--ip-statistics", "--splt", "20", write(t, "x.pcap", secretPcap(secret))}
	if dpi.Available() {
		args, outputs[2] = append(args, "--l7", "full"), outputs[2]+"?events=label"
	}
	for _, o := range outputs {
		args = append(args, "-o", o)
	}
	code, f := weir(t, args...)
	if code != exitComplete {
		t.Fatalf("exit code %d: %s", code, f.err.String())
	}
	written := map[string][]byte{"stderr": f.err.Bytes(), "stdout": f.out.Bytes()}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(outputs) {
		t.Fatalf("files %v: %v", files, err)
	}
	for _, file := range files {
		written[file.Name()] = read(t, filepath.Join(dir, file.Name()))
	}
	for name, content := range written {
		for _, form := range []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret))[:20]} {
			if bytes.Contains(bytes.ToLower(content), bytes.ToLower([]byte(form))) {
				t.Errorf("%s holds %q:\n%s", name, form, content)
			}
		}
	}
	t.Logf("measured: %d outputs and streams hold a payload in none of 3 forms", len(written))
}
