/* Says who opens the file, as the app in Rust does: `opened SOCKET`, as root, until the driver ends. */
#include <gatebell_channel.h>
#include <stdio.h>

/* As tripwire/record has it. */
enum { OPENED = 0 };
struct opened {
    GbHeader header;
    uint32_t pid;
    uint32_t user;
};

static bool tell(void *context, const GbHeader *record) {
    (void)context;
    const struct opened *opened = (const struct opened *)record;
    if (record->kind == OPENED && record->length >= sizeof *opened)
        printf("opened by process %u of user %u\n", opened->pid, opened->user);
    return true;
}

static bool tell_lost(void *context, const GbLost *lost) {
    (void)context;
    printf("%llu lost on processor %u\n", (unsigned long long)lost->count, lost->processor);
    return true;
}

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, gb_error_text());
    return 1;
}

int main(int count, char **words) {
    GbDevice *device;
    GbAttachment *app;
    GbWake wake;
    GbEnding ending;
    if (count != 2)
        return fprintf(stderr, "usage: opened SOCKET\n"), 2;
    if (gb_open(words[1], &device) != GB_STATUS_OK)
        return failed("opening the device");
    if (gb_attach(device, 64 * 1024, UINT64_C(1) << OPENED, &app) != GB_STATUS_OK)
        return failed("attaching");
    puts("attached");
    do {
        fflush(stdout);
        if (gb_wait(app, -1, &wake, &ending) != GB_STATUS_OK)
            return failed("waiting");
        if (wake == GB_WAKE_READY && gb_drain(app, tell, tell_lost, NULL, NULL) != GB_STATUS_OK)
            return failed("draining");
    } while (wake != GB_WAKE_ENDED);
    printf("the driver ended it: %d\n", (int)ending);
    gb_release(app);
    gb_close(device);
    return 0;
}
