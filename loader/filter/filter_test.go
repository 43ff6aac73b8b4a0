package filter

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/weirflow/weir/bpf/bpftest"
)

// harness loads XDP programs that call the translated filter, as a function of its
// own, on the frame of the test run, and return what it returns: one for each
// translation.
func harness(t testing.TB, raw []bpf.RawInstruction) [2]*ebpf.Program {
	t.Helper()
	body, err := ToEBPF(raw)
	if err != nil {
		t.Fatal(err)
	}
	main := asm.Instructions{
		asm.LoadMem(asm.R6, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R2, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R3, asm.R2),
		asm.Sub.Reg(asm.R3, asm.R1),
		asm.Call.Label("packet_filter"),
		asm.Return(),
	}
	copying, err := ToCopyingEBPF(raw, asm.FnXdpLoadBytes)
	if err != nil {
		t.Fatal(err)
	}
	copyingMain := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.FnXdpGetBuffLen.Call(),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R0),
		asm.Call.Label("packet_filter"),
		asm.Return(),
	}
	programs := [2]*ebpf.Program{loaded(t, main, body)}
	bpftest.WithCapabilities(t, []int{unix.CAP_BPF, unix.CAP_NET_ADMIN}, func() {
		programs[1] = loaded(t, copyingMain, copying)
	})
	return programs
}

func loaded(t testing.TB, main, body asm.Instructions) *ebpf.Program {
	t.Helper()
	body[0] = body[0].WithSymbol("packet_filter")
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.XDP, Instructions: append(main, body...), License: "GPL"})
	if err != nil {
		t.Fatalf("load the translated filter: %+v (this test needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run as root)", err)
	}
	t.Cleanup(func() { _ = program.Close() })
	return program
}

// compare runs both sides over frames and fails on the first that they differ on.
// It returns how many matched.
func compare(t *testing.T, raw []bpf.RawInstruction, frames [][]byte) (matched int) {
	t.Helper()
	programs := harness(t, raw)
	decoded, err := decode(raw)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(decoded)
	if err != nil {
		t.Fatal(err)
	}
	match, err := Matcher(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, frame := range frames {
		want, err := vm.Run(frame)
		if err != nil {
			t.Fatal(err)
		}
		for i, program := range programs {
			got, err := program.Run(&ebpf.RunOptions{Data: frame, Repeat: 1})
			if err != nil {
				t.Fatal(err)
			}
			if got != uint32(want) {
				t.Fatalf("frame %x: translation %d says %d, virtual machine %d\n%v", frame, i, got, want, decoded)
			}
		}
		if match(frame, uint32(len(frame))) != (want != 0) {
			t.Fatalf("frame %x: matcher differs from virtual machine's %d", frame, want)
		}
		if want != 0 {
			matched++
		}
	}
	return matched
}

// frames makes frames that have a fair chance to match something, at lengths
// that cut every header somewhere.
func frames(n int) [][]byte {
	r := rand.New(rand.NewPCG(2, 7))
	out := make([][]byte, n)
	for i := range out {
		out[i] = frame(r)
	}
	return out
}

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func frame(r *rand.Rand) []byte {
	b := make([]byte, 0, 256)
	b = append(b, 2, 0, 0, 0, 0, byte(r.IntN(3)), 2, 0, 0, 0, 0, byte(r.IntN(3)))
	if r.IntN(3) == 0 {
		b = binary.BigEndian.AppendUint16(b, 0x8100)
		b = binary.BigEndian.AppendUint16(b, uint16(r.IntN(4)*0x2000+r.IntN(300)))
	}
	if r.IntN(3) == 0 {
		b = ipv6(r, b)
	} else {
		b = ipv4(r, b)
	}
	b = binary.BigEndian.AppendUint16(b, pick[uint16](r, 22, 53, 80, 443, 5353, 40000))
	b = binary.BigEndian.AppendUint16(b, pick[uint16](r, 22, 53, 80, 443, 5353, 40000))
	for range r.IntN(120) {
		b = append(b, byte(r.Uint32()))
	}
	if r.IntN(2) == 0 {
		b = b[:14+r.IntN(len(b)-13)]
	}
	return b
}

func ipv4(r *rand.Rand, b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, 0x0800)
	words := 5 + pick(r, 0, 0, 0, 2, 10)
	b = append(b, 0x40|byte(words), 0, byte(r.IntN(2)), byte(r.Uint32()), 0, 1)
	b = binary.BigEndian.AppendUint16(b, pick[uint16](r, 0, 0x2000, 0x4000, 100))
	b = append(b, 64, pick[byte](r, 1, 6, 17, 132), 0, 0)
	b = append(b, 10, 0, 0, byte(r.IntN(4)), 10, 0, pick[byte](r, 0, 1), byte(r.IntN(4)))
	return append(b, make([]byte, 4*(words-5))...)
}

func ipv6(r *rand.Rand, b []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, 0x86dd)
	b = append(b, 0x60, 0, 0, 0, 0, 40, pick[byte](r, 0, 6, 17, 44, 58), 64)
	address := [16]byte{0: 0x20, 1: 0x01, 2: 0xd, 3: 0xb8}
	address[15] = byte(r.IntN(4))
	b = append(b, address[:]...)
	address[15] = byte(r.IntN(4))
	return append(b, address[:]...)
}

func TestTranslatedFilterDecidesAsTheVirtualMachine(t *testing.T) {
	expressions := []string{
		"", "ip", "ip6", "arp", "tcp", "udp or icmp", "icmp6", "sctp",
		"tcp port 80", "udp port 53 or tcp port 443", "src port 22", "dst portrange 50-500",
		"host 10.0.0.1", "net 10.0.1.0/24", "src net 10.0.0.0/30 and dst host 10.0.1.2", "host 2001:db8::1",
		"ether host 02:00:00:00:00:01", "ether broadcast", "ether multicast",
		"vlan", "vlan 100", "vlan and tcp port 80", "vlan 100 and ip6", "not vlan",
		"tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[13] = 2", "ip[6:2] & 0x1fff != 0",
		"(tcp[12] & 0xf0) >> 2 > 20", "ip[2:2] - ((ip[0] & 0xf) << 2) > 40",
		"ip[0] & 0xf != 5", "ip proto 132", "ip6 proto 17", "ip6[6] = 44",
		"greater 100", "less 60", "len > 80 and udp", "len - 14 = 60",
		"udp[8:4] % 7 = 3", "ether[0:4] * 3 > 100", "ether[12:2] / 2 = 0x400", "ip[8] ^ 64 = 0",
		"tcp[((tcp[12:1] & 0xf0) >> 2):4] > 0x80000000", "ether[60000] = 1", "ether[70000] = 1",
		"-ip[9] = -6", "1 << ip[9] = 64", "ip[12:4] >> ip[19] > 10000", "ip[12:4] / ip[19] > 100",
		"not ip", "tcp and not port 80", "portrange 1-65535 and not (net 10.0.0.0/8)",
		"ip host 10.0.0.1 and tcp port 80 and (vlan or len > 100)",
	}
	all := frames(400)
	anyMatched := 0
	for _, e := range expressions {
		t.Run(e, func(t *testing.T) {
			raw, err := Compile(e, 1)
			if err != nil {
				t.Fatal(err)
			}
			if compare(t, raw, all) > 0 {
				anyMatched++
			}
		})
	}
	if anyMatched < len(expressions)*3/4 {
		t.Errorf("only %d of %d expressions matched a frame: the frames say little", anyMatched, len(expressions))
	}
}

// randomProgram makes a valid classic BPF program of forward jumps, with code
// that is never reached, loads outside of every frame, and shifts of any width.
func randomProgram(r *rand.Rand) []bpf.Instruction {
	n := 4 + r.IntN(24)
	program := make([]bpf.Instruction, 0, n+1)
	for i := range n {
		program = append(program, randomInstruction(r, n-i-1))
	}
	return append(program, bpf.RetA{})
}

func randomInstruction(r *rand.Rand, left int) bpf.Instruction {
	offset := pick(r, uint32(r.IntN(40)), uint32(r.IntN(200)), r.Uint32N(1<<17), 0xfffd, r.Uint32N(0x80000000))
	value := pick(r, uint32(r.IntN(40)), r.Uint32(), 0xffffffff, 1<<31)
	size := pick(r, 1, 2, 4)
	register := pick(r, bpf.RegA, bpf.RegX)
	operation := pick(r, bpf.ALUOpAdd, bpf.ALUOpSub, bpf.ALUOpMul, bpf.ALUOpDiv, bpf.ALUOpMod, bpf.ALUOpOr,
		bpf.ALUOpAnd, bpf.ALUOpXor, bpf.ALUOpShiftLeft, bpf.ALUOpShiftRight)
	test := bpf.JumpTest(r.IntN(8))
	skip := func() uint8 { return uint8(r.IntN(min(left, 4) + 1)) }
	switch r.IntN(14) {
	case 0:
		return bpf.LoadAbsolute{Off: offset, Size: size}
	case 1:
		return bpf.LoadIndirect{Off: offset, Size: size}
	case 2:
		return bpf.LoadMemShift{Off: offset}
	case 3:
		return bpf.LoadConstant{Dst: register, Val: value}
	case 4:
		return bpf.LoadScratch{Dst: register, N: r.IntN(16)}
	case 5:
		return bpf.StoreScratch{Src: register, N: r.IntN(16)}
	case 6:
		return bpf.LoadExtension{Num: bpf.ExtLen}
	case 7:
		if operation == bpf.ALUOpDiv || operation == bpf.ALUOpMod {
			value |= 1
		}
		return bpf.ALUOpConstant{Op: operation, Val: value}
	case 8:
		return bpf.ALUOpX{Op: operation}
	case 9:
		return bpf.JumpIf{Cond: test, Val: value, SkipTrue: skip(), SkipFalse: skip()}
	case 10:
		return bpf.JumpIfX{Cond: test, SkipTrue: skip(), SkipFalse: skip()}
	case 11:
		return bpf.Jump{Skip: uint32(skip())}
	case 12:
		return pick[bpf.Instruction](r, bpf.TAX{}, bpf.TXA{}, bpf.NegateA{})
	default:
		return pick[bpf.Instruction](r, bpf.TAX{}, bpf.LoadAbsolute{Off: uint32(r.IntN(14)), Size: size}, bpf.RetConstant{Val: value})
	}
}

func TestTranslationOfRandomProgramsIsExact(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 1))
	all := frames(25)
	for i := range 1000 {
		raw, err := bpf.Assemble(randomProgram(r))
		if err != nil {
			t.Fatalf("program %d: %v", i, err)
		}
		compare(t, raw, all)
	}
}

func TestLengthInAnExpressionIsTheOriginalOne(t *testing.T) {
	raw, err := Compile("greater 100", 1)
	if err != nil {
		t.Fatal(err)
	}
	if !UsesLength(raw) {
		t.Error("UsesLength is false")
	}
	match, err := Matcher(raw)
	if err != nil {
		t.Fatal(err)
	}
	cut := make([]byte, 60)
	for length, want := range map[uint32]bool{60: false, 99: false, 100: true, 1514: true} {
		if match(cut, length) != want {
			t.Errorf("60 of %d octets captured: match is %v", length, !want)
		}
	}
}

func TestLinkTypeDecidesWhereTheIPHeaderIs(t *testing.T) {
	ip := ipv4(rand.New(rand.NewPCG(1, 1)), nil)[2:]
	for linkType, want := range map[int]bool{101: true, 228: true, 1: false} {
		raw, err := Compile("ip host 10.0.0.0 or ip net 10.0.0.0/8", linkType)
		if err != nil {
			t.Fatal(err)
		}
		match, err := Matcher(raw)
		if err != nil {
			t.Fatal(err)
		}
		if match(ip, uint32(len(ip))) != want {
			t.Errorf("link type %d: match is %v", linkType, !want)
		}
	}
}

func TestErrorsSayWhatIsWrongWithAnExpression(t *testing.T) {
	for _, expr := range []string{"tcp prot 80", "(", "host 300.1.1.1.1", "vlan 99999"} {
		if _, err := Compile(expr, 1); err == nil {
			t.Errorf("%q compiles", expr)
		}
	}
	for name, raw := range map[string][]bpf.RawInstruction{
		"empty":          {},
		"not classic":    {{Op: 0xffff}},
		"no return":      {{Op: 0x00, K: 1}},
		"jump too far":   {{Op: 0x05, K: 9}, {Op: 0x06}},
		"divide by zero": {{Op: 0x34, K: 0}, {Op: 0x06}},
		"ancillary data": {{Op: 0x20, K: 0xfffff004}, {Op: 0x06}},
	} {
		if _, err := ToEBPF(raw); err == nil {
			t.Errorf("%s: translates", name)
		}
		if _, err := Matcher(raw); err == nil {
			t.Errorf("%s: matches", name)
		}
	}
}

func TestMatchingDoesNotAllocate(t *testing.T) {
	raw, err := Compile("tcp port 80 or len > 100", 1)
	if err != nil {
		t.Fatal(err)
	}
	match, err := Matcher(raw)
	if err != nil {
		t.Fatal(err)
	}
	data := frames(1)[0]
	if n := testing.AllocsPerRun(100, func() { match(data, uint32(len(data))) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func FuzzTranslate(f *testing.F) {
	for _, e := range []string{"tcp port 80", "vlan and ip6", "len > 80"} {
		raw, err := Compile(e, 1)
		if err != nil {
			f.Fatal(err)
		}
		var seed []byte
		for _, i := range raw {
			seed = binary.BigEndian.AppendUint16(seed, i.Op)
			seed = binary.BigEndian.AppendUint32(append(seed, i.Jt, i.Jf), i.K)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var raw []bpf.RawInstruction
		for ; len(in) >= 8; in = in[8:] {
			raw = append(raw, bpf.RawInstruction{Op: binary.BigEndian.Uint16(in), Jt: in[2], Jf: in[3], K: binary.BigEndian.Uint32(in[4:])})
		}
		if body, err := ToEBPF(raw); err == nil && len(body) == 0 {
			t.Error("a filter without a body")
		}
	})
}
