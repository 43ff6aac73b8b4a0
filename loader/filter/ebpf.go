package filter

import (
	"fmt"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/net/bpf"
)

// Registers of both translations: calls leave these as they are.
const (
	regX      = asm.R6
	regA      = asm.R7
	regLength = asm.R9
)

// maxOffset is the end of the last octet that the verifier lets a program read.
const maxOffset = 0xffff

const rejectLabel = "packet_filter_reject"

// ToEBPF translates a classic BPF program into the body of the function
//
//	int packet_filter(void *data, void *data_end, __u32 length)
//
// which returns 0 for a frame that does not match. A load beyond data_end does
// not match either, as in classic BPF. length is what "len" in an expression
// means; it need not be given to a program for which UsesLength is false.
func ToEBPF(raw []bpf.RawInstruction) (asm.Instructions, error) {
	return translate(raw, &inPlace{usesLength: UsesLength(raw)})
}

// ToCopyingEBPF translates into the body of the function
//
//	int packet_filter(void *ctx, __u32 length)
//
// which decides alike, of the whole frame, and loads without CAP_PERFMON. The
// helper is the one that copies from the frames of ctx: asm.FnXdpLoadBytes or
// asm.FnSkbLoadBytes.
func ToCopyingEBPF(raw []bpf.RawInstruction, helper asm.BuiltinFunc) (asm.Instructions, error) {
	return translate(raw, &copying{helper})
}

func translate(raw []bpf.RawInstruction, frame access) (asm.Instructions, error) {
	program, err := decode(raw)
	if err != nil {
		return nil, err
	}
	t := translation{program: program, reached: reachable(program), frame: frame}
	t.prologue()
	for i, ins := range program {
		if !t.reached[i] {
			continue
		}
		start := len(t.out)
		if err := t.instruction(i, ins); err != nil {
			return nil, fmt.Errorf("translate filter instruction %d: %w", i, err)
		}
		t.out[start] = t.out[start].WithSymbol(label(i))
	}
	if t.rejects {
		t.emit(asm.Mov.Imm32(asm.R0, 0).WithSymbol(rejectLabel), asm.Return())
	}
	return t.out, nil
}

// UsesLength tells whether a program asks for the frame's original length.
func UsesLength(raw []bpf.RawInstruction) bool {
	program, _ := bpf.Disassemble(raw)
	return usesLength(program)
}

// label names an instruction as the target of a jump.
func label(i int) string { return fmt.Sprintf("packet_filter_%d", i) }

// beyond tells of a load that no frame is long enough for.
func beyond(offset uint32, octets int) bool { return offset > maxOffset-uint32(octets) }

// reachable marks what control can come to: the verifier refuses the rest. Jumps
// only go forward, so one pass is enough.
func reachable(program []bpf.Instruction) []bool {
	reached := make([]bool, len(program))
	reached[0] = true
	for i, ins := range program {
		if !reached[i] {
			continue
		}
		switch ins := ins.(type) {
		case bpf.RetA, bpf.RetConstant:
		case bpf.LoadAbsolute:
			reached[i+1] = reached[i+1] || !beyond(ins.Off, ins.Size)
		case bpf.LoadIndirect:
			reached[i+1] = reached[i+1] || !beyond(ins.Off, ins.Size)
		case bpf.LoadMemShift:
			reached[i+1] = reached[i+1] || !beyond(ins.Off, 1)
		case bpf.Jump:
			reached[i+1+int(ins.Skip)] = true
		case bpf.JumpIf:
			reached[i+1+int(ins.SkipTrue)], reached[i+1+int(ins.SkipFalse)] = true, true
		case bpf.JumpIfX:
			reached[i+1+int(ins.SkipTrue)], reached[i+1+int(ins.SkipFalse)] = true, true
		default:
			reached[i+1] = true
		}
	}
	return reached
}

type translation struct {
	frame   access
	program []bpf.Instruction
	reached []bool
	out     asm.Instructions
	rejects bool
}

func (t *translation) emit(ins ...asm.Instruction) { t.out = append(t.out, ins...) }

// reject is a jump's target for what does not match.
func (t *translation) reject() string {
	t.rejects = true
	return rejectLabel
}

// prologue clears what a program may read before it writes it.
func (t *translation) prologue() {
	t.emit(t.frame.prologue()...)
	t.emit(asm.Mov.Imm32(regA, 0), asm.Mov.Imm32(regX, 0))
	var cleared [16]bool
	for i, ins := range t.program {
		if load, ok := ins.(bpf.LoadScratch); ok && t.reached[i] && !cleared[load.N] {
			cleared[load.N] = true
			offset, size := t.frame.word(load.N)
			t.emit(asm.StoreMem(asm.RFP, offset, regX, size))
		}
	}
}

func register(r bpf.Register) asm.Register {
	if r == bpf.RegX {
		return regX
	}
	return regA
}

func (t *translation) instruction(i int, ins bpf.Instruction) error {
	switch ins := ins.(type) {
	case bpf.LoadConstant:
		t.emit(asm.Mov.Imm32(register(ins.Dst), int32(ins.Val)))
	case bpf.LoadScratch:
		offset, size := t.frame.word(ins.N)
		t.emit(asm.LoadMem(register(ins.Dst), asm.RFP, offset, size))
	case bpf.StoreScratch:
		offset, size := t.frame.word(ins.N)
		t.emit(asm.StoreMem(asm.RFP, offset, register(ins.Src), size))
	case bpf.LoadAbsolute:
		return t.loadAbsolute(ins.Off, ins.Size, regA)
	case bpf.LoadIndirect:
		return t.loadIndirect(ins)
	case bpf.LoadMemShift:
		if err := t.loadAbsolute(ins.Off, 1, regX); err != nil {
			return err
		}
		if beyond(ins.Off, 1) {
			return nil
		}
		t.emit(asm.And.Imm32(regX, 0xf), asm.LSh.Imm32(regX, 2))
	case bpf.LoadExtension:
		t.emit(asm.Mov.Reg32(regA, regLength))
	case bpf.TAX:
		t.emit(asm.Mov.Reg32(regX, regA))
	case bpf.TXA:
		t.emit(asm.Mov.Reg32(regA, regX))
	case bpf.ALUOpConstant:
		return t.arithmetic(ins)
	case bpf.ALUOpX:
		return t.arithmeticX(i, ins)
	case bpf.RetConstant:
		t.emit(asm.Mov.Imm32(asm.R0, int32(ins.Val)), asm.Return())
	case bpf.RetA:
		t.emit(asm.Mov.Reg32(asm.R0, regA), asm.Return())
	default:
		return t.jump(i, ins)
	}
	return nil
}

// loadAbsolute loads at a fixed offset in network byte order.
func (t *translation) loadAbsolute(offset uint32, octets int, dst asm.Register) error {
	if beyond(offset, octets) {
		t.emit(asm.Ja.Label(t.reject()))
		return nil
	}
	size, err := loadSize(octets)
	if err != nil {
		return err
	}
	t.emit(t.frame.at(offset)...)
	t.load(octets, size, dst)
	return nil
}

// loadIndirect loads at X plus a fixed offset. X is bounded first, as the sum
// does not wrap, and so that the verifier can follow.
func (t *translation) loadIndirect(ins bpf.LoadIndirect) error {
	if beyond(ins.Off, ins.Size) {
		t.emit(asm.Ja.Label(t.reject()))
		return nil
	}
	size, err := loadSize(ins.Size)
	if err != nil {
		return err
	}
	t.emit(
		asm.Mov.Reg32(regOffset, regX),
		asm.JGT.Imm(regOffset, int32(maxOffset-uint32(ins.Size)-ins.Off), t.reject()),
		asm.Add.Imm(regOffset, int32(ins.Off)),
	)
	t.emit(t.frame.atRegister()...)
	t.load(ins.Size, size, regA)
	return nil
}

func (t *translation) load(octets int, size asm.Size, dst asm.Register) {
	t.emit(t.frame.load(octets, size, dst, t.reject())...)
	if octets > 1 {
		t.emit(asm.HostTo(asm.BE, dst, size))
	}
}

var operations = map[bpf.ALUOp]asm.ALUOp{
	bpf.ALUOpAdd: asm.Add, bpf.ALUOpSub: asm.Sub, bpf.ALUOpMul: asm.Mul, bpf.ALUOpDiv: asm.Div,
	bpf.ALUOpMod: asm.Mod, bpf.ALUOpOr: asm.Or, bpf.ALUOpAnd: asm.And, bpf.ALUOpXor: asm.Xor,
	bpf.ALUOpShiftLeft: asm.LSh, bpf.ALUOpShiftRight: asm.RSh,
}

func shifts(op bpf.ALUOp) bool { return op == bpf.ALUOpShiftLeft || op == bpf.ALUOpShiftRight }

// wordBits bounds shifts: eBPF takes the count modulo 32, classic BPF shifts
// everything out.
const wordBits = 32

func (t *translation) arithmetic(ins bpf.ALUOpConstant) error {
	op, ok := operations[ins.Op]
	switch {
	case !ok:
		return fmt.Errorf("operation %v", ins)
	case shifts(ins.Op) && ins.Val >= wordBits:
		t.emit(asm.Mov.Imm32(regA, 0))
	default:
		t.emit(op.Imm32(regA, int32(ins.Val)))
	}
	return nil
}

func (t *translation) arithmeticX(i int, ins bpf.ALUOpX) error {
	op, ok := operations[ins.Op]
	if !ok {
		return fmt.Errorf("operation %v", ins)
	}
	switch {
	case ins.Op == bpf.ALUOpDiv || ins.Op == bpf.ALUOpMod:
		t.emit(asm.JEq.Imm32(regX, 0, t.reject()))
	case shifts(ins.Op):
		t.shiftX(i, op)
		return nil
	}
	t.emit(op.Reg32(regA, regX))
	return nil
}

// shiftX clears A when X is 32 or more, and then shifts as eBPF does.
func (t *translation) shiftX(i int, op asm.ALUOp) {
	shift := label(i) + "_shift"
	t.emit(
		asm.JLT.Imm32(regX, wordBits, shift),
		asm.Mov.Imm32(regA, 0),
		op.Reg32(regA, regX).WithSymbol(shift),
	)
}

// condition is a comparison and whether its outcome is to be turned round.
type condition struct {
	op     asm.JumpOp
	negate bool
}

var conditions = map[bpf.JumpTest]condition{
	bpf.JumpEqual: {asm.JEq, false}, bpf.JumpNotEqual: {asm.JNE, false},
	bpf.JumpGreaterThan: {asm.JGT, false}, bpf.JumpLessThan: {asm.JLT, false},
	bpf.JumpGreaterOrEqual: {asm.JGE, false}, bpf.JumpLessOrEqual: {asm.JLE, false},
	bpf.JumpBitsSet: {asm.JSet, false}, bpf.JumpBitsNotSet: {asm.JSet, true},
}

func (t *translation) jump(i int, ins bpf.Instruction) error {
	target := func(skip int) string { return label(i + 1 + skip) }
	switch ins := ins.(type) {
	case bpf.Jump:
		t.emit(asm.Ja.Label(target(int(ins.Skip))))
	case bpf.JumpIf:
		c := conditions[ins.Cond]
		yes, no := c.targets(target(int(ins.SkipTrue)), target(int(ins.SkipFalse)))
		t.emit(c.op.Imm32(regA, int32(ins.Val), yes), asm.Ja.Label(no))
	case bpf.JumpIfX:
		c := conditions[ins.Cond]
		yes, no := c.targets(target(int(ins.SkipTrue)), target(int(ins.SkipFalse)))
		t.emit(c.op.Reg32(regA, regX, yes), asm.Ja.Label(no))
	default:
		return fmt.Errorf("instruction %v", ins)
	}
	return nil
}

func (c condition) targets(yes, no string) (string, string) {
	if c.negate {
		return no, yes
	}
	return yes, no
}
