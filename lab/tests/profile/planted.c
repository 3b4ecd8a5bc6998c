/* Loaded before the C library, this makes a server into a slower copy of itself: each of its sends costs a function with a
 * name first. So any server can be slowed down as it is, without a line for it in its code. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>

static ssize_t (*next_send)(int, const void *, size_t, int);
static volatile unsigned long rounds = 50000;
static volatile unsigned long sink;

__attribute__((constructor)) static void find_next_send(void) {
    *(void **)&next_send = dlsym(RTLD_NEXT, "send");
    if (!next_send)
        abort();
}

/* Calls nothing, so that nothing inlined into it can be blamed instead. */
__attribute__((noinline)) unsigned long planted_hot_function(unsigned long count) {
    unsigned long state = 0x5eed;
    for (unsigned long round = 0; round < count; round++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
    }
    return state;
}

ssize_t send(int socket, const void *bytes, size_t length, int flags) {
    sink = planted_hot_function(rounds);
    return next_send(socket, bytes, length, flags);
}
