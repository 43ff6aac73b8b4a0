//go:build cgo && !nodpi

/* SPDX-License-Identifier: Apache-2.0 */
/* How much memory the library holds, of all modules of the process. */
#include <malloc.h>

#include "shim.h"

/* Octets, as the library takes and gives them back. A dissector that gives back
 * what it did not get through the library brings it below 0. */
static int64_t held;

static void add(void *p)
{
	if (p)
		__atomic_add_fetch(&held, malloc_usable_size(p), __ATOMIC_RELAXED);
}

static void *counted_malloc(size_t size)
{
	void *p = malloc(size);

	add(p);
	return p;
}

static void counted_free(void *p)
{
	if (p)
		__atomic_sub_fetch(&held, malloc_usable_size(p), __ATOMIC_RELAXED);
	free(p);
}

#if NDPI_HAS_ALLOCATOR
static void *counted_calloc(size_t n, size_t size)
{
	void *p = calloc(n, size);

	add(p);
	return p;
}

static void *counted_realloc(void *p, size_t size)
{
	size_t before = p ? malloc_usable_size(p) : 0;
	void *grown = realloc(p, size);

	if (grown) {
		__atomic_sub_fetch(&held, before, __ATOMIC_RELAXED);
		add(grown);
	}
	return grown;
}
#endif

void weir_ndpi_count_memory(void)
{
#if NDPI_HAS_ALLOCATOR
	ndpi_set_memory_alloction_functions(counted_malloc, counted_free, counted_calloc, counted_realloc, NULL,
					    NULL, NULL, NULL);
#else
	set_ndpi_malloc(counted_malloc);
	set_ndpi_free(counted_free);
#endif
}

uint64_t weir_ndpi_memory(void)
{
	int64_t octets = __atomic_load_n(&held, __ATOMIC_RELAXED);

	return octets > 0 ? octets : 0;
}

/* The C library knows better, and takes longer to say so. What the count has missed
 * is made good: a dissector may free by itself what it got through the library. */
uint64_t weir_ndpi_memory_exact(void)
{
#if defined(__GLIBC__) && (__GLIBC__ > 2 || __GLIBC_MINOR__ >= 33)
	struct mallinfo2 all = mallinfo2();
	uint64_t in_use = all.uordblks + all.hblkhd;

	if (in_use < weir_ndpi_memory())
		__atomic_store_n(&held, (int64_t)in_use, __ATOMIC_RELAXED);
#endif
	return weir_ndpi_memory();
}
