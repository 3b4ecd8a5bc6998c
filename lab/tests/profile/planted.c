/* Loaded before the C library, this makes a server into a slower copy of itself: each of its sends costs a function with a
 * name first. So any server can be slowed down as it is, without a line for it in its code.
 *
 * PLANTED_NANOS says how much CPU time a send costs more, in nanoseconds. The rounds that take so long are found when the
 * program starts. Without it a send costs 50,000 rounds more. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

/* Each try is short, so that most are not interrupted. */
#define TRIES 101
#define ROUNDS_OF_A_TRY 20000

static ssize_t (*next_send)(int, const void *, size_t, int);
static volatile unsigned long rounds = 50000;
static volatile unsigned long sink;

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

static double nanos(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

static int by_size(const void *one, const void *other) {
    double difference = *(const double *)one - *(const double *)other;
    return (difference > 0) - (difference < 0);
}

/* The median of the tries. */
static double nanos_per_round(void) {
    double tries[TRIES];
    for (int number = 0; number < TRIES; number++) {
        double began = nanos();
        sink = planted_hot_function(ROUNDS_OF_A_TRY);
        tries[number] = (nanos() - began) / ROUNDS_OF_A_TRY;
    }
    qsort(tries, TRIES, sizeof tries[0], by_size);
    return tries[TRIES / 2];
}

__attribute__((constructor)) static void prepare(void) {
    *(void **)&next_send = dlsym(RTLD_NEXT, "send");
    if (!next_send)
        abort();
    const char *wanted = getenv("PLANTED_NANOS");
    if (wanted)
        rounds = (unsigned long)(atof(wanted) / nanos_per_round() + 0.5);
}

ssize_t send(int socket, const void *bytes, size_t length, int flags) {
    sink = planted_hot_function(rounds);
    return next_send(socket, bytes, length, flags);
}
