package filter

import (
	"fmt"

	"github.com/cilium/ebpf/asm"
)

// regOffset is where atRegister finds the offset.
const regOffset = asm.R2

// access is how a translation reads the frame: first an offset is told, by at or by
// atRegister, then as many octets are loaded there, or control goes to reject.
type access interface {
	prologue() asm.Instructions
	at(offset uint32) asm.Instructions
	atRegister() asm.Instructions
	load(octets int, size asm.Size, dst asm.Register, reject string) asm.Instructions
	// word is the place of a memory word on the stack.
	word(n int) (offset int16, size asm.Size)
}

func loadSize(octets int) (asm.Size, error) {
	switch octets {
	case 1:
		return asm.Byte, nil
	case 2:
		return asm.Half, nil
	case 4:
		return asm.Word, nil
	}
	return 0, fmt.Errorf("load of %d octets", octets)
}

// inPlace reads through pointers to the frame's first octet and behind its last.
type inPlace struct{ usesLength bool }

const (
	regData   = asm.R1
	regEnd    = asm.R8
	regPacket = asm.R4
)

func (a *inPlace) prologue() asm.Instructions {
	in := asm.Instructions{asm.Mov.Reg(regEnd, asm.R2)}
	if a.usesLength {
		in = append(in, asm.Mov.Reg(regLength, asm.R3))
	}
	return in
}

func (*inPlace) at(offset uint32) asm.Instructions {
	return asm.Instructions{asm.Mov.Reg(regPacket, regData), asm.Add.Imm(regPacket, int32(offset))}
}

func (*inPlace) atRegister() asm.Instructions {
	return asm.Instructions{asm.Mov.Reg(regPacket, regData), asm.Add.Reg(regPacket, regOffset)}
}

func (*inPlace) load(octets int, size asm.Size, dst asm.Register, reject string) asm.Instructions {
	return asm.Instructions{
		asm.Add.Imm(regPacket, int32(octets)),
		asm.JGT.Reg(regPacket, regEnd, reject),
		asm.LoadMem(dst, regPacket, int16(-octets), size),
	}
}

func (*inPlace) word(n int) (int16, asm.Size) { return int16(-4 * (n + 1)), asm.Word }

// copying has a helper copy from the frame onto the stack. Its words are of 64 bits:
// without CAP_PERFMON, Linux 6.1 refuses to overwrite a part of what is there.
type copying struct{ helper asm.BuiltinFunc }

const (
	regContext = asm.R8
	copied     = -8 // the place on the stack
)

func (*copying) prologue() asm.Instructions {
	return asm.Instructions{asm.Mov.Reg(regContext, asm.R1), asm.Mov.Reg(regLength, asm.R2)}
}

func (*copying) at(offset uint32) asm.Instructions {
	return asm.Instructions{asm.Mov.Imm(regOffset, int32(offset))}
}

func (*copying) atRegister() asm.Instructions { return nil }

func (a *copying) load(octets int, size asm.Size, dst asm.Register, reject string) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, regContext),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, copied),
		asm.Mov.Imm(asm.R4, int32(octets)),
		a.helper.Call(),
		asm.JNE.Imm(asm.R0, 0, reject),
		asm.LoadMem(dst, asm.RFP, copied, size),
	}
}

func (*copying) word(n int) (int16, asm.Size) { return int16(copied - 8*(n+1)), asm.DWord }
