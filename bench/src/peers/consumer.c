/* libbpf's own consumer of ring buffers, for the figure `channel`: `consumer PROCESSOR (poll|busy) MAP...`, maps by their numbers.
 * A thread for each ring, all on one processor. They read until standard input ends and nothing has come for a while; then it says
 * for each ring what it got, as a JSON array. */
#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, QUIET_MS = 50 };

struct reader {
    pthread_t thread;
    struct ring_buffer *ring;
    uint64_t records, sum, last_ns, processor_ns, wakes;
};

static atomic_bool ending;
static bool busy;
static int processor;

static uint64_t now(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return time.tv_sec * UINT64_C(1000000000) + time.tv_nsec;
}

static uint64_t sleeps(void) {
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

/* As little as an app can do with a record: it looks at the first word. */
static int take(void *context, void *data, size_t size) {
    struct reader *reader = context;
    (void)size;
    reader->records++;
    reader->sum += *(uint64_t *)data;
    return 0;
}

/* Looks again and again; nothing new for a while after the end is the end. */
static int look(struct reader *reader) {
    uint64_t since = now(CLOCK_BOOTTIME);
    for (;;) {
        int got = ring_buffer__consume(reader->ring);
        if (got != 0)
            return got;
        if (atomic_load(&ending) && now(CLOCK_BOOTTIME) - since > QUIET_MS * UINT64_C(1000000))
            return 0;
    }
}

static void *work(void *context) {
    struct reader *reader = context;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    pthread_setaffinity_np(pthread_self(), sizeof set, &set);
    uint64_t processor_ns = now(CLOCK_THREAD_CPUTIME_ID), wakes = sleeps();
    for (;;) {
        bool last = atomic_load(&ending);
        int got = busy ? look(reader) : ring_buffer__poll(reader->ring, QUIET_MS);
        /* A wake-up that was lost leaves records. */
        if (got == 0)
            got = ring_buffer__consume(reader->ring);
        if (got > 0)
            reader->last_ns = now(CLOCK_BOOTTIME);
        else if (last || got < 0)
            break;
    }
    reader->processor_ns = now(CLOCK_THREAD_CPUTIME_ID) - processor_ns;
    reader->wakes = sleeps() - wakes;
    return NULL;
}

static int failed(const char *what) {
    perror(what);
    return 1;
}

int main(int count, char **words) {
    static struct reader readers[MOST];
    int rings = count - 3;
    char byte;
    if (rings < 1 || rings > MOST)
        return fprintf(stderr, "usage: consumer PROCESSOR (poll|busy) MAP...\n"), 2;
    processor = atoi(words[1]);
    busy = strcmp(words[2], "busy") == 0;
    for (int n = 0; n < rings; n++) {
        int map = bpf_map_get_fd_by_id(strtoul(words[n + 3], NULL, 10));
        if (map < 0)
            return failed("a ring's map");
        readers[n].ring = ring_buffer__new(map, take, &readers[n], NULL);
        if (!readers[n].ring)
            return failed("a ring's consumer");
    }
    for (int n = 0; n < rings; n++)
        if (pthread_create(&readers[n].thread, NULL, work, &readers[n]) != 0)
            return failed("a thread");
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    atomic_store(&ending, true);
    for (int n = 0; n < rings; n++) {
        struct reader *reader = &readers[n];
        pthread_join(reader->thread, NULL);
        printf("%s{\"records\":%llu,\"last_ns\":%llu,\"processor_ns\":%llu,\"wakes\":%llu}", n ? "," : "[",
               (unsigned long long)reader->records, (unsigned long long)reader->last_ns,
               (unsigned long long)reader->processor_ns, (unsigned long long)reader->wakes);
    }
    puts("]");
    return 0;
}
