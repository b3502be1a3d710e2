/* The article's sample as a C program sees it: attach an event, ask the driver for notices, wait, drain.
 *
 *     notices DEVICE [COUNT]
 *
 * DEVICE is the socket of the sample's device on Linux, \\.\GatebellSample on Windows.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "gatebell_channel.h"

/* What this driver and its apps say to each other: as in sample/abi. */
enum { NOTICE = 16, OPERATE = 64, NOTIFY_FROM_TIMER = 6 };

struct notice {
    GbHeader header;
    uint64_t number;
    uint64_t from_timer;
};

struct operate {
    uint64_t header[3]; /* the library fills it in */
    uint32_t operation;
    uint32_t count;
    uint32_t interval_us;
    uint32_t spare;
    uint32_t seen[4]; /* the driver's answer */
};

struct told {
    uint64_t notices;
    uint64_t lost;
};

static bool on_record(void *context, const GbHeader *record) {
    struct told *told = context;
    const struct notice *notice = (const struct notice *)record;
    if (record->kind == NOTICE && record->length >= sizeof *notice) {
        printf("notice %" PRIu64 " from processor %" PRIu32 "\n", notice->number, record->processor);
        told->notices++;
    }
    return true;
}

static bool on_lost(void *context, const GbLost *lost) {
    struct told *told = context;
    printf("%" PRIu64 " lost here\n", lost->count);
    told->lost += lost->count;
    return true;
}

static int failed(const char *what) {
    fprintf(stderr, "%s: %s\n", what, gb_error_text());
    return 1;
}

/* Waits and drains until everything that was asked for came, or was lost. */
static int read_notices(GbAttachment *app, uint64_t count) {
    struct told told = {0, 0};
    while (told.notices + told.lost < count) {
        GbWake wake;
        GbEnding ending;
        if (gb_wait(app, 10000, &wake, &ending) != GB_STATUS_OK)
            return failed("waiting");
        if (wake == GB_WAKE_ENDED)
            return fprintf(stderr, "the driver ended it: %d\n", (int)ending), 1;
        if (wake == GB_WAKE_TIMED_OUT)
            return fprintf(stderr, "nothing came for ten seconds\n"), 1;
        if (gb_drain(app, on_record, on_lost, &told, NULL) != GB_STATUS_OK)
            return failed("draining");
    }
    GbAccount account;
    if (gb_account(app, &account) != GB_STATUS_OK)
        return failed("asking for the account");
    printf("offered %" PRIu64 ", committed %" PRIu64 ", delivered %" PRIu64 ": %s\n", account.offered,
           account.committed, account.delivered, account.balances ? "balances" : "DOES NOT BALANCE");
    return account.balances ? 0 : 1;
}

int main(int count_of_words, char **words) {
    if (count_of_words < 2)
        return fprintf(stderr, "usage: notices DEVICE [COUNT]\n"), 2;
    struct operate ask = {.operation = NOTIFY_FROM_TIMER, .count = 5, .interval_us = 1000};
    if (count_of_words > 2)
        ask.count = (uint32_t)strtoul(words[2], NULL, 10);
    GbDevice *device;
    GbAttachment *app;
    if (gb_open(words[1], &device) != GB_STATUS_OK)
        return failed("opening the device");
    int outcome;
    if (gb_attach(device, 64 * 1024, UINT64_C(1) << NOTICE, &app) != GB_STATUS_OK) {
        outcome = failed("attaching");
    } else {
        outcome = gb_request(device, OPERATE, &ask, sizeof ask) == GB_STATUS_OK
                      ? read_notices(app, ask.count)
                      : failed("asking for notices");
        gb_release(app);
    }
    gb_close(device);
    return outcome;
}
