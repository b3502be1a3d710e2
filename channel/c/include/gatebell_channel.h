/* gatebell_channel: an event that the app owns and a driver signals, for C and C++.
 *
 * Written from the library's source: change channel/c/src/lib.rs, not this file.
 *
 * Each call that can fail returns a GbStatus; gb_error_text() then says in words what went wrong in this thread and,
 * where that is known, what to do about it. A pointer that comes from here is freed here, by the call that its type
 * names, once.
 */

#ifndef GATEBELL_CHANNEL_H
#define GATEBELL_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Number of causes of loss: the length of `lost` in GbHeader and GbAccount, whose index is a GbCause.
 */
#define GB_CAUSES 3

/**
 * Result of a call.
 */
typedef enum GbStatus {
  /**
   * The call did what it was asked for.
   */
  GB_STATUS_OK = 0,
  /**
   * The device does not exist, or this user may not open it.
   */
  GB_STATUS_OPEN = 1,
  /**
   * The driver, or the device server before it, refused the request: gb_error_refusal() says by which GbRefusal.
   */
  GB_STATUS_REFUSED = 2,
  /**
   * The machine's kernel refused something that the library needs for itself, or the driver, or the device server
   * before it, is gone.
   */
  GB_STATUS_SYSTEM = 3,
  /**
   * The driver broke the contract; its records can't be trusted any further.
   */
  GB_STATUS_CONTRACT = 4,
  /**
   * A pointer is missing, a text is not UTF-8, or a number has no meaning.
   */
  GB_STATUS_ARGUMENT = 5,
  /**
   * Another thread, or a callback's caller, is using this attachment.
   */
  GB_STATUS_BUSY = 6,
  /**
   * A fault of this library's own: a panic, whose message is on standard error.
   */
  GB_STATUS_BUG = 7,
} GbStatus;

/**
 * Result of a wait.
 */
typedef enum GbWake {
  /**
   * The event was signalled: a reason to drain.
   */
  GB_WAKE_READY = 0,
  /**
   * The timeout is over.
   */
  GB_WAKE_TIMED_OUT = 1,
  /**
   * The attachment has ended, and everything was drained.
   */
  GB_WAKE_ENDED = 2,
} GbWake;

/**
 * Reason for which an attachment ended.
 */
typedef enum GbEnding {
  /**
   * The attachment has not ended.
   */
  GB_ENDING_NONE = 0,
  /**
   * The app asked for the end.
   */
  GB_ENDING_DETACHED = 1,
  /**
   * The driver is being stopped, or is gone.
   */
  GB_ENDING_DRIVER_STOPPING = 2,
  /**
   * The driver is replaced by one that speaks another version of the channel.
   */
  GB_ENDING_INCOMPATIBLE = 3,
} GbEnding;

/**
 * Cause of a loss: the reason for which a record did not get into the app's ring or queue.
 */
typedef enum GbCause {
  /**
   * The app's ring or queue had no room: the app reads too slowly, or not at all.
   */
  GB_CAUSE_NO_ROOM = 0,
  /**
   * The attachment was ending while the record was on its way.
   */
  GB_CAUSE_CLOSING = 1,
  /**
   * The record is larger than the app's whole ring.
   */
  GB_CAUSE_TOO_LARGE = 2,
} GbCause;

/**
 * Rule by which a request was refused. A driver of a later release may name one that is not here.
 */
typedef enum GbRefusal {
  /**
   * The app speaks another version of the channel than the driver.
   */
  GB_REFUSAL_VERSION = 1,
  /**
   * The request's length is not the one that its command requires.
   */
  GB_REFUSAL_LENGTH = 2,
  /**
   * The driver knows no such command.
   */
  GB_REFUSAL_COMMAND = 3,
  /**
   * The handle or descriptor in the request is missing, or is not open in the app.
   */
  GB_REFUSAL_HANDLE = 4,
  /**
   * The handle or descriptor is something else than an event.
   */
  GB_REFUSAL_TYPE = 5,
  /**
   * The handle was opened without the right to signal it.
   */
  GB_REFUSAL_ACCESS = 6,
  /**
   * The open device already has an event attached, or another one has this event (Linux).
   */
  GB_REFUSAL_ALREADY_REFERENCED = 7,
  /**
   * The open device has no event attached.
   */
  GB_REFUSAL_NOT_REFERENCED = 8,
  /**
   * The open device is being closed.
   */
  GB_REFUSAL_CLOSING = 9,
  /**
   * The driver is stopping and takes no new attachments.
   */
  GB_REFUSAL_STOPPING = 10,
  /**
   * Every slot for an app is taken, or as many apps have the device open as the device server serves (Linux).
   */
  GB_REFUSAL_NO_SLOT = 11,
  /**
   * The ring or queue is smaller or larger than the driver allows, or not a power of two.
   */
  GB_REFUSAL_SIZE = 12,
  /**
   * The caller lacks the right for this request.
   */
  GB_REFUSAL_NOT_PERMITTED = 13,
  /**
   * The kernel gave no memory.
   */
  GB_REFUSAL_MEMORY = 14,
  /**
   * The caller has as much as one user may have.
   */
  GB_REFUSAL_QUOTA = 15,
  /**
   * The event can't be cleared by a driver: only the reader's own position says what is read (Linux).
   */
  GB_REFUSAL_READER_OWNS_STATE = 16,
  /**
   * A number in the request is outside what the command allows.
   */
  GB_REFUSAL_RANGE = 17,
  /**
   * The answer does not fit into the room that the app gave for it.
   */
  GB_REFUSAL_ROOM = 18,
  /**
   * A wait in the driver ended because its time ran out.
   */
  GB_REFUSAL_TIMED_OUT = 19,
  /**
   * The driver's kernel lacks what the request needs.
   */
  GB_REFUSAL_UNSUPPORTED = 20,
  /**
   * The driver is already working on such a request of the app.
   */
  GB_REFUSAL_BUSY = 21,
} GbRefusal;

/**
 * An event of this app's own, attached to a driver. Freed by gb_release().
 */
typedef struct GbAttachment GbAttachment;

/**
 * An open device of a driver. Freed by gb_close().
 */
typedef struct GbDevice GbDevice;

/**
 * Header of a record, its first field. The driver's own fields follow; `length` counts them too.
 */
typedef struct GbHeader {
  /**
   * Length of the whole record in bytes, this header included: a multiple of 8, at most 1024.
   */
  uint32_t length;
  /**
   * Kind of the record: its subject, a number from 0 to 63 that the driver chooses.
   */
  uint32_t kind;
  /**
   * Version of the channel that the driver was built with.
   */
  uint32_t version;
  /**
   * Number of the processor that made the record.
   */
  uint32_t processor;
  /**
   * Sequence number: the number of this attempt for this app on this processor, from 0. A gap is a loss.
   */
  uint64_t sequence;
  /**
   * Time of the record, in nanoseconds of the machine's monotonic clock that includes sleep.
   */
  uint64_t stamp_ns;
  /**
   * Number of losses for this app on this processor before this attempt, by GbCause.
   */
  uint64_t lost[GB_CAUSES];
} GbHeader;

/**
 * Callback for each record, with the context that the drain was given. The record lies there until the callback
 * returns, at an address that is a multiple of 8. Returns whether the drain goes on.
 */
typedef bool (*GbOnRecord)(void*, const struct GbHeader*);

/**
 * A loss: records that did not reach this app, told where it happened.
 */
typedef struct GbLost {
  /**
   * Number of the processor on which the records were lost.
   */
  uint32_t processor;
  /**
   * Cause of the loss.
   */
  enum GbCause cause;
  /**
   * Number of records lost.
   */
  uint64_t count;
} GbLost;

/**
 * Callback for each loss, before the record that told of it. Returns whether the drain goes on.
 */
typedef bool (*GbOnLost)(void*, const struct GbLost*);

/**
 * Counters of both sides, driver and app. Neither side's numbers are derived from the other's.
 */
typedef struct GbAccount {
  /**
   * Number of records that the driver had for this app, by its own count.
   */
  uint64_t offered;
  /**
   * Number of records that the driver put into the app's ring or queue, by its own count.
   */
  uint64_t committed;
  /**
   * Number of records that the driver could not put there, by GbCause, by its own count.
   */
  uint64_t lost[GB_CAUSES];
  /**
   * Number of records that drains handed over, by the app's count.
   */
  uint64_t delivered;
  /**
   * Number of records that wait, counted in the ring or queue itself.
   */
  uint64_t in_ring;
  /**
   * Number of sequence numbers that never came.
   */
  uint64_t gaps;
  /**
   * true if the two sides' numbers agree. Exact once things are quiet.
   */
  bool balances;
} GbAccount;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * Opens a driver's device: on Linux the path of its service's socket, on Windows a name such as \\.\Gatebell.
 *
 * # Safety
 * `name` is NULL or a terminated string, `device` is NULL or has room for a pointer.
 */
enum GbStatus gb_open(const char *name,
                      struct GbDevice **device);

/**
 * Closes a device. What is attached through it stays attached until it is released. Does nothing for NULL.
 *
 * # Safety
 * `device` is NULL, or came from gb_open() and was not closed yet.
 */
void gb_close(struct GbDevice *device);

/**
 * Attaches an event of this app's own, with room for `ring_bytes` of records (a power of two from 4096 to 8388608), to
 * the driver, which from now on puts into it the kinds of records whose bits are set in `mask`.
 *
 * # Safety
 * `device` is NULL, or came from gb_open() and is not closed; `attachment` is NULL or has room for a pointer.
 */
enum GbStatus gb_attach(const struct GbDevice *device,
                        uint32_t ring_bytes,
                        uint64_t mask,
                        struct GbAttachment **attachment);

/**
 * Detaches the event, if that was not done, and frees the attachment. Returns GB_STATUS_BUSY, and does nothing, while
 * another thread waits or drains, or from within a callback. Does nothing for NULL.
 *
 * # Safety
 * `attachment` is NULL, or came from gb_attach() and was not released yet.
 */
enum GbStatus gb_release(struct GbAttachment *attachment);

/**
 * Chooses, for the next wait, how wake-ups are traded for latency: while records follow each other closely let more
 * gather, for `gather_us` microseconds at most; or, if that is 0, look again and again for `spin_us` microseconds in
 * each wait before it sleeps (UINT64_MAX: it never does). With both 0 each signal wakes at once. An attachment begins
 * with 4000 and 0. Both not 0 is GB_STATUS_ARGUMENT. While records gather, the app's own signal and the end wait too.
 *
 * # Safety
 * `attachment` is NULL, or came from gb_attach() and is not released.
 */
enum GbStatus gb_set_pace(const struct GbAttachment *attachment,
                          uint64_t gather_us,
                          uint64_t spin_us);

/**
 * Sleeps until the driver signals, or for `timeout_ms` milliseconds; a negative number waits for ever. `ending`, if it
 * is not NULL, gets the reason of GB_WAKE_ENDED, otherwise GB_ENDING_NONE. After the end each wait says so again.
 *
 * # Safety
 * `attachment` is NULL, or came from gb_attach() and is not released;
 * `wake` and `ending` are NULL or have room for what they point to.
 */
enum GbStatus gb_wait(const struct GbAttachment *attachment,
                      int64_t timeout_ms,
                      enum GbWake *wake,
                      enum GbEnding *ending);

/**
 * Hands over every record and loss that is there, in order, until nothing is left, a ring full was handed over or a
 * callback returns false; what was not handed over stays for the next drain. `on_lost` may be NULL: losses are in the
 * account too. `records`, if it is not NULL, gets the number of records handed over.
 *
 * # Safety
 * `attachment` is NULL, or came from gb_attach() and is not released; the callbacks can be called with `context` and
 * do not unwind; `records` is NULL or has room for a number.
 */
enum GbStatus gb_drain(const struct GbAttachment *attachment,
                       GbOnRecord on_record,
                       GbOnLost on_lost,
                       void *context,
                       uint64_t *records);

/**
 * Signals the app's own event: a thread that waits wakes. Any thread may call it.
 *
 * # Safety
 * `attachment` is NULL, or came from gb_attach() and is not released.
 */
enum GbStatus gb_signal(const struct GbAttachment *attachment);

/**
 * Detaches the event from the driver. What is in the ring can still be drained; the account stays readable.
 *
 * # Safety
 * `attachment` is NULL, or came from gb_attach() and is not released.
 */
enum GbStatus gb_detach(const struct GbAttachment *attachment);

/**
 * Reads the counters of both sides, driver and app.
 *
 * # Safety
 * `attachment` is NULL, or came from gb_attach() and is not released; `account` is NULL or has room for one.
 */
enum GbStatus gb_account(const struct GbAttachment *attachment,
                         struct GbAccount *account);

/**
 * Sends the driver a request of its own, by its number (64 to 2047): `length` bytes, of which the first 24 are the
 * request's header, which the library fills in. The driver's answer takes their place. Fewer than 24 are refused
 * (GB_REFUSAL_LENGTH). On Linux something has to be attached through this device first (GB_REFUSAL_NOT_REFERENCED).
 *
 * # Safety
 * `device` is NULL, or came from gb_open() and is not closed; `bytes` is NULL,
 * or has `length` bytes that nobody else uses meanwhile.
 */
enum GbStatus gb_request(const struct GbDevice *device,
                         uint32_t command,
                         void *bytes,
                         size_t length);

#if defined(__unix__)
/**
 * Returns one descriptor for a loop of the app's own (poll, epoll): when it can be read, gb_wait() with a timeout of 0
 * says what there is. The attachment owns it: don't close it. -1 without an attachment, or while it is used.
 *
 * # Safety
 * `attachment` is NULL, or came from gb_attach() and is not released.
 */
int32_t gb_descriptor(const struct GbAttachment *attachment);
#endif

#if defined(_WIN32)
/**
 * Returns the event's handle, for WaitForMultipleObjects(). Such a wait takes the signal: call gb_drain() then. The
 * attachment owns the handle: don't close it. NULL without an attachment, or while it is used.
 *
 * # Safety
 * `attachment` is NULL, or came from gb_attach() and is not released.
 */
void *gb_handle(const struct GbAttachment *attachment);
#endif

/**
 * Returns what went wrong in this thread's last call that failed, and what to do about it where that is known: a
 * terminated text in UTF-8, owned by the library, which stays until this thread's next call that fails. Never NULL:
 * before the first such call it is empty.
 */
const char *gb_error_text(void);

/**
 * Returns the GbRefusal by which this thread's last call that failed was refused, as a number: a driver of a later
 * release may name one that is not there. 0 if the call failed otherwise.
 */
uint32_t gb_error_refusal(void);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* GATEBELL_CHANNEL_H */
