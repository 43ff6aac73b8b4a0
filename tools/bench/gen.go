package main

// The compiler is pinned by its major version so that a rebuild gives the
// committed object again; CI compares the two.
//
//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -go-package main -type count Counter counter.bpf.c -- -O2 -g -Wall -Wextra -Werror -Wno-unused-function -Wno-unused-parameter -mcpu=v3 -I/usr/include/x86_64-linux-gnu
