//go:build cgo

package main

// #include <errno.h>
// #include <fcntl.h>
// #include <unistd.h>
//
// static int closed;
//
// __attribute__((constructor)) static void look(void)
// {
// 	closed = fcntl(STDOUT_FILENO, F_GETFD) == -1 && errno == EBADF;
// }
//
// static int stdout_closed(void) { return closed; }
import "C"

// stdoutClosed tells whether this process was started without a standard output. Go's
// runtime then puts /dev/null in its place, before any code in Go runs.
func stdoutClosed() bool { return C.stdout_closed() != 0 }
