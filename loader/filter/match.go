package filter

import (
	"errors"
	"fmt"

	"golang.org/x/net/bpf"
)

// decode takes classic BPF apart. Arithmetic negation is written as the
// multiplication that it equals, as the Go virtual machine lacks it.
func decode(raw []bpf.RawInstruction) ([]bpf.Instruction, error) {
	program, complete := bpf.Disassemble(raw)
	if !complete {
		return nil, errors.New("decode a filter: an instruction that is not classic BPF")
	}
	for i, ins := range program {
		if _, ok := ins.(bpf.NegateA); ok {
			program[i] = bpf.ALUOpConstant{Op: bpf.ALUOpMul, Val: 1<<32 - 1}
		}
	}
	if _, err := bpf.NewVM(program); err != nil {
		return nil, fmt.Errorf("decode a filter: %w", err)
	}
	return program, nil
}

// Matcher makes a function that tells whether a frame matches, given what was
// captured of it and its original length, which is what "len" in an expression
// means. It does not allocate, but for a program that uses "len" on a frame that
// was cut. The function is not safe for concurrent use.
func Matcher(raw []bpf.RawInstruction) (func(data []byte, length uint32) bool, error) {
	program, err := decode(raw)
	if err != nil {
		return nil, err
	}
	whole, err := bpf.NewVM(program)
	if err != nil {
		return nil, fmt.Errorf("run a filter: %w", err)
	}
	usesLength := usesLength(program)
	return func(data []byte, length uint32) bool {
		vm := whole
		if usesLength && length != uint32(len(data)) {
			if vm, err = bpf.NewVM(withLength(program, length)); err != nil {
				return false
			}
		}
		n, err := vm.Run(data)
		return err == nil && n != 0
	}, nil
}

func usesLength(program []bpf.Instruction) bool {
	for _, ins := range program {
		if _, ok := ins.(bpf.LoadExtension); ok {
			return true
		}
	}
	return false
}

// withLength is the program with the frame's length as a constant.
func withLength(program []bpf.Instruction, length uint32) []bpf.Instruction {
	fixed := make([]bpf.Instruction, len(program))
	for i, ins := range program {
		if _, ok := ins.(bpf.LoadExtension); ok {
			ins = bpf.LoadConstant{Dst: bpf.RegA, Val: length}
		}
		fixed[i] = ins
	}
	return fixed
}
