/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What is there for the verifier's eyes only. To a process without CAP_PERFMON it is
 * stricter: see docs/explanation/decisions.md. */
#ifndef WEIR_VERIFIER_H
#define WEIR_VERIFIER_H

#include <linux/types.h>

/* Zero, which the verifier cannot know. Loops add it to what they carry from
 * one round to the next: each round then looks like the one before, and is
 * verified once. (Without it, every offset ever reached is a path of its own.) */
static volatile __u32 unknown_zero;

#ifdef FRAME_COPIED

/* In front of a loop: in speculation its end may be stepped over, again and again. */
#define LOOP _Pragma("unroll")
/* In place of static __always_inline: the body of a loop, too large to be repeated. */
#define LOOP_BODY __noinline

/* Statements with at for the index i of an array of n: one branch for each element,
 * as no variable may be added to a pointer. */
#define AT_INDEX(i, n, statements)                           \
	_Pragma("unroll") for (__u32 at = 0; at < (n); at++) \
	{                                                    \
		if ((i) == at) {                             \
			statements;                          \
		}                                            \
	}

/* A number in a structure on the stack. Linux 6.1 refuses to overwrite a part of what
 * is there. */
typedef __u64 stack_u32;

/* &array[i], for i 0 or 1. */
#define ONE_OF_TWO(array, i)                         \
	({                                           \
		__typeof__(&(array)[0]) element = (array); \
		if (i) {                             \
			element = &(array)[1];       \
			asm volatile("" : "+r"(element)); \
		}                                    \
		element;                             \
	})

#else

#define LOOP _Pragma("clang loop unroll(disable)")
#define LOOP_BODY static __always_inline

typedef __u32 stack_u32;

#define AT_INDEX(i, n, statements)    \
	do {                          \
		const __u32 at = (i); \
		statements;           \
	} while (0)

#define ONE_OF_TWO(array, i) (&(array)[i])

#endif

#endif /* WEIR_VERIFIER_H */
